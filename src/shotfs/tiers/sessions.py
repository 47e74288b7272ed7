"""Uploads that go on: what a put and whoever calls it keep of an upload that a store knows of.

A store that takes a large object in parts keeps the parts until the upload ends. So whoever puts
may give a session: the tier saves a token in it *before* the store knows of the upload, and the
next put with that session, in this process or in a later one, sends only what is missing.
ADR 0021.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol

import xxhash

from shotfs.digest import Checksums

Token = Mapping[str, str | int]
"""What a tier needs to go on with an upload, or to give it up: a small JSON object. It may name a
session URL, which lets anybody write who has it: keep it as secret as credentials, never log it.
"""


class UploadSession(Protocol):
    """Where whoever puts keeps the token of his upload. One put at a time uses it."""

    @property
    def token(self) -> Token | None:
        """Of an upload that was begun and did not end; None: there is none."""
        ...

    async def save(self, token: Token | None) -> None:
        """Keep *token* so that it survives a crash; None: the upload has ended at the store.

        Raises:
            ShotfsError: it cannot be kept. Nothing may be begun then.
        """
        ...

    def arrived(self, size_bytes: int) -> None:
        """Hear how much of the content the store has by now, of the upload that was saved."""
        ...


class Fleeting:
    """A session that ends with its put: for callers that will not go on with an upload."""

    def __init__(self) -> None:
        self.token: Token | None = None

    async def save(self, token: Token | None) -> None:
        """As `UploadSession.save`, in memory only."""
        self.token = token

    def arrived(self, size_bytes: int) -> None:
        """As `UploadSession.arrived`; nobody asks."""


def meant(size_bytes: int, checksums: Checksums, metadata: Mapping[str, str]) -> str:
    """Return text that is the same for puts that may go on with each other's uploads.

    Args:
        size_bytes: of the content.
        checksums: of the content.
        metadata: all that the object gets; stores take it when an upload begins.
    """
    document = [size_bytes, asdict(checksums), sorted(metadata.items())]
    return xxhash.xxh3_128_hexdigest(json.dumps(document).encode())
