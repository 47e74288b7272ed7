"""Disks that are full: the cache streams without keeping, the spool says ENOSPC (S8)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.disk import SmallDisk
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20
SHOT = "render/xy_1_100_030_00_v005"
NewDisk = Callable[[int], SmallDisk]


def _cache_on(disk: SmallDisk) -> str:
    return f'[cache]\ndirectory = "{disk.path}/cache"\n[network]\nrange_bytes = 1048576\n'


def test_s08_a_file_larger_than_the_cache_s_disk_is_streamed(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, small_disk: NewDisk
) -> None:
    node = new_gcs_node(_cache_on(small_disk(8 * MIB))).mount()
    data = os.urandom(MIB) * 12
    gcs.put("ant/library/movie.mov", data)
    path = node.show / "library/movie.mov"
    assert path.read_bytes() == data
    assert node.xattr(path, "state") == "remote"
    assert node.status()["cache"]["bytes"] == 0


def test_s08_a_cache_over_its_limit_evicts_and_streams_without_an_error(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node("[cache]\nbytes_max = 5242880\n").mount()
    names = [f"library/{index}.png" for index in range(8)]
    for name in names:
        gcs.put(f"ant/{name}", name.encode().ljust(MIB, b"."))
    held = [open(node.show / name, "rb") for name in names]  # noqa: SIM115  # closed below
    try:
        for name, file in zip(names, held, strict=True):
            assert file.read() == name.encode().ljust(MIB, b".")
        assert node.status()["cache"]["bytes"] <= 5 * MIB
    finally:
        for file in held:
            file.close()
    for name in names:
        assert (node.show / name).read_bytes() == name.encode().ljust(MIB, b".")
    assert node.status()["cache"]["bytes"] <= 5 * MIB


def test_s08_a_disk_that_fills_up_while_a_file_streams_in_is_no_error_to_its_reader(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, small_disk: NewDisk
) -> None:
    disk = small_disk(24 * MIB)
    node = new_gcs_node(_cache_on(disk)).mount()
    data = os.urandom(MIB) * 12
    gcs.put("ant/library/movie.mov", data)
    gcs.put("ant/library/oak.png", b"oak")
    path = node.show / "library/movie.mov"
    hold = gcs.fault(Fault("stall", operation="read", skip=4, times=None, bucket=gcs.bucket))
    with open(path, "rb", buffering=0) as reader:
        start = reader.read(4096)
        hold.wait_hits()
        disk.fill()
        hold.release()
        assert start + _read_all(reader) == data
    # Nothing can be kept now, neither content nor what is known of paths, and all can be read.
    assert (node.show / "library/oak.png").read_bytes() == b"oak"
    assert path.read_bytes() == data
    disk.make_room()
    wait_until(
        lambda: _read_anew(path) == data and node.xattr(path, "state") == "cached",
    )


def _read_anew(path: Path) -> bytes:
    """Read *path* without the kernel's pages of it: what comes from them is not fetched again."""
    with open(path, "rb", buffering=0) as reader:
        os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _read_all(reader)


def _read_all(reader: object) -> bytes:
    return b"".join(iter(lambda: reader.read(MIB), b""))  # type: ignore[attr-defined]


def _spool_settings(kind: str, small_disk: NewDisk) -> str:
    if kind == "limit":
        return "[spool]\nbytes_max = 8388608\n"
    return f'[spool]\ndirectory = "{small_disk(8 * MIB).path}/spool"\n'


@pytest.mark.parametrize("kind", ["limit", "disk"])
def test_s08_a_full_spool_is_enospc_and_no_part_of_the_frame_is_published(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, small_disk: NewDisk, kind: str
) -> None:
    node = new_gcs_node(_spool_settings(kind, small_disk)).mount()
    directory = node.show / SHOT
    directory.mkdir()
    path = directory / "beauty.1001.exr"
    assert _write(path, 12 * MIB) == [errno.ENOSPC, errno.ENOSPC], "write and close both say it"
    waiting = node.wait_queue(state="failed")
    assert "spool" in waiting[0]["error"]
    listed = node.command("publish", "queue").stdout
    assert "beauty.1001.exr" in listed
    assert "failed" in listed
    assert gcs.names() == []

    # The next try, with the same name and with another one.
    assert _write(path, MIB) == []
    assert _write(directory / "beauty.1002.exr", MIB) == []
    node.wait_published()
    assert gcs.names() == [f"ant/{SHOT}/beauty.{frame}.exr" for frame in (1001, 1002)]
    assert gcs.read(f"ant/{SHOT}/beauty.1001.exr") == b"." * MIB


def _write(path: Path, size_bytes: int) -> list[int]:
    """Write *path* in pieces, and close it; return the errnos that this gave."""
    errnos = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        for _ in range(size_bytes // MIB):
            assert os.write(descriptor, b"." * MIB) == MIB
    except OSError as exc:
        errnos.append(exc.errno or 0)
    try:
        os.close(descriptor)
    except OSError as exc:
        errnos.append(exc.errno or 0)
    return errnos


def test_s08_df_shows_what_can_still_be_written(
    new_gcs_node: NewGcsNode, small_disk: NewDisk
) -> None:
    node = new_gcs_node(_spool_settings("disk", small_disk)).mount()
    space = os.statvfs(node.show)
    assert 4 * MIB < space.f_bavail * space.f_frsize <= 8 * MIB


@pytest.mark.parametrize("before", ["never mounted", "mounted before"])
@pytest.mark.parametrize("section", ["cache", "spool"])
def test_a_full_disk_at_mount_is_told_with_its_directory_and_nothing_is_lost(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, small_disk: NewDisk, section: str, before: str
) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    disk = small_disk(4 * MIB)
    place = f"{disk.path}/{section}"
    node: ShotfsNode = new_gcs_node(f'[{section}]\ndirectory = "{place}"\n')
    if before == "mounted before":
        node.mount()
        assert (node.show / "library/oak.png").read_bytes() == b"oak"
        node.unmount()
    disk.fill()
    done = node.command("mount", str(node.mountpoint), check=False)
    assert done.returncode == 5, done.stderr
    assert place in done.stderr
    assert "fix: " in done.stderr
    disk.make_room()
    node.mount()
    if before == "mounted before":
        assert node.xattr(node.show / "library/oak.png", "state") == "cached"
    assert (node.show / "library/oak.png").read_bytes() == b"oak"
