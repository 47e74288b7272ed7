"""What this node keeps of the origins' own objects."""

from __future__ import annotations

import os
from pathlib import Path

from shotfs.namespace.records import Records


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in files(directory))


def make_older(directory: Path) -> None:
    for path in files(directory):
        os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))


async def test_keeps_what_was_written_for_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    await Records(str(directory)).write("alias gs://b x", b"one\ntwo")
    await Records(str(directory)).write("alias gs://b x", b"three\n")
    assert await Records(str(directory)).read("alias gs://b x") == b"three\n"
    assert await Records(str(directory)).read("alias gs://b y") is None
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_forgets(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    await records.write("a", b"1")
    await records.forget("a")
    await records.forget("a")
    assert await records.read("a") is None


async def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    await records.write("a", b"content")
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for broken in (b"", whole[:-1], whole + b"x", whole.replace(b"content", b"Content")):
        path.write_bytes(broken)
        assert await records.read("a") is None


async def test_the_oldest_go_when_there_is_no_room(tmp_path: Path) -> None:
    records = Records(str(tmp_path), bytes_max=10_000)
    for number in range(20):
        await records.write(str(number), b"x" * 1_000)
        make_older(tmp_path)
    assert size(tmp_path) <= 10_000
    assert await records.read("19") is not None
    assert await records.read("0") is None


async def test_a_record_that_fits_nowhere_is_not_kept(tmp_path: Path) -> None:
    records = Records(str(tmp_path), bytes_max=10)
    await records.write("a", b"x" * 11)
    assert await records.read("a") is None
    assert files(tmp_path) == []


async def test_a_disk_that_refuses_costs_the_record_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    records = Records(str(tmp_path / "file" / "below"))
    await records.write("a", b"1")
    assert await records.read("a") is None
