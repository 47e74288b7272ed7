"""From a closed file to an object: seal, upload, conflicts, retries, drain."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import (
    NotPermitted,
    PublishConflict,
    PublishedImmutable,
    Stale,
    TierUnavailable,
)
from shotfs.publish import SpoolEntry, State
from shotfs.tiers.base import Revision
from tests.unit.publish.fakes import (
    FakeTier,
    breathe,
    read_entry,
    site_in,
    terms,
    write_file,
)


async def test_a_closed_file_becomes_an_object_and_leaves_the_spool(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.exr", b"pixels", metadata={"node": "n1"})
        await site.until_empty()
        assert site.tier.content("a.exr") == b"pixels"
        assert site.tier.metadata["a.exr"] == {"node": "n1"}
        assert [path for path, _ in site.published] == ["show/a.exr"]
        assert site.adopted == ["a.exr"]
        assert site.spool.used_bytes == 0
        assert not list((tmp_path / "spool" / "files").iterdir())


async def test_nothing_is_published_while_a_writer_has_it_open(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.exr", b"1", grace_s=0.0)
        await site.until_empty()
        file = await site.spool.create("show/b.exr", mode=0o644, uid=0, gid=0, terms=terms("b.exr"))
        await file.write(0, b"half")
        await file.flush()
        for _ in range(20):
            await breathe()
        assert site.tier.puts == ["a.exr"]
        await file.write(4, b" and half")
        await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("b.exr") == b"half and half"


async def test_the_grace_begins_with_the_last_close(tmp_path: Path, mock_clock: MockClock) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, "show/a.exr", b"body", grace_s=100.0)
        mock_clock.jump(90)
        file = await site.spool.open(entry, writable=True)
        await file.write(0, b"BODY")
        await file.flush()
        await file.close()
        mock_clock.jump(90)
        for _ in range(20):
            await breathe()
        assert entry.state is State.OPEN
        mock_clock.jump(20)
        await site.until_empty()
        assert site.tier.content("a.exr") == b"BODY"


async def test_s02_a_sealed_immutable_file_cannot_be_opened_for_writing(tmp_path: Path) -> None:
    tier = FakeTier(gate=trio.Event())
    async with site_in(tmp_path, tier) as site:
        tier.gate = trio.Event()
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        await tier.started.wait()
        assert entry.state is State.UPLOADING
        with pytest.raises(PublishedImmutable) as caught:
            await site.spool.open(entry, writable=True)
        assert caught.value.errno == errno.EEXIST
        with pytest.raises(PublishedImmutable) as caught:
            await site.spool.unlink("show/a.exr")
        assert caught.value.errno == errno.EPERM
        with pytest.raises(PublishedImmutable):
            await site.spool.set_attributes(entry, mtime_ns=1)
        assert await read_entry(site.spool, entry) == b"pixels"
        tier.gate.set()
        await site.until_empty()


async def test_a_published_file_stays_while_somebody_has_it_open(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, "show/a.exr", b"pixels", grace_s=0.0)
        reader = await site.spool.open(entry, writable=False)
        await site.until(lambda: bool(site.published))
        assert site.spool.get("show/a.exr") is entry
        assert not site.adopted
        await reader.close()
        await site.until_empty()
        assert site.adopted == ["a.exr"]


async def test_s04_durability_origin_answers_when_the_object_is_there(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await site.spool.create("show/a.exr", mode=0o644, uid=0, gid=0, terms=terms("a.exr"))
        assert not await file.flush(), "a shell's first flush must not publish an empty file"
        await file.write(0, b"pixels")
        await file.fsync()
        assert await file.flush(), "synced, but not told to the origin"
        revision = await site.publisher.publish_now(file.entry)
        assert site.tier.content("a.exr") == b"pixels"
        assert revision == site.tier.objects["a.exr"][0]
        with pytest.raises(NotPermitted):
            await file.write(6, b"more")
        assert not await file.flush()
        await file.close()
        await site.until_empty()


async def test_s04_durability_origin_reports_the_real_error_and_goes_on_trying(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:

        def fail(_key: str) -> None:
            raise TierUnavailable("the network is down")

        site.tier.before = fail
        file = await site.spool.create("show/a.exr", mode=0o644, uid=0, gid=0, terms=terms("a.exr"))
        await file.write(0, b"pixels")
        await file.flush()
        with pytest.raises(TierUnavailable, match="the network is down"):
            await site.publisher.publish_now(file.entry)
        await file.close()
        site.tier.before = lambda _key: None
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.content("a.exr") == b"pixels"


async def test_s04_durability_origin_reports_a_conflict(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        site.tier.add("a.exr", b"theirs")
        file = await site.spool.create("show/a.exr", mode=0o644, uid=0, gid=0, terms=terms("a.exr"))
        await file.write(0, b"ours!!")
        await file.flush()
        with pytest.raises(PublishConflict) as caught:
            await site.publisher.publish_now(file.entry)
        assert caught.value.errno == errno.EEXIST
        await file.close()


async def test_two_who_want_it_published_now_make_one_upload(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.publisher.publish_now, entry)
            nursery.start_soon(site.publisher.publish_now, entry)
        assert site.tier.puts == ["a.exr"]
        assert len(site.published) == 1


async def test_scratch_files_are_never_published_and_expire(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, "show/a.tmp", b"scratch", scratch=True)
        mock_clock.jump(4000)
        for _ in range(20):
            await breathe()
        assert entry.state is State.OPEN
        assert not site.tier.puts
        entry.mtime_ns = entry.ctime_ns = 0
        mock_clock.jump(4000)
        await site.until(lambda: site.spool.get("show/a.tmp") is None)
        await site.until(lambda: site.spool.used_bytes == 0)


async def test_s13_a_scratch_file_is_published_under_its_final_name(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.exr.tmp", b"pixels", scratch=True)
        await site.spool.rename("show/a.exr.tmp", "show/a.exr", terms("a.exr"))
        await site.until_empty()
        assert site.tier.content("a.exr") == b"pixels"
        assert site.tier.puts == ["a.exr"]


async def test_drain_ignores_the_grace_and_says_what_remains(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.exr", b"1", grace_s=1000.0)
        file = await site.spool.create(
            "show/open.exr", mode=0o644, uid=0, gid=0, terms=terms("open.exr")
        )
        await file.write(0, b"x")
        left = await site.publisher.drain(20.0)
        assert [item.path for item in left] == ["show/open.exr"]
        assert left[0].writers == 1
        assert site.tier.content("a.exr") == b"1"
        await file.close()


async def test_drain_ends_at_its_deadline_when_the_origin_is_gone(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    def fail(_key: str) -> None:
        raise TierUnavailable("down")

    async with site_in(tmp_path, FakeTier(before=fail)) as site:
        await write_file(site.spool, "show/a.exr", b"1")

        async def end_drain() -> None:
            while trio.current_time() - started <= 25:
                for _ in range(10):
                    await breathe()
                mock_clock.jump(5)

        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_drain)
            left = await site.publisher.drain(25.0)
        assert [item.path for item in left] == ["show/a.exr"]
        assert trio.current_time() - started <= 30


async def test_s05_what_was_not_published_at_the_end_is_published_after_restart(
    tmp_path: Path,
) -> None:
    tier = FakeTier()
    tier.gate = trio.Event()
    async with site_in(tmp_path, tier) as site:
        await write_file(site.spool, "show/a.exr", b"pixels")
        await tier.started.wait()
    tier.gate.set()
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert tier.content("a.exr") == b"pixels"


async def test_a_thousand_small_files_are_published_with_bounded_connections(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path, connections_max=16) as site:

        async def write_some(first: int) -> None:
            for index in range(first, 1000, 16):
                await write_file(site.spool, f"show/v1/f.{index:04}.exr", b"%d" % index)

        async with trio.open_nursery() as nursery:
            for first in range(16):
                nursery.start_soon(write_some, first)
        await site.until_empty()
        assert len(site.tier.objects) == 1000
        assert site.tier.in_flight_peak <= 8
        assert site.metrics.snapshot()["shotfs_published_total{outcome=published}"] == 1000
        # Commits were shared: three and more statements a file, fewer transactions than that.
        assert site.spool.core.journal.commits < 2500


async def test_a_conflict_is_counted_once_and_not_tried_again(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        site.tier.add("a.exr", b"theirs")
        entry = await write_file(site.spool, "show/a.exr", b"ours!!")
        await site.until(lambda: bool(site.conflicts))
        mock_clock.jump(3600)
        for _ in range(20):
            await breathe()
        figures = site.metrics.snapshot()
        assert figures["shotfs_published_total{outcome=conflict}"] == 1
        assert figures["shotfs_spool_files{state=quarantined}"] == 1
        assert "shotfs_published_total{outcome=refused}" not in figures
        assert entry.retry_at is None
        assert site.tier.puts == ["a.exr"]


def rewrite(path: Path, content: bytes) -> None:
    """Change a data file behind the spool's back."""
    path.write_bytes(content)


async def test_a_file_that_cannot_be_hashed_is_tried_once_a_minute(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        data = Path(site.spool.core.data_path(entry))
        rewrite(data, b"pix")
        async with trio.open_nursery() as nursery:
            await nursery.start(site.publisher.run)
            await site.until(lambda: entry.error is not None)
            (item,) = site.publisher.queue()
            assert "it has 3 bytes, expected 6" in (item.error or "")
            assert item.state is State.OPEN
            assert item.retry_s is not None
            assert item.retry_s >= 30
            assert not site.tier.puts
            rewrite(data, b"pixels")
            await site.until_passed(mock_clock, site.empty)
            nursery.cancel_scope.cancel()
        assert site.tier.content("a.exr") == b"pixels"


async def test_a_listener_that_fails_is_told_again(tmp_path: Path, mock_clock: MockClock) -> None:
    told: list[str] = []

    async def published(entry: SpoolEntry, _revision: Revision) -> None:
        told.append(entry.path)
        if len(told) == 1:
            raise TierUnavailable("the catalog is busy")

    async with site_in(tmp_path) as site:
        site.publisher._published = published
        await write_file(site.spool, "show/a.exr", b"pixels")
        await site.until_passed(mock_clock, site.empty)
        assert told == ["show/a.exr", "show/a.exr"]
        assert site.tier.puts == ["a.exr"]


async def test_a_mistake_in_one_output_stops_no_other(
    tmp_path: Path, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> None:
        if key == "bad.exr":
            raise ZeroDivisionError

    async with site_in(tmp_path, FakeTier(before=fail), connections_max=2) as site:
        await write_file(site.spool, "show/bad.exr", b"x")
        await write_file(site.spool, "show/good.exr", b"y")
        await site.until(lambda: "good.exr" in site.tier.objects)
        assert "publishing show/bad.exr failed unexpectedly" in caplog.text
        site.tier.before = lambda _key: None
        await site.until_passed(mock_clock, site.empty)


async def test_a_cancelled_publish_now_leaves_the_file_in_the_queue(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        site.tier.gate = trio.Event()
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.publisher.publish_now, entry)
            await site.tier.started.wait()
            nursery.cancel_scope.cancel()
        assert entry.state is State.SEALED
        assert entry.upload is None
        site.tier.gate.set()
        await site.publisher.publish_now(entry)
        assert site.tier.content("a.exr") == b"pixels"


async def test_a_reader_waits_for_the_cache_and_looks_again(tmp_path: Path) -> None:
    adopting, go_on = trio.Event(), trio.Event()

    async def adopt(*_arguments: object) -> bool:
        adopting.set()
        await go_on.wait()
        return False

    async with site_in(tmp_path) as site:
        site.publisher._adopt = adopt
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        await adopting.wait()
        outcome: list[int] = []

        async def read() -> None:
            try:
                await site.spool.open(entry, writable=False)
            except Stale as error:
                outcome.append(error.errno)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await breathe()
            assert not outcome
            go_on.set()
        assert outcome == [errno.ESTALE]
