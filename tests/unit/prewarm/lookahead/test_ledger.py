"""Ledger: which guesses were right, and what becomes of those that were not."""

from __future__ import annotations

from shotfs.observe.metrics import Metrics
from shotfs.prewarm.lookahead import ledger as limits
from shotfs.prewarm.lookahead.ledger import Ahead, Ledger, Track
from shotfs.prewarm.watching import Opened, Reader
from shotfs.tiers.base import Revision, Span
from tests.unit.prewarm.lookahead.conftest import LookAheadWorld

SIZE_BYTES = 10


def revision(path: str, version: str = "1") -> Revision:
    return Revision("mem://main", path, SIZE_BYTES, version, 0)


class Accounts:
    """A ledger with one track of which files are fetched."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.ledger = Ledger(self.metrics)
        self.track = Track("030/light")

    def fetch(self, path: str, *, due: int = 0, pattern: str = "p", now_s: float = 0.0) -> Ahead:
        ahead = Ahead(path, revision(path), self.track, pattern, due, now_s, here=True)
        self.ledger.begin(ahead)
        return ahead

    def counted(self, outcome: str) -> float:
        sample = f"shotfs_lookahead_files_total{{outcome={outcome}}}"
        return self.metrics.snapshot()[sample]


def test_what_is_opened_is_useful() -> None:
    accounts = Accounts()
    accounts.fetch("a")
    assert accounts.ledger.bytes == accounts.track.purse.bytes == SIZE_BYTES
    assert accounts.ledger.opened("a", revision("a"), 1.0) is not None
    assert accounts.ledger.opened("a", revision("a"), 2.0) is None
    assert (accounts.counted("useful"), accounts.counted("wasted")) == (1, 0)
    assert accounts.ledger.bytes == accounts.track.purse.bytes == 0


def test_another_revision_than_the_one_that_is_opened_is_wasted() -> None:
    accounts = Accounts()
    accounts.fetch("a")
    assert accounts.ledger.opened("a", revision("a", "2"), 1.0) is None
    assert accounts.counted("wasted") == 1


def test_what_the_job_has_gone_past_is_wasted() -> None:
    accounts = Accounts()
    accounts.fetch("a", due=1)
    accounts.fetch("b", due=2)
    accounts.track.ticks = 2
    accounts.ledger.moved_on(accounts.track, 1.0)
    assert ("a" in accounts.ledger, "b" in accounts.ledger) == (False, True)
    assert accounts.counted("wasted") == 1


def test_what_nobody_opens_for_a_day_is_wasted() -> None:
    accounts = Accounts()
    accounts.fetch("a")
    accounts.fetch("b", now_s=60.0)
    accounts.ledger.expire(limits.UNOPENED_S + 1)
    assert ("a" in accounts.ledger, "b" in accounts.ledger) == (False, True)


def test_what_could_not_be_fetched_counts_for_nothing() -> None:
    accounts = Accounts()
    accounts.ledger.failed(accounts.fetch("a"))
    assert (accounts.counted("useful"), accounts.counted("wasted")) == (0, 0)
    assert accounts.ledger.bytes == 0


def test_a_guess_that_is_wrong_too_often_is_suspended_each_time_for_longer() -> None:
    accounts, now_s = Accounts(), 0.0
    for pause_s in (limits.SUSPENDED_S, 2 * limits.SUSPENDED_S):
        for number in range(limits.PROOF_FILES):
            assert not accounts.ledger.suspended(accounts.track, "p", now_s)
            accounts.ledger.evicted(accounts.fetch(f"f{number}"), now_s)
        assert accounts.ledger.suspended(accounts.track, "p", now_s + pause_s - 1)
        assert not accounts.ledger.suspended(accounts.track, "another", now_s)
        now_s += pause_s
    assert not accounts.ledger.suspended(accounts.track, "p", now_s)


def test_a_guess_that_is_mostly_right_is_followed() -> None:
    accounts = Accounts()
    for number in range(200):
        ahead = accounts.fetch(f"f{number}")
        if number % 3:
            accounts.ledger.opened(ahead.path, ahead.revision, 0.0)
        else:
            accounts.ledger.evicted(ahead, 0.0)
    assert not accounts.ledger.suspended(accounts.track, "p", 0.0)


def test_memory_is_bounded() -> None:
    accounts = Accounts()
    for number in range(limits.AHEAD_MAX + 10):
        accounts.fetch(f"f{number}", pattern=f"p{number}")
    assert len(accounts.ledger) == len(accounts.track.waiting) == limits.AHEAD_MAX


async def test_what_a_job_opens_later_is_counted_as_useful(ahead: LookAheadWorld) -> None:
    ahead.add(*(f"030/plate/bg.{frame}.exr" for frame in range(1001, 1006)))
    await ahead.frame(1001).opens("030/plate/bg.1001.exr")
    await ahead.settled()
    assert ahead.report.waiting_files == 3
    await ahead.frame(1002).opens("030/plate/bg.1002.exr")
    await ahead.settled()
    assert (ahead.report.useful_files, ahead.report.useful_bytes) == (1, len("content"))
    assert ahead.report.useful_share == 1.0


async def test_frames_that_the_node_never_gets_are_not_guessed_for_long(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*(f"030/plate/bg.{frame}.exr" for frame in range(1001, 1100)))
    for frame in (1001, 1002, 1012, 1013, 1023, 1024, 1034, 1035, 1045, 1046):
        await ahead.frame(frame).opens(f"030/plate/bg.{frame}.exr")
        await ahead.settled()
    assert ahead.report.suspended > 0
    before = len(await ahead.here())
    await ahead.frame(1047).opens("030/plate/bg.1047.exr")
    assert len(await ahead.here()) <= before


async def test_what_its_reader_opens_before_it_is_fetched_is_left_to_him(
    ahead: LookAheadWorld,
) -> None:
    plates = [f"030/plate/bg.{frame}.exr" for frame in range(1001, 1011)]
    ahead.add(*plates)
    job = ahead.frame(1001)
    reader = Reader(job.pid, job.name, job.subject)
    for path in plates[:2]:
        found = await ahead.found(path)
        told = Opened(found.path, found.revision, found.resolution, reader, 0.0, warm=False)
        ahead.lookahead.opened(told)
    await ahead.comes(*plates[2:5])
    assert (ahead.report.waiting_files, ahead.report.useful_files) == (3, 0)


def test_of_parts_what_is_read_is_useful_and_a_guess_of_the_wrong_parts_is_suspended() -> None:
    accounts = Accounts()
    whole = Revision("mem://main", "a", 1000, "1", 0)
    for number in range(limits.PROOF_FILES):
        assert not accounts.ledger.suspended(accounts.track, "p", 1.0)
        parts = (Span(0, 100), Span(900, 1000))
        path = f"{number}"
        accounts.ledger.begin(Ahead(path, whole, accounts.track, "p", number, 0.0, parts))
        assert accounts.ledger.bytes == 200
        accounts.ledger.opened(path, whole, 1.0)
        accounts.ledger.read(path, whole, Span(80, 500), 1.0)
        accounts.ledger.closed(path, 1.0)
        assert path in accounts.ledger, "it may be opened again and read on"
        accounts.track.ticks += 1
        accounts.ledger.moved_on(accounts.track, 1.0)
    assert accounts.ledger.suspended(accounts.track, "p", 1.0)
    report = accounts.ledger.report(1.0, enabled=True, bytes_max=0)
    assert (report.wasted_files, report.useful_files) == (limits.PROOF_FILES, 0)
    assert report.useful_bytes == 20 * limits.PROOF_FILES
    assert report.wasted_bytes == 180 * limits.PROOF_FILES
    assert accounts.ledger.bytes == accounts.track.purse.bytes == 0
