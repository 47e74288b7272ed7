"""The cache as the control socket sees it, and what becomes of paths; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shotfs.control.access import Peer


class CacheService(Protocol):
    """What can be asked of the cache. Paths are relative to the mount.

    *peer* and *admin* say who asks, and whether root, the service's user or the admin group.
    """

    async def why(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what *path* is, where its bytes are, and what it waits for.

        See `vfs.path_reports.PathReports.why`.
        """
        ...

    async def look(
        self, paths: Sequence[str], *, peer: Peer, admin: bool
    ) -> Sequence[Mapping[str, Any]]:
        """Return what each of *paths* is, in their order, for many at once.

        Returns:
            ``path``, and of a published file that *peer* may see ``size_bytes``, ``mtime_ns``,
            ``digest`` (None: nobody here knows it, or he may not read the file) and ``local``
            (whether its bytes are on this node); of anything else ``absence`` (of
            `prewarm.finding.Absence`) and ``reason``.
        """
        ...

    async def entries(self, below: str, after: str, limit: int, order: str) -> Any:
        """Return a page of what is here; see `vfs.cached_paths.CachedPaths.entries`."""
        ...

    async def pin(
        self,
        paths: Sequence[str],
        *,
        owner: str,
        for_s: float | None,
        limit: int,
        fetch: bool,
        peer: Peer,
    ) -> Mapping[str, Any]:
        """Pin files and what is below directories; see `CachedPaths.pin`.

        Args:
            paths: files and directories.
            owner: who wants it.
            for_s: for how long; None: until it is unpinned.
            limit: how many files at most.
            fetch: have them fetched, too, in the background.
            peer: who asks.

        Returns:
            ``files``, ``bytes``, ``cached_files``, ``cached_bytes`` and ``fetch``: a number for
            `fetching`, None if nothing is fetched.
        """
        ...

    async def unpin(self, paths: Sequence[str], *, owner: str) -> int:
        """Remove the pins of *owner* at or below *paths*, none: all; return how many."""
        ...

    async def pins(self, owner: str, after: str, limit: int) -> Mapping[str, Any]:
        """Return ``pins`` of *owner*, "": of everybody, and ``after``, the cursor or None."""
        ...

    def fetching(self, number: int) -> Any:
        """Return how far a `pin` that fetches is.

        Raises:
            PathNotFound: there is none of this number, or it ended long ago.
        """
        ...

    async def evict(self, paths: Sequence[str], *, limit: int) -> Any:
        """Evict what is cached of files and below directories; see `CachedPaths.evict`."""
        ...

    async def top(self, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what the node is doing now; see `app.top.Top.report`."""
        ...

    async def refresh(self, path: str, *, tree: bool, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Ask the origins about *path* again, and with *tree* about all that is known below it.

        Returns:
            ``path``, ``tree``, ``files``, ``directories`` and ``changed`` (counts), ``notes``, and
            ``changes``: the first of them, each with ``path``, ``what`` (new, changed, gone),
            ``immutable``, ``old`` and ``new`` (null, or ``origin``, ``version``, ``size_bytes``,
            ``mtime_ns``).

        Raises:
            NotPermitted: *peer* could not see the path.
            TierError: an origin could not answer; what was known is still known.
        """
        ...

    async def start_verify(
        self, *, repair: bool, bytes_per_s: int | None, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """Begin to hash cached files again, in the background; drop corrupt ones with *repair*.

        Args:
            repair: drop what is corrupt; the next open fetches it again.
            bytes_per_s: how fast to read at most; None: as the configuration says.
            paths: files and directories; none: all that is cached.

        Returns:
            ``state`` (running, done, stopped, failed), ``repair``, ``bytes_per_s``, ``files``,
            ``files_total``, ``bytes``, ``bytes_total``, ``corrupt_count``, ``unchecked_count``,
            ``error`` and ``corrupt``: the first of them, each with ``digest``, ``size_bytes``,
            ``reason``, ``dropped``, ``paths`` and ``origins``.

        Raises:
            CacheBusy: it is being checked already.
            PathNotFound: nothing of one of *paths* is cached.
        """
        ...

    async def verification(self) -> Mapping[str, Any] | None:
        """Return how far the check is, or how the last one ended; None: there was none."""
        ...

    async def stop_verify(self) -> Mapping[str, Any] | None:
        """End the check that is under way, if one is; return as `verification`."""
        ...
