"""Claims: what the answer to a read says of the whole object, told through the context.

A listing may know less of the bytes than the answer that brings them: S3 tells of the digest that
was recorded with an object in answers to HEAD and GET only. Adapters tell what such an answer says,
and who keeps the bytes compares. Worker threads see the context of the call that started them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from shotfs.digest import Checksums
from shotfs.tiers.base import Revision

ON_CLAIM: ContextVar[Callable[[Revision, Checksums], None] | None] = ContextVar(
    "on_claim", default=None
)
"""Called, in any thread, with what an answer says of a revision. Must not block."""


def claimed(revision: Revision, checksums: Checksums) -> None:
    """Tell what an answer that is of exactly this *revision* says of its bytes."""
    told = ON_CLAIM.get()
    if told is not None:
        told(revision, checksums)


class Claims:
    """What answers said while somebody listened; of as many revisions as he read."""

    def __init__(self) -> None:
        self._said: dict[str, Checksums] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what the calls within the block are told."""
        token = ON_CLAIM.set(self._note)
        try:
            yield
        finally:
            ON_CLAIM.reset(token)

    def completed(self, revision: Revision) -> Revision:
        """Return *revision* with what was said of it, where it did not know that itself."""
        said = self._said.get(revision.identity) if self._said else None
        if said is None:
            return revision
        known = revision.checksums
        both = Checksums(
            md5=known.md5 or said.md5,
            crc32c=known.crc32c or said.crc32c,
            xxh128=known.xxh128 or said.xxh128,
        )
        return replace(revision, checksums=both)

    def clear(self) -> None:
        """Forget all: the bytes will be fetched again, and with them what is said of them."""
        self._said.clear()

    def _note(self, revision: Revision, checksums: Checksums) -> None:
        self._said.setdefault(revision.identity, checksums)
