"""A prewarm fetches what it has found while it looks the rest up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import trio

from shotfs.control.prewarm_service import Order
from shotfs.errors import ShotfsError, TierUnavailable
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.plan import Plan
from shotfs.prewarm.supply import Supply
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.prewarm.service.test_prewarming import ADMIN, done, prewarming, run
from tests.unit.vfs.world import World

TARGETS = ("ant/library/first", "ant/library/second")


@contextmanager
def held(world: World, directory: str) -> Iterator[tuple[trio.Event, trio.Event]]:
    """Have listings of *directory* wait; give what tells that one came, and what lets it go on."""
    came, gate, ask = trio.Event(), trio.Event(), world.origin._request

    async def request(operation: str, key: str) -> None:
        if (operation, key) == ("list", directory):
            came.set()
            await gate.wait()
        await ask(operation, key)

    with patch.object(world.origin, "_request", request):
        yield came, gate


async def test_what_was_found_comes_while_the_rest_is_looked_up(world: World) -> None:
    add(world, 20, "library/first")
    add(world, 5, "library/second")
    async with prewarming(world) as service:
        with held(world, "library/second") as (_, gate):
            number = await service.begin(Order(targets=TARGETS), peer=ADMIN, admin=True)
            await service.start(number, peer=ADMIN, admin=True)
            job = service._jobs[number]
            await world.until(lambda: job.progress.fetched_files == 20)
            assert job.wanted is None
            gate.set()
            report = await done(world, service, number)
    assert (report["wanted"], report["fetched_files"], report["stopped"]) == (25, 25, None)


@pytest.mark.parametrize("limit", [{"files_max": 3}, {"deadline_s": 3600.0}], ids=str)
async def test_who_has_a_limit_fetches_nothing_before_all_is_known(
    world: World, limit: dict[str, float]
) -> None:
    add(world, 20, "library/first")
    add(world, 5, "library/second")
    order = Order(targets=TARGETS, **limit)  # type: ignore[arg-type]  # one of both
    async with prewarming(world) as service:
        with held(world, "library/second") as (came, gate):
            number = await service.begin(order, peer=ADMIN, admin=True)
            await service.start(number, peer=ADMIN, admin=True)
            await came.wait()
            assert world.origin.count("read") == 0
            gate.set()
            report = await done(world, service, number)
    assert report["fetched_files"] == min(limit.get("files_max", 25), 25)


async def test_what_several_targets_and_manifests_name_comes_once(world: World) -> None:
    paths = add(world, 30, "library/first/deep")
    async with prewarming(world) as service:
        order = Order(targets=("ant/library/first", "ant/library/first/deep", "ant/library"))
        report = await run(world, service, order, [Entry(paths[3])])
    assert report["wanted"] == report["entries"] == report["fetched_files"] == 30
    assert world.origin.count("read") == 30


async def test_an_origin_that_fails_in_between_ends_it_with_that_error(world: World) -> None:
    add(world, 3, "library/first")
    add(world, 3, "library/second")

    def fault(operation: str, key: str) -> None:
        if (operation, key) == ("list", "library/second"):
            raise TierUnavailable("nobody answers")

    world.origin.fault = fault
    async with prewarming(world) as service:
        report = await run(world, service, Order(targets=TARGETS))
    assert report["error"]["error"] == "TierUnavailable"
    assert report["stopped"] is None


async def test_a_cancelled_one_stops_looking_up(world: World) -> None:
    add(world, 3, "library/first")
    async with prewarming(world) as service:
        with held(world, "library/second") as (came, _):
            number = await service.begin(Order(targets=TARGETS), peer=ADMIN, admin=True)
            await service.start(number, peer=ADMIN, admin=True)
            await came.wait()
            await service.cancel(number, peer=ADMIN, admin=True)
            report = await done(world, service, number)
    assert report["stopped"] == "cancelled"


def test_a_plan_gives_the_most_wanted_first_and_each_once(tmp_path: Path) -> None:
    plan = Plan(str(tmp_path / "plan"))
    assert plan.take(10) == []
    plan.add([Entry("c", confidence=0.2), Entry("b"), Entry("a", confidence=0.5)])
    assert [one.path for one in plan.take(2)] == ["b", "a"]
    plan.add([Entry("b"), Entry("d", confidence=0.9)])
    assert [one.path for one in plan.take(2)] == ["d", "c"]
    assert plan.take(2) == []
    assert plan.count() == 4
    plan.close()


async def test_who_waits_gets_a_few_entries_soon(tmp_path: Path) -> None:
    plan, sizes = Plan(str(tmp_path / "plan")), []
    supply = Supply(plan, trio.CapacityLimiter(1))
    gate = trio.Event()

    async def look_up() -> None:
        async def entries() -> object:
            for number in range(2_000):
                if number == 100:
                    await gate.wait()
                yield Entry(f"{number:04}")

        await supply.fill(entries())  # type: ignore[arg-type]  # an async generator

    async with supply.filled_by(look_up) as pages:
        async for page in pages:
            gate.set()
            sizes.append(len(page))
    plan.close()
    assert sizes[0] <= 100
    assert sum(sizes) == 2_000


async def test_pages_end_when_looking_up_fails(tmp_path: Path) -> None:
    plan = Plan(str(tmp_path / "plan"))
    supply = Supply(plan, trio.CapacityLimiter(1))

    async def look_up() -> None:
        raise TierUnavailable("nobody answers")

    with pytest.raises(ShotfsError, match="nobody answers"):
        async with supply.filled_by(look_up) as pages:
            assert [page async for page in pages] == []
    plan.close()
