"""A tree as it was at one moment."""

from __future__ import annotations

import pytest

from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.tiers.base import Revision


def revision(key: str, size_bytes: int = 1) -> Revision:
    return Revision("gs://show", key, size_bytes, "g1", 1)


def snapshot(*paths: str) -> TreeSnapshot:
    return TreeSnapshot({path: revision(f"v001/{path}") for path in paths})


def test_finds_files_at_every_depth() -> None:
    tree = snapshot("a.exr", "beauty/left/a.exr", "beauty/b.exr")
    found = tree.find("beauty/left/a.exr")
    assert found is not None
    assert found.key == "v001/beauty/left/a.exr"
    assert tree.find("a.exr") == revision("v001/a.exr")
    assert tree.find("beauty") is None
    assert tree.find("beauty/left") is None
    assert tree.find("beauty/c.exr") is None
    assert tree.find("nothing/c.exr") is None
    assert tree.find("") is None


def test_directories_are_those_that_files_imply() -> None:
    tree = snapshot("beauty/left/a.exr")
    assert tree.has_directory("")
    assert tree.has_directory("beauty")
    assert tree.has_directory("beauty/left")
    assert not tree.has_directory("beauty/left/a.exr")
    assert not tree.has_directory("beauty/right")
    assert TreeSnapshot({}).has_directory("")


def test_children_are_the_direct_ones() -> None:
    tree = snapshot("a.exr", "beauty/left/a.exr", "beauty/b.exr", "depth/a.exr")
    files, directories = tree.children("")
    assert set(files) == {"a.exr"}
    assert directories == {"beauty", "depth"}
    files, directories = tree.children("beauty")
    assert set(files) == {"b.exr"}
    assert directories == {"left"}
    assert tree.children("a.exr") == ({}, frozenset())
    assert tree.children("nothing") == ({}, frozenset())


def test_what_a_caller_does_to_an_answer_changes_nothing() -> None:
    given = {"a.exr": revision("a.exr")}
    tree = TreeSnapshot(given)
    del given["a.exr"]
    dict(tree.children("")[0]).clear()
    assert set(tree.children("")[0]) == {"a.exr"}
    assert len(tree) == 1


def test_counts_files_and_bytes_and_lists_paths() -> None:
    tree = TreeSnapshot({"b/x": revision("b/x", 3), "a": revision("a", 4)})
    assert (len(tree), tree.size_bytes) == (2, 7)
    assert sorted(tree) == ["a", "b/x"]


def test_a_name_that_is_file_and_prefix_is_both() -> None:
    tree = snapshot("a", "a/b")
    files, directories = tree.children("")
    assert "a" in files
    assert "a" in directories


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "."])
def test_a_path_that_leaves_the_tree_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path in a tree"):
        TreeSnapshot({path: revision("x")})


def test_a_tree_may_be_deeper_than_the_interpreters_stack() -> None:
    deep = "/".join("a" * 5000)
    tree = TreeSnapshot({deep: revision(deep)})
    assert tree.has_directory(deep[:-2])
    assert tree.children("a") == ({}, frozenset("a"))
