"""Writers: which processes have an output open for writing, as /proc knows them.

The kernel tells a file system who opens a file, not who has it open later (a descriptor is
inherited, passed on, mapped). Reads links and texts of /proc only: nothing here touches the mount,
so it cannot wait for ourselves. Who may not look into a process does not see it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

PROCESSES_MAX = 20
"""So many are named; more help nobody."""


@dataclass(frozen=True, slots=True)
class WritingProcess:
    """A process that can write a file.

    Attributes:
        pid: its number.
        name: of its program, as ps shows it.
        uid: whose it is.
        how: open, mapped.
    """

    pid: int
    name: str
    uid: int
    how: str


def writers_of(path: str, proc: str = "/proc") -> list[WritingProcess]:
    """Return who has the absolute *path* open for writing, or mapped so; blocks."""
    found: list[WritingProcess] = []
    for name in _names(proc):
        if not name.isdecimal():
            continue
        how = _how(f"{proc}/{name}", path)
        if how:
            found.append(_process(f"{proc}/{name}", int(name), how))
        if len(found) >= PROCESSES_MAX:
            break
    return found


def _how(process: str, path: str) -> str:
    """Return "open" or "mapped"; "" if neither."""
    for number in _names(f"{process}/fd"):
        if _link(f"{process}/fd/{number}") == path and _is_writable(f"{process}/fdinfo/{number}"):
            return "open"
    for line in _lines(f"{process}/maps"):
        # address permissions offset device inode path
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == path and fields[1][1::2] == "ws":
            return "mapped"
    return ""


def _is_writable(fdinfo: str) -> bool:
    for line in _lines(fdinfo):
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & os.O_ACCMODE)
    return False


def _process(process: str, pid: int, how: str) -> WritingProcess:
    name = next(iter(_lines(f"{process}/comm")), "?")
    try:
        uid = os.stat(process).st_uid
    except OSError:
        uid = -1
    return WritingProcess(pid, name, uid, how)


def _names(directory: str) -> Iterator[str]:
    try:
        yield from os.listdir(directory)
    except OSError:
        return  # it has ended, or is somebody else's


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []
