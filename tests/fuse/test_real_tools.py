"""Programs that studios run find and leave on a mount what they find and leave on a disk.

tools/campaign/tools does the same in every mode, with fio and OpenImageIO too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse import real_tools
from tests.fuse.node import ShotfsNode

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

READING = [one for one in real_tools.READING if one not in real_tools.HEAVY]
WRITING = [one for one in real_tools.WRITING if one not in real_tools.HEAVY]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of images, files and a repository."""
    path = tmp_path_factory.mktemp("origin")
    real_tools.make_library(path)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, origin: Path) -> Iterator[ShotfsNode]:
    """One mount for all tests here."""
    node = ShotfsNode(tmp_path_factory.mktemp("tools") / "node", f"file://{origin}")
    try:
        yield node.mount()
    finally:
        node.clear()


@pytest.mark.published
@pytest.mark.parametrize("one", READING, ids=[one.__name__ for one in READING])
def test_a_program_that_reads_finds_what_it_finds_on_a_disk(
    node: ShotfsNode, origin: Path, tmp_path: Path, one: real_tools.Check
) -> None:
    real_tools.check(one, node, origin, tmp_path)


@pytest.mark.parametrize("one", WRITING, ids=[one.__name__ for one in WRITING])
def test_s17_a_program_that_writes_leaves_what_it_leaves_on_a_disk(
    node: ShotfsNode, origin: Path, tmp_path: Path, one: real_tools.Check
) -> None:
    real_tools.check(one, node, origin, tmp_path)
