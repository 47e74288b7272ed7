"""The spool: names, content, attributes, limits."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from shotfs.errors import (
    CacheBusy,
    CacheUnsafe,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NameNotEncodable,
    NotADirectory,
    NotPermitted,
    PathExists,
    PathNotFound,
    ShotfsError,
    SpoolBroken,
    SpoolFull,
)
from shotfs.publish import Kind, SpoolFile, State
from shotfs.tiers.base import Span
from tests.unit.publish.fakes import key_of, make, read_entry, spool_in, terms, write_file


async def test_s15_what_was_written_is_read_at_once(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        assert await file.write(0, b"hello") == 5
        other = await spool.open(file.entry, writable=False)
        assert bytes(await other.read(Span(1, 100))) == b"ello"
        assert bytes(other.read_now(Span(0, 2)) or b"") in (b"he", b"")
        assert other.read_now(Span(5, 9)) == b""
        assert spool.get("show/a.exr") is file.entry
        assert spool.children("show") == {"a.exr": file.entry}
        assert (file.entry.size_bytes, file.entry.uid, file.entry.gid) == (5, 1, 2)
        await file.close()
        await file.close()
        await other.close()
        assert file.entry.open_handles == 0


async def test_s17_tiles_at_random_offsets_and_truncation(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(10, b"tile")
        await file.write(0, b"head")
        await file.truncate(12)
        await file.truncate(14)
        assert await read_entry(spool, file.entry) == b"head\0\0\0\0\0\0ti\0\0"
        assert spool.used_bytes == 14
        await file.close()


async def test_s13_rename_replaces_and_handles_go_on(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        old = await write_file(spool, "show/a.exr", b"old")
        reader = await spool.open(old, writable=False)
        writer = await make(spool, "show/a.exr.tmp", scratch=True)
        await writer.write(0, b"new")
        await spool.rename("show/a.exr.tmp", "show/a.exr", terms("a.exr"))
        await writer.write(3, b"er")
        await writer.flush()
        await writer.close()
        entry = spool.get("show/a.exr")
        assert entry is writer.entry
        assert await read_entry(spool, entry) == b"newer"
        assert bytes(await reader.read(Span(0, 9))) == b"old"
        assert spool.used_bytes == 8
        await reader.close()
        assert spool.used_bytes == 5
        assert spool.get("show/a.exr.tmp") is None
    async with spool_in(tmp_path) as spool:
        assert [e.path for e in spool.entries()] == ["show/a.exr"]
        assert not spool.aside()


async def test_s14_unlink_of_an_open_file_frees_it_at_the_last_close(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"12345")
        await file.flush()
        await spool.unlink("show/a.exr")
        assert spool.get("show/a.exr") is None
        await file.write(5, b"6")
        assert bytes(await file.read(Span(0, 9))) == b"123456"
        assert not await file.flush()
        await file.close()
        assert spool.used_bytes == 0
        again = await write_file(spool, "show/a.exr", b"x")
        assert again.serial > file.entry.serial
    async with spool_in(tmp_path) as spool:
        assert [e.size_bytes for e in spool.entries()] == [1]


async def test_directories_and_everything_below_move_at_once(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await spool.mkdir("show/d", mode=0o755, uid=0, gid=0)
        await spool.mkdir("show/d/e", mode=0o755, uid=0, gid=0)
        await write_file(spool, "show/d/e/a.exr", b"1")
        await spool.symlink("show/d/l", "e/a.exr", uid=0, gid=0)
        await spool.rename_directory("show/d", "show/f", lambda path: terms(key_of(path)))
        with pytest.raises(InvalidArgument):
            await spool.rename_directory("show/f", "show/f/e/g", lambda _path: None)
    async with spool_in(tmp_path) as spool:
        assert sorted(e.path for e in spool.entries()) == [
            "show/f",
            "show/f/e",
            "show/f/e/a.exr",
            "show/f/l",
        ]
        entry = spool.get("show/f/e/a.exr")
        assert entry is not None
        assert entry.terms == terms("f/e/a.exr", renamed=True)
        assert spool.get("show/f/l").target == "e/a.exr"
        with pytest.raises(DirectoryNotEmpty):
            await spool.rmdir("show/f")
        with pytest.raises(NotADirectory):
            await spool.rmdir("show/f/l")
        with pytest.raises(IsADirectory):
            await spool.unlink("show/f")
        with pytest.raises(IsADirectory):
            await spool.open(spool.get("show/f"), writable=False)
        await spool.unlink("show/f/l")
        assert spool.get("show/f/e").kind is Kind.DIRECTORY
        await spool.unlink("show/f/e/a.exr")
        await spool.rmdir("show/f/e")
        await spool.rmdir("show/f")
        assert len(spool) == 0


async def test_names_are_checked(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await write_file(spool, "show/a.exr", b"1")
        with pytest.raises(PathExists):
            await make(spool, "show/a.exr")
        with pytest.raises(PathExists):
            await spool.mkdir("show/a.exr", mode=0o755, uid=0, gid=0)
        with pytest.raises(PathNotFound):
            await spool.unlink("show/b.exr")
        with pytest.raises(PathNotFound):
            await spool.rename("show/b.exr", "show/c.exr", terms("c.exr"))
        with pytest.raises(NameNotEncodable):
            await make(spool, os.fsdecode(b"show/\xff.exr"))


async def test_two_that_create_one_path_make_one_file(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        outcomes: list[object] = []

        async def attempt() -> None:
            try:
                outcomes.append(await make(spool, "show/a.exr"))
            except PathExists as error:
                outcomes.append(error.errno)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            nursery.start_soon(attempt)
        assert outcomes.count(errno.EEXIST) == 1
        (file,) = [one for one in outcomes if one != errno.EEXIST]
        await file.close()


async def test_s16_attributes_survive_a_restart(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"1")
        await spool.set_attributes(entry, mode=0o600, uid=7, gid=8, mtime_ns=123, atime_ns=4)
        assert entry.atime_ns == 4
        identity, serial = spool.identity, entry.serial
    async with spool_in(tmp_path) as spool:
        entry = spool.get("show/a.exr")
        assert (entry.mode, entry.uid, entry.gid, entry.mtime_ns) == (0o600, 7, 8, 123)
        assert (spool.identity, entry.serial) == (identity, serial)


async def test_s04_a_clean_flush_is_free(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"1")
        before = spool.core.journal.commits
        assert await file.flush()
        assert spool.core.journal.commits == before + 1
        for _ in range(3):
            assert not await file.flush()
        await file.close()
        assert spool.core.journal.commits == before + 1


async def test_flushes_at_the_same_time_share_a_commit(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        files = [await make(spool, f"show/{index}.exr") for index in range(40)]
        for file in files:
            await file.write(0, b"1")
        before = spool.core.journal.commits
        async with trio.open_nursery() as nursery:
            for file in files:
                nursery.start_soon(file.flush)
        assert spool.core.journal.commits - before < 40
        for file in files:
            await file.close()


async def test_a_read_only_handle_does_not_write(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"1")
        file = await spool.open(entry, writable=False)
        with pytest.raises(NotPermitted):
            await file.write(0, b"2")
        await file.close()
        with pytest.raises(InvalidArgument):
            await file.read(Span(0, 1))


async def test_a_full_spool_is_said_before_anything_is_written(tmp_path: Path) -> None:
    async with spool_in(tmp_path, bytes_max=10) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"12345678")
        with pytest.raises(SpoolFull) as caught:
            await file.write(8, b"9abc")
        assert caught.value.errno == errno.ENOSPC
        assert "spool.bytes_max" in (caught.value.fix or "")
        assert file.entry.size_bytes == 8
        with pytest.raises(SpoolFull):
            await file.truncate(11)
        with pytest.raises(SpoolFull):
            await file.flush()
        await file.close()
        assert file.entry.state is State.FAILED


async def test_a_write_that_is_repeated_in_full_repairs_the_file(tmp_path: Path) -> None:
    async with spool_in(tmp_path, bytes_max=10) as spool:
        other = await write_file(spool, "show/b.exr", b"1234")
        file = await make(spool, "show/a.exr")
        with pytest.raises(SpoolFull):
            await file.write(0, b"12345678")
        await spool.unlink(other.path)
        await file.write(4, b"5678")
        with pytest.raises(SpoolFull):
            await file.flush()
        await file.write(0, b"1234")
        await file.flush()
        await file.close()
        assert file.entry.state is State.OPEN
        assert file.entry.error is None


async def test_a_damaged_file_may_be_written_anew(tmp_path: Path) -> None:
    async with spool_in(tmp_path, bytes_max=10) as spool:
        file = await make(spool, "show/a.exr")
        with pytest.raises(SpoolFull):
            await file.write(0, b"0123456789ab")
        await file.close()
        assert file.entry.state is State.FAILED
        again = await spool.open(file.entry, writable=True)
        await again.truncate(0)
        await again.write(0, b"short")
        await again.flush()
        await again.close()
        assert file.entry.state is State.OPEN
        assert file.entry.error is None


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    place = tmp_path / "tiny"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)], check=False
    )
    if made.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def fill(file: SpoolFile, size_bytes: int) -> None:
    """Write *size_bytes* in pieces, as a renderer does."""
    for offset in range(0, size_bytes, 10_000):
        await file.write(offset, b"b" * 10_000)


async def test_a_full_disk_makes_no_half_frame(tiny_disk: Path) -> None:
    async with spool_in(tiny_disk) as spool:
        good = await write_file(spool, "show/good.exr", b"g" * 1000)
        file = await make(spool, "show/bad.exr")
        with pytest.raises(SpoolFull):
            await fill(file, 2_000_000)
        with pytest.raises(SpoolFull):
            await file.flush()
        await file.close()
        assert file.entry.state is State.FAILED
        assert await read_entry(spool, good) == b"g" * 1000
        await spool.unlink("show/bad.exr")
        assert spool.used_bytes == 1000
        await write_file(spool, "show/next.exr", b"n" * 1000)
    async with spool_in(tiny_disk) as spool:
        assert sorted(e.path for e in spool.entries()) == ["show/good.exr", "show/next.exr"]


async def test_the_floor_of_free_space_is_kept(tiny_disk: Path) -> None:
    async with spool_in(tiny_disk, free_bytes_min=600_000) as spool:
        file = await make(spool, "show/a.exr")
        with pytest.raises(SpoolFull, match="keeps 600000"):
            await fill(file, 1_000_000)
        status = os.statvfs(tiny_disk)
        assert status.f_bavail * status.f_frsize >= 600_000 - 3 * 4096
        await file.close()


async def test_a_failed_fsync_is_never_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"pixels")

        def fail(_descriptor: int) -> None:
            raise OSError(errno.EIO, "the disk says no")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(SpoolBroken):
                await file.flush()
        with pytest.raises(SpoolBroken):
            await file.flush()
        await file.close()
        assert file.entry.state is State.FAILED


async def test_a_journal_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"1")
        spool.core.journal.connection.execute("PRAGMA query_only = ON")
        for call in (
            lambda: spool.unlink("show/a.exr"),
            lambda: spool.rename("show/a.exr", "show/b.exr", terms("b.exr")),
            lambda: spool.mkdir("show/d", mode=0o755, uid=0, gid=0),
            lambda: spool.set_attributes(entry, mode=0o600),
            lambda: spool.quarantine(entry, "no"),
        ):
            with pytest.raises(ShotfsError):
                await call()
        assert spool.children("show") == {"a.exr": entry}
        assert (entry.mode, entry.state) == (0o644, State.OPEN)
        spool.core.journal.connection.execute("PRAGMA query_only = OFF")
        await spool.unlink("show/a.exr")


async def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    async with spool_in(tmp_path):
        with pytest.raises(CacheBusy):
            async with spool_in(tmp_path):
                raise AssertionError("two processes own one spool")


async def test_s12_a_spool_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    with pytest.raises(CacheUnsafe, match="open to others"):
        async with spool_in(tmp_path):
            raise AssertionError("opened")


async def test_serials_are_never_given_twice(tmp_path: Path) -> None:
    given: list[int] = []
    for _ in range(3):
        async with spool_in(tmp_path) as spool:
            entry = await write_file(spool, "show/a.exr", b"1")
            given.append(entry.serial)
            await spool.unlink("show/a.exr")
    assert len(set(given)) == 3


async def test_s05_a_cancelled_write_does_not_make_a_closed_file_look_partial(
    tmp_path: Path,
) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"whole")
        file = await spool.open(entry, writable=True)
        with trio.CancelScope() as scope:
            scope.cancel()
            await file.write(0, b"W")
        await file.flush()
        await file.close()
    async with spool_in(tmp_path) as spool:
        assert spool.get("show/a.exr") is not None
        assert not list(spool.aside())
