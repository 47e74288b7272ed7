"""Which requests reach whom, in each mode of the kernel: the table of docs/design/fuse.md."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shotfs.control.client import Client
from tests.fuse.conftest import NewNode
from tests.fuse.node import SPEC, ShotfsNode, wait_until

pytestmark = pytest.mark.kernel

PAGE = Path(__file__).parents[2] / "docs/design/fuse.md"

NATIVE = ("open", "read", "release", "getattr", "getxattr")

COUNTED = re.compile(r'^shotfs_upcalls_total\{op="(\w+)"\} (\S+)$', re.MULTILINE)

OLD = frozenset(("lookup", "getattr"))
"""What the kernel remembers of the spool is old after a second, which a busy machine takes."""

SMALL, LARGE = 32 * 1024, 2 * 1024 * 1024
"""Below and above `mount.passthrough_bytes_min`."""


def _table() -> dict[str, dict[str, str]]:
    """Return the cells of the page's table: by operation, then by mode."""
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("|")
    ]
    start = next(index for index, row in enumerate(rows) if row[0] == "operation")
    names = [name.strip("`") for name in rows[start][1:]]
    table = {}
    for row in rows[start + 2 :]:
        if len(row) != len(names) + 1:
            break
        table[row[0]] = dict(zip(names, row[1:], strict=True))
    return table


TABLE = _table()


class Requests:
    """What the kernel asks while a block runs.

    Attributes:
        seen: the names of requests to Python; those that the native thread answered in brackets.
    """

    def __init__(self, node: ShotfsNode) -> None:
        self._node = node
        self._before = self._counts()
        self.seen: set[str] = set()

    def _counts(self) -> Counter[str]:
        with Client(self._node.socket) as client:
            text, kernel = client.metrics_text(), client.status()["kernel"]
        found: Counter[str] = Counter()
        for name, count in re.findall(
            r'^shotfs_upcalls_total\{op="(\w+)"\} (\S+)$', text, re.MULTILINE
        ):
            found[name] = int(float(count))
        for name in NATIVE if kernel["native"] else ():
            found[f"[{name}]"] = kernel["native"][name]
        return found

    def look(self) -> set[str]:
        self.seen = set(self._counts() - self._before)
        return self.seen


@pytest.fixture
def node(new_node: NewNode, origin: Path) -> ShotfsNode:
    """A node with two cached files, mounted a moment ago: its kernel knows nothing."""
    library = origin / "library"
    (library / "set").mkdir(parents=True)
    (library / "small.bin").write_bytes(os.urandom(SMALL))
    (library / "large.bin").write_bytes(os.urandom(LARGE))
    for index in range(20):
        (library / f"set/{index}.bin").write_bytes(b"x")
    spec = {**SPEC, "defaults": {**SPEC["defaults"], "negative_ttl": "1h"}}
    made = new_node(f"file://{origin}", spec=spec).mount()
    for name in ("small", "large"):
        _read(made.show / f"library/{name}.bin")
    made.remount()
    os.stat(made.show / "library")
    return made


@contextmanager
def expecting(
    node: ShotfsNode, operation: str, *, but: frozenset[str] = frozenset()
) -> Iterator[None]:
    """Run the block, and check what the page says of *operation*, *but* for these requests."""
    wanted = set(TABLE[operation][node.mode.name].replace("-", "").split()) - but
    requests = Requests(node)
    yield
    # A release follows its close() by a moment.
    wait_until(lambda: requests.look() >= wanted, timeout_s=10)
    assert requests.seen - but == wanted, operation


def _read(path: Path) -> None:
    # Not open(): that asks for attributes as well.
    descriptor = os.open(path, os.O_RDONLY)
    while os.read(descriptor, 1 << 20):
        pass
    os.close(descriptor)


def _ask_xattr(path: Path) -> None:
    with pytest.raises(OSError, match="No data"):
        os.getxattr(path, "security.capability")


@pytest.mark.published
def test_published_files_cost_the_requests_that_the_page_says(node: ShotfsNode) -> None:
    library = node.show / "library"
    steps: list[tuple[str, Callable[[Path], object]]] = [
        ("stat", os.stat),
        ("stat again", os.stat),
        ("open, read, close", _read),
        ("again", _read),
        ("stat after it", os.stat),
    ]
    for size in ("small", "large"):
        for step, act in steps:
            operation = (
                step if step.startswith("stat") and "after" not in step else f"{size}: {step}"
            )
            with expecting(node, operation):
                act(library / f"{size}.bin")
    with expecting(node, "a missing name"):
        assert not (library / "none.bin").exists()
    with expecting(node, "a missing name again"):
        assert not (library / "none.bin").exists()
    for operation in ("ls -l", "ls -l again"):
        with expecting(node, operation):
            assert len([entry.stat() for entry in os.scandir(library / "set")]) == 20
    with expecting(node, "an extended attribute of others"):
        _ask_xattr(library / "small.bin")


def test_outputs_cost_the_requests_that_the_page_says(node: ShotfsNode) -> None:
    directory = node.show / "render/xy_1_100_030_00_v005"
    directory.mkdir(parents=True)
    (directory / "beauty.1001.exr").write_bytes(b"the first one")
    with expecting(node, "create, write, close", but=OLD):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(directory / "beauty.1002.exr", flags, 0o644)
        for _ in range(2):
            os.write(descriptor, bytes(1 << 20))
        os.close(descriptor)
    link = node.show / "notes/current"
    link.symlink_to("a")
    with expecting(node, "where a link points", but=OLD):
        assert os.readlink(link) == "a"
    with expecting(node, "where a link points, again", but=OLD):
        assert os.readlink(link) == "a"
