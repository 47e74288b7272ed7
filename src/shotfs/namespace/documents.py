"""Documents: reads a path specification and everything that it includes, wherever they are.

From files and from any root that a tier can open. Knows nothing of what is in them beyond where
they lead; `pathspec.load` finds the mistakes. Files are read in threads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import trio

from shotfs.config import Settings
from shotfs.digest import Digest, digest_bytes
from shotfs.errors import ConfigInvalid, ObjectNotFound, Problem, RevisionChanged
from shotfs.namespace.tier_pool import TierPool
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification, load
from shotfs.pathspec.documents import DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, include_locations
from shotfs.tiers.base import Span, Tier

ATTEMPTS = 3
"""How often a document is read that is replaced while it is read."""

ABSENT = ""
"""The stamp of a document that is not there."""


class Tiers(Protocol):
    """Opens tiers; `TierPool` does."""

    async def get(self, url: str) -> Tier:
        """Return the tier of the root *url*."""
        ...


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """The documents of one specification, as they were when they were read.

    Attributes:
        location: of the main document.
        texts: of every document that is there, by location, the main one first. Bytes that are no
            UTF-8 are surrogate escapes, of which `pathspec.load` makes a mistake with a line.
        stamps: of every document, also of included ones that are not there (`ABSENT`), by
            location. Two equal stamps of one location mean that nothing was changed.
    """

    location: str
    texts: Mapping[str, str]
    stamps: Mapping[str, str]

    @property
    def digests(self) -> dict[str, Digest]:
        """The digest of each document by location, as `Specification.documents` has them."""
        return {
            location: digest_bytes(text.encode(errors="surrogateescape"))
            for location, text in self.texts.items()
        }

    def load(self, show: str | None, settings: Settings) -> Specification:
        """Return the specification that these documents are.

        Args:
            show: its name in the configuration; None takes the document's word.
            settings: names the node's site. A node without one has only roots with a `url`: to take
                the first of `sites`, as tools do, would be to write to a site by chance.

        Raises:
            SpecInvalid: the documents have mistakes.
        """
        included = {name: text for name, text in self.texts.items() if name != self.location}
        return load(
            self.texts[self.location],
            source=self.location,
            show=show,
            site=settings.node.site,
            documents=included,
        )


def resolve(location: str, directory: str) -> str:
    """Return where the document *location* of a configuration in *directory* is."""
    return location if "://" in location else os.path.join(directory, location)


def is_remote(location: str) -> bool:
    """Whether the document is in an origin, and not a file of this node's."""
    return "://" in location


async def read_documents(location: str, tiers: Tiers) -> DocumentSet:
    """Return the document at *location* and all that it includes.

    Args:
        location: path or URL.
        tiers: where documents at URLs are read from.

    Raises:
        ConfigInvalid: the main document is not there, or one cannot be read, or they are too many
            or too large together.
        TierError: an origin that holds one cannot answer.
    """
    texts: dict[str, str] = {}
    stamps: dict[str, str] = {}
    room = DOCUMENT_BYTES_MAX
    waiting = [location]
    while waiting:
        current = waiting.pop(0)
        if current in stamps:
            continue
        if len(stamps) == DOCUMENTS_MAX:
            raise _unreadable(location, f"it includes more than {DOCUMENTS_MAX} documents")
        data, stamps[current] = await _read(current, location, tiers, room)
        if data is None:
            if current == location:
                raise _unreadable(location, _nothing_at(location))
            continue  # `load` says which line wants it
        room -= len(data)
        texts[current] = data.decode("utf-8", "surrogateescape")
        waiting += await trio.to_thread.run_sync(include_locations, texts[current], current)
    return DocumentSet(location, texts, stamps)


async def stamp_of(location: str, tiers: Tiers) -> str:
    """Return what tells whether the document was changed, with one request or one stat.

    Raises:
        OSError, TierError: nobody can say now.
    """
    if not is_remote(location):
        try:
            return _file_stamp(await trio.to_thread.run_sync(os.stat, location))
        except FileNotFoundError:
            return ABSENT
    tier, key = await _place(location, tiers)
    try:
        return (await tier.stat(key)).identity
    except ObjectNotFound:
        return ABSENT


def read_blocking(location: str, settings: Settings) -> DocumentSet:
    """As `read_documents`, for the command line: opens what it needs and closes it again.

    Args:
        location: path, relative to the working directory, or URL.
        settings: how to reach origins.
    """

    async def read() -> DocumentSet:
        tiers = TierPool(settings, Metrics())
        try:
            return await read_documents(location, tiers)
        finally:
            with trio.CancelScope(shield=True):
                await tiers.aclose()

    return trio.run(read)


async def _read(location: str, main: str, tiers: Tiers, room: int) -> tuple[bytes | None, str]:
    """Return content and stamp of one document; (None, ABSENT) if it is not there."""
    if is_remote(location):
        return await _read_object(location, main, tiers, room)
    try:
        data, stamp = await trio.to_thread.run_sync(_read_file, location, room + 1)
    except FileNotFoundError:
        return None, ABSENT
    except OSError as exc:
        raise _unreadable(location, exc.strerror or str(exc)) from exc
    _check_room(len(data), main, room)
    return data, stamp


async def _read_object(
    location: str, main: str, tiers: Tiers, room: int
) -> tuple[bytes | None, str]:
    tier, key = await _place(location, tiers)
    attempts = 0
    while True:
        attempts += 1
        try:
            revision = await tier.stat(key)
            _check_room(revision.size_bytes, main, room)
            data = bytes(await tier.read(revision, Span(0, revision.size_bytes)))
        except ObjectNotFound:
            return None, ABSENT
        except RevisionChanged:
            if attempts == ATTEMPTS:
                raise
        else:
            return data, revision.identity


async def _place(location: str, tiers: Tiers) -> tuple[Tier, str]:
    root, _, key = location.rpartition("/")
    return await tiers.get(root), key


def _read_file(path: str, bytes_max: int) -> tuple[bytes, str]:
    with open(path, "rb") as file:
        # Of the open file: the name may stand for another one by now.
        stamp = _file_stamp(os.fstat(file.fileno()))
        return file.read(bytes_max), stamp


def _file_stamp(status: os.stat_result) -> str:
    # The change time too: it cannot be set back as the modification time can.
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _check_room(size_bytes: int, main: str, room: int) -> None:
    if size_bytes > room:
        raise _unreadable(
            main, f"with what it includes it is larger than {DOCUMENT_BYTES_MAX} bytes"
        )


def _nothing_at(location: str) -> str:
    return "there is no such object" if is_remote(location) else "No such file or directory"


def _unreadable(location: str, reason: str) -> ConfigInvalid:
    return ConfigInvalid(
        location,
        [
            Problem(
                "spec",
                f"cannot read the path specification: {reason}",
                "set `spec` under [shows.NAME] to the file or URL of the JSON document",
            )
        ],
    )
