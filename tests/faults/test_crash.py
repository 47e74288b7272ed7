"""A service that is killed at any moment, and two nodes that write the same path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.field import Reader
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20
SHOT = "render/xy_1_100_030_00_v005"


def _creations(gcs: GcsBucket, key: str) -> int:
    """Return how many versions of the object *key* were made."""
    operations = ("insert", "resumable_chunk", "multipart_complete")
    return sum(
        record.status == 200
        for operation in operations
        for record in gcs.requests(operation, object=key)
    )


def _close_dead(descriptor: int) -> None:
    """Close a file of a service that was killed: the kernel says that nobody heard of it."""
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.close(descriptor)


def _directory(node: ShotfsNode) -> Path:
    path = node.show / SHOT
    path.mkdir(exist_ok=True)
    return path


def test_s05_outputs_that_were_closed_before_a_kill_are_published_once_with_the_same_bytes(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    directory = _directory(gcs_node)
    gcs.server.go_down()
    frames = {f"beauty.{1001 + index}.exr": os.urandom(index * 400_000) for index in range(6)}
    for name, data in frames.items():
        scratch = directory / f"{name}.tmp"
        scratch.write_bytes(data)
        scratch.rename(directory / name)
    # One that was never closed, and a scratch file: neither is an output.
    unfinished = os.open(directory / "beauty.2000.exr", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(unfinished, b"half of a fra")
    (directory / "beauty.2001.exr.tmp").write_bytes(b"scratch")
    gcs_node.kill()
    _close_dead(unfinished)

    gcs_node.mount()
    # The mount does not wait for the queue: everything is there while the origin is still gone.
    for name, data in frames.items():
        assert (directory / name).read_bytes() == data
    gcs.server.come_up()
    gcs_node.wait_outputs_published()
    assert gcs.names() == [f"ant/{SHOT}/{name}" for name in sorted(frames)]
    for name, data in frames.items():
        assert gcs.read(f"ant/{SHOT}/{name}") == data
        assert _creations(gcs, f"ant/{SHOT}/{name}") == 1
        assert (directory / name).read_bytes() == data


def test_s05_a_kill_in_the_middle_of_an_upload_publishes_once(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    directory = _directory(gcs_node)
    data = os.urandom(MIB)
    # The store has it, but the node never hears of it.
    lost = gcs.fault(Fault("drop_reply", method="POST", times=None, bucket=gcs.bucket))
    stall = gcs.fault(Fault("stall", operation="stat", times=None, bucket=gcs.bucket))
    (directory / "beauty.1001.exr").write_bytes(data)
    lost.wait_hits()
    wait_until(lambda: gcs.names() != [])
    gcs_node.kill()
    lost.release()
    stall.release()
    generation = gcs.get(f"ant/{SHOT}/beauty.1001.exr").generation
    gcs_node.mount()
    gcs_node.wait_published()
    assert gcs.read(f"ant/{SHOT}/beauty.1001.exr") == data
    assert gcs.get(f"ant/{SHOT}/beauty.1001.exr").generation == generation
    assert (directory / "beauty.1001.exr").read_bytes() == data


def test_s05_a_kill_while_files_stream_in_leaves_a_cache_that_is_right(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    data = os.urandom(MIB) * 3
    gcs.put("ant/library/movie.mov", data)
    gcs.put("ant/library/oak.png", b"oak")
    assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    stall = gcs.fault(
        Fault("stall_reply", operation="read", after_bytes=MIB, times=None, bucket=gcs.bucket)
    )
    with Reader(gcs_node.show / "library/movie.mov"):
        stall.wait_hits()
        gcs_node.kill()
    stall.release()
    gcs_node.mount()
    assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    assert (gcs_node.show / "library/movie.mov").read_bytes() == data
    wait_until(lambda: os.listdir(gcs_node.directory / "cache/partials") == [])


def _write_on_both(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, name: str, one: bytes, other: bytes
) -> tuple[ShotfsNode, ShotfsNode]:
    """Let two nodes write *name* at the same time; the first one closes and publishes first."""
    nodes = (new_gcs_node().mount(), new_gcs_node().mount())
    files = []
    for node, data in zip(nodes, (one, other), strict=True):
        (node.show / name).parent.mkdir(exist_ok=True)
        file = open(node.show / name, "wb")  # noqa: SIM115  # closed below, in order
        file.write(data)
        file.flush()
        files.append(file)
    files[0].close()
    nodes[0].wait_published()
    assert gcs.read(f"ant/{name}") == one
    files[1].close()
    return nodes


def test_s18_two_nodes_that_write_the_same_bytes_both_succeed(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    name = f"{SHOT}/beauty.1001.exr"
    nodes = _write_on_both(new_gcs_node, gcs, name, b"pixels", b"pixels")
    for node in nodes:
        node.wait_published()
        assert (node.show / name).read_bytes() == b"pixels"
    assert _creations(gcs, f"ant/{name}") == 1


def test_s18_of_two_nodes_that_write_other_bytes_the_first_wins_everywhere(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    name = f"{SHOT}/beauty.1001.exr"
    nodes = _write_on_both(new_gcs_node, gcs, name, b"winner", b"late, and longer")
    waiting = nodes[1].wait_queue(state="quarantined")
    assert waiting[0]["path"] == f"ant/{name}"
    assert "other bytes" in waiting[0]["error"]
    assert gcs.read(f"ant/{name}") == b"winner"
    # The kernel may keep what it knew of a file in the spool for a second.
    wait_until(lambda: (nodes[1].show / name).stat().st_size == len(b"winner"))
    for node in nodes:
        assert (node.show / name).read_bytes() == b"winner"
    kept = nodes[1].directory / "cache/spool/quarantine"
    assert [path.read_bytes() for path in kept.iterdir()] == [b"late, and longer"]
    assert f"ant/{name}" in nodes[1].command("publish", "queue").stdout
    assert nodes[0].queue() == []


def test_s18_a_mutable_file_is_replaced_only_if_it_still_is_what_was_opened(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    name = "config/scene.json"
    gcs.put(f"ant/{name}", b"first")
    nodes = (new_gcs_node().mount(), new_gcs_node().mount())
    with open(nodes[1].show / name, "ab") as late:
        late.write(b" and late")
        (nodes[0].show / name).write_bytes(b"second")
        nodes[0].wait_published()
    nodes[1].wait_queue(state="quarantined")
    assert gcs.read(f"ant/{name}") == b"second"
    wait_until(lambda: (nodes[1].show / name).stat().st_size == len(b"second"))
    assert (nodes[1].show / name).read_bytes() == b"second"
