"""Egress budgets: a warning, a hard stop, and counts that survive restarts and set clocks."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import NOBODY, Asker
from shotfs.cache.access import Fill
from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits
from shotfs.cache.scheduling.egress import JOBS_MAX, Egress, Moment
from shotfs.errors import EgressSpent
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import FakeTier, cache_in, content_of

MIB = 1024 * 1024
HOUR = 3600.0
DAY = 24 * HOUR
LIMITS = OriginLimits(
    account="gs://show", egress_day_bytes_max=100 * MIB, egress_job_bytes_max=40 * MIB
)


class Clocks:
    def __init__(self) -> None:
        self.now = Moment("boot-1", 1000.0, 1_800_000_000.0)

    def __call__(self) -> Moment:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now = Moment(self.now.boot, self.now.uptime_s + seconds, self.now.wall_s + seconds)

    def set_wall(self, by_s: float) -> None:
        self.now = Moment(self.now.boot, self.now.uptime_s, self.now.wall_s + by_s)

    def reboot(self, after_s: float) -> None:
        self.now = Moment(self.now.boot + "+", 5.0, self.now.wall_s + after_s)


def refusal(
    egress: Egress, length_bytes: int = MIB, job: str = "", *, prewarm: bool = False
) -> EgressSpent | None:
    return egress.refusal("gs://show", LIMITS, length_bytes, job, prewarm=prewarm)


async def refused(
    scheduler: FetchScheduler, fetch_class: FetchClass, length_bytes: int, asker: Asker
) -> None:
    slot = scheduler.slot("gs://show/b", length_bytes, fetch_class, asker=asker)
    with pytest.raises(EgressSpent):
        await slot.__aenter__()


def spend(egress: Egress, length_bytes: int, job: str = "") -> None:
    egress.count("gs://show", LIMITS, length_bytes, job)


def restarted(egress: Egress, path: Path, clocks: Clocks) -> Egress:
    egress.write(egress.snapshot())
    again = Egress(str(path), clocks)
    again.load()
    return again


def test_the_budget_of_a_day_warns_and_then_stops_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clocks = Clocks()
    egress = Egress(None, clocks)
    with caplog.at_level(logging.WARNING):
        spend(egress, 79 * MIB)
        assert not caplog.records
        assert refusal(egress, prewarm=True) is None
        spend(egress, 2 * MIB)
        spend(egress, 2 * MIB)
    assert len(caplog.records) == 1
    assert "80 %" in caplog.text
    assert refusal(egress, 17 * MIB) is None
    assert "not for prewarming" in str(refusal(egress, prewarm=True))
    error = refusal(egress, 18 * MIB)
    assert error is not None
    assert error.errno == errno.EDQUOT
    assert not error.retryable
    assert 'origins."gs://show".egress_bytes_per_day_max' in str(error.fix)
    errors = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert [one.getMessage() for one in errors] == [str(refusal(egress, prewarm=True)), str(error)]
    spend(egress, 17 * MIB)
    use = egress.use("gs://show", LIMITS)
    assert (use.state, use.day_bytes) == ("spent", 100 * MIB)
    clocks.pass_s(DAY + HOUR)
    assert refusal(egress, 100 * MIB) is None
    assert egress.use("gs://show", LIMITS).state == "ok"


def test_a_job_has_a_budget_of_its_own() -> None:
    egress = Egress(None, Clocks())
    spend(egress, 40 * MIB, "comp-17")
    assert "comp-17" in str(refusal(egress, job="comp-17"))
    assert refusal(egress, job="comp-18") is None
    assert refusal(egress) is None
    use = egress.use("gs://show", LIMITS)
    assert (use.job, use.job_bytes, use.state) == ("comp-17", 40 * MIB, "spent")


def test_what_an_earlier_process_read_is_told_before_the_first_request(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    egress = Egress(str(path), clocks)
    spend(egress, 90 * MIB)
    egress = restarted(egress, path, clocks)
    scheduler = FetchScheduler(lambda _: LIMITS, MIB, egress=egress)
    use = scheduler.egress_of("gs://show/b")
    assert use is not None
    assert (use.account, use.day_bytes, use.state) == ("gs://show", 90 * MIB, "warning")
    unlimited = FetchScheduler(lambda _: OriginLimits(account="gs://show"), MIB, egress=egress)
    assert unlimited.egress_of("gs://show/b") is None


def test_counts_survive_a_restart_and_a_reboot(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    egress = Egress(str(path), clocks)
    egress.load()
    spend(egress, 100 * MIB, "comp-17")
    clocks.pass_s(HOUR)
    egress = restarted(egress, path, clocks)
    assert refusal(egress) is not None
    clocks.reboot(HOUR)
    egress = restarted(egress, path, clocks)
    assert refusal(egress) is not None
    assert refusal(egress, job="comp-17") is not None
    clocks.pass_s(23 * HOUR)
    assert refusal(egress) is None
    assert refusal(egress, job="comp-17") is not None


def test_what_was_not_asked_about_since_the_start_is_kept_as_well(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    egress = Egress(str(path), clocks)
    spend(egress, 100 * MIB)
    egress = restarted(restarted(egress, path, clocks), path, clocks)
    assert refusal(egress) is not None


@pytest.mark.parametrize("by_s", [-400 * DAY, 400 * DAY])
def test_a_wall_clock_that_jumps_gives_no_budget_and_locks_nobody_out(by_s: float) -> None:
    clocks = Clocks()
    egress = Egress(None, clocks)
    spend(egress, 100 * MIB)
    clocks.set_wall(by_s)
    assert refusal(egress) is not None
    clocks.pass_s(DAY + HOUR)
    assert refusal(egress) is None


def test_a_clock_that_is_behind_after_a_reboot_locks_nobody_out(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    egress = Egress(str(path), clocks)
    spend(egress, 100 * MIB)
    egress.write(egress.snapshot())
    clocks.reboot(-4000 * DAY)
    egress = Egress(str(path), clocks)
    egress.load()
    assert refusal(egress) is not None
    clocks.pass_s(DAY + HOUR)
    assert refusal(egress) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": 9}', b"\xff"])
def test_a_damaged_file_is_told_of_and_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    path.write_bytes(content)
    egress = Egress(str(path), clocks)
    egress.load()
    assert "counted from zero" in caplog.text
    spend(egress, 100 * MIB)
    assert refusal(restarted(egress, path, clocks)) is not None


def test_the_number_of_jobs_is_bounded(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "egress.json"
    egress = Egress(str(path), clocks)
    for number in range(JOBS_MAX + 50):
        spend(egress, 1, f"job-{number}")
    assert path.exists() is False
    egress.write(egress.snapshot())
    assert path.read_bytes().count(b"job-") == JOBS_MAX
    assert list(tmp_path.iterdir()) == [path]


async def test_s10_requests_beyond_the_budget_are_refused_and_uploads_are_not() -> None:
    metrics, asker = Metrics(), Asker(job="comp-17")
    scheduler = FetchScheduler(lambda _: LIMITS, 1000 * MIB, metrics=metrics)
    async with scheduler.slot("gs://show/a", 30 * MIB, FetchClass.DEMAND, asker=asker):
        # What is under way counts, whatever comes of it.
        await refused(scheduler, FetchClass.DEMAND, 11 * MIB, asker)
    # It failed, nothing was recorded: its bytes are free again.
    async with scheduler.slot("gs://show/a", 40 * MIB, FetchClass.DEMAND, asker=asker) as slot:
        slot.record(40 * MIB, 1.0)
    async with scheduler.slot("gs://show/a", 60 * MIB, FetchClass.LOOKAHEAD) as slot:
        slot.record(60 * MIB, 1.0)
    for fetch_class in (FetchClass.DEMAND, FetchClass.LOOKAHEAD, FetchClass.PREWARM):
        await refused(scheduler, fetch_class, 1, NOBODY)
    async with scheduler.slot("gs://show/a", 10 * MIB, FetchClass.PUBLISH) as slot:
        slot.record(10 * MIB, 1.0)
    assert scheduler.queue() == []
    assert scheduler.bytes_in_flight == 0
    snapshot = metrics.snapshot()
    assert snapshot["shotfs_egress_day_bytes{account=gs://show}"] == 100 * MIB
    assert snapshot["shotfs_egress_refused_total{account=gs://show}"] == 4
    assert snapshot["shotfs_fetch_bytes_total{origin=gs://show/a,class=demand}"] == 40 * MIB


async def test_a_request_that_waits_is_refused_when_the_budget_ends_before_its_turn() -> None:
    limits = OriginLimits(1, egress_day_bytes_max=3 * MIB)
    scheduler = FetchScheduler(lambda _: limits, 1000 * MIB)
    refused: list[EgressSpent] = []

    async def fetch() -> None:
        try:
            async with scheduler.slot("a", 2 * MIB, FetchClass.DEMAND):
                raise AssertionError
        except EgressSpent as error:
            refused.append(error)

    async with (
        trio.open_nursery() as nursery,
        scheduler.slot("a", 2 * MIB, FetchClass.DEMAND) as slot,
    ):
        nursery.start_soon(fetch)
        await trio.testing.wait_all_tasks_blocked()
        slot.record(2 * MIB, 1.0)
    assert len(refused) == 1


async def test_s10_what_is_refused_to_a_prewarm_comes_to_a_reader_of_the_same_file(
    tmp_path: Path,
) -> None:
    tier, at = FakeTier(), 60 * MIB
    revision = tier.add("a", content := content_of(64 * MIB))
    limits = OriginLimits(4, account="a", egress_day_bytes_max=64 * MIB, egress_warn_share=0.25)
    tier.gate, tier.gates[at] = trio.Event(), trio.Event()
    read: list[bytes] = []
    async with cache_in(tmp_path, limits_of=lambda _: limits) as cache:

        async def read_one() -> None:
            file = await cache.open(tier, revision, fill=Fill.RANGES)
            read.append(bytes(await file.read(Span(at, at + 10))))
            file.close()

        async def prewarm() -> None:
            with pytest.raises(EgressSpent, match="not for prewarming"):
                await cache.fetch(tier, revision)
            tier.gates[at].set()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(prewarm)
                while not tier.reads:
                    await trio.lowlevel.checkpoint()
                nursery.start_soon(read_one)
                while all(span.start != at for _, span in tier.reads):
                    await trio.lowlevel.checkpoint()
                tier.gate.set()
    assert read == [content[at : at + 10]]
