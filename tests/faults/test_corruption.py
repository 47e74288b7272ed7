"""Bytes that arrive wrong (S6): fetched once more, and never served to a later open."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import xxhash

from tests.faults.conftest import NewGcsNode
from tests.faults.processes import cat, errno_of
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20
SMALL_RANGES = "[network]\nrange_bytes = 1048576\n"
SHOT = "render/xy_1_100_030_00_v005"


def _corrupt(gcs: GcsBucket, *, times: int | None) -> Fault:
    return Fault(
        "corrupt", operation="read", object="ant/.*", times=times, after_bytes=1, bucket=gcs.bucket
    )


def test_s06_corrupt_bytes_of_a_small_file_are_fetched_again_and_nobody_sees_them(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/oak.png", b"right bytes")
    fault = gcs.fault(_corrupt(gcs, times=1))
    path = gcs_node.show / "library/oak.png"
    assert path.read_bytes() == b"right bytes"
    assert fault.hits == 1
    assert gcs.sent_bytes("ant/library/oak.png") == 2 * len(b"right bytes")
    assert gcs_node.metric("shotfs_cache_verify_failures_total") == 1
    assert gcs_node.xattr(path, "digest") == xxhash.xxh3_128_hexdigest(b"right bytes")


def test_s06_a_small_file_that_is_corrupt_for_ever_is_eio_until_it_is_mended(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/oak.png", b"right bytes")
    gcs.fault(_corrupt(gcs, times=None))
    path = gcs_node.show / "library/oak.png"
    for _ in range(3):
        assert errno_of(cat(path), timeout_s=30) == errno.EIO
    # Each wall of nodes would fetch it again and again.
    assert gcs.sent_bytes("ant/library/oak.png") == 2 * len(b"right bytes")
    assert gcs_node.xattr(path, "state") != "cached"
    gcs_node.wait_logged("ERROR", "does not match", "library/oak.png")
    # A new version is another revision, and is served at once.
    gcs.server.faults.clear()
    gcs.put("ant/library/oak.png", b"mended bytes")
    gcs_node.remount()
    wait_until(lambda: errno_of(cat(path), timeout_s=30) in (0, errno.ESTALE))
    assert path.read_bytes() == b"mended bytes"


def _read_until_it_fails(path: Path) -> tuple[bytes, int]:
    """Read *path* through one descriptor; return what was seen and the errno, 0 for none.

    The open itself may fail: another inode was looked up before the last attempt went wrong.
    """
    seen = bytearray()
    try:
        with open(path, "rb", buffering=0) as file:
            while data := file.read(MIB):
                seen += data
    except OSError as exc:
        return bytes(seen), exc.errno or 0
    return bytes(seen), 0


def test_s06_corrupt_bytes_of_a_large_file_never_reach_a_later_open(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node(SMALL_RANGES).mount()
    data = os.urandom(MIB) * 8
    gcs.put("ant/library/movie.mov", data)
    fault = gcs.fault(_corrupt(gcs, times=None))
    path = node.show / "library/movie.mov"
    # The last part is held, so that a reader certainly sees what is not verified yet.
    hold = gcs.fault(Fault("stall", operation="read", skip=7, bucket=gcs.bucket))
    with open(path, "rb", buffering=0) as early:
        assert early.read(MIB) != data[:MIB]
        hold.wait_hits()
        fault.release()
        hold.release()
        wait_until(lambda: node.metric("shotfs_cache_verify_failures_total") == 1)
        for _ in range(3):
            assert path.read_bytes() == data
        for offset in (0, 4 * MIB):
            # Never right bytes either: this reader has wrong ones already.
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(early.fileno(), MIB, offset)
    # The last byte is served before the whole is verified.
    wait_until(lambda: node.xattr(path, "state") == "cached")
    assert node.xattr(path, "digest") == xxhash.xxh3_128_hexdigest(data)


def test_s06_a_large_file_that_is_corrupt_for_ever_is_eio_and_leaves_no_pages(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node(SMALL_RANGES).mount()
    data = os.urandom(MIB) * 4
    gcs.put("ant/library/movie.mov", data)
    gcs.fault(_corrupt(gcs, times=None))
    path = node.show / "library/movie.mov"
    wait_until(lambda: _read_until_it_fails(path)[1] == errno.EIO)
    wait_until(lambda: node.metric("shotfs_cache_verify_failures_total") >= 2)
    wait_until(lambda: _read_until_it_fails(path) == (b"", errno.EIO))  # the pages are dropped
    for _ in range(3):
        seen, number = _read_until_it_fails(path)
        assert (seen, number) == (b"", errno.EIO), "pages of a corrupt file were served again"


def test_s06_corrupt_bytes_of_an_output_that_was_made_here_leave_no_pages_either(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    # A file that this node published keeps the inode that it had in the spool.
    node = new_gcs_node(SMALL_RANGES).mount()
    data = os.urandom(MIB) * 4
    path = node.show / SHOT / "beauty.1001.exr"
    path.parent.mkdir()
    path.write_bytes(data)
    node.wait_published()
    inode = path.stat().st_ino
    node.remount()
    node.command("cache", "evict", "--all")
    assert path.stat().st_ino == inode
    gcs.fault(_corrupt(gcs, times=None))
    wait_until(lambda: _read_until_it_fails(path)[1] == errno.EIO)
    wait_until(lambda: node.metric("shotfs_cache_verify_failures_total") >= 2)
    wait_until(lambda: path.stat().st_ino != inode)
    wait_until(lambda: _read_until_it_fails(path) == (b"", errno.EIO))
    for _ in range(3):
        assert _read_until_it_fails(path) == (b"", errno.EIO)


def test_s06_bytes_that_are_cut_off_are_asked_for_again(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    data = os.urandom(3 * MIB)
    gcs.put("ant/library/oak.png", data)
    for kind in ("cut_reply", "truncate"):
        gcs.fault(
            Fault(kind, operation="read", after_bytes=MIB, bucket=gcs.bucket)  # type: ignore[arg-type]  # of the words above
        )
    assert (gcs_node.show / "library/oak.png").read_bytes() == data
