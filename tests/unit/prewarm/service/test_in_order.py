"""Checks of manifests in order: they say what a planned check says, and keep nothing."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from shotfs.app.prewarming import COLLECTING_S
from shotfs.control.access import Peer
from shotfs.control.prewarm_service import Mode, Order
from shotfs.digest import digest_bytes
from shotfs.errors import InvalidArgument
from shotfs.prewarm.feed import WAITING_MAX, Feed
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.files import files_of
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.prewarm.service.test_prewarming import ADMIN, USER, prewarming, run
from tests.unit.vfs.world import World

OF_THE_RUN = {"number", "began_at_s", "seconds"}


async def mixed(world: World) -> list[Entry]:
    """Return entries of every kind, in order, some of them here."""
    paths = add(world, 30)
    content = {path: world.origin.objects[path[4:]][1] for path in paths}
    world.second.add("plates/secret.mov", b"secret")
    world.origin.add("plates/open.dpx", b"open")
    world.origin.add("library/gone/was.png", b"was here")
    for path in [*paths[:12], "ant/library/gone/was.png"]:
        await world.read(path)
    world.origin.add(paths[3][4:], b"other content by now, in the same place")
    entries = [Entry(path) for path in paths[:5]]
    entries += [Entry(path, digest_bytes(content[path]), len(content[path])) for path in paths[5:]]
    # What a manifest says settles nothing: this is not the content of the path.
    entries[8] = Entry(paths[8], digest_bytes(content[paths[9]]))
    entries[20] = Entry(paths[20], digest_bytes(content[paths[1]]), 7)
    entries += map(
        Entry,
        [
            "ant/library/gone/was.png", "ant/library/set", "ant/library/set/none.png",
            "ant/nowhere/at/all.png", "ant/plates/open.dpx", "ant/plates/secret.mov",
            "ant/plates/\udc80.dpx", "beetle/library/a.png", FRAME,
        ],
    )  # fmt: skip
    return sorted(entries, key=lambda entry: entry.path)


def told(report: dict[str, Any]) -> dict[str, Any]:
    """Return what a report says of the files; which trouble it names first is nobody's promise."""
    said = {name: value for name, value in report.items() if name not in OF_THE_RUN}
    return {**said, "problems": sorted(said["problems"], key=lambda one: str(one["path"]))}


@pytest.mark.parametrize("peer", [ADMIN, USER])
async def test_s12_a_check_in_order_says_what_a_planned_check_says(
    world: World, peer: Peer
) -> None:
    entries = await mixed(world)
    await world.mkdir(SHOT)
    output = await world.create(FRAME)
    async with prewarming(world) as service:
        await run(world, service, Order(Mode.EVICT), [Entry("ant/library/set/7.png")])
        for _ in range(2):  # before and after the catalog has learned of all of them
            planned = await run(world, service, Order(Mode.CHECK), entries, peer)
            in_order = await run(world, service, Order(Mode.CHECK, in_order=True), entries, peer)
            assert told(in_order) == told(planned)
        assert planned["wanted"] == len(entries)
        assert 0 < planned["here_files"] < planned["files"]
        assert planned["stale_files"] >= 2
        assert {"missing", "outside", "directory", "output"} <= planned["absent"].keys()
        assert ("forbidden" in planned["absent"]) is (peer is USER)
    await output.close()


async def test_a_check_in_order_makes_no_file_of_its_own_and_asks_the_origin_for_nothing_known(
    world: World,
) -> None:
    paths = sorted(add(world, 40))
    async with prewarming(world) as service:
        order = Order(Mode.CHECK, in_order=True)
        await run(world, service, order, [Entry(path) for path in paths])
        world.origin.asked.clear()
        before = len(world.node.filesystem.prewarm_finder._finder.namespace.catalog)
        await run(world, service, order, [Entry(path) for path in paths])
        assert world.origin.asked == []
        assert len(world.node.filesystem.prewarm_finder._finder.namespace.catalog) == before


async def test_entries_out_of_order_or_more_than_a_check_are_refused(world: World) -> None:
    async with prewarming(world) as service:
        for order in (
            Order(Mode.FETCH, in_order=True),
            Order(Mode.CHECK, files_max=3, in_order=True),
            Order(Mode.CHECK, ("ant/library",), in_order=True),
            Order(Mode.CHECK, frames="1-2", in_order=True),
        ):
            with pytest.raises(InvalidArgument, match="in_order"):
                await service.begin(order, peer=ADMIN, admin=True)
        order = Order(Mode.CHECK, in_order=True)
        number = await service.begin(order, peer=ADMIN, admin=True)
        await service.add(number, [Entry("ant/b"), Entry("ant/c")], peer=ADMIN, admin=True)
        for path in ("ant/a", "ant/c"):
            with pytest.raises(InvalidArgument, match="comes after"):
                await service.add(number, [Entry(path)], peer=ADMIN, admin=True)


async def test_a_check_in_order_can_be_cancelled_while_entries_come(world: World) -> None:
    add(world, 3)
    async with prewarming(world) as service:
        for give_up in (False, True):
            order = Order(Mode.CHECK, in_order=True)
            number = await service.begin(order, peer=USER, admin=False)
            await service.add(number, [Entry("ant/library/set/0.png")], peer=USER, admin=False)
            if give_up:
                service._jobs[number].touched_s -= COLLECTING_S + 1
                service._give_up()
            else:
                await service.cancel(number, peer=USER, admin=False)
            report = await service.show(number, peer=USER, admin=False)
            assert (report["state"], report["stopped"]) == ("ended", "cancelled")
            with pytest.raises(InvalidArgument):
                await service.add(number, [Entry("ant/x")], peer=USER, admin=False)


async def test_who_sends_faster_than_it_is_looked_at_waits() -> None:
    feed = Feed()
    for number in range(WAITING_MAX):
        await feed.add(files_of([Entry(f"ant/{number}")]))
    with trio.move_on_after(0.01) as scope:
        await feed.add(files_of([Entry("ant/9")]))
    assert scope.cancelled_caught
    feed.close()
    with pytest.raises(InvalidArgument, match="ended"):
        await feed.add(files_of([Entry("ant/99")]))
