"""An origin that is away: at mount, while mounted, and when it comes back."""

from __future__ import annotations

import errno
import os
import time

import pytest

from tests.faults.conftest import REQUEST_DEADLINE_S, NewGcsNode
from tests.faults.processes import cat, errno_of
from tests.fuse.node import ShotfsNode
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SLACK_S = 5.0
"""What a busy machine may add to a deadline."""


SHOT = "render/xy_1_100_030_00_v005"


def test_s07_an_origin_that_is_down_at_mount_is_a_warning_and_cached_files_work(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    cached = ["library/wood/oak.png", f"{SHOT}/beauty.1001.exr"]
    for name in (*cached, "library/wood/elm.png"):
        gcs.put(f"ant/{name}", name.encode())
    node = new_gcs_node().mount()
    for name in cached:
        assert (node.show / name).read_bytes() == name.encode()
    node.unmount()
    gcs.server.go_down()
    node.mount()
    node.wait_logged("WARN", "origin unreachable; what is cached still works", gcs.endpoint)
    for name in cached:
        assert (node.show / name).read_bytes() == name.encode()
    assert errno_of(cat(node.show / "library/wood/elm.png"), timeout_s=30) == errno.ENETDOWN
    gcs.server.come_up()
    assert (node.show / "library/wood/elm.png").read_bytes() == b"library/wood/elm.png"


def test_s07_an_origin_that_goes_down_while_mounted_is_enetdown_until_it_is_back(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    library = gcs_node.show / "library"
    for name in ("oak", "elm"):
        gcs.put(f"ant/library/{name}.png", name.encode())
    assert (library / "oak.png").read_bytes() == b"oak"
    assert (library / "elm.png").stat().st_size == 3
    gcs.server.go_down()

    assert (library / "oak.png").read_bytes() == b"oak"
    started = time.monotonic()
    for name in ("elm.png", "ash.png"):
        # One was looked up before, of the other nothing is known.
        assert errno_of(cat(library / name), timeout_s=30) == errno.ENETDOWN
    with pytest.raises(OSError, match="Network is down"):
        os.listdir(library)
    assert time.monotonic() - started < REQUEST_DEADLINE_S + SLACK_S
    gcs_node.wait_logged("WARN", f"gs://{gcs.bucket}/ant", "operation=")

    gcs.server.come_up()
    assert (library / "elm.png").read_bytes() == b"elm"
    assert sorted(os.listdir(library)) == ["elm.png", "oak.png"]


def test_s07_outputs_go_on_while_the_origin_is_gone_and_are_published_when_it_is_back(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    directory = gcs_node.show / SHOT
    directory.mkdir()
    gcs.server.go_down()
    for frame in range(1001, 1004):
        scratch = directory / f"beauty.{frame}.exr.tmp"
        scratch.write_bytes(b"frame %d" % frame)
        scratch.rename(directory / f"beauty.{frame}.exr")
    assert (directory / "beauty.1002.exr").read_bytes() == b"frame 1002"
    waiting = gcs_node.queue()
    assert len(waiting) == 3
    # A directory that was not made here may exist in the origin: the truth is that nobody knows.
    with pytest.raises(OSError, match="Network is down"):
        (gcs_node.show / "render/xy_1_100_030_00_v006").mkdir()
    gcs.server.come_up()
    gcs_node.wait_published()
    assert gcs.names() == [f"ant/{SHOT}/beauty.{frame}.exr" for frame in range(1001, 1004)]
    assert gcs.read(f"ant/{SHOT}/beauty.1003.exr") == b"frame 1003"


def test_s07_cached_files_stay_fast_while_their_directory_cannot_be_asked_about(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    gcs.put(f"ant/{SHOT}/beauty.1001.exr", b"frame")
    node = new_gcs_node().mount()
    assert (node.show / SHOT / "beauty.1001.exr").read_bytes() == b"frame"
    node.remount()
    stall = gcs.fault(Fault("stall", operation="list", times=None, bucket=gcs.bucket))
    started = time.monotonic()
    assert (node.show / SHOT / "beauty.1001.exr").read_bytes() == b"frame"
    assert time.monotonic() - started < REQUEST_DEADLINE_S / 2
    assert stall.hits >= 1


def test_a_bucket_that_goes_away_while_mounted_is_enxio_and_its_name_is_logged(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    gcs.server.store.delete_bucket(gcs.bucket, force=True)
    try:
        assert errno_of(cat(gcs_node.show / "library/elm.png"), timeout_s=30) == errno.ENXIO
        gcs_node.wait_logged("WARN", f"gs://{gcs.bucket}/ant does not exist")
        assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    finally:
        gcs.server.store.create_bucket(gcs.bucket)
    gcs.put("ant/library/elm.png", b"elm")
    assert (gcs_node.show / "library/elm.png").read_bytes() == b"elm"
