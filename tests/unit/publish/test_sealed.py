"""What may still be done with an immutable file that is sealed, and no longer when it is there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from shotfs.errors import PublishedImmutable, TierTimeout
from shotfs.publish import SpoolEntry, State
from tests.unit.publish.fakes import Site, read_entry, site_in, spool_in, write_file

PATH = "show/a.exr"


async def sealed(site: Site) -> SpoolEntry:
    """Seal a file of which no upload is tried."""
    entry = await write_file(site.spool, PATH, b"pixels", grace_s=1e9)
    async with entry.lock:
        await site.spool.core.seal(entry)
    return entry


async def test_s14_attributes_of_a_sealed_file_may_change_until_it_is_published(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await sealed(site)
        await site.spool.set_attributes(entry, mode=0o600, mtime_ns=7)
        assert (entry.mode, entry.mtime_ns, entry.state) == (0o600, 7, State.SEALED)
        await site.publisher.publish_now(entry)
        with pytest.raises(PublishedImmutable) as caught:
            await site.spool.set_attributes(entry, mode=0o644)
        assert caught.value.errno == errno.EPERM
        assert entry.mode == 0o600


async def test_s14_setting_what_a_published_file_has_already_is_fine(tmp_path: Path) -> None:
    # Python's `copy` sets the mode after the close, mostly the one that the file was made with.
    async with site_in(tmp_path, run=False) as site:
        entry = await sealed(site)
        await site.publisher.publish_now(entry)
        before = entry.mtime_ns, entry.ctime_ns
        await site.spool.set_attributes(
            entry, mode=entry.mode, uid=1, gid=2, mtime_ns=entry.mtime_ns, atime_ns=1
        )
        assert (entry.mtime_ns, entry.ctime_ns) == before


async def test_s14_attributes_are_fixed_when_the_object_may_be_there(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await sealed(site)

        def lose(_key: str) -> None:
            raise TierTimeout("no answer")

        site.tier.after = lose
        with pytest.raises(TierTimeout):
            await site.publisher.publish_now(entry)
        assert entry.state is State.SEALED
        with pytest.raises(PublishedImmutable):
            await site.spool.set_attributes(entry, mtime_ns=7)


async def test_s02_a_published_file_in_the_spool_is_not_truncated_and_not_opened_for_writing(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await sealed(site)
        await site.publisher.publish_now(entry)
        with pytest.raises(PublishedImmutable) as truncated:
            await site.spool.truncate(entry, 0)
        assert truncated.value.errno == errno.EPERM
        with pytest.raises(PublishedImmutable) as opened:
            await site.spool.open(entry, writable=True)
        assert opened.value.errno == errno.EEXIST
        assert await read_entry(site.spool, entry) == b"pixels"


async def test_s14_a_closed_file_may_be_truncated_before_it_is_sealed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, PATH, b"pixels", grace_s=1e9)
        await spool.truncate(entry, 3)
        assert entry.open_handles == 0
    async with spool_in(tmp_path) as spool:
        again = spool.get(PATH)
        assert again is not None
        assert await read_entry(spool, again) == b"pix"
