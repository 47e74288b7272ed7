"""Objects that go with a name: unlinked files, and files that were renamed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import TierTimeout, TierUnavailable
from shotfs.publish import OriginObject, SpoolEntry, State
from shotfs.tiers.base import Revision
from tests.unit.publish.fakes import (
    ORIGIN,
    FakeTier,
    Site,
    breathe,
    key_of,
    make,
    site_in,
    spool_in,
    terms,
    write_file,
)

OLD, NEW = "show/old.txt", "show/new.txt"


def mutable(path: str, **changes: Any) -> Any:
    """Terms of a mutable file."""
    return terms(key_of(path), immutable=False, **changes)


def down(_key: str) -> None:
    """An origin that is away."""
    raise TierUnavailable("down")


def up(_key: str) -> None:
    """An origin that is there."""


async def edited(site: Site) -> tuple[SpoolEntry, Revision]:
    """Edit a published file; it is not published again yet."""
    base = site.tier.add("old.txt", b"one")
    entry = await write_file(site.spool, OLD, b"two", immutable=False, base=base, grace_s=1e9)
    return entry, base


async def test_s13_an_edited_file_that_is_renamed_leaves_its_old_name_when_the_new_one_is_there(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        entry, base = await edited(site)
        site.tier.before = down
        await site.spool.rename(OLD, NEW, mutable(NEW))
        assert site.spool.hides(OLD, base)
        assert not site.spool.hides(OLD, site.tier.add("old.txt", b"somebody else's"))
        site.tier.objects["old.txt"] = (base, b"one")
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        assert site.tier.content("old.txt") == b"one", "the only published bytes"
        site.tier.before, site.tier.before_delete = up, down
        await site.until_passed(mock_clock, lambda: bool(site.published))
        for _ in range(10):
            await breathe()
        assert [item.path for item in site.publisher.queue()] == [NEW]
        assert site.removed == []
        site.tier.before_delete = up
        await site.until_passed(mock_clock, site.empty)
        assert set(site.tier.objects) == {"new.txt"}
        assert site.removed == [OLD]
        assert not site.spool.hides(OLD, base)


async def test_s13_the_old_name_goes_after_a_restart_too(tmp_path: Path) -> None:
    tier = FakeTier(before_delete=down)
    async with site_in(tmp_path, tier) as site:
        await edited(site)
        await site.spool.rename(OLD, NEW, mutable(NEW))
        await site.until(lambda: bool(site.published))
    tier.before_delete = up
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert set(tier.objects) == {"new.txt"}


async def test_s18_what_somebody_else_put_under_the_old_name_stays(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await edited(site)
        site.tier.add("old.txt", b"theirs")
        await site.spool.rename(OLD, NEW, mutable(NEW))
        await site.until_empty()
        assert site.tier.content("old.txt") == b"theirs"
        assert site.removed == [OLD]


async def test_s13_renames_in_a_row_leave_one_name(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await edited(site)
        await site.spool.rename(OLD, "show/b.txt", mutable("show/b.txt", grace_s=1e9))
        await site.spool.rename("show/b.txt", NEW, mutable(NEW))
        await site.until_empty()
        assert set(site.tier.objects) == {"new.txt"}
        assert site.tier.content("new.txt") == b"two"


async def test_s13_a_rename_there_and_back_replaces_the_object(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await edited(site)
        await site.spool.rename(OLD, NEW, mutable(NEW, grace_s=1e9))
        await site.spool.rename(NEW, OLD, mutable(OLD))
        await site.until_empty()
        assert set(site.tier.objects) == {"old.txt"}
        assert site.tier.content("old.txt") == b"two"
        assert not site.conflicts


async def test_s13_a_save_that_keeps_a_backup_replaces_the_object(tmp_path: Path) -> None:
    """Move to a scratch name, write anew, remove the backup."""
    async with site_in(tmp_path, run=False) as site:
        await edited(site)
        await site.spool.rename(OLD, "show/old.txt~", mutable("show/old.txt~", scratch=True))
        await write_file(site.spool, OLD, b"three", immutable=False)
        await site.spool.unlink("show/old.txt~", site.publisher.remove_objects)
        assert site.tier.content("old.txt") == b"one"
        async with trio.open_nursery() as nursery:
            await nursery.start(site.publisher.run)
            await site.until_empty()
            nursery.cancel_scope.cancel()
        assert site.tier.content("old.txt") == b"three"
        assert not site.conflicts


async def test_s13_a_file_renamed_to_a_scratch_name_leaves_the_origin(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await edited(site)
        await site.spool.rename(OLD, "show/old.txt~", mutable("show/old.txt~", scratch=True))
        await site.until(lambda: bool(site.removed))
        assert not site.tier.objects
        assert not site.tier.puts


async def test_s13_a_new_file_under_the_old_name_outlives_the_rename(tmp_path: Path) -> None:
    """The new one is published first, with the very bytes that were there."""
    async with site_in(tmp_path) as site:
        entry, _ = await edited(site)
        await site.spool.rename(OLD, NEW, mutable(NEW, grace_s=1e9))
        await write_file(site.spool, OLD, b"one", immutable=False)
        await site.until(lambda: site.spool.get(OLD) is None)
        assert not entry.delete_after
        await site.publisher.drain(10.0)
        await site.until_empty()
        assert site.tier.content("old.txt") == b"one"
        assert site.tier.content("new.txt") == b"two"
        assert not site.conflicts


async def test_s13_a_file_that_goes_into_quarantine_leaves_its_old_name_alone(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        _, base = await edited(site)
        site.tier.add("new.txt", b"theirs")
        await site.spool.rename(OLD, NEW, mutable(NEW))
        await site.until(lambda: bool(site.conflicts))
        assert site.tier.content("old.txt") == b"one"
        assert not site.spool.hides(OLD, base)


async def test_a_renamed_file_whose_upload_gave_no_answer_leaves_nothing_behind(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    lost = [TierTimeout("no answer")]

    def lose(_key: str) -> None:
        if lost:
            raise lost.pop()

    async with site_in(tmp_path, FakeTier(after=lose)) as site:
        entry = await write_file(site.spool, OLD, b"one", immutable=False)
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        await site.spool.rename(OLD, NEW, mutable(NEW))
        await site.until_passed(mock_clock, site.empty)
        assert set(site.tier.objects) == {"new.txt"}


async def test_s14_an_unlink_removes_the_object_before_the_local_version(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry, base = await edited(site)
        assert entry.origin_object == OriginObject(OLD, ORIGIN, "old.txt", base)
        site.tier.before_delete = down
        with pytest.raises(TierUnavailable):
            await site.spool.unlink(OLD, site.publisher.remove_objects)
        assert site.spool.get(OLD) is entry
        assert entry.state is State.OPEN
        site.tier.before_delete = up
        await site.spool.unlink(OLD, site.publisher.remove_objects)
        assert not site.tier.objects
        assert site.removed == [OLD]
        assert site.spool.used_bytes == 0


async def test_s14_an_unlink_of_a_renamed_file_removes_the_object_under_its_old_name(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        await edited(site)
        await site.spool.rename(OLD, NEW, mutable(NEW, grace_s=1e9))
        await site.spool.unlink(NEW, site.publisher.remove_objects)
        assert not site.tier.objects


async def test_s14_a_file_that_may_have_arrived_is_removed_if_it_has(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        arrived = trio.Event()

        def hang(_key: str) -> None:
            arrived.set()
            raise TierTimeout("no answer")

        site.tier.after = hang
        await write_file(site.spool, OLD, b"one", immutable=False)
        await arrived.wait()
        await site.spool.unlink(OLD, site.publisher.remove_objects)
        assert not site.tier.objects


async def test_s14_a_file_that_never_arrived_goes_while_the_origin_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site_in(tmp_path, FakeTier(before=down)) as site:
        entry = await write_file(site.spool, OLD, b"one", immutable=False)
        await site.until(lambda: entry.attempts >= 1 and entry.state is State.SEALED)

        async def stat(key: str) -> Revision:
            raise TierUnavailable(key)

        monkeypatch.setattr(site.tier, "stat", stat)
        await site.spool.unlink(OLD, site.publisher.remove_objects)
        assert site.spool.get(OLD) is None


async def test_a_file_that_was_never_published_is_removed_without_asking(tmp_path: Path) -> None:
    async with site_in(tmp_path, FakeTier(before_delete=down)) as site:
        file = await make(site.spool, OLD, immutable=False)
        await site.spool.unlink(OLD, site.publisher.remove_objects)
        await file.close()
        assert site.removed == []


async def test_a_journal_of_the_first_version_is_upgraded(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await write_file(spool, OLD, b"one", immutable=False)
    connection = sqlite3.connect(tmp_path / "spool" / "journal.sqlite")
    for column in ("delete_after", "closed_once", "session", "emergency"):
        connection.execute(f"ALTER TABLE entries DROP COLUMN {column}")
    connection.execute("DROP TABLE given_up")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    async with site_in(tmp_path) as site:
        entry = site.spool.get(OLD)
        assert entry is not None
        assert entry.closed_once
        await site.until_empty()
        assert site.tier.content("old.txt") == b"one"
