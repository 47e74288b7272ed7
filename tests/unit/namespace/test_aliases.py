"""Where version aliases point, how they are moved, and how seldom that is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from shotfs.errors import AliasMoved, RecordInvalid, TierUnavailable
from shotfs.namespace.alias_document import HISTORY_MAX, Move, decode, encode, time_text
from shotfs.namespace.aliases import KNOWN_ALIAS_WAIT_S, UNREACHABLE_PAUSE_S, Aliases, Pointer
from shotfs.namespace.records import Records
from shotfs.pathspec import AliasMatch
from tests.unit.namespace.origin import Clock, Origin, Pool
from tests.unit.namespace.spec import MAIN

PATH = "ant/render/xy_latest"
KEY = ".shotfs/aliases/render/xy_latest.json"


def alias(name: str = "xy_latest") -> AliasMatch | None:
    """What a specification would say of ``render/<name>``."""
    before, _, which = name.rpartition("_")
    if which not in ("latest", "approved"):
        return None
    return AliasMatch(
        alias=which,
        usage="",
        follows_publish=which == "latest",
        field="version",
        origin=MAIN,
        key=f".shotfs/aliases/render/{name}.json",
        before=f"{before}_",
        after="",
        directory=True,
        writable=True,
        ttl_s=10.0,
        negative_ttl_s=5.0,
    )


def alias_of(path: str) -> AliasMatch | None:
    directory, _, name = path.rpartition("/")
    return alias(name) if directory == "render" else None


MATCH = alias()
assert MATCH is not None


@dataclass
class Node:
    """One node's aliases."""

    aliases: Aliases
    origin: Origin
    clock: Clock

    async def find(self, path: str = PATH) -> Pointer | None:
        match = alias(path.rpartition("/")[2])
        assert match is not None
        return await self.aliases.find(path, match)

    async def target(self) -> str | None:
        pointer = await self.find()
        return None if pointer is None else pointer.target

    async def move(self, version: str | None, **options: object) -> Move:
        assert MATCH is not None
        move, _ = await self.aliases.move(PATH, MATCH, version, by="a@n", **options)  # type: ignore[arg-type]  # keywords of `move`
        return move

    async def listed(self) -> dict[str, str]:
        found = await self.aliases.listed("ant/render", "render", (MAIN,), 10.0, alias_of)
        return {name: pointer.target for name, pointer in found.items()}


@dataclass
class Place:
    """What outlives a restart."""

    directory: Path
    origin: Origin = field(default_factory=lambda: Origin(MAIN))
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def open(self, name: str = "node") -> AsyncIterator[Node]:
        async with trio.open_nursery() as nursery:
            aliases = Aliases(
                Pool({MAIN: self.origin}),  # type: ignore[arg-type]  # stands for a TierPool
                nursery,
                Records(str(self.directory / name)),
                monotonic_s=self.clock.monotonic_s,
                wall_s=self.clock.wall_s,
            )
            yield Node(aliases, self.origin, self.clock)
            nursery.cancel_scope.cancel()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def node(place: Place) -> AsyncIterator[Node]:
    async with place.open() as opened:
        yield opened


def document(origin: Origin, key: str = KEY) -> dict[str, object]:
    found = json.loads(origin.content(key))
    assert isinstance(found, dict)
    return found


# --- finding -------------------------------------------------------------------------------------


async def test_an_alias_without_an_object_points_nowhere_and_is_asked_for_once(node: Node) -> None:
    assert await node.find() is None
    assert await node.find() is None
    assert node.origin.asked == [("stat", KEY)]
    node.clock.advance(5.1)
    assert await node.find() is None
    assert node.origin.count("stat") == 2


async def test_an_alias_points_to_the_sibling_of_its_version(node: Node) -> None:
    await node.move("v004")
    pointer = await node.find()
    assert pointer is not None
    assert (pointer.version, pointer.target) == ("v004", "xy_v004")
    assert pointer.at_s == pytest.approx(node.clock.wall_s(), abs=1e-5)


async def test_a_target_is_trusted_for_its_ttl_and_then_costs_one_stat(
    node: Node, place: Place
) -> None:
    await node.move("v004")
    async with place.open("other") as other:
        assert await other.target() == "xy_v004"
        place.origin.asked.clear()
        await node.move("v005")
        place.origin.asked.clear()
        node.clock.advance(9.9)
        assert await other.target() == "xy_v004"
        assert place.origin.asked == []
        node.clock.advance(0.2)
        assert await other.target() == "xy_v005"
        node.clock.advance(10.1)
        place.origin.asked.clear()
        assert await other.target() == "xy_v005"
        assert place.origin.asked == [("stat", KEY)]


async def test_a_hundred_lookups_at_once_ask_once(node: Node) -> None:
    gate = node.origin.gate("stat")
    found: list[Pointer | None] = []

    async def look() -> None:
        found.append(await node.find())

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(look)
        await node.origin.reached("stat")
        gate.set()
    assert found == [None] * 100
    assert node.origin.count() == 1


async def test_how_long_an_answer_counts_is_told(node: Node) -> None:
    await node.move("v004")
    node.clock.advance(4.0)
    assert node.aliases.fresh_for_s(PATH, 10.0, max_s=86400.0) == pytest.approx(6.0)
    assert node.aliases.fresh_for_s(PATH, 10.0, max_s=1.0) == 1.0


# --- an origin that is slow or away --------------------------------------------------------------


async def test_s07_an_alias_points_where_it_did_while_its_origin_is_away(node: Node) -> None:
    await node.move("v004")
    node.clock.advance(11.0)
    node.origin.go_down()
    assert await node.target() == "xy_v004"
    asked = node.origin.count("stat")
    assert await node.target() == "xy_v004"
    assert node.origin.count("stat") == asked, "it was not left alone for a while"
    node.clock.advance(UNREACHABLE_PAUSE_S + 0.1)
    node.origin.come_up()
    assert await node.target() == "xy_v004"
    assert node.origin.count("stat") == asked + 1


async def test_s07_a_slow_origin_is_waited_for_a_second_only(
    node: Node, autojump_clock: trio.testing.MockClock
) -> None:
    await node.move("v004")
    node.clock.advance(11.0)
    gate = node.origin.gate("stat")
    began = trio.current_time()
    assert await node.target() == "xy_v004"
    assert trio.current_time() - began == pytest.approx(KNOWN_ALIAS_WAIT_S)
    gate.set()


async def test_s07_a_restart_while_the_origin_is_away_forgets_no_alias(place: Place) -> None:
    async with place.open() as node:
        await node.move("v004")
        node.clock.advance(11.0)
        assert await node.target() == "xy_v004"
    place.origin.go_down()
    async with place.open() as node:
        assert await node.target() == "xy_v004"


async def test_after_a_restart_an_origin_that_answers_is_asked(place: Place) -> None:
    async with place.open() as node:
        await node.move("v004")
        node.clock.advance(11.0)
        assert await node.target() == "xy_v004"
    async with place.open("other") as other:
        await other.move("v005")
    async with place.open() as node:
        assert await node.target() == "xy_v005"


async def test_an_alias_that_nobody_knows_is_an_error_while_the_origin_is_away(node: Node) -> None:
    node.origin.go_down()
    with pytest.raises(TierUnavailable):
        await node.find()


# --- listing -------------------------------------------------------------------------------------


async def test_a_listing_shows_the_aliases_that_point_somewhere(node: Node) -> None:
    await node.move("v004")
    match = alias("ab_approved")
    assert match is not None
    await node.aliases.move("ant/render/ab_approved", match, "v002", by="a@n")
    await node.aliases.move("ant/render/ab_approved", match, None, by="a@n")
    node.origin.add(".shotfs/aliases/render/foreign.txt", b"?")
    node.origin.add(".shotfs/aliases/render/nonsense.json", b"?")
    assert await node.listed() == {"xy_latest": "xy_v004"}


async def test_a_listing_is_one_request_when_nothing_moved(node: Node, place: Place) -> None:
    await node.move("v004")
    async with place.open("other") as other:
        assert await other.listed() == {"xy_latest": "xy_v004"}
        place.origin.asked.clear()
        assert await other.listed() == {"xy_latest": "xy_v004"}
        assert place.origin.asked == []
        node.clock.advance(10.1)
        assert await other.listed() == {"xy_latest": "xy_v004"}
        assert place.origin.asked == [("list", ".shotfs/aliases/render")]
        # What a listing said counts for look-ups too.
        assert await other.target() == "xy_v004"
        assert await other.find("ant/render/ab_latest") is None
        assert place.origin.count() == 1


async def test_a_listing_from_before_a_move_does_not_undo_it(node: Node, place: Place) -> None:
    await node.move("v004")
    gate = node.origin.gate("list")
    listed: list[dict[str, str]] = []

    async def show() -> None:
        listed.append(await node.listed())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(show)
        await node.origin.reached("list")
        node.clock.advance(0.1)
        await node.move("v005")
        gate.set()
    assert listed == [{"xy_latest": "xy_v005"}]
    assert await node.target() == "xy_v005"


async def test_a_damaged_alias_hides_neither_its_directory_nor_the_others(node: Node) -> None:
    await node.move("v004")
    node.origin.add(".shotfs/aliases/render/ab_latest.json", b"{")
    assert await node.listed() == {"xy_latest": "xy_v004"}
    with pytest.raises(RecordInvalid, match="ab_latest"):
        await node.find("ant/render/ab_latest")


# --- moving --------------------------------------------------------------------------------------


async def test_a_move_keeps_the_history(node: Node) -> None:
    await node.move("v004", why="first")
    node.clock.advance(60)
    await node.move("v005", why="better")
    await node.move(None)
    assert document(node.origin)["path"] == "render/xy_latest"
    assert MATCH is not None
    history = await node.aliases.history(MATCH)
    assert [(move.version, move.by, move.why) for move in history] == [
        ("v004", "a@n", "first"),
        ("v005", "a@n", "better"),
        (None, "a@n", ""),
    ]
    assert await node.find() is None
    times = [move.at for move in history]
    assert times == sorted(set(times)), "each move is later than the one before"


async def test_a_move_to_where_it_points_already_changes_nothing(node: Node) -> None:
    first = await node.move("v004")
    puts = node.origin.count("put")
    assert await node.move("v004") == first
    assert node.origin.count("put") == puts


async def test_two_who_move_it_at_once_both_stand_in_the_history(place: Place) -> None:
    assert MATCH is not None
    async with place.open("a") as one, place.open("b") as two:
        gate = place.origin.gate("put")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.move, "v004")
            nursery.start_soon(two.move, "v005")
            await place.origin.reached("put")
            gate.set()
        history = await one.aliases.history(MATCH)
        assert {move.version for move in history} == {"v004", "v005"}
        assert len(history) == 2


async def test_a_move_from_a_place_that_it_left_is_refused(node: Node, place: Place) -> None:
    await node.move("v004")
    async with place.open("other") as other:
        await other.move("v005")
    with pytest.raises(AliasMoved, match="points to v005"):
        await node.move("v006", expect="v004")
    await node.move("v006", expect="v005")
    with pytest.raises(AliasMoved, match="points to v006"):
        await node.move("v007", expect=None)


async def test_a_move_whose_answer_was_lost_is_not_made_twice(node: Node) -> None:
    assert MATCH is not None
    real = node.origin.put
    lost = 0

    async def forgetful(*args: object, **named: object) -> object:
        nonlocal lost
        revision = await real(*args, **named)  # type: ignore[arg-type]  # handed on
        if not lost:
            lost += 1
            # As a wrapper that repeats a put does when the first answer never came.
            return await real(*args, **named)  # type: ignore[arg-type]  # handed on
        return revision

    node.origin.put = forgetful  # type: ignore[method-assign,assignment]  # this origin forgets
    await node.move("v004")
    assert len(await node.aliases.history(MATCH)) == 1


async def test_a_clock_that_is_behind_does_not_turn_the_history_round(node: Node) -> None:
    ahead = Move("v009", time_text(node.clock.wall_s() + 3600), "b@m", "")
    node.origin.add(KEY, encode("render/xy_latest", [ahead]))
    move = await node.move("v004")
    assert move.at > ahead.at


async def test_the_history_is_bounded(node: Node) -> None:
    moves = [Move(f"v{n:03d}", time_text(n), "a", "") for n in range(HISTORY_MAX)]
    node.origin.add(KEY, encode("render/xy_latest", moves))
    await node.move("v2000")
    assert MATCH is not None
    history = await node.aliases.history(MATCH)
    assert len(history) == HISTORY_MAX
    assert history[0].version == "v001"
    assert history[-1].version == "v2000"


# --- the object ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"alias": "shotfs-alias/2", "history": []}',
        b'{"alias": "shotfs-alias/1"}',
        b'{"alias": "shotfs-alias/1", "history": [{}]}',
        b'{"alias": "shotfs-alias/1", "history": [{"version": "../x", "at": "", "by": ""}]}',
        b'{"alias": "shotfs-alias/1", "history": [{"version": "v1", "at": "now", "by": ""}]}',
        b'{"alias": "shotfs-alias/1", "history": [{"version": 4, "at": "", "by": ""}]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_an_object_that_is_no_alias_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(RecordInvalid, match="gs://b/k: not a version alias"):
        decode(content, "gs://b/k")


async def test_an_object_that_is_too_large_is_not_read(node: Node) -> None:
    node.origin.add(KEY, b" " * (5 * 1024 * 1024))
    with pytest.raises(RecordInvalid, match="at most"):
        await node.find()
    assert node.origin.count("read") == 0
