"""Reports on paths: what one is, where its bytes are, who may be told."""

from __future__ import annotations

import pytest

from shotfs.errors import NotPermitted
from shotfs.vfs import Attributes
from shotfs.vfs.path_reports import PathReport
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World


def anybody(_: Attributes) -> bool:
    return True


def nobody(_: Attributes) -> bool:
    return False


async def why(world: World, path: str) -> PathReport:
    return await world.fs.path_reports.why(path, may_search=anybody, may_read=anybody)


async def test_a_file_that_nobody_has_opened_is_remote(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    report = await why(world, "ant/library/oak.png")
    assert (report.kind, report.state, report.bytes_present, report.size_bytes) == (
        "file",
        "remote",
        0,
        3,
    )
    assert report.meaning.template == "library"
    assert report.tier == world.origin.name
    assert report.origin is not None
    assert report.origin.endswith("/library/oak.png")
    assert report.version


async def test_a_file_that_was_read_comes_from_the_cache(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    report = await why(world, "ant/library/oak.png")
    assert (report.state, report.tier, report.bytes_present) == ("cached", "cache", 3)
    assert report.digest is not None
    assert report.digest_proven


async def test_an_output_is_in_the_spool(world: World) -> None:
    await world.mkdir(SHOT)
    await world.write(f"{FRAME}.tmp", b"scratch")
    report = await why(world, f"{FRAME}.tmp")
    assert (report.kind, report.state, report.tier) == ("spool", "scratch", "spool")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "directory"),
        ("ant", "directory"),
        ("ant/library/none.png", "missing"),
        ("ant/no/such/place", "impossible"),
        ("bee/x", "impossible"),
        ("ant/library/../x", "impossible"),
        ("ant/render/caf\udce9.exr", "impossible"),
    ],
)
async def test_every_other_path_has_an_answer(world: World, path: str, kind: str) -> None:
    assert (await why(world, path)).kind == kind


async def test_a_directory_says_where_it_is_and_names_no_other_templates(world: World) -> None:
    world.origin.add("library/set/oak.png", b"oak")
    report = await why(world, "ant/library/set")
    assert report.origin is not None
    assert report.origin.endswith("/library/set")
    assert report.meaning.nearest == ()
    assert (await why(world, "ant/no/such/place")).meaning.nearest != ()


async def test_an_impossible_path_says_why(world: World) -> None:
    report = await why(world, "bee/x")
    assert report.meaning.note == "there is no such show; there are ant"
    assert world.origin.asked == []


async def test_s12_who_may_not_search_the_way_is_told_nothing(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    with pytest.raises(NotPermitted, match="you may not search ant"):
        await world.fs.path_reports.why("ant/library/oak.png", may_search=nobody, may_read=anybody)


async def test_s12_who_may_not_read_is_not_told_the_digest(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    report = await world.fs.path_reports.why(
        "ant/library/oak.png", may_search=anybody, may_read=nobody
    )
    assert report.state == "cached"
    assert report.digest is None
