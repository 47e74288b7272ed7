"""Listings that the kernel keeps: used where nothing changed, never where anything did."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.conftest import NewNode
from tests.fuse.node import SPEC, ShotfsNode

pytestmark = pytest.mark.kernel

FRAME = "xy_1_100_030_00_v005"


def fill(directory: Path, count: int, prefix: str = "p") -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"{prefix}{index:05d}.png" for index in range(count)]
    for name in names:
        (directory / name).write_bytes(name.encode())
    return names


def listed(directory: Path) -> list[str]:
    """Names, in the order in which the kernel gives them."""
    return os.listdir(directory)


class Asked:
    """How many parts of listings the kernel asked for."""

    def __init__(self, node: ShotfsNode) -> None:
        self._node = node
        self._before = self._count()

    def _count(self) -> float:
        return self._node.metric('shotfs_upcalls_total{op="readdir"}')

    def since(self) -> float:
        before, self._before = self._before, self._count()
        return self._before - before


@pytest.mark.published
def test_an_unchanged_directory_is_listed_from_the_kernels_pages(
    node: ShotfsNode, origin: Path
) -> None:
    names = fill(origin / "library/set", 2000)
    directory = node.show / "library/set"
    assert sorted(listed(directory)) == names
    asked = Asked(node)
    for _ in range(3):
        assert sorted(listed(directory)) == names
    kept = node.status()["kernel"]["helper"]
    assert (asked.since() == 0) is kept, "without the helper nothing can be kept"


@pytest.mark.published
def test_s16_stat_agrees_with_a_kept_listing(node: ShotfsNode, origin: Path) -> None:
    fill(origin / "library/set", 300)
    directory = node.show / "library/set"
    listed(directory)
    with os.scandir(directory) as found:
        for entry in found:
            attributes = entry.stat()
            assert entry.is_file()
            assert entry.inode() == attributes.st_ino
            assert attributes.st_size == len(entry.name)


def test_s15_what_is_made_renamed_and_removed_here_is_listed_at_once(
    node: ShotfsNode, origin: Path
) -> None:
    names = set(fill(origin / "notes/day", 50))
    directory = node.show / "notes/day"
    for _ in range(2):
        assert set(listed(directory)) == names
    (directory / "new.txt").write_text("new")
    assert set(listed(directory)) == names | {"new.txt"}
    (directory / "new.txt").rename(directory / "newer.txt")
    assert set(listed(directory)) == names | {"newer.txt"}
    (directory / "sub").mkdir()
    assert set(listed(directory)) == names | {"newer.txt", "sub"}
    (directory / "sub").rmdir()
    (directory / "newer.txt").unlink()
    for _ in range(2):
        assert set(listed(directory)) == names
    (directory / "p00007.png").unlink()
    for _ in range(2):
        assert set(listed(directory)) == names - {"p00007.png"}


def test_s15_an_output_is_listed_before_and_after_it_is_published(
    node: ShotfsNode, origin: Path
) -> None:
    directory = node.show / "render" / FRAME
    fill(origin / "render" / FRAME, 0)
    (origin / "render" / FRAME / "beauty.0001.exr").write_bytes(b"1")
    for _ in range(2):
        assert listed(directory) == ["beauty.0001.exr"]
    (directory / "beauty.0002.exr").write_bytes(b"2")
    assert sorted(listed(directory)) == ["beauty.0001.exr", "beauty.0002.exr"]
    node.wait_published()
    for _ in range(2):
        assert sorted(listed(directory)) == ["beauty.0001.exr", "beauty.0002.exr"]
    inodes = {entry.name: entry.inode() for entry in os.scandir(directory)}
    assert inodes == {name: (directory / name).stat().st_ino for name in inodes}


def test_an_open_listing_of_before_does_not_come_back(node: ShotfsNode, origin: Path) -> None:
    names = fill(origin / "notes/day", 3000)
    directory = node.show / "notes/day"
    with os.scandir(directory) as old:
        first = next(old).name
        (directory / "p99999.txt").write_text("new")
        new = listed(directory)
        assert sorted(new) == [*names, "p99999.txt"]
        # As of opendir, or with what was made since; but nothing twice, and nothing left out.
        rest = [first, *(entry.name for entry in old)]
    assert len(rest) == len(set(rest))
    assert set(names) <= set(rest)
    for _ in range(2):
        assert sorted(listed(directory)) == [*names, "p99999.txt"]


@pytest.mark.published
def test_a_listing_that_was_left_in_the_middle_is_whole_the_next_time(
    node: ShotfsNode, origin: Path
) -> None:
    names = fill(origin / "library/set", 3000)
    directory = node.show / "library/set"
    for _ in range(3):
        with os.scandir(directory) as found:
            next(found)
    for _ in range(3):
        assert sorted(listed(directory)) == names


@pytest.mark.published
def test_two_who_list_by_turns_see_all_of_it(node: ShotfsNode, origin: Path) -> None:
    names = fill(origin / "library/set", 3000)
    directory = node.show / "library/set"
    with os.scandir(directory) as one, os.scandir(directory) as other:
        pairs = [(first.name, second.name) for first, second in zip(one, other, strict=True)]
    assert sorted(first for first, _ in pairs) == names
    assert sorted(second for _, second in pairs) == names
    assert sorted(listed(directory)) == names


@pytest.mark.published
def test_dropped_pages_are_asked_for_again(node: ShotfsNode, origin: Path) -> None:
    names = fill(origin / "library/set", 3000)
    directory = node.show / "library/set"
    assert sorted(listed(directory)) == names
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        assert sorted(os.listdir(descriptor)) == names
    finally:
        os.close(descriptor)
    for _ in range(2):
        assert sorted(listed(directory)) == names


def quick(template: str) -> dict[str, Any]:
    """Return the specification with a short time to live for *template*."""
    spec = copy.deepcopy(SPEC)
    spec["templates"][template]["ttl"] = "0s"
    return spec


@pytest.mark.published
def test_a_listing_whose_time_is_over_is_asked_for(new_node: NewNode, origin: Path) -> None:
    names = fill(origin / "library/set", 20)
    node = new_node(f"file://{origin}", spec=quick("library")).mount()
    directory = node.show / "library/set"
    assert sorted(listed(directory)) == names
    (origin / "library/set/q.png").write_bytes(b"q")
    assert sorted(listed(directory)) == [*names, "q.png"]
    (origin / "library/set/q.png").unlink()
    assert sorted(listed(directory)) == names


@pytest.mark.published
def test_a_refresh_shows_what_others_did(node: ShotfsNode, origin: Path) -> None:
    names = fill(origin / "library/set", 20)
    directory = node.show / "library/set"
    for _ in range(2):
        assert sorted(listed(directory)) == names
    (origin / "library/set/q.png").write_bytes(b"q")
    assert sorted(listed(directory)) == names, "its time to live is an hour"
    node.command("refresh", str(directory))
    for _ in range(2):
        assert sorted(listed(directory)) == [*names, "q.png"]


def test_another_specification_shows_its_own_listing(node: ShotfsNode, origin: Path) -> None:
    fill(origin / "library/set", 20)
    directory = node.show / "library"
    for _ in range(2):
        assert listed(directory) == ["set"]
    path = node.directory / "spec.json"
    path.write_text(path.read_text().replace("library/{rest}", "library/only/{rest}"))
    node.command("spec", "reload", "ant")
    for _ in range(2):
        assert "set" not in listed(directory)
