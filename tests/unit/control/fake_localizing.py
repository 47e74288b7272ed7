"""Files for those who have no mount, for tests of the control socket: there are none.

What the endpoints answer is tested with a real service (tests/unit/prewarm/localize).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shotfs.control.access import Peer
from shotfs.control.localize_service import Content
from shotfs.errors import PathNotFound


class FakeLocalizing:
    """Has nothing."""

    async def files(
        self, path: str, *, frames: str, limit: int, peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        raise PathNotFound(f"{path}: there is no such file")

    async def blob(self, path: str, revision: str, *, peer: Peer) -> Mapping[str, Any]:
        raise PathNotFound(f"{path}: there is no such file")

    async def content(self, path: str, revision: str, *, peer: Peer, admin: bool) -> Content:
        raise PathNotFound(f"{path}: there is no such file")
