"""Tiers in order: which one the bytes come from, and what happens when a faster one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from shotfs.digest import Checksums, Digest
from shotfs.errors import AccessDenied, ObjectNotFound, RevisionChanged, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers import nearest as nearest_module
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.tiers.nearest import (
    ASK_S,
    CHOICE_S,
    DISTRUST_S,
    PAUSE_S,
    PAUSE_S_MAX,
    READ_S,
    Near,
    NearestTier,
    proven_copy,
)
from tests.unit.namespace.origin import Origin

KEY = "library/oak.png"
BYTES = b"the bytes of the oak"


class Places:
    """An origin and two faster copies of it."""

    def __init__(self) -> None:
        self.origin = Origin("mem://origin")
        self.near = Origin("mem://near")
        self.nearer = Origin("mem://nearer")
        self.metrics = Metrics()
        self.revision = self.origin.add(KEY, BYTES)
        self.tier = self.reader(self.near)

    def reader(self, *nears: Origin) -> NearestTier:
        tier = NearestTier(self.origin, [Near(near, self.metrics) for near in nears])
        checked: Tier = tier
        assert checked is tier
        return tier

    async def read(self, tier: NearestTier | None = None) -> bytes:
        return bytes(await (tier or self.tier).read(self.revision, Span(0, len(BYTES))))

    def used(self, near: Origin, outcome: str) -> float:
        return self.metrics.snapshot().get(
            f"shotfs_near_tier_total{{tier={near.name},outcome={outcome}}}", 0
        )


@pytest.fixture
def places() -> Places:
    return Places()


# --- the bytes -----------------------------------------------------------------------------------


async def test_bytes_come_from_the_faster_tier_that_has_the_same(places: Places) -> None:
    places.near.add(KEY, BYTES)
    assert await places.read() == BYTES
    assert await places.read() == BYTES
    assert places.origin.count() == 0
    assert places.near.asked == [("stat", KEY), ("read", KEY), ("read", KEY)], "asked once"
    assert places.tier.serving(places.revision) == "mem://near"
    assert places.used(places.near, "served") == 2


async def test_the_first_in_order_that_has_it_serves(places: Places) -> None:
    tier = places.reader(places.nearer, places.near)
    places.near.add(KEY, BYTES)
    assert await places.read(tier) == BYTES
    assert tier.serving(places.revision) == "mem://near"
    places.nearer.add(KEY, BYTES)
    fresh = places.reader(places.nearer, places.near)
    assert await places.read(fresh) == BYTES
    assert fresh.serving(places.revision) == "mem://nearer"
    assert places.origin.count() == 0


async def test_what_no_faster_tier_has_comes_from_the_origin(places: Places) -> None:
    assert await places.read() == BYTES
    assert await places.read() == BYTES
    assert places.near.asked == [("stat", KEY)]
    assert places.tier.serving(places.revision) == "mem://origin"
    assert places.used(places.near, "absent") == 1


@pytest.mark.parametrize("content", [b"x" * len(BYTES), BYTES + b"!"])
async def test_other_bytes_are_not_taken_for_the_same(places: Places, content: bytes) -> None:
    places.near.add(KEY, content)
    assert await places.read() == BYTES
    assert places.near.count("read") == 0
    assert places.used(places.near, "differs") == 1


async def test_without_a_checksum_to_compare_the_faster_tier_is_not_used(places: Places) -> None:
    places.near.checksummed = False
    places.near.add(KEY, BYTES)
    assert await places.read() == BYTES
    assert places.near.count("read") == 0
    assert places.used(places.near, "unproven") == 1
    places.revision = replace(places.revision, key=KEY, version="9", checksums=Checksums())
    places.origin.objects[KEY] = (places.revision, BYTES)
    assert await places.read() == BYTES
    assert places.near.count() == 1, "nothing could prove it, so it was not even asked"


async def test_many_readers_of_one_file_ask_once(places: Places) -> None:
    places.near.add(KEY, BYTES)
    gate = places.near.gate("stat")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(places.read)
        await places.near.reached("stat")
        gate.set()
    assert places.near.count("stat") == 1
    assert places.near.count("read") == 5


async def test_a_file_is_filled_from_the_faster_tier(
    places: Places, tmp_path_factory: pytest.TempPathFactory
) -> None:
    places.near.add(KEY, BYTES)
    with (tmp_path_factory.mktemp("fill") / "partial").open("w+b", buffering=0) as file:
        await places.tier.read_to_file(places.revision, Span(4, 9), file.fileno())
        file.seek(0)
        assert file.read() == b"\0" * 4 + BYTES[4:9]
    assert places.origin.count() == 0


# --- what is the origin's ------------------------------------------------------------------------


async def test_s16_existence_and_attributes_are_the_origins(places: Places) -> None:
    places.near.add(KEY, BYTES)
    places.near.add("library/only-near.png", b"x")
    assert await places.tier.stat(KEY) == places.revision
    with pytest.raises(ObjectNotFound):
        await places.tier.stat("library/only-near.png")
    pages = [page async for page in places.tier.list("library")]
    assert [revision.key for revision in pages[0].objects] == [KEY]
    made = await places.tier.put(
        "new", b"new", expect=None, checksums=Checksums(), mtime_ns=0, metadata={}
    )
    await places.tier.delete("new", expect=made)
    await places.tier.check()
    assert places.tier.name == "mem://origin"
    assert places.tier.properties == places.origin.properties
    assert places.near.count() == 0
    await places.tier.aclose()
    assert not places.origin.closed


# --- faster tiers that fail ----------------------------------------------------------------------


def fails(error: Exception, *, on: str) -> Callable[[str, str], None]:
    def fault(operation: str, _key: str) -> None:
        if operation == on:
            raise error

    return fault


async def test_a_tier_that_is_down_is_left_alone_for_a_while(
    places: Places, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    places.near.go_down()
    with caplog.at_level(logging.WARNING):
        assert await places.read() == BYTES
        for version in range(10):
            other = places.origin.add(f"library/{version}.png", BYTES)
            await places.tier.read(other, Span(0, 1))
    assert places.near.asked == [("stat", KEY)], "one of eleven files paid for it"
    assert caplog.text.count("is left alone") == 1
    assert places.used(places.near, "error") == 1
    assert places.used(places.near, "paused") == 10


async def test_after_the_pause_one_reader_tries_and_decides_for_the_others(
    places: Places, mock_clock: MockClock
) -> None:
    keys = [f"library/{number}.png" for number in range(5)]
    revisions = [places.origin.add(key, BYTES) for key in keys]
    for key in keys:
        places.near.add(key, BYTES)
    places.near.go_down()
    await places.read()
    mock_clock.jump(PAUSE_S)
    gate = places.near.gate("stat")
    places.near.asked.clear()
    async with trio.open_nursery() as nursery:
        for revision in revisions:
            nursery.start_soon(places.tier.read, revision, Span(0, 1))
        await places.near.reached("stat")
        await trio.testing.wait_all_tasks_blocked()
        assert places.near.count("stat") == 1
        gate.set()
    assert places.origin.count("read") == 1 + len(revisions)


async def test_pauses_grow_and_a_success_ends_them(places: Places, mock_clock: MockClock) -> None:
    near = Near(places.near, places.metrics)
    places.near.add(KEY, BYTES)
    places.near.go_down()
    for pause_s in (PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S):
        assert near.take()
        with pytest.raises(TierUnavailable):
            await near.ask(1, lambda: places.near.stat(KEY))
        mock_clock.jump(pause_s - 0.5)
        assert near.paused
        mock_clock.jump(1)
        assert not near.paused
    for _ in range(20):
        with pytest.raises(TierUnavailable):
            await near.ask(1, lambda: places.near.stat(KEY))
    mock_clock.jump(PAUSE_S_MAX)
    assert not near.paused
    places.near.come_up()
    assert near.take()
    await near.ask(1, lambda: places.near.stat(KEY))
    assert near.take()
    assert near.take(), "no pause at all any more"


async def test_a_tier_that_does_not_answer_costs_its_wait_once(
    places: Places, autojump_clock: MockClock
) -> None:
    places.near.add(KEY, BYTES)
    places.near.gate("stat")
    began = trio.current_time()
    assert await places.read() == BYTES
    assert trio.current_time() - began == pytest.approx(ASK_S)
    other = places.origin.add("library/elm.png", BYTES)
    await places.tier.read(other, Span(0, 1))
    assert trio.current_time() - began == pytest.approx(ASK_S)


async def test_a_slow_read_goes_on_at_the_origin(places: Places, autojump_clock: MockClock) -> None:
    places.near.add(KEY, BYTES)
    places.near.gate("read")
    began = trio.current_time()
    assert await places.read() == BYTES
    assert trio.current_time() - began == pytest.approx(READ_S, abs=0.1)
    assert places.tier.serving(places.revision) == "mem://origin"


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (RevisionChanged("replaced"), False),
        (ObjectNotFound("gone"), False),
        (AccessDenied("no"), True),
        (TierUnavailable("reset"), True),
    ],
)
async def test_a_read_that_fails_is_repeated_at_the_origin(
    places: Places, error: Exception, pauses: bool
) -> None:
    places.near.add(KEY, BYTES)
    places.near.fault = fails(error, on="read")
    assert await places.read() == BYTES
    assert places.used(places.near, "error") == 1
    assert places.tier._nears[0].paused is pauses


async def test_a_read_that_fails_is_repeated_at_the_next_faster_tier(places: Places) -> None:
    places.nearer.add(KEY, BYTES)
    places.near.add(KEY, BYTES)
    places.nearer.fault = fails(TierUnavailable("reset"), on="read")
    tier = places.reader(places.nearer, places.near)
    assert await places.read(tier) == BYTES
    assert tier.serving(places.revision) == "mem://near"
    assert places.origin.count() == 0


async def test_errors_of_the_origin_are_the_readers(places: Places) -> None:
    places.near.go_down()
    places.origin.go_down()
    with pytest.raises(TierUnavailable, match="origin"):
        await places.read()


async def test_a_copy_that_comes_later_is_found(places: Places, mock_clock: MockClock) -> None:
    assert await places.read() == BYTES
    places.near.add(KEY, BYTES)
    mock_clock.jump(CHOICE_S)
    assert await places.read() == BYTES
    assert places.tier.serving(places.revision) == "mem://near"


# --- faster tiers that lie -----------------------------------------------------------------------


async def test_after_wrong_bytes_the_origin_serves(places: Places, mock_clock: MockClock) -> None:
    lie = places.near.add(KEY, b"x" * len(BYTES))
    claimed = replace(lie, checksums=places.revision.checksums)
    places.near.objects[KEY] = (claimed, b"x" * len(BYTES))
    assert await places.read() != BYTES
    places.tier.distrust(places.revision)
    assert await places.read() == BYTES
    mock_clock.jump(DISTRUST_S - 1)
    assert await places.read() == BYTES
    assert places.used(places.near, "wrong") == 1
    assert places.near.count("read") == 1


async def test_what_is_found_wrong_while_it_is_looked_for_stays_with_the_origin(
    places: Places,
) -> None:
    places.near.add(KEY, BYTES)
    gate = places.near.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(places.read)
        await places.near.reached("stat")
        places.tier.distrust(places.revision)
        gate.set()
    assert places.near.count("read") == 0
    assert places.origin.count("read") == 1


# --- limits --------------------------------------------------------------------------------------


async def test_what_is_remembered_is_bounded(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_module, "CHOICES_MAX", 3)
    for number in range(10):
        revision = places.origin.add(f"library/{number}.png", BYTES)
        await places.tier.read(revision, Span(0, 1))
    assert len(places.tier._choices) == 3


def revision(**sums: str) -> Revision:
    if "xxh128" in sums:
        sums["xxh128"] = Digest(sums["xxh128"])
    return Revision("mem://x", KEY, 5, "1", 0, Checksums(**sums))


@pytest.mark.parametrize(
    ("copy", "origin", "same"),
    [
        ({"md5": "a"}, {"md5": "a"}, True),
        ({"md5": "a"}, {"md5": "b"}, False),
        ({"md5": "a", "xxh128": "1"}, {"md5": "a", "xxh128": "2"}, False),
        ({"crc32c": "a"}, {"crc32c": "a", "md5": "b"}, True),
        ({"xxh128": "1"}, {"xxh128": "1"}, True),
        ({"xxh128": "1"}, {"md5": "a"}, None),
        ({}, {"md5": "a"}, None),
        ({}, {}, None),
    ],
)
def test_what_proves_that_a_copy_is_one(
    copy: dict[str, str], origin: dict[str, str], same: bool | None
) -> None:
    assert proven_copy(revision(**copy), revision(**origin)) is same
