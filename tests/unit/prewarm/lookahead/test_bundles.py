"""Bundles: files that are always opened together."""

from __future__ import annotations

from shotfs.prewarm.lookahead.bundles import TRIGGERS_MAX, WINDOW, Bundles
from shotfs.prewarm.lookahead.shapes import Seen, Shape
from shotfs.prewarm.manifest.subject import Subject
from tests.unit.prewarm.lookahead.conftest import Job, LookAheadWorld


def static(path: str) -> Seen:
    return Seen(Shape(path, None), None, None)


def framed(name: str, frame: int) -> Seen:
    return Seen(Shape(f"{name}.<frame>", lambda to: f"{name}.{to}"), frame, None)


def learn(bundles: Bundles, run: int, *files: Seen) -> None:
    for seen in files:
        path = seen.shape.key if seen.frame is None else seen.shape.at(seen.frame)
        assert path is not None
        bundles.opened(run, path, seen)


def with_it(bundles: Bundles, seen: Seen) -> list[str]:
    return [path for path, _ in bundles.with_it(seen)]


def test_what_came_together_in_two_runs_is_a_bundle() -> None:
    bundles = Bundles()
    for run in (1, 2):
        learn(bundles, run, static("chair.usd"), static("chair.tx"), static("wood.tx"))
        learn(bundles, run, static(f"only-in-{run}"))
    assert with_it(bundles, static("chair.usd")) == ["chair.tx", "wood.tx"]
    assert with_it(bundles, static("wood.tx")) == []


def test_one_run_proves_nothing() -> None:
    bundles = Bundles()
    learn(bundles, 1, static("chair.usd"), static("chair.tx"))
    assert with_it(bundles, static("chair.usd")) == []


def test_what_comes_in_half_of_the_runs_is_no_bundle() -> None:
    bundles = Bundles()
    for run in range(8):
        learn(bundles, run, static("scene"), static("often" if run % 2 else "else"))
    assert with_it(bundles, static("scene")) == []


def test_a_long_bundle_is_found_from_file_to_file() -> None:
    bundles = Bundles()
    files = [static(f"f{number:02d}") for number in range(3 * WINDOW)]
    for run in (1, 2):
        learn(bundles, run, *files)
    assert set(with_it(bundles, files[0])) == {one.shape.key for one in files[1:]}


def test_frames_are_learned_as_distances() -> None:
    bundles = Bundles()
    for frame in (1001, 1002):
        learn(bundles, frame, framed("plate", frame), framed("matte", frame - 1000))
    assert with_it(bundles, framed("plate", 1050)) == ["matte.50"]


def test_memory_is_bounded() -> None:
    bundles = Bundles()
    for number in range(TRIGGERS_MAX + 100):
        learn(bundles, number, static(f"f{number}"))
    assert len(bundles) == TRIGGERS_MAX


async def test_an_asset_brings_its_files_into_a_shot_that_never_had_it(
    ahead: LookAheadWorld,
) -> None:
    ahead.add("assets/chair.usd", "library/wood.tx", "library/chair.obj")
    for shot in ("010", "020"):
        job = Job(ahead, Subject(show="ant", shot=shot, frame="1001"))
        await job.opens("assets/chair.usd", "library/wood.tx", "library/chair.obj")
    await ahead.world.node.cache.evict(None)
    ahead.read.clear()
    await Job(ahead, Subject(show="ant", shot="030", frame="1001")).opens("assets/chair.usd")
    await ahead.comes("library/wood.tx", "library/chair.obj")
