"""The filter for Nuke, as installed, in a Python without our packages.

Nuke itself is not to be had here: a module of its name stands for it, which does what the filter
relies on (filters get a name and return one; `thisNode` is the node that asks).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.prewarm.localize.served import Served

FAKE_NUKE = """
filters, said, node = [], [], None

class Knob:
    def __init__(self, value):
        self._value = value
    def value(self):
        return self._value

class Node:
    def __init__(self, kind, reading=None):
        self._kind, self._reading = kind, reading
    def Class(self):
        return self._kind
    def knob(self, name):
        return Knob(self._reading) if name == "reading" and self._reading is not None else None

def addFilenameFilter(call):
    filters.append(call)

def thisNode():
    if node is None:
        raise ValueError("no current node")
    return node

def tprint(text):
    said.append(text)

def opened(name):
    for call in filters:
        name = call(name) or name
    return name
"""


@pytest.fixture
def nuke_path(served: Served, tmp_path: Path) -> Path:
    served.node.command("integrations", "install", "nuke", "--into", str(tmp_path))
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "nuke.py").write_text(FAKE_NUKE)
    return tmp_path / "nuke"


def run(nuke_path: Path, script: str, **environment: str) -> list[str]:
    paths = [str(nuke_path.parent / "fake"), str(nuke_path)]
    program = f"import sys; sys.path[:0] = {paths!r}\nimport nuke, runpy\n"
    program += f"runpy.run_path({str(nuke_path / 'init.py')!r})\n{script}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_nuke_reads_is_local_and_what_it_writes_stays_where_it_is(
    served: Served, nuke_path: Path, tmp_path: Path
) -> None:
    served.put("ant/library/plate.1001.exr", b"plate")
    script = """
for nuke.node in (nuke.Node("Read"), None, nuke.Node("Write", reading=True)):
    print(nuke.opened("/shows/ant/library/plate.1001.exr"))
for nuke.node in (nuke.Node("Write", reading=False), nuke.Node("DeepWrite")):
    print(nuke.opened("/shows/ant/library/plate.1001.exr"))
nuke.node = nuke.Node("Read")
for name in ("/tmp/x.exr", "/shows/ant/library/none.1001.exr",
             "/shows/ant/library/plate.%04d.exr", ""):
    print(nuke.opened(name))
print(nuke.said)
"""
    tree = str(tmp_path / "tree")
    printed = run(nuke_path, script, SHOTFS_CONTROL__SOCKET=served.socket, SHOTFS_LOCALIZE_DIR=tree)
    assert printed == [
        *[f"{tree}/ant/library/plate.1001.exr"] * 3,
        *["/shows/ant/library/plate.1001.exr"] * 2,
        "/tmp/x.exr",
        "/shows/ant/library/none.1001.exr",
        "/shows/ant/library/plate.%04d.exr",
        "",
        "[]",
    ]


def test_without_a_service_paths_stay_as_they_are_and_it_is_said_once(
    nuke_path: Path, tmp_path: Path
) -> None:
    script = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(nuke.opened, [f"/shows/ant/library/{n}.exr" for n in range(50)]))
print(found == [f"/shows/ant/library/{n}.exr" for n in range(50)], len(nuke.said))
print(nuke.said[0].splitlines()[0])
"""
    printed = run(nuke_path, script, SHOTFS_CONTROL__SOCKET=str(tmp_path / "no.sock"))
    assert printed[0] == "True 1"
    assert "no shotfs service answers" in printed[1]
    assert run(nuke_path, "print(nuke.filters)", SHOTFS_NUKE="off") == ["[]"]
