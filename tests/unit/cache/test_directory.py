"""The cache directory: safety, one owner, what start and damage do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from shotfs.cache.directory import CacheDirectory
from shotfs.cache.eviction import Amount, Lru
from shotfs.cache.index import Index, NewRow
from shotfs.digest import Checksums, Digest, digest_bytes
from shotfs.errors import CacheBusy, CacheError, CacheUnsafe
from tests.unit.cache.fakes import KIB, FakeTier, cache_in, content_of, keep, read_all


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
async def test_s12_a_directory_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "c"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(CacheUnsafe) as caught:
        async with cache_in(directory):
            raise AssertionError("it started")
    assert f"chmod 700 {directory}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_s12_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "c"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    with pytest.raises(CacheUnsafe, match="belongs to uid 12345"):
        CacheDirectory(str(directory))


def test_s12_a_link_to_an_unsafe_directory_is_refused_and_one_to_a_safe_one_works(
    tmp_path: Path,
) -> None:
    unsafe, safe = tmp_path / "unsafe", tmp_path / "safe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    safe.mkdir(mode=0o700)
    (tmp_path / "bad").symlink_to(unsafe)
    (tmp_path / "good").symlink_to(safe)
    with pytest.raises(CacheUnsafe):
        CacheDirectory(str(tmp_path / "bad"))
    with CacheDirectory(str(tmp_path / "good")):
        assert (safe / "blobs").is_dir()


def test_s12_a_parent_that_others_may_change_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(CacheUnsafe, match="writable by others"):
        CacheDirectory(str(parent / "c"))
    parent.chmod(0o1777)
    CacheDirectory(str(parent / "c")).release()


@pytest.mark.parametrize("above", ["one", "one/two"])
def test_s12_any_directory_above_that_others_may_change_is_refused(
    tmp_path: Path, above: str
) -> None:
    place = tmp_path / "one" / "two" / "three"
    place.mkdir(parents=True)
    (tmp_path / above).chmod(0o775)
    with pytest.raises(CacheUnsafe, match="writable by others") as caught:
        CacheDirectory(str(place / "c"))
    assert f"chmod go-w {tmp_path / above} " in str(caught.value)
    (tmp_path / above).chmod(0o755)
    CacheDirectory(str(place / "c")).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("above", ["one", "one/two"])
def test_s12_any_directory_above_of_somebody_else_is_refused(tmp_path: Path, above: str) -> None:
    place = tmp_path / "one" / "two"
    place.mkdir(parents=True)
    os.chown(tmp_path / above, 12345, 12345)
    with pytest.raises(CacheUnsafe, match="belongs to uid 12345"):
        CacheDirectory(str(place / "c"))


def test_s12_a_link_on_the_way_that_others_may_change_is_refused(tmp_path: Path) -> None:
    safe, open_to_all = tmp_path / "safe", tmp_path / "open"
    safe.mkdir(mode=0o700)
    open_to_all.mkdir()
    (open_to_all / "link").symlink_to(safe)
    # Through a second link, so that neither end of the path is in the directory.
    (tmp_path / "way").symlink_to(open_to_all / "link")
    CacheDirectory(str(tmp_path / "way" / "c")).release()
    open_to_all.chmod(0o777)
    with pytest.raises(CacheUnsafe, match="writable by others"):
        CacheDirectory(str(tmp_path / "way" / "c"))
    open_to_all.chmod(0o1777)
    CacheDirectory(str(tmp_path / "way" / "c")).release()
    if os.geteuid() == 0:
        os.chown(open_to_all / "link", 12345, 12345, follow_symlinks=False)
        with pytest.raises(CacheUnsafe, match="symbolic link that belongs to uid 12345"):
            CacheDirectory(str(tmp_path / "way" / "c"))


def test_an_inner_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    CacheDirectory(str(tmp_path / "c")).release()
    (tmp_path / "c" / "index").rmdir()
    (tmp_path / "c" / "index").symlink_to(tmp_path)
    with pytest.raises(CacheUnsafe, match="symbolic link"):
        CacheDirectory(str(tmp_path / "c"))


def test_a_file_where_the_directory_should_be_is_an_error_that_names_the_setting(
    tmp_path: Path,
) -> None:
    (tmp_path / "c").write_text("")
    with pytest.raises(CacheUnsafe, match=r"cache\.directory"):
        CacheDirectory(str(tmp_path / "c"))
    with pytest.raises(CacheError, match="cannot make the cache directory"):
        CacheDirectory("/proc/nowhere/c")


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    program = (
        "import sys; from shotfs.cache.directory import CacheDirectory\n"
        "d = CacheDirectory(sys.argv[1]); print('ready', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "c")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        assert owner.stdin is not None
        assert owner.stdout.readline() == b"ready\n"
        with pytest.raises(CacheBusy, match=f"process {owner.pid}"):
            CacheDirectory(str(tmp_path / "c"))
        owner.stdin.close()
        owner.wait()
    CacheDirectory(str(tmp_path / "c")).release()


async def test_start_empties_the_partials_and_leaves_what_it_does_not_know(
    tmp_path: Path, tier: FakeTier
) -> None:
    directory = tmp_path / "c"
    async with cache_in(directory):
        (directory / "partials" / "7").write_bytes(b"half")
        (directory / "spool").mkdir()
    async with cache_in(directory):
        assert list((directory / "partials").iterdir()) == []
        assert (directory / "spool").is_dir()


@pytest.mark.parametrize(
    "how", ["garbage", "truncated", "missing", "foreign rows", "zeroes inside"]
)
async def test_a_damaged_index_is_moved_aside_and_rebuilt_from_the_blobs(
    tier: FakeTier, tmp_path: Path, how: str
) -> None:
    contents = [content_of(KIB, number) for number in range(60)]
    revisions = [tier.add(f"f{number}", content) for number, content in enumerate(contents)]
    async with cache_in(tmp_path / "c") as cache:
        for revision in revisions:
            await keep(cache, tier, revision)
    database = tmp_path / "c" / "index" / "cache.db"
    _damage(database, how)
    reads = len(tier.reads)
    async with cache_in(tmp_path / "c") as cache:
        if how != "missing":
            await read_all(cache, tier, revisions[0])
        while cache.stats().files < len(revisions):
            await trio.lowlevel.checkpoint()
        for revision, content in zip(revisions, contents, strict=True):
            assert await read_all(cache, tier, revision) == content
        assert cache.stats().bytes == 60 * KIB
    assert len(tier.reads) <= reads + 2
    if how != "missing":
        assert list((tmp_path / "c").glob("index.damaged-*"))


def _damage(database: Path, how: str) -> None:
    content = database.read_bytes()
    if how == "garbage":
        database.write_bytes(b"not a database" * 1000)
    elif how == "truncated":
        database.write_bytes(content[: len(content) // 2])
    elif how == "missing":
        database.unlink()
    elif how == "foreign rows":
        with contextlib.closing(sqlite3.connect(database)) as rows, rows:
            rows.execute("UPDATE totals SET text = ?", ('{"surprise": 1}',))
    else:
        database.write_bytes(content[:8192] + bytes(len(content) - 8192))


def named(name: str) -> str:
    return digest_bytes(name.encode())


def index_in(directory: Path, revisions_max: int = 1000) -> Index:
    return Index(str(directory), revisions_max=revisions_max, boot="boot", was_clean=False)


def test_the_index_remembers_a_bounded_number_of_revisions(tmp_path: Path) -> None:
    index = index_in(tmp_path / "i", revisions_max=20)
    kept = digest_bytes(b"kept")
    index.admit([NewRow(named("kept"), Checksums(xxh128=kept), 4, sound=False)])
    for number in range(200):
        digest = digest_bytes(f"{number}".encode())
        index.admit([NewRow(named(f"r{number}"), Checksums(xxh128=digest), 1, sound=False)])
        index.remove([digest])
    assert index.current().revisions <= 21
    assert index.digest_of(named("r199")) is not None
    assert index.digest_of(named("r0")) is None
    assert index.find(named("kept"), Checksums(), 4) is not None
    index.close()


def test_totals_are_the_sums_of_the_rows_whatever_is_admitted_twice(tmp_path: Path) -> None:
    index = index_in(tmp_path / "i")
    one, two = Digest("1" * 32), Digest("2" * 32)
    index.admit([NewRow(named("a"), Checksums(xxh128=one), 10, sound=False)])
    index.admit([NewRow(named("b"), Checksums(xxh128=one), 10, sound=True)])
    index.admit([NewRow(named("a"), Checksums(xxh128=two), 5, sound=False)])
    totals = index.current()
    assert (totals.bytes, totals.files, totals.revisions) == (15, 2, 2)
    index.touch([(one, 1), (Digest("9" * 32), 1)])
    victims = index.choose(Lru(), Amount(15), 10, ())
    assert [victim.digest for victim in victims] == [two, one]
    index.remove([one, one])
    index.close()
    again = index_in(tmp_path / "i")
    totals = again.current()
    assert (totals.bytes, totals.files) == (5, 1)
    assert again.digest_of(named("b")) == one
    assert again.find(named("b"), Checksums(), 10) is None
    again.close()


async def test_an_index_that_breaks_while_serving_is_replaced_and_no_open_fails(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [content_of(KIB, number) for number in range(8)]
    revisions = [tier.add(f"f{number}", content) for number, content in enumerate(contents)]
    async with cache_in(tmp_path / "c") as cache:
        for revision in revisions:
            await keep(cache, tier, revision)

    def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with cache_in(tmp_path / "c") as cache:
        with monkeypatch.context() as patch:
            patch.setattr(Index, "find", broken)
            assert await read_all(cache, tier, revisions[0]) == contents[0]
        while cache.stats().files < len(revisions):
            await trio.lowlevel.checkpoint()
        reads = len(tier.reads)
        for revision, content in zip(revisions, contents, strict=True):
            assert await read_all(cache, tier, revision) == content
        assert len(tier.reads) == reads
    assert list((tmp_path / "c").glob("index.damaged-*"))
