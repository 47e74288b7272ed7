"""Opening a spool whose files are not what its journal says."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from shotfs.errors import SpoolBroken
from shotfs.publish import State
from tests.unit.publish.fakes import site_in, spool_in, write_file


async def leave(directory: Path, content: bytes = b"pixels") -> Path:
    """Leave one closed file in a spool; return its data file."""
    async with spool_in(directory) as spool:
        entry = await write_file(spool, "show/a.exr", content)
        return Path(spool.core.data_path(entry))


async def test_a_data_file_of_another_size_is_not_published(tmp_path: Path) -> None:
    data = await leave(tmp_path)
    with data.open("ab") as file:
        file.write(b"more")
    async with site_in(tmp_path) as site:
        (item,) = site.publisher.queue()
        assert item.state is State.FAILED
        assert "10 bytes, 6 were closed" in (item.error or "")
        assert not site.tier.puts


async def test_a_missing_data_file_is_said_loudly(tmp_path: Path) -> None:
    data = await leave(tmp_path)
    data.unlink()
    for _ in range(2):
        async with site_in(tmp_path) as site:
            (item,) = site.publisher.queue()
            assert item.state is State.FAILED
            assert "missing" in (item.error or "")


@pytest.mark.parametrize("place", ["quarantine", "aside"])
async def test_s05_data_that_lies_where_it_was_kept_before_is_published(
    tmp_path: Path, place: str
) -> None:
    """Released from there; the power went when the row was on the disk, and the rename was not."""
    data = await leave(tmp_path)
    data.rename(tmp_path / "spool" / place / data.name)
    async with site_in(tmp_path) as site:
        await site.until_empty()
        assert site.tier.content("a.exr") == b"pixels"
        assert not site.spool.aside()


async def test_a_data_file_without_a_record_is_kept_aside(tmp_path: Path) -> None:
    await leave(tmp_path)
    (tmp_path / "spool" / "files" / "777").write_bytes(b"whose?")
    (tmp_path / "spool" / "files" / "778").write_bytes(b"")
    async with spool_in(tmp_path) as spool:
        (orphan,) = spool.aside()
        assert (orphan.serial, orphan.path, orphan.size_bytes) == (777, "", 6)
        assert spool.used_bytes == 12
        entry = await write_file(spool, "show/b.exr", b"1")
        assert entry.serial > 777
        assert sorted(path.name for path in (tmp_path / "spool" / "aside").iterdir()) == ["777"]


async def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await leave(tmp_path)
    connection = sqlite3.connect(tmp_path / "spool" / "journal.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SpoolBroken, match="journal schema 99"):
        async with spool_in(tmp_path):
            raise AssertionError("opened")


async def test_a_journal_that_is_no_database_is_refused(tmp_path: Path) -> None:
    await leave(tmp_path)
    for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
        (tmp_path / "spool" / name).unlink(missing_ok=True)
    (tmp_path / "spool" / "journal.sqlite").write_bytes(b"rubbish" * 1000)
    with pytest.raises(SpoolBroken, match="cannot be used"):
        async with spool_in(tmp_path):
            raise AssertionError("opened")


async def test_recovery_does_not_read_the_data(tmp_path: Path) -> None:
    """The mount does not wait for the queue: names and sizes are enough to serve."""
    data = await leave(tmp_path)
    data.chmod(0o000)
    async with spool_in(tmp_path) as spool:
        entry = spool.get("show/a.exr")
        assert entry is not None
        assert entry.state is State.OPEN
        assert entry.content is None
