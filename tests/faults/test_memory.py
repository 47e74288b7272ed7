"""The service's memory while much is streamed (S10): bounded by settings, not by what is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.disk import SmallDisk
from tests.faults.processes import cat, errnos_of
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20

FILE_BYTES = 256 * MIB
SMALL_FILE_BYTES = 32 * MIB
READERS = 12

GROWTH_BYTES_MAX = 160 * MIB
"""What streaming may add: requests under way and windows (engine.py: 128 and 64 MiB at most, and
these are not both full), libraries that are imported at first use. Far below what is streamed."""


def _sparse(path: Path, size_bytes: int) -> str:
    """Make a file that costs no disk; the server sends it without a copy."""
    path.touch()
    os.truncate(path, size_bytes)
    return str(path)


def _peak_growth(node: ShotfsNode, names: list[str]) -> int:
    """Read all *names* at the same time; return by how much memory grew at its peak."""
    before = node.memory_bytes()
    readers = [cat(node.show / name) for name in names]
    assert set(errnos_of(readers, timeout_s=90)) == {0}
    return node.memory_bytes("VmHWM") - before


def test_s10_memory_is_bounded_while_many_read_one_large_file(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, tmp_path: Path
) -> None:
    path = _sparse(tmp_path / "movie.mov", FILE_BYTES)
    gcs.server.store.put_file(gcs.bucket, "ant/library/movie.mov", path)
    node = new_gcs_node().mount()
    growth = _peak_growth(node, ["library/movie.mov"] * READERS)
    assert growth < GROWTH_BYTES_MAX, f"{growth >> 20} MiB"
    # The parts that are asked for are asked for once.
    assert gcs.sent_bytes("ant/library/movie.mov") == FILE_BYTES


def test_s10_memory_is_bounded_while_many_files_pass_through_a_full_cache(
    new_gcs_node: NewGcsNode,
    gcs: GcsBucket,
    tmp_path: Path,
    small_disk: Callable[[int], SmallDisk],
) -> None:
    path = _sparse(tmp_path / "movie.mov", SMALL_FILE_BYTES)
    names = [f"library/movie-{index}.mov" for index in range(READERS)]
    for name in names:
        gcs.server.store.put_file(gcs.bucket, f"ant/{name}", path)
    disk = small_disk(16 * MIB)
    node = new_gcs_node(f'[cache]\ndirectory = "{disk.path}/cache"\n').mount()
    growth = _peak_growth(node, names)
    assert growth < GROWTH_BYTES_MAX, f"{growth >> 20} MiB"
    assert node.status()["cache"]["files"] == 0
