"""Mutable files: which object a save may replace, after renames and lost answers."""

from __future__ import annotations

from pathlib import Path

from trio.testing import MockClock

from shotfs.errors import TierTimeout, TierUnavailable
from shotfs.publish import Spool, SpoolEntry, State
from tests.unit.publish.fakes import FakeTier, Site, site_in, terms, write_file

PATH = "show/notes.txt"
MUTABLE = terms("notes.txt", immutable=False)


async def rewrite(spool: Spool, entry: SpoolEntry, content: bytes) -> None:
    """Open, truncate, write, close."""
    file = await spool.open(entry, writable=True)
    await file.truncate(0)
    await file.write(0, content)
    await file.flush()
    await file.close()


async def save_by_rename(site: Site, content: bytes) -> None:
    """What editors do; the caller knows of no object under the name."""
    await write_file(site.spool, "show/n.tmp", content, immutable=False, scratch=True)
    await site.spool.rename("show/n.tmp", PATH, MUTABLE)


def lose_answers(tier: FakeTier, count: int) -> None:
    """Store the next *count* objects, but do not say so."""
    left = [TierTimeout("no answer")] * count

    def lose(_key: str) -> None:
        if left:
            raise left.pop()

    tier.after = lose


async def test_s18_a_rename_onto_a_published_entry_replaces_its_revision(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"one", immutable=False)
        reader = await site.spool.open(entry, writable=False)
        await site.until(lambda: entry.state is State.PUBLISHED)
        await save_by_rename(site, b"two")
        await reader.close()
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"two"
        assert not site.conflicts


async def test_s18_a_rename_onto_an_edited_entry_replaces_what_that_was_opened_from(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        base = site.tier.add("notes.txt", b"one")
        await write_file(site.spool, PATH, b"two", immutable=False, base=base, grace_s=1e9)
        await save_by_rename(site, b"three")
        await site.until_empty()
        assert site.tier.content("notes.txt") == b"three"
        assert not site.conflicts


async def test_s18_a_rename_onto_an_entry_whose_answer_was_lost_is_no_conflict(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        lose_answers(site.tier, 1)
        entry = await write_file(site.spool, PATH, b"one", immutable=False)
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        await save_by_rename(site, b"two")
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.content("notes.txt") == b"two"
        assert not site.conflicts


async def test_s18_what_is_inherited_survives_a_restart(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    tier = FakeTier()
    async with site_in(tmp_path, tier) as site:
        lose_answers(tier, 1)
        entry = await write_file(site.spool, PATH, b"one", immutable=False)
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)

        def down(_key: str) -> None:
            raise TierUnavailable("down")

        tier.before = down
        await save_by_rename(site, b"two")
    tier.before = lambda _key: None
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert tier.content("notes.txt") == b"two"
        assert not site.conflicts


async def test_s18_the_newest_save_wins_against_any_of_our_earlier_attempts(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """The first save is stored, its answer lost; of the second nothing arrives at first."""
    async with site_in(tmp_path) as site:
        lose_answers(site.tier, 1)
        entry = await write_file(site.spool, PATH, b"one", immutable=False)
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        down = [TierUnavailable("down")] * 2

        def fail(_key: str) -> None:
            if down:
                raise down.pop()

        site.tier.before = fail
        await rewrite(site.spool, entry, b"second")
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.content("notes.txt") == b"second"
        assert not site.conflicts


async def test_s18_what_somebody_else_stored_is_still_a_conflict(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        lose_answers(site.tier, 1)
        entry = await write_file(site.spool, PATH, b"one", immutable=False)
        await site.until(lambda: entry.attempts == 1 and entry.state is State.SEALED)
        site.tier.add("notes.txt", b"theirs")
        await save_by_rename(site, b"two")
        await site.until_passed(mock_clock, lambda: bool(site.conflicts))
        assert site.tier.content("notes.txt") == b"theirs"
