"""Files for those who have no mount, for tests of the control socket: one, which never comes whole.

What the endpoints answer is tested with a real service (tests/unit/prewarm/localize).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from shotfs.control.access import Peer
from shotfs.control.localize_service import Content
from shotfs.errors import PathNotFound, TierTimeout

BROKEN = "ant/broken.exr"
SIZE_BYTES = 3_000_000


class FakeLocalizing:
    """Has `BROKEN`, whose origin stops in its middle.

    Attributes:
        closed: how often content was closed, of all of them.
    """

    closed = 0

    async def files(
        self, path: str, *, frames: str, limit: int, peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        if path != BROKEN:
            raise PathNotFound(f"{path}: there is no such file")
        file = {
            "path": path, "size_bytes": SIZE_BYTES, "mtime_ns": 10**18, "revision": "0" * 32,
            "ttl_s": 60.0, "immutable": True,
        }  # fmt: skip
        return {"path": path, "shares": False, "missing": "", "files": [file]}

    async def blob(self, path: str, revision: str, *, peer: Peer) -> Mapping[str, Any]:
        raise PathNotFound(f"{path}: there is no such file")

    async def content(self, path: str, revision: str, *, peer: Peer, admin: bool) -> Content:
        async def close() -> None:
            FakeLocalizing.closed += 1

        return Content(SIZE_BYTES, self._blocks(), close)

    async def _blocks(self) -> AsyncIterator[bytes]:
        yield b"x" * 1_000_000
        raise TierTimeout("the origin sent nothing for 60 s")
