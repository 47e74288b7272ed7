"""What a path with tokens stands for: the same for a scan and for who has no mount."""

from __future__ import annotations

import os

import pytest

from shotfs.app.localizing import NodeLocalizing
from shotfs.control.access import Peer
from shotfs.errors import InvalidArgument, PathNotFound
from shotfs.prewarm.scanners.expansion import Listings, expand
from tests.unit.prewarm.scanners.test_expansion import Names
from tests.unit.vfs.conftest import site, world
from tests.unit.vfs.world import World

__all__ = ["site", "world"]

ME = Peer(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid(), groups=frozenset())

TREE = [
    "a.0007.exr", "a.1001.exr", "a.1002.exr", "a.12345.exr", "a.01001.exr", "a.-0005.exr",
    "a.-005.exr", "a.-5.exr", "a.7.exr", "a.exr", "b#.exr", "b1.exr", "50%d.exr",
    "t.1001.tx", "t.1011.tx", "t.0999.tx", "t.u1_v1.tx", "t.u1_v2.tx", "t_u0_v0.1001.tx",
    "t_u1_v1.1001.tx", "c.1001.50.exr", "c.1001.exr", "left/l_left.1001.exr",
    "left/r_left.1001.exr", "left/1001/left.1001.exr", "right/1001/right.1002.exr",
    "right/1002/right.1002.exr", "cam_a/cam_a.0007.exr", "d(+)[x].1001.exr", "e.<frame>.7.exr",
]  # fmt: skip

PATTERNS = [
    "a.####.exr", "a.%04d.exr", "a.$F4.exr", "a.<F4>.exr", "a.#.exr", "a.%d.exr", "a.@@@.exr",
    "b#.exr", "50%d.exr", "t.<UDIM>.tx", "t.<udim>.tx", "t.<UVTILE>.tx", "t.u<U>_v<V>.tx",
    "t.u<u>_v<v>.tx", "t_u<u>_v<v>.<UDIM>.tx", "c.####.##.exr", "%V/%v_%V.####.exr",
    "%V/####/%V.####.exr", "%V/%V.%04d.exr", "%V/1001/left.1001.exr", "d(+)[x].####.exr",
    "e.<frame>.#.exr", "e.<aov>.#.exr", "none.####.exr",
]  # fmt: skip


@pytest.mark.parametrize("frames", ["", "7,1001-1002"])
async def test_a_scan_and_localize_find_the_same_files(world: World, frames: str) -> None:
    for name in TREE:
        world.origin.add(f"library/{name}", b"x")
    desk = NodeLocalizing(world.node)
    listings = Listings(Names(*(f"/ant/library/{name}" for name in TREE)))
    numbers = frozenset([7, 1001, 1002]) if frames else None
    found = 0
    for pattern in PATTERNS:
        scanned = [one.path for one in expand(listings, f"/ant/library/{pattern}", numbers, ())]
        try:
            answer = await desk.files(
                f"ant/library/{pattern}", frames=frames, limit=100, peer=ME, admin=False
            )
        except PathNotFound:
            localized = []
        else:
            localized = ["/" + one["path"] for one in answer["files"]]
        assert localized == scanned, pattern
        found += len(scanned)
    assert found >= len(PATTERNS) - 5


async def test_too_many_files_are_refused_and_frames_that_lack_are_told(world: World) -> None:
    for frame in (1001, 1002, 1003):
        world.origin.add(f"library/a.{frame}.exr", b"x")
    desk = NodeLocalizing(world.node)
    path = "ant/library/a.####.exr"
    found = await desk.files(path, frames="1002-1005", limit=2, peer=ME, admin=False)
    assert (found["missing"], len(found["files"])) == ("1004-1005", 2)
    with pytest.raises(InvalidArgument, match="more than 2 files"):
        await desk.files(path, frames="", limit=2, peer=ME, admin=False)
