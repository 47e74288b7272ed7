"""Small outputs that are flushed and sealed together: each gets its own answer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio

from shotfs.errors import PublishedImmutable, SpoolBroken
from shotfs.publish import SpoolEntry, SpoolFile
from shotfs.publish.lane import SMALL_BYTES
from tests.unit.publish.fakes import make, spool_in, write_file


async def flush_all(files: list[SpoolFile]) -> dict[str, type[Exception] | None]:
    """Flush at the same time; return what each was told, by path."""
    told: dict[str, type[Exception] | None] = {}

    async def flush(file: SpoolFile) -> None:
        told[file.entry.path] = None
        try:
            await file.flush()
        except SpoolBroken as error:
            told[file.entry.path] = type(error)

    async with trio.open_nursery() as nursery:
        for file in files:
            nursery.start_soon(flush, file)
    return told


async def test_s04_an_fsync_that_fails_fails_its_file_and_no_other_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        files = [await make(spool, f"show/{index}.exr") for index in range(8)]
        for file in files:
            await file.write(0, b"1")
        bad, fsync = files[3], os.fsync

        def fail(descriptor: int) -> None:
            if descriptor == bad.fileno():
                raise OSError(errno.EIO, "as a disk says it")
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            told = await flush_all(files)
        assert told.pop(bad.entry.path) is SpoolBroken
        assert set(told.values()) == {None}
        assert [file.entry.clean for file in files].count(True) == 7
        assert not bad.entry.journalled
        with pytest.raises(SpoolBroken):  # its pages are gone: also the next close says so
            await bad.flush()
        for file in files:
            await file.close()


async def test_s05_data_is_on_the_disk_before_its_directory_and_that_before_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        files = [await make(spool, f"show/{index}.exr") for index in range(5)]
        for file in files:
            await file.write(0, b"1")
        synced: list[int] = []
        fsync, journal = os.fsync, spool.core.journal

        def note(descriptor: int) -> None:
            count = journal.connection.execute("SELECT count(*) FROM entries").fetchone()[0]
            synced.append(-1 if descriptor == journal.directory_descriptor else descriptor)
            assert count < len(files)
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", note)
            await flush_all(files[:4])
            four = {file.fileno() for file in files[:4]}
            last = len(synced) - 1 - synced[::-1].index(-1)
            assert four == set(synced) - {-1}
            assert all(synced.index(one) < last for one in four)
            await flush_all(files[4:])
        assert synced[-2:] == [files[4].fileno(), -1]
        for file in files:
            await file.close()


@pytest.mark.parametrize("size_bytes", [0, 1, SMALL_BYTES, SMALL_BYTES + 1])
async def test_small_and_large_files_are_sealed_alike(tmp_path: Path, size_bytes: int) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", os.urandom(size_bytes))
        await spool.core.seal(entry)
        assert entry.content is not None
        assert entry.content.size_bytes == size_bytes
        assert entry.content == await spool.core.hash_content(entry)
        assert entry.content.checksums.md5 is not None
        path = spool.core.data_path(entry)
        assert os.stat(path).st_mode & 0o222 == 0
        with pytest.raises(PublishedImmutable):
            await spool.open(entry, writable=True)


async def test_seals_at_the_same_time_share_commits(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entries: list[SpoolEntry] = [
            await write_file(spool, f"show/{index}.exr", b"%d" % index) for index in range(40)
        ]
        before = spool.core.journal.commits
        async with trio.open_nursery() as nursery:
            for entry in entries:
                nursery.start_soon(spool.core.seal, entry)
        assert spool.core.journal.commits - before < 20
        assert len({str(entry.digest) for entry in entries}) == 40


async def test_a_small_file_of_another_size_than_was_closed_is_not_sealed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"whole")
        os.chmod(spool.core.data_path(entry), 0o600)
        os.truncate(spool.core.data_path(entry), 6)
        with pytest.raises(SpoolBroken, match="it has 6 bytes, expected 5"):
            await spool.core.seal(entry)
        assert entry.content is None
