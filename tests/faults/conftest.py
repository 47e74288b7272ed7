"""Fixtures of the fault tests: real nodes that give up quickly, and small disks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.disk import FailingDisk, SmallDisk
from tests.faults.surroundings import Surroundings, compiler
from tests.fuse.conftest import (  # fixtures, too
    NewNode,
    gcs_settings,
    new_node,  # noqa: F401
    node,  # noqa: F401
    origin,  # noqa: F401
)
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

REQUEST_DEADLINE_S = 4.0
"""What an application waits for at most in these tests."""

IMPATIENT = f"""
[mount]
request_deadline_s = {REQUEST_DEADLINE_S}
[network]
attempts_max = 2
backoff_s = 0.05
backoff_s_max = 0.2
metadata_timeout_s = 2
progress_timeout_s = 2
"""
"""Settings of a node that gives up as soon as a test can afford: two attempts, a few seconds."""

NewGcsNode = Callable[..., ShotfsNode]


@pytest.fixture
def new_gcs_node(new_node: NewNode, gcs: GcsBucket) -> NewGcsNode:  # noqa: F811  # the fixture
    """Return a function that makes an impatient node (not mounted) of the bucket `gcs`."""

    def make(settings: str = "") -> ShotfsNode:
        return new_node(
            f"gs://{gcs.bucket}/ant", settings=f"{IMPATIENT}{gcs_settings(gcs)}{settings}"
        )

    return make


@pytest.fixture
def gcs_node(new_gcs_node: NewGcsNode) -> ShotfsNode:
    """A mounted, impatient node of the bucket `gcs`."""
    return new_gcs_node().mount()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], SmallDisk]]:
    """Return a function that mounts a file system of so many bytes; skips where that is refused."""
    with ExitStack() as stack:

        def make(size_bytes: int) -> SmallDisk:
            disk = SmallDisk(tmp_path / "disk", size_bytes)
            try:
                stack.enter_context(disk)
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"a tmpfs cannot be mounted here: {exc.stderr}")
            return disk

        yield make


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """What nodes that are mounted from now on believe of host names and of the time."""
    if compiler() is None:
        pytest.skip("no C compiler (Debian: gcc)")
    return Surroundings(tmp_path, monkeypatch)


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[FailingDisk]:
    """A mounted ext4 of 64 MiB that can fail; skips where that is refused."""
    disk = FailingDisk(tmp_path / "disk", 64 << 20)
    with ExitStack() as stack:
        try:
            stack.enter_context(disk)
        except (subprocess.CalledProcessError, FileNotFoundError) as exc:
            pytest.skip(f"an ext4 cannot be made and mounted here: {exc}")
        yield disk
