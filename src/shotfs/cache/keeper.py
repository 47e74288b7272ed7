"""What a stream works with, and what it needs of the cache. `admission` implements that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shotfs.cache.descriptor import Descriptor
from shotfs.cache.scheduling import FetchScheduler
from shotfs.digest import Buffer, Digest

if TYPE_CHECKING:
    from shotfs.cache.stream import Stream


@dataclass(frozen=True, slots=True)
class Fetching:
    """How streams fetch.

    Attributes:
        scheduler: shared by all streams.
        deadline_s: how long a reader waits without progress.
    """

    scheduler: FetchScheduler
    deadline_s: float


class Keeper(Protocol):
    """Room, files, and becoming a blob."""

    async def reserve(self, stream: Stream) -> bool:
        """Reserve room for a small file; False: there is none."""
        ...

    async def prepare(self, stream: Stream) -> Descriptor | None:
        """Make the file, or go on with one that waits; None: there is no room, or no disk."""
        ...

    def may_be_whole(self, stream: Stream) -> bool:
        """Whether an empty cache has room for the whole."""
        ...

    async def make_room(self, stream: Stream) -> bool:
        """Reserve room for what it is going to hold, before it is written; False: there is none."""
        ...

    def wrote(self, stream: Stream, length_bytes: int) -> None:
        """Account for bytes that reached the disk."""
        ...

    async def admit_small(self, stream: Stream, content: Buffer) -> Digest | None:
        """Make *content* a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        ...

    async def verify_and_admit(self, stream: Stream) -> Digest | None:
        """Make the complete file a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        ...

    async def paused(self, stream: Stream) -> None:
        """Nobody reads it for now: keep what is here."""
        ...

    def ended(self, stream: Stream) -> None:
        """The stream has come to an end, or its file was given up: take everything back."""
        ...
