"""The tree of localized files: bounded, of one owner, never with half a file in it."""

from __future__ import annotations

import ast
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shotfs import localizing
from shotfs.localizing import LocalizeFailed, TreeFull
from shotfs.localizing.copying import copy, write_all
from shotfs.localizing.localizer import _setting
from shotfs.localizing.tree import IN_USE_S, LEFT_OVER_S, File, Tree

DAY_NS = 86_400 * 10**9


def tree_in(directory: Path, *, bytes_max: int = 10**9) -> Tree:
    tree = Tree(str(directory), bytes_max=bytes_max, free_bytes_min=0)
    tree.prepare()
    return tree


def file(name: str, size_bytes: int = 3, revision: str = "0" * 32) -> File:
    return File(f"ant/{name}", size_bytes, 10**18, revision, 60.0, immutable=True)


def with_bytes(content: bytes) -> Callable[[int], None]:
    return lambda descriptor: write_all(descriptor, content)


def not_used_lately(place: str) -> None:
    old_ns = time.time_ns() - int(2 * IN_USE_S * 1e9)
    os.utime(place, ns=(old_ns, os.stat(place).st_mtime_ns))


@pytest.mark.parametrize(
    "path",
    [
        "../a", "ant/../../a", "/etc/passwd", "ant//a", "ant/.", "", "a\0b",
        ".shotfs-localized/locks/1", "a/" * 300 + "b",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_tree_is_refused(tmp_path: Path, path: str) -> None:
    tree = tree_in(tmp_path / "tree")
    with pytest.raises(LocalizeFailed, match="no path of a show"):
        tree.add(File(path, 1, 0, "0" * 32, 60.0, immutable=True), with_bytes(b"x"))


def test_a_directory_that_has_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LocalizeFailed, match="it has other things in it"):
        tree_in(tmp_path)


def test_a_directory_where_others_could_put_files_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(LocalizeFailed, match="other users could put files there"):
        tree_in(shared)


def test_a_directory_that_cannot_be_made_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalizeFailed, match=r"file/tree for localized files: Not a directory"):
        tree_in(tmp_path / "file" / "tree")


@pytest.mark.parametrize("failure", [LocalizeFailed("the service broke off"), OSError(5, "io")])
def test_what_does_not_come_whole_leaves_nothing_behind(tmp_path: Path, failure: Exception) -> None:
    tree = tree_in(tmp_path / "tree")

    def fill(descriptor: int) -> None:
        write_all(descriptor, b"a")
        raise failure

    with pytest.raises(LocalizeFailed):
        tree.add(file("a"), fill)
    with pytest.raises(LocalizeFailed, match="2 of 3 bytes came"):
        tree.add(file("a"), with_bytes(b"ab"))
    assert not os.path.exists(tree.place("ant/a"))
    assert os.listdir(tmp_path / "tree/.shotfs-localized/begun") == []


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    tree = tree_in(tmp_path / "tree")

    def fill(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TreeFull, match=r"its disk has \d+ free") as full:
        tree.add(file("a"), fill)
    assert "shotfs localize --clean" in full.value.fix
    assert not os.path.exists(tree.place("ant/a"))


def test_s08_what_was_not_asked_for_longest_makes_room(tmp_path: Path) -> None:
    tree = tree_in(tmp_path / "tree", bytes_max=100)
    for name in ("a", "b", "c"):
        tree.add(file(name, 30), with_bytes(b"x" * 30))
    for name in ("a", "b"):
        not_used_lately(tree.place(f"ant/{name}"))
    assert tree.holds(file("a", 30)), "which counts as a use"
    tree.add(file("d", 30), with_bytes(b"x" * 30))
    assert [name for name in "abcd" if os.path.exists(tree.place(f"ant/{name}"))] == ["a", "c", "d"]
    with pytest.raises(TreeFull, match="holds 90 of 100"):
        tree.add(file("e", 30), with_bytes(b"x" * 30))
    with pytest.raises(TreeFull):
        tree.add(file("f", 101), with_bytes(b"x" * 101))


def test_a_revision_of_the_same_size_and_time_is_told_apart(tmp_path: Path) -> None:
    tree = tree_in(tmp_path / "tree")
    tree.add(file("a", revision="1" * 32), with_bytes(b"one"))
    assert tree.add(file("a", revision="2" * 32), with_bytes(b"two"))
    assert Path(tree.place("ant/a")).read_bytes() == b"two"
    assert not tree.add(file("a", revision="2" * 32), with_bytes(b"two"))


def test_what_a_process_that_died_had_begun_is_removed_after_a_day(tmp_path: Path) -> None:
    tree_in(tmp_path / "tree")
    begun = tmp_path / "tree/.shotfs-localized/begun"
    for name, age_s in (("old", LEFT_OVER_S + 60), ("young", 60)):
        (begun / name).write_text("half")
        os.utime(begun / name, (time.time() - age_s, time.time() - age_s))
    tree_in(tmp_path / "tree")
    assert os.listdir(begun) == ["young"]


def test_content_is_copied_whole_whatever_the_file_system_can(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "source").write_bytes(content)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    try:
        assert copy(source, target, len(content)) in ("clone", "kernel")
        assert (tmp_path / "target").read_bytes() == content
        with pytest.raises(EOFError):
            copy(source, target, len(content) + 1)
    finally:
        os.close(source)
        os.close(target)


def test_between_file_systems_without_a_copy_of_the_kernel_bytes_are_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("shotfs.localizing.copying.fcntl.ioctl", refuse)
    monkeypatch.setattr("shotfs.localizing.copying.os.copy_file_range", refuse)
    with open(tmp_path / "s", "w+b") as source, open(tmp_path / "t", "w+b") as target:
        source.write(b"bytes")
        source.flush()
        assert copy(source.fileno(), target.fileno(), 5) == "copy"
    assert (tmp_path / "t").read_bytes() == b"bytes"
    monkeypatch.delattr("shotfs.localizing.copying.os.copy_file_range")
    with open(tmp_path / "s", "rb") as source, open(tmp_path / "u", "w+b") as target:
        assert copy(source.fileno(), target.fileno(), 5) == "copy"
    assert (tmp_path / "u").read_bytes() == b"bytes"


def test_applications_with_python_3_9_can_read_the_client() -> None:
    package = Path(localizing.__file__).parent
    filters = package.parent / "integrations" / "nuke"
    sources = [*package.glob("*.py"), *filters.glob("*.py")]
    assert len(sources) >= 8
    for source in sources:
        ast.parse(source.read_text(), str(source), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("text", "bytes_max"),
    [("1000", 1000), ("2K", 2048), ("3 MiB", 3 * 2**20), ("200GiB", 200 * 2**30)],
)
def test_limits_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, bytes_max: int
) -> None:
    monkeypatch.setenv("SHOTFS_LOCALIZE_BYTES_MAX", text)
    assert _setting("SHOTFS_LOCALIZE_BYTES_MAX", None, "1") == bytes_max
    monkeypatch.setenv("SHOTFS_LOCALIZE_BYTES_MAX", "a lot")
    with pytest.raises(LocalizeFailed, match="SHOTFS_LOCALIZE_BYTES_MAX=a lot"):
        _setting("SHOTFS_LOCALIZE_BYTES_MAX", None, "1")
