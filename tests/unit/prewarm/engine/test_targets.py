"""What targets stand for: paths, patterns, templates with fields, shots."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from shotfs.errors import InvalidArgument, PathNotFound
from shotfs.prewarm.manifest import Entry, Source, Subject
from shotfs.prewarm.recording.recordings import Learned
from shotfs.prewarm.targets import PathTarget, ShotTarget, Sources, Wanted, parse_target
from shotfs.prewarm.truth import Weights
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.versioned import DOCUMENT as VERSIONED
from tests.unit.vfs.world import Site, World

DOCUMENT: dict[str, Any] = {
    **VERSIONED,
    "roots": {"main": MAIN},
    "fields": {
        **VERSIONED["fields"],
        "name": {"type": "str", "pattern": "[a-z]+"},
        "view": {"type": "view"},
        "task": {"type": "enum", "choices": ["comp", "light"]},
        "rest": {"type": "tree"},
    },
    "templates": {
        **VERSIONED["templates"],
        "plate": {"path": "shots/{shot}/plates/{version}/{name}.{frame}.dpx"},
        "camera": {"path": "shots/{shot}/{task}/camera.{view}.abc"},
        "refs": {"path": "shots/{shot}/refs/{rest}"},
        "caches": {"path": "shots/{shot}/out/{name}.abc", "flow": "out"},
    },
}

SHOT = "shots/xy_010"


@pytest.fixture
async def world(site: Site) -> AsyncIterator[World]:
    """Another show than the other tests': one with inputs of shots."""
    site.document = DOCUMENT
    async with site.open() as opened:
        yield opened


def fill(world: World) -> None:
    for version in ("v001", "v002"):
        for frame in range(1001, 1004):
            world.origin.add(f"{SHOT}/plates/{version}/bg.{frame}.dpx", b"plate")
    for name in ("comp/camera.left.abc", "light/camera.left.abc", "light/camera.right.abc"):
        world.origin.add(f"{SHOT}/{name}", b"camera")
    world.origin.add(f"{SHOT}/refs/deep/mood.jpg", b"mood")
    world.origin.add(f"{SHOT}/out/cloth.abc", b"cloth")
    world.origin.add("shots/xy_020/plates/v001/bg.1001.dpx", b"other")
    for version in ("v001", "v002"):
        for frame in (1001, 1002):
            world.origin.add(f"render/xy_010_{version}/beauty/xy_010_{version}.{frame}.exr", b"r")


class Recorded:
    """Recordings that know one shot."""

    def __init__(self, *entries: Entry) -> None:
        self.asked: list[Subject] = []
        self._entries = entries

    async def for_subject(self, subject: Subject) -> Learned:
        self.asked.append(subject)
        return Learned(subject, self._entries)

    async def weights(self, show: str) -> Weights:
        return Weights({"nuke": (1000.0, 500.0)} if show == "ant" else {})


async def entries(
    world: World,
    text: str,
    wanted: Wanted | None = None,
    recorded: Recorded | None = None,
) -> list[Entry]:
    sources = Sources(world.fs.prewarm_finder, world.node.shows, recorded)
    found: dict[str, Entry] = {}
    for target in parse_target(text, world.node.shows):
        async with aclosing(sources.entries(target, wanted or Wanted())) as several:
            async for one in several:
                found.setdefault(one.path, one)
    return list(found.values())


def names(found: Sequence[Entry]) -> list[str]:
    return sorted(one.path.removeprefix(f"ant/{SHOT}/") for one in found)


async def test_a_shot_is_what_was_recorded_then_its_inputs_of_the_newest_version(
    world: World,
) -> None:
    fill(world)
    seen = Entry("ant/plates/grain_v001.dpx", sources=(Source.RECORDED,), frames="1001")
    recorded = Recorded(seen)
    found = await entries(world, "xy_010", recorded=recorded)
    assert recorded.asked == [Subject(show="ant", shot="xy_010")]
    assert found[0] == seen
    assert names(found[1:]) == [
        "comp/camera.left.abc",
        "light/camera.left.abc",
        "light/camera.right.abc",
        *(f"plates/v002/bg.{frame}.dpx" for frame in (1001, 1002, 1003)),
        "refs/deep/mood.jpg",
    ]
    assert {one.sources for one in found[1:]} == {(Source.PUBLISHED,)}
    assert all(one.confidence < seen.confidence for one in found[1:])


async def test_frames_task_and_view_narrow_what_a_shot_is(world: World) -> None:
    fill(world)
    recorded = Recorded(Entry("ant/library/a.png", frames="1002"))
    wanted = Wanted("1001,1003", "light", ("left",))
    found = await entries(world, "ant/xy_010", wanted, recorded)
    assert recorded.asked[0].task == "light"
    assert names(found) == [
        "light/camera.left.abc",
        "plates/v002/bg.1001.dpx",
        "plates/v002/bg.1003.dpx",
        "refs/deep/mood.jpg",
    ]


async def test_a_version_in_a_shots_name_is_of_the_directory_that_it_names(world: World) -> None:
    fill(world)
    found = await entries(world, "xy_010_v001", Wanted(frames="1001"))
    assert "ant/render/xy_010_v001/beauty/xy_010_v001.1001.exr" in [one.path for one in found]
    assert "plates/v002/bg.1001.dpx" in names(found)
    assert not [one for one in found if "xy_010_v002" in one.path]


async def test_a_template_takes_fields_as_people_write_them(world: World) -> None:
    fill(world)
    found = await entries(world, "plate:shot=xy_010,version=1,frame=1001-1002,1003")
    assert names(found) == [f"plates/v001/bg.{frame}.dpx" for frame in (1001, 1002, 1003)]
    assert len(await entries(world, "ant/plate:version=v001")) == 4
    assert len(await entries(world, "refs:shot=xy_010")) == 1


async def test_a_path_with_tokens_is_its_sequence(world: World) -> None:
    fill(world)
    found = await entries(world, f"ant/{SHOT}/plates/v001/bg.####.dpx", Wanted(frames="1002"))
    assert names(found) == ["plates/v001/bg.1002.dpx"]
    assert len(await entries(world, f"ant/{SHOT}/plates/v001/bg.%04d.dpx")) == 3


async def test_a_path_is_itself_or_all_below_it(world: World) -> None:
    fill(world)
    assert parse_target(f"ant/{SHOT}/plates", world.node.shows) == [
        PathTarget(f"ant/{SHOT}/plates")
    ]
    assert len(await entries(world, f"ant/{SHOT}/plates")) == 6
    assert len(await entries(world, f"ant/{SHOT}/plates", Wanted(frames="1001"))) == 2
    one = await entries(world, f"ant/{SHOT}/plates/v001/bg.1001.dpx")
    assert names(one) == ["plates/v001/bg.1001.dpx"]
    with pytest.raises(PathNotFound):
        await entries(world, f"ant/{SHOT}/refs/none")


async def test_an_alias_in_a_path_is_the_version_that_it_points_to(world: World) -> None:
    fill(world)
    version = "ant/render/xy_010_v001"
    await world.fs.versions.publish(
        version, by="anna@a", why="", move_aliases=True, deadline_s=20.0, allowed=lambda _: True
    )
    found = await entries(world, "ant/render/xy_010_latest")
    assert {one.path.split("/")[2] for one in found} == {"xy_010_v001"}
    frame = "ant/render/xy_010_latest/beauty/xy_010_v001.1001.exr"
    resolved = await world.fs.prewarm_finder.find(frame)
    assert resolved is not None
    assert resolved.path == f"{version}/beauty/xy_010_v001.1001.exr"
    many = await world.fs.prewarm_finder.find_many([frame])
    assert many == [resolved]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zz_9999x", "is no path, template or shot of any show"),
        ("ant/zz/top", "is no path, template or shot of the show ant"),
        ("plates1:shot=1", 'no show has a template "plates1"'),
        ("plate:scene=1", 'has no field "scene"'),
        ("plate:shot", "'shot' is no field"),
        ("plate:version=old", "cannot be 'old'"),
        ("plate:frame=x", "names no frames"),
    ],
)
async def test_what_is_nothing_is_refused(world: World, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        parse_target(text, world.node.shows)


async def test_a_shot_target_knows_the_name_of_the_shot_alone(world: World) -> None:
    (target,) = parse_target("xy_010_v001", world.node.shows)
    assert isinstance(target, ShotTarget)
    assert target.subject == Subject(show="ant", shot="xy_010")


async def test_what_only_a_scanner_claims_is_as_likely_as_it_was_right_before(
    world: World,
) -> None:
    sources = Sources(world.fs.prewarm_finder, world.node.shows, Recorded())
    claimed = Entry("ant/a.png", sources=(Source.SCANNED,), scanners=("nuke",))
    seen = Entry("ant/b.png", sources=(Source.RECORDED, Source.SCANNED), scanners=("nuke",))
    weighted = await sources.weighted([claimed, seen, Entry("ant/c.png")])
    precision = Weights({"nuke": (1000.0, 500.0)}).precision("nuke")
    assert precision < 0.6
    assert [one.confidence for one in weighted] == [precision, 1.0, 1.0]
