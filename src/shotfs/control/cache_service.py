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
