"""Who asks, through a real mount: crawlers are slowed down, and jobs are told apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

DIRECTORIES = 30

FEW = """
[mount]
listings_per_s = 20
listings_burst = 10
"""


def _tree(origin: Path) -> None:
    for number in range(DIRECTORIES):
        directory = origin / "library" / f"d{number:02}"
        directory.mkdir(parents=True)
        (directory / "oak.png").write_bytes(b"oak")


def test_find_is_slowed_down_and_reported_and_others_list_as_ever(
    new_node: NewNode, origin: Path
) -> None:
    _tree(origin)
    node = new_node(f"file://{origin}", settings=FEW).mount()
    found = subprocess.run(
        ["find", str(node.show / "library"), "-name", "oak.png"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert len(found.stdout.splitlines()) == DIRECTORIES, "slowness, and no errors"
    slowed = node.metric("shotfs_listings_slowed_total")
    assert slowed > 0
    node.wait_logged("WARN", "(find, uid", "directories of origins", "ant/library/d")
    # Another process has its own burst.
    os.listdir(node.show / "library")
    assert node.metric("shotfs_listings_slowed_total") == slowed
    # What was listed is listed from memory: once more, at no cost.
    subprocess.run(
        ["find", str(node.show / "library")], capture_output=True, check=True, timeout=60
    )
    assert node.metric("shotfs_listings_slowed_total") == slowed


def test_a_renderer_that_lists_a_few_directories_never_feels_it(
    new_node: NewNode, origin: Path
) -> None:
    _tree(origin)
    node = new_node(f"file://{origin}").mount()
    for number in range(DIRECTORIES):
        assert os.listdir(node.show / "library" / f"d{number:02}") == ["oak.png"]
    assert node.metric("shotfs_listings_slowed_total") == 0
    assert node.metric("shotfs_listings_slowed_seconds_total") == 0


@pytest.mark.skipif(os.getuid() != 0, reason="whose environment may be read depends on the user")
def test_a_cold_read_is_known_by_its_process_and_job(new_node: NewNode, gcs: GcsBucket) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    node = new_node(f"gs://{gcs.bucket}/ant", settings=gcs_settings(gcs)).mount()
    assert (node.show / "library/oak.png").stat().st_size == 3
    stall = gcs.fault(Fault("stall", operation="read", times=None, bucket=gcs.bucket))
    reader = _reader(node, node.show / "library/oak.png", job="ant/xy_010 #17")
    try:
        stall.wait_hits()
        told = node.command("why", str(node.show / "library/oak.png")).stdout
        assert f"pid {reader.pid}, job ant/xy_010 #17" in told
    finally:
        stall.release()
        reader.communicate(timeout=30)
    assert reader.returncode == 0


def _reader(node: ShotfsNode, path: Path, *, job: str) -> subprocess.Popen[bytes]:
    # In a thread: the kernel names threads, and people mean processes.
    code = (
        "import sys, threading; thread = threading.Thread(target=lambda: open(sys.argv[1]).read());"
        " thread.start(); thread.join()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "SHOTFS_JOB": job}
    )


def test_fill_says_what_is_fetched_beside_what_is_read(new_node: NewNode, gcs: GcsBucket) -> None:
    templates = {
        "ranges": {"path": "ranges/{name}.vdb", "immutable": "on-close", "fill": "ranges"},
        "whole": {"path": "whole/{name}.vdb", "immutable": "on-close", "fill": "whole"},
    }
    data = os.urandom(1 << 20) * 32
    for name in templates:
        gcs.put(f"ant/{name}/sim.vdb", data)
    node = new_node(
        f"gs://{gcs.bucket}/ant",
        spec={**SPEC, "templates": templates},
        settings=gcs_settings(gcs),
    ).mount()
    for name in templates:
        with open(node.show / name / "sim.vdb", "rb", buffering=0) as file:
            assert os.pread(file.fileno(), 4096, 20 << 20) == data[20 << 20 : (20 << 20) + 4096]
            if name == "whole":
                wait_cached(node, node.show / name / "sim.vdb")
            else:
                read = node.metric("shotfs_tier_read_bytes_total")
    assert read < len(data) // 2


def wait_cached(node: ShotfsNode, path: Path) -> None:
    """Wait until the whole of *path* is in the cache."""
    wait_until(lambda: node.xattr(path, "state") == "cached")
