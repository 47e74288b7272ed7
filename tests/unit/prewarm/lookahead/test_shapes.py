"""Shapes: where the frame stands in a path."""

from __future__ import annotations

import pytest

from shotfs.prewarm.lookahead.shapes import Number, Seen, Shapes
from tests.unit.prewarm.lookahead.conftest import LookAheadWorld


def seen(ahead: LookAheadWorld, path: str) -> Seen:
    shapes = Shapes(ahead.world.node.shows)
    resolution = ahead.world.fs.prewarm_finder.resolve(f"ant/{path}")
    assert resolution is not None
    return shapes.of(f"ant/{path}", resolution)


@pytest.mark.parametrize(
    ("path", "key", "frame", "moved"),
    [
        ("030/cache/a.1001.vdb", "030/cache/a.<frame>.vdb", 1001, "030/cache/a.1250.vdb"),
        # A shot of the same number as a frame is no frame.
        ("999/cache/a.0999.vdb", "999/cache/a.<frame>.vdb", 999, "999/cache/a.1250.vdb"),
        # Of a tree the specification knows nothing; names are written as they are.
        ("library/x/b.0007.exr", "library/x/b.<frame>.exr", 7, "library/x/b.1250.exr"),
        ("library/x/b_001.bgeo.sc", "library/x/b_<frame>.bgeo.sc", 1, "library/x/b_1250.bgeo.sc"),
        ("library/x/v002/b.exr", "library/x/v002/b.exr", None, None),
        ("library/x/b-v012.exr", "library/x/b-v012.exr", None, None),
        ("library/x/2026.tar", "library/x/<frame>.tar", 2026, "library/x/1250.tar"),
        # A tile is no frame.
        ("assets/skin.1001.tx", "assets/skin.1001.tx", None, None),
    ],
)
async def test_where_the_frame_stands(
    ahead: LookAheadWorld, path: str, key: str, frame: Number | None, moved: str | None
) -> None:
    found = seen(ahead, path)
    assert (found.shape.key, found.frame) == (f"ant/{key}", frame)
    assert found.shape.at(1250) == (None if moved is None else f"ant/{moved}")


async def test_a_frame_that_no_name_can_have_is_none(ahead: LookAheadWorld) -> None:
    assert seen(ahead, "030/cache/a.0001.vdb").shape.at(-1) is None
    assert seen(ahead, "library/x/b.0007.exr").shape.at(-1) is None


async def test_where_the_tile_stands(ahead: LookAheadWorld) -> None:
    assert seen(ahead, "assets/skin.1001.tx").tiles == ("skin.", ".tx")
    assert seen(ahead, "030/cache/a.1001.vdb").tiles is None
