"""What goes first: by the clock, then by the priority that the template says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import trio

from shotfs.publish.lane import SMALL_BYTES
from shotfs.publish.schedule import SEALS_BUSY, UPLOADS_BESIDE_SEALS, Schedule, Work
from shotfs.publish.states import State
from tests.unit.publish.fakes import FakeTier, breathe, site_in, spool_in, terms, write_file


class _Entry:
    """As much of a spool entry as a schedule looks at."""

    def __init__(self, serial: int, *, priority: int = 0, size_bytes: int = 1) -> None:
        self.serial = serial
        self.size_bytes = size_bytes
        self.terms = terms("k", priority=priority)


def _entry(serial: int, **more: int) -> Any:
    return cast(Any, _Entry(serial, **more))


def _taken(schedule: Schedule, now: float) -> list[int]:
    serials = []
    while (entry := schedule.take(now)) is not None:
        serials.append(entry.serial)
    return serials


def test_of_what_is_due_the_highest_priority_goes_first_then_the_oldest_then_the_smallest() -> None:
    schedule = Schedule()
    schedule.plan(_entry(1), 1.0)
    schedule.plan(_entry(2, priority=-5), 0.0)
    schedule.plan(_entry(3, priority=10), 3.0)
    schedule.plan(_entry(4, size_bytes=9), 2.0)
    schedule.plan(_entry(5, size_bytes=3), 2.0)
    schedule.plan(_entry(6, priority=1000), 9.0)
    assert _taken(schedule, 5.0) == [3, 1, 5, 4, 2]
    assert schedule.next_due() == 9.0
    assert _taken(schedule, 9.0) == [6]
    assert schedule.next_due() == float("inf")


def test_the_last_plan_of_an_output_counts_and_a_dropped_one_is_gone() -> None:
    schedule, one, other = Schedule(), _entry(1), _entry(2)
    for due in (1.0, 7.0, 1.0, 1.0):
        schedule.plan(one, due)
    schedule.plan(other, 0.0)
    schedule.drop(other)
    assert _taken(schedule, 3.0) == [1]
    schedule.plan(one, 2.0)
    schedule.plan(one, 8.0)
    assert _taken(schedule, 7.0) == []
    assert _taken(schedule, 8.0) == [1]


async def test_outputs_that_wait_are_uploaded_in_the_order_of_their_priority(
    tmp_path: Path,
) -> None:
    tier = FakeTier()
    tier.gate = trio.Event()
    async with site_in(tmp_path, tier, connections_max=2) as site:  # one upload at a time
        await write_file(site.spool, "show/first.exr", b"1")
        await site.until(lambda: bool(tier.puts))
        for name, priority in (("late", -10), ("plain", 0), ("dailies", 50), ("other", 0)):
            await write_file(site.spool, f"show/{name}.exr", b"1", priority=priority)
        await breathe()
        queued = {item.path: item.priority for item in site.publisher.queue()}
        assert queued["show/dailies.exr"] == 50
        tier.gate.set()
        await site.until_empty()
    assert tier.puts == ["first.exr", "dailies.exr", "plain.exr", "other.exr", "late.exr"]


async def test_a_priority_outlives_a_restart(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await write_file(spool, "show/a.exr", b"1", priority=7)
    async with spool_in(tmp_path) as spool:
        entry = spool.get("show/a.exr")
        assert entry is not None
        assert entry.terms is not None
        assert entry.terms.priority == 7


# --- seals and uploads ---------------------------------------------------------------------------


def _of_state(serial: int, state: State) -> Any:
    entry = _entry(serial)
    entry.state, entry.scratch = state, False
    return entry


def _begun(work: Work, slots: int) -> list[int]:
    """Begin everything that may begin now."""
    serials = []
    while (entry := work.take(1.0, slots)) is not None:
        work.begin(entry)
        serials.append(entry.serial)
    return serials


def test_seals_wait_for_no_upload_and_go_before_them() -> None:
    work = Work()
    for serial in (1, 2, 3):
        work.plan(_of_state(serial, State.SEALED), 0.0)
    assert _begun(work, slots=2) == [1, 2]
    assert work.next_due(slots=2) == float("inf")
    work.plan(closed := _of_state(4, State.OPEN), 0.0)
    assert _begun(work, slots=2) == [4]
    assert closed in work
    work.end(closed)
    closed.state = State.SEALED
    work.plan(closed, 0.0)
    assert _begun(work, slots=2) == []


def test_few_uploads_go_on_while_more_is_closed_than_is_sealed() -> None:
    work = Work()
    closed = [_of_state(serial, State.OPEN) for serial in range(SEALS_BUSY)]
    for entry in closed:
        work.plan(entry, 0.0)
    for serial in range(100, 120):
        work.plan(_of_state(serial, State.SEALED), 0.0)
    begun = _begun(work, slots=16)
    assert [serial for serial in begun if serial < 100] == list(range(SEALS_BUSY))
    assert len(begun) == SEALS_BUSY + UPLOADS_BESIDE_SEALS
    work.end(closed[0])
    assert len(_begun(work, slots=16)) == 16 - UPLOADS_BESIDE_SEALS


def test_large_files_that_are_hashed_hold_up_no_upload() -> None:
    work = Work()
    for serial in range(SEALS_BUSY):
        large = _of_state(serial, State.OPEN)
        large.size_bytes = SMALL_BYTES + 1
        work.plan(large, 0.0)
    for serial in range(100, 120):
        work.plan(_of_state(serial, State.SEALED), 0.0)
    assert len(_begun(work, slots=16)) == SEALS_BUSY + 16


def test_an_output_that_is_not_due_any_more_is_neither_sealed_nor_uploaded() -> None:
    work = Work()
    entry = _of_state(1, State.OPEN)
    work.plan(entry, 0.0)
    entry.state = State.SEALED
    work.plan(entry, 0.0)
    assert _begun(work, slots=1) == [1]
    work.end(entry)
    work.plan(entry, 0.0)
    work.plan(entry, None)
    assert _begun(work, slots=1) == []
