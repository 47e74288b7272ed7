"""What the origin has already: the same bytes, other bytes, answers that got lost, replacements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.digest import Checksums
from shotfs.errors import (
    AccessDenied,
    PublishedImmutable,
    TierTimeout,
    TierUnavailable,
)
from shotfs.publish import State
from tests.unit.publish.fakes import (
    FakeTier,
    breathe,
    read_entry,
    site_in,
    spool_in,
    write_file,
)


async def test_s18_the_same_bytes_under_the_same_path_are_success(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        theirs = site.tier.add("a.exr", b"pixels")
        await write_file(site.spool, "show/a.exr", b"pixels")
        await site.until_empty()
        assert site.tier.objects["a.exr"][0] == theirs
        assert site.published == [("show/a.exr", theirs)]
        assert not site.conflicts


async def test_s18_other_bytes_under_the_same_path_are_kept_in_quarantine(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        site.tier.add("a.exr", b"theirs")
        entry = await write_file(site.spool, "show/a.exr", b"ours!!")
        await site.until(lambda: bool(site.conflicts))
        assert site.tier.content("a.exr") == b"theirs"
        assert site.conflicts == [entry]
        assert site.spool.get("show/a.exr") is None, "readers see the published bytes"
        (item,) = site.publisher.queue()
        assert item.state is State.QUARANTINED
        assert "other bytes" in (item.error or "")
        kept = tmp_path / "spool" / "quarantine" / str(entry.serial)
        assert kept.read_bytes() == b"ours!!"
    async with spool_in(tmp_path) as spool:
        (again,) = spool.aside()
        assert again.state is State.QUARANTINED
        assert await read_entry(spool, again) == b"ours!!"


@pytest.mark.parametrize(
    ("say", "read_back"),
    [
        (lambda sums: replace(sums, md5=None), True),
        (lambda sums: Checksums(), True),
        (lambda sums: Checksums(md5=sums.md5), False),
    ],
    ids=["crc32c-only", "nothing", "md5"],
)
async def test_what_proves_that_two_objects_are_the_same(
    tmp_path: Path, say: Callable[[Checksums], Checksums], read_back: bool
) -> None:
    async with site_in(tmp_path, FakeTier(say=say)) as site:
        site.tier.add("a.exr", b"pixels")
        await write_file(site.spool, "show/a.exr", b"pixels")
        await site.until_empty()
        assert bool(site.tier.reads) is read_back


async def test_a_digest_claimed_in_metadata_settles_nothing(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        revision = site.tier.add("a.exr", b"theirs")
        entry = await write_file(site.spool, "show/b.exr", b"ours!!", grace_s=1e9)
        claimed = Checksums(xxh128=await site.spool.digest(entry))
        site.tier.objects["a.exr"] = (replace(revision, checksums=claimed), b"theirs")
        await write_file(site.spool, "show/a.exr", b"ours!!")
        await site.until(lambda: bool(site.conflicts))
        assert site.tier.reads == ["a.exr"]
        assert site.tier.content("a.exr") == b"theirs"


async def test_a_transient_error_is_retried_and_blocks_nobody(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    failures = 0

    def fail(key: str) -> None:
        nonlocal failures
        if key == "bad.exr" and failures < 8:
            failures += 1
            raise TierUnavailable("down")

    async with site_in(tmp_path, FakeTier(before=fail), connections_max=2) as site:
        bad = await write_file(site.spool, "show/bad.exr", b"x")
        await site.until(lambda: failures == 1 and bad.state is State.SEALED)
        assert bad.error == "down"
        await write_file(site.spool, "show/good.exr", b"y")
        await site.until(lambda: "good.exr" in site.tier.objects)
        await site.until_passed(mock_clock, site.empty)
        assert failures == 8
        assert site.tier.content("bad.exr") == b"x"


async def test_a_refusal_is_shown_and_heals(tmp_path: Path, mock_clock: MockClock) -> None:
    refuse = True

    def fail(_key: str) -> None:
        if refuse:
            raise AccessDenied("no write permission on fake://origin")

    async with site_in(tmp_path, FakeTier(before=fail)) as site:
        entry = await write_file(site.spool, "show/a.exr", b"x")
        await site.until(lambda: entry.state is State.FAILED)
        (item,) = site.publisher.queue()
        assert "permission" in (item.error or "")
        assert item.retry_s is not None
        assert item.retry_s > 25
        refuse = False
        mock_clock.jump(20)
        for _ in range(20):
            await breathe()
        assert entry.state is State.FAILED
        await site.until_passed(mock_clock, site.empty)


async def test_an_answer_that_got_lost_is_not_a_conflict(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    lost = True

    def lose(_key: str) -> None:
        nonlocal lost
        if lost:
            lost = False
            raise TierTimeout("no answer")

    async with site_in(tmp_path, FakeTier(after=lose)) as site:
        entry = await write_file(site.spool, "show/a.exr", b"x")
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        with pytest.raises(PublishedImmutable):
            await site.spool.unlink("show/a.exr")
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.generation == 1
        assert not site.conflicts


async def test_an_object_that_was_stored_wrongly_is_removed_and_sent_again(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    tier = FakeTier(store=lambda content: content[:-1] + b"?")
    async with site_in(tmp_path, tier) as site:
        entry = await write_file(site.spool, "show/a.exr", b"pixels")
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        assert "a.exr" not in tier.objects
        tier.store = lambda content: content
        await site.until_passed(mock_clock, site.empty)
        assert tier.content("a.exr") == b"pixels"


async def test_s18_a_mutable_file_replaces_only_the_revision_that_was_opened(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        base = site.tier.add("notes.txt", b"one")
        await write_file(site.spool, "show/notes.txt", b"two", immutable=False, base=base)
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"two"
        await write_file(site.spool, "show/notes.txt", b"three", immutable=False, base=base)
        await site.until(lambda: bool(site.conflicts))
        assert site.tier.content("notes.txt") == b"two"


async def test_a_mutable_file_that_is_written_during_its_upload_is_published_anew(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        site.tier.gate = trio.Event()
        entry = await write_file(site.spool, "show/notes.txt", b"one", immutable=False)
        await site.tier.started.wait()
        file = await site.spool.open(entry, writable=True)
        await file.write(0, b"TWO")
        assert entry.state is State.OPEN
        await file.flush()
        await file.close()
        site.tier.gate.set()
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"TWO"
        assert not site.conflicts


async def test_a_mutable_file_whose_cancelled_upload_arrived_is_replaced(tmp_path: Path) -> None:
    answer = trio.Event()

    class SlowAnswer(FakeTier):
        async def put(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            revision = await super().put(*arguments, **options)  # type: ignore[arg-type]
            answer.set()
            if len(self.puts) == 1:
                await trio.sleep_forever()
            return revision

    async with site_in(tmp_path, SlowAnswer()) as site:
        entry = await write_file(site.spool, "show/notes.txt", b"one", immutable=False)
        await answer.wait()
        file = await site.spool.open(entry, writable=True)
        await file.write(3, b" and two")
        await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"one and two"
        assert not site.conflicts


async def test_a_mutable_file_can_be_written_again_after_it_was_published(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, "show/notes.txt", b"one", immutable=False)
        reader = await site.spool.open(entry, writable=False)
        await site.until(lambda: entry.state is State.PUBLISHED)
        writer = await site.spool.open(entry, writable=True)
        await writer.truncate(0)
        await writer.write(0, b"two")
        await writer.flush()
        await writer.close()
        await reader.close()
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"two"
        assert len(site.published) == 2
