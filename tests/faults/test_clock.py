"""A wall clock that jumps: deadlines and the order of things do not depend on it."""

from __future__ import annotations

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.field import Reader, Seen, read
from tests.faults.surroundings import Surroundings
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

DAY_S = 86400.0


@pytest.mark.parametrize("jump_s", [400 * DAY_S, -400 * DAY_S], ids=["ahead", "back"])
def test_s07_a_clock_that_jumps_while_files_are_read_ends_no_read_and_loses_no_file(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, surroundings: Surroundings, jump_s: float
) -> None:
    for name in ("warm", "waiting", "cold"):
        gcs.put(f"ant/library/{name}.png", name.encode())
    node = new_gcs_node().mount()
    library = node.show / "library"
    assert read(library / "warm.png") == Seen(b"warm", 0)
    stall = gcs.fault(Fault("stall", operation="read", bucket=gcs.bucket))
    with Reader(library / "waiting.png") as reader:
        stall.wait_hits()
        surroundings.set_clock(jump_s)
        assert read(library / "warm.png") == Seen(b"warm", 0)
        stall.release()
        assert reader.seen() == Seen(b"waiting", 0), "a deadline is no time of day"
    assert read(library / "cold.png") == Seen(b"cold", 0)
    frame = node.show / "render/xy_1_100_030_00_v005/beauty.1001.exr"
    frame.parent.mkdir()
    frame.write_bytes(b"frame")
    node.wait_published()
    surroundings.set_clock(0)
    for name in ("warm", "waiting", "cold"):
        assert read(library / f"{name}.png") == Seen(name.encode(), 0)
    assert gcs.read("ant/render/xy_1_100_030_00_v005/beauty.1001.exr") == b"frame"
    node.remount()
    for name in ("warm", "waiting", "cold"):
        assert node.xattr(library / f"{name}.png", "state") == "cached"


@pytest.mark.parametrize("jump_s", [2 * DAY_S, -2 * DAY_S], ids=["ahead", "back"])
def test_s03_what_was_learned_before_the_clock_jumped_is_asked_for_again(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, surroundings: Surroundings, jump_s: float
) -> None:
    # Back: what is known of the file seems to come from the future. It must not stay true for
    # two days, until the clock is there again.
    gcs.put("ant/notes/shot.txt", b"old")
    node = new_gcs_node().mount()
    path = node.show / "notes/shot.txt"
    assert read(path) == Seen(b"old", 0)
    node.unmount()
    gcs.put("ant/notes/shot.txt", b"the new one")
    surroundings.set_clock(jump_s)
    node.mount()
    assert read(path) == Seen(b"the new one", 0)
