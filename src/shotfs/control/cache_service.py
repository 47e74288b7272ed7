"""The cache as the control socket sees it, and what becomes of paths; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping
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
