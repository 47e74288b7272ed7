"""Prewarms of the service: rights, limits, targets, and what they tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from shotfs.app.prewarming import COLLECTING_S, UNFINISHED_PER_USER_MAX, NodePrewarming
from shotfs.control.access import Peer
from shotfs.control.prewarm_service import Mode, Order
from shotfs.errors import (
    CacheBusy,
    CacheFull,
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    Unsupported,
)
from shotfs.prewarm.manifest import Entry
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.vfs.world import World

ADMIN = Peer(0, 0, 1, frozenset())
USER = Peer(4711, 4711, 2, frozenset())


@asynccontextmanager
async def prewarming(world: World) -> AsyncIterator[NodePrewarming]:
    service = NodePrewarming(world.node, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await world.until(lambda: service._running is not None)
        yield service
        nursery.cancel_scope.cancel()


async def done(world: World, service: NodePrewarming, number: int) -> dict[str, Any]:
    """Wait for the end of a prewarm; return its report."""
    await world.until(lambda: service._jobs[number].state == "ended")
    return dict(await service.show(number, peer=ADMIN, admin=True))


async def run(
    world: World,
    service: NodePrewarming,
    order: Order,
    entries: Sequence[Entry] = (),
    peer: Peer = ADMIN,
) -> dict[str, Any]:
    admin = peer is ADMIN
    number = await service.begin(order, peer=peer, admin=admin)
    if entries:
        await service.add(number, entries, peer=peer, admin=admin)
    await service.start(number, peer=peer, admin=admin)
    return await done(world, service, number)


async def test_paths_and_entries_of_manifests_come_once_and_a_check_says_so(world: World) -> None:
    paths = add(world, 20)
    async with prewarming(world) as service:
        dry = await run(world, service, Order(Mode.DRY_RUN, ("ant/library/set",)))
        assert (dry["files"], dry["done_files"], dry["fetched_files"]) == (20, 0, 0)
        assert dry["missing_bytes"] == dry["bytes"] > 0
        order = Order(targets=("ant/library/set",))
        report = await run(world, service, order, [Entry(paths[3]), Entry("ant/none/at.all")])
        assert report["stopped"] is None
        assert (report["wanted"], report["files"], report["fetched_files"]) == (21, 20, 20)
        assert report["absent"] == {"outside": 1}
        check = await run(world, service, Order(Mode.CHECK, ("ant/library/set",)))
        assert check["done_files"] == check["files"] == 20
        assert check["missing_bytes"] == 0


async def test_what_a_target_names_can_be_evicted_by_the_admin_only(world: World) -> None:
    add(world, 5)
    async with prewarming(world) as service:
        await run(world, service, Order(targets=("ant/library/set",)))
        order = Order(Mode.EVICT, ("ant/library/set",))
        with pytest.raises(NotPermitted):
            await service.begin(order, peer=USER, admin=False)
        report = await run(world, service, order)
        assert report["evicted"]["files"] == 5
        check = await run(world, service, Order(Mode.CHECK, ("ant/library/set",)))
        assert check["done_files"] == 0


async def test_pins_are_for_the_admin_and_are_pins_of_the_cache(world: World) -> None:
    paths = add(world, 3)
    async with prewarming(world) as service:
        order = Order(targets=("ant/library/set",), pin="job 7")
        with pytest.raises(NotPermitted):
            await service.begin(order, peer=USER, admin=False)
        await run(world, service, order)
        pins, _ = await world.fs.cached_paths.pins("job 7", "", 10)
        assert sorted(pin.path or "" for pin in pins) == paths
        assert all(pin.cached for pin in pins)


async def test_s12_a_user_brings_only_what_he_could_read_and_sees_only_his_own(
    world: World,
) -> None:
    world.second.add("plates/secret.mov", b"secret")
    world.origin.add("plates/open.dpx", b"open")
    async with prewarming(world) as service:
        entries = [Entry("ant/plates/secret.mov"), Entry("ant/plates/open.dpx")]
        report = await run(world, service, Order(), entries, USER)
        assert report["fetched_files"] == 1
        assert report["absent"] == {"forbidden": 1}
        assert world.second.count("read") == 0
        other = await service.begin(Order(), peer=ADMIN, admin=True)
        with pytest.raises(PathNotFound):
            await service.show(other, peer=USER, admin=False)
        with pytest.raises(PathNotFound):
            await service.cancel(other, peer=USER, admin=False)
        assert len(await service.list(peer=USER, admin=False)) == 1
        assert len(await service.list(peer=ADMIN, admin=True)) == 2


async def test_a_user_may_have_a_few_prewarms_that_have_not_ended(world: World) -> None:
    async with prewarming(world) as service:
        numbers = [
            await service.begin(Order(), peer=USER, admin=False)
            for _ in range(UNFINISHED_PER_USER_MAX)
        ]
        with pytest.raises(CacheBusy):
            await service.begin(Order(), peer=USER, admin=False)
        ended = await service.cancel(numbers[0], peer=USER, admin=False)
        assert (ended["state"], ended["stopped"]) == ("ended", "cancelled")
        await service.begin(Order(), peer=USER, admin=False)
        with pytest.raises(InvalidArgument):
            await service.add(numbers[0], [Entry("ant/x")], peer=USER, admin=False)


async def test_a_cancelled_prewarm_keeps_what_came_and_goes_on_when_it_is_run_again(
    world: World,
) -> None:
    paths = add(world, 6)
    async with prewarming(world) as service:
        await run(world, service, Order(), [Entry(one) for one in paths[:2]])
        gate = world.origin.gate("read")
        number = await service.begin(Order(targets=("ant/library/set",)), peer=ADMIN, admin=True)
        await service.start(number, peer=ADMIN, admin=True)
        await world.origin.reached("read")
        told = service.running()[str(number)]
        assert (told["state"], told["files"]) == ("running", 6)
        assert "label" not in told
        await service.cancel(number, peer=ADMIN, admin=True)
        report = await done(world, service, number)
        assert (report["stopped"], report["here_files"]) == ("cancelled", 2)
        assert not service.running()
        gate.set()
        report = await run(world, service, Order(targets=("ant/library/set",)))
        assert report["done_files"] == 6


async def test_a_tier_that_this_mount_lacks_is_refused(world: World) -> None:
    async with prewarming(world) as service:
        with pytest.raises(Unsupported, match="PMEM"):
            await service.begin(Order(tier="pmem"), peer=ADMIN, admin=True)
        with pytest.raises(InvalidArgument):
            await service.begin(Order(tier="tape"), peer=ADMIN, admin=True)


async def test_a_target_that_is_nothing_is_refused_before_anything_begins(world: World) -> None:
    async with prewarming(world) as service:
        with pytest.raises(InvalidArgument, match="no path, template or shot"):
            await service.begin(Order(targets=("zz-top",)), peer=ADMIN, admin=True)
        assert not await service.list(peer=ADMIN, admin=True)


async def test_an_origin_that_is_away_is_told_as_the_reason(world: World) -> None:
    add(world, 3)
    world.origin.go_down()
    async with prewarming(world) as service:
        report = await run(world, service, Order(targets=("ant/library/set",)))
        assert report["error"]["error"] == "TierUnavailable"
        report = await run(world, service, Order(), [Entry("ant/library/set/0.png")])
        assert report["absent"] == {"failed": 1}


async def test_a_read_of_a_job_is_not_queued_behind_a_large_prewarm(world: World) -> None:
    add(world, 300)
    world.origin.add("library/urgent.png", b"urgent")
    async with prewarming(world) as service:
        gate = world.origin.gate("read")
        number = await service.begin(Order(targets=("ant/library/set",)), peer=ADMIN, admin=True)
        await service.start(number, peer=ADMIN, admin=True)
        await world.origin.reached("read")
        # All that a prewarm may have of the connections is taken, and stands still.
        await world.until(lambda: len(world.node.cache.inspector.lines()) > 0)
        read: list[bytes] = []

        async def demand() -> None:
            read.append(await world.read("ant/library/urgent.png"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(demand)
            await world.until(lambda: ("read", "library/urgent.png") in world.origin.asked)
            gate.set()
        assert read == [b"urgent"]
        report = await done(world, service, number)
        assert report["done_files"] == 300


async def test_a_prewarm_whose_command_went_away_before_the_start_is_given_up(
    world: World,
) -> None:
    async with prewarming(world) as service:
        number = await service.begin(Order(), peer=USER, admin=False)
        service._give_up()
        assert service._jobs[number].state == "collecting"
        service._jobs[number].touched_s -= COLLECTING_S + 1
        service._give_up()
        report = await service.show(number, peer=USER, admin=False)
        assert (report["state"], report["stopped"]) == ("ended", "cancelled")
        with pytest.raises(InvalidArgument):
            await service.start(number, peer=USER, admin=False)


async def test_users_who_begin_at_the_same_time_have_no_more_than_each_may(world: World) -> None:
    begun: list[int] = []

    async def begin(service: NodePrewarming) -> None:
        try:
            begun.append(await service.begin(Order(targets=("ant",)), peer=USER, admin=False))
        except CacheBusy:
            begun.append(0)

    async with prewarming(world) as service:
        async with trio.open_nursery() as nursery:
            for _ in range(2 * UNFINISHED_PER_USER_MAX):
                nursery.start_soon(begin, service)
        assert sum(number > 0 for number in begun) == UNFINISHED_PER_USER_MAX


async def test_the_end_of_the_service_refuses_what_is_just_begun(world: World) -> None:
    refused: list[str] = []

    async def begin(service: NodePrewarming) -> None:
        try:
            await service.begin(Order(Mode.CHECK, in_order=True), peer=USER, admin=False)
        except CacheBusy as error:
            refused.append(error.message)

    async with trio.open_nursery() as nursery, prewarming(world) as service:
        nursery.start_soon(begin, service)
        await trio.lowlevel.checkpoint()
    assert refused == ["the service is not ready, or ends"]


async def test_what_went_wrong_is_told_by_its_own_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(world, 3)

    async def full(*_: object) -> None:
        raise CacheFull("nothing more can be pinned", fix="unpin something")

    async with prewarming(world) as service:
        monkeypatch.setattr(type(world.node.cache), "pin_all", full)
        report = await run(world, service, Order(targets=("ant/library/set",), pin="job 7"))
    assert report["error"] == {
        "error": "CacheFull", "message": "nothing more can be pinned", "fix": "unpin something",
    }  # fmt: skip


async def test_no_name_in_a_manifest_ends_a_prewarm(world: World) -> None:
    good = add(world, 1)
    bad = [
        "ant/library/\ud800/x.png", "ant/library/\udc80/x.png", "ant/library/set/\ud800.png",
        f"ant/{'a/' * 2000}b", f"ant/library/{'x' * 300}.png", "ant/library/set/a\nb.png",
    ]  # fmt: skip
    async with prewarming(world) as service:
        entries = [Entry(path) for path in (*bad, *good)]
        report = await run(world, service, Order(), entries, peer=USER)
    assert (report["error"], report["fetched_files"]) == (None, 1)
    assert sum(report["absent"].values()) == len(bad)
