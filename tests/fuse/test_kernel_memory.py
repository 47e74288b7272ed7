"""What the kernel remembers of a mount, and that it is told when something else holds."""

from __future__ import annotations

import errno
import os
import platform
import stat
import subprocess
from typing import Any

import pytest

from shotfs.control.client import Client
from tests.faults.processes import cat, errno_of
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC as SHOW
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.faults import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SPEC: dict[str, Any] = {
    **SHOW,
    "defaults": {"origin": "main", "ttl": "1h", "negative_ttl": "1h"},
    "fields": {
        **SHOW["fields"],
        "version": {"type": "version", "scheme": "v%03d", "aliases": ["approved"]},
    },
    "templates": {
        **SHOW["templates"],
        "config": {"path": "config/{name}.json", "flow": "inout", "ttl": "1h"},
        "takes": {
            "path": "takes/{seq}_{version}/{name}.txt",
            "flow": "out",
            "immutable": "on-version-publish",
        },
        "setups": {"path": "{name}.nk", "flow": "in", "ttl": "1h"},
        "plates": {"path": "plates/{seq}_{version}/{name}.txt", "flow": "out", "ttl": "1s"},
    },
}
"""The kernel may keep everything for an hour, but aliases of plates for a second."""

EPOCHS = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 16)
"""Whether this kernel can forget all names of a mount at once, without waiting."""


@pytest.fixture
def node(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    return _node(new_node, gcs)


def _node(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    settings = gcs_settings(gcs)
    return new_node(f"gs://{gcs.bucket}/ant", spec=SPEC, settings=settings).mount()


def _upcalls(node: ShotfsNode, operation: str) -> int:
    with Client(node.socket) as client:
        lines = client.metrics_text().splitlines()
    name = f'shotfs_upcalls_total{{op="{operation}"}}'
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(name))


def _target_of(descriptor: int) -> str | int | None:
    """Return where the open symbolic link points, or the errno of asking."""
    try:
        return os.readlink("", dir_fd=descriptor)
    except OSError as exc:
        return exc.errno


# --- symbolic links, whose targets the kernel keeps ----------------------------------------------


def test_where_a_link_points_is_asked_for_once(node: ShotfsNode, gcs: GcsBucket) -> None:
    gcs.put("ant/takes/xy_v001/a.txt", b"first")
    node.command("version", "alias", "ant/takes/xy_approved", "v001")
    link = node.show / "takes/xy_approved"
    assert (link / "a.txt").read_bytes() == b"first"
    before = _upcalls(node, "readlink")
    assert before == 1
    for _ in range(10):
        assert os.readlink(link) == "xy_v001"
        assert (link / "a.txt").read_bytes() == b"first"
    assert _upcalls(node, "readlink") == before


def test_s03_an_alias_that_moved_on_this_node_is_never_read_stale(
    node: ShotfsNode, gcs: GcsBucket
) -> None:
    for version in ("v001", "v002"):
        gcs.put(f"ant/takes/xy_{version}/a.txt", version.encode())
    link = node.show / "takes/xy_approved"
    inodes = set()
    for version in ("v001", "v002", "v001", "v002"):
        node.command("version", "alias", "ant/takes/xy_approved", version)
        for _ in range(2):
            assert os.readlink(link) == f"xy_{version}"
            assert (link / "a.txt").read_bytes() == version.encode()
        inodes.add(os.lstat(link).st_ino)
    assert len(inodes) == 4, "each move is another inode, also one back to where it was"


def test_s03_an_alias_that_moved_elsewhere_is_read_fresh_after_its_ttl(
    node: ShotfsNode, new_node: NewNode, gcs: GcsBucket
) -> None:
    other = _node(new_node, gcs)
    for version in ("v001", "v002"):
        gcs.put(f"ant/plates/xy_{version}/a.txt", version.encode())
    node.command("version", "alias", "ant/plates/xy_approved", "v001")
    link = other.show / "plates/xy_approved"
    assert os.readlink(link) == "xy_v001"
    before = os.lstat(link).st_ino
    held = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    try:
        node.command("version", "alias", "ant/plates/xy_approved", "v002")
        wait_until(lambda: os.readlink(link) == "xy_v002")
        assert (link / "a.txt").read_bytes() == b"v002"
        # Where its page was reclaimed meanwhile, nobody knows any more where that inode pointed.
        assert _target_of(held) in ("xy_v001", errno.ESTALE), "an inode never points elsewhere"
        assert os.lstat(link).st_ino != before
    finally:
        os.close(held)


def test_a_link_that_is_replaced_here_points_to_its_new_target_at_once(node: ShotfsNode) -> None:
    notes = node.show / "notes"
    link, fresh = notes / "current", notes / "fresh"
    link.symlink_to("a")
    assert os.readlink(link) == "a"
    inodes = {os.lstat(link).st_ino}
    for target in ("b", "ccc", "a"):
        link.unlink()
        link.symlink_to(target)
        assert os.readlink(link) == target
        inodes.add(os.lstat(link).st_ino)
        fresh.symlink_to(f"{target}-renamed")
        assert os.readlink(fresh) == f"{target}-renamed"
        fresh.rename(link)
        assert os.readlink(link) == f"{target}-renamed"
        assert os.lstat(link).st_size == len(target) + 8
        inodes.add(os.lstat(link).st_ino)
    assert len(inodes) == 7


def test_a_link_that_was_replaced_before_it_was_read_keeps_no_target_of_another(
    node: ShotfsNode,
) -> None:
    link = node.show / "notes/current"
    link.symlink_to("a")
    held = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    try:
        link.unlink()
        link.symlink_to("b")
        assert os.readlink(link) == "b"
        with pytest.RaisesExc(OSError, check=lambda exc: exc.errno == errno.ESTALE):
            os.readlink("", dir_fd=held)
    finally:
        os.close(held)


# --- what this node is told of -------------------------------------------------------------------


def test_s03_what_a_refresh_finds_is_seen_at_once_also_of_a_file_in_use(
    node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/config/scene.json", b"first")
    path, missing = node.show / "config/scene.json", node.show / "config/new.json"
    assert not missing.exists()
    with path.open("rb") as held:
        assert held.read() == b"first"
        before = path.stat()
        gcs.put("ant/config/scene.json", b"second take")
        gcs.put("ant/config/new.json", b"new")
        assert path.read_bytes() == b"first", "within its ttl nobody asks"
        node.command("refresh", str(path))
        node.command("refresh", str(missing))
        assert path.read_bytes() == b"second take"
        assert path.stat().st_size == 11
        assert path.stat().st_ino != before.st_ino
        assert missing.read_bytes() == b"new"
        held.seek(0)
        assert held.read() == b"first", "a descriptor never mixes two revisions"


def test_a_refresh_of_a_show_makes_the_kernel_forget_what_was_missing_in_it(
    node: ShotfsNode, gcs: GcsBucket
) -> None:
    path = node.show / "setup.nk"
    assert not path.exists()
    assert path.name not in os.listdir(node.show)
    gcs.put("ant/setup.nk", b"nodes")
    assert not path.exists(), "within its negative ttl nobody asks"
    assert path.name not in os.listdir(node.show)
    node.command("refresh", str(node.show))
    assert path.read_bytes() == b"nodes"
    assert path.name in os.listdir(node.show)


def test_s16_a_version_that_is_published_shows_at_once_what_holds_from_now_on(
    node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/takes/xy_v001/a.txt", b"a")
    gcs.put("ant/takes/xy_v001/b.txt", b"b")
    version = node.show / "takes/xy_v001"
    with (version / "a.txt").open("rb") as held:
        for name in ("a.txt", "b.txt"):
            assert stat.S_IMODE((version / name).stat().st_mode) == 0o644
        assert stat.S_IMODE(version.stat().st_mode) & 0o200
        node.command("version", "publish", "ant/takes/xy_v001")
        shown = {entry.name: entry.stat().st_mode for entry in os.scandir(version)}
        assert shown == dict.fromkeys(("a.txt", "b.txt"), stat.S_IFREG | 292)
        for name in ("a.txt", "b.txt"):
            assert stat.S_IMODE((version / name).stat().st_mode) == 0o444
        assert not stat.S_IMODE(version.stat().st_mode) & 0o222
        assert held.read() == b"a"


@pytest.mark.skipif(not EPOCHS, reason="before Linux 6.16 forgetting a name waits for look-ups")
def test_s07_forgetting_a_name_waits_for_no_look_up_of_a_stalled_origin(
    node: ShotfsNode, gcs: GcsBucket
) -> None:
    for name in ("warm", "cold"):
        gcs.put(f"ant/library/{name}.png", name.encode())
    library = node.show / "library"
    assert (library / "warm.png").read_bytes() == b"warm"
    stall = gcs.fault(Fault("stall", operation="stat", object="ant/library/unseen.*", times=None))
    waiting = cat(library / "unseen.png")
    stall.wait_hits(1)
    try:
        node.command("refresh", str(library / "warm.png"))
        # A name that the kernel has never heard of: its look-up needs the directory's lock.
        cold = subprocess.run(
            ["cat", str(library / "cold.png")], capture_output=True, check=True, timeout=30
        )
        assert cold.stdout == b"cold"
        assert (library / "warm.png").read_bytes() == b"warm"
        assert waiting.poll() is None, "its origin still does not answer"
    finally:
        stall.release()
        found = errno_of(waiting, timeout_s=60)
    assert found == errno.ENOENT
