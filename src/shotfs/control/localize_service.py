"""Localizing as the control socket sees it; see `control.service`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shotfs.control.access import Peer


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file on their way to a client.

    Attributes:
        size_bytes: how many there are.
        blocks: the bytes; the last of them come only once the whole is verified.
        close: to be awaited when nobody wants any more of them.
    """

    size_bytes: int
    blocks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


class LocalizeService(Protocol):
    """What can be asked of files by those who have no mount.

    For every user of the mount, who gets what he could read there. Paths are relative to the mount.
    """

    async def files(
        self, path: str, *, frames: str, limit: int, peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        """Return which files *path* stands for: itself, a sequence, or what a directory holds.

        Args:
            path: it may have tokens (``####``, ``<UDIM>``, ``%V``).
            frames: only these of a sequence, like ``1001-1010``; "" for all.
            limit: how many files at most.
            peer: who asks.
            admin: he may read everything.

        Returns:
            ``path`` (with version aliases followed), ``shares`` (whether he may read the cache
            itself), ``missing`` (frames that were asked for and are not there) and ``files``, each
            with ``path``, ``size_bytes``, ``mtime_ns``, ``revision`` and ``ttl_s`` (how long this
            answer holds) and ``immutable``.

        Raises:
            PathNotFound: there is nothing.
            NotPermitted: the peer may not read it, or not look into a directory above.
            InvalidArgument: there are more files than *limit*; *frames* are none.
            TierError: an origin had to be asked and could not answer.
        """
        ...

    async def blob(self, path: str, revision: str, *, peer: Peer) -> Mapping[str, Any]:
        """Fetch the file *path* and return where its bytes are in the cache.

        Returns:
            ``path``, ``device`` and ``inode``; all None where the cache cannot keep it. It may be
            evicted at any time: what is opened stays readable, and never changes.

        Raises:
            NotPermitted: the peer may not read the cache.
            Stale: the path has another revision by now.
            TierError, DigestMismatch: it cannot be fetched.
        """
        ...

    async def content(self, path: str, revision: str, *, peer: Peer, admin: bool) -> Content:
        """Return the bytes of the file *path*, which come while they are fetched.

        Raises: as `files` and `blob`; what goes wrong later ends the blocks early, by an error.
        """
        ...
