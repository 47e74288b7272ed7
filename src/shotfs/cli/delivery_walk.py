"""Walks a delivery on disk, in the order that `pathspec.delivery` wants.

Depth first; each directory sorted without regard to case, so that names which differ by case only
are neighbours. Follows no link. Holds the names of the directories that are open, nothing more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator

from shotfs.pathspec.delivery import Entry, EntryKind

DEPTH_MAX = 200
"""Deeper trees do not fit into a key of 1,024 bytes anyway."""


def walk(root: str, leave_out: Collection[str] = ()) -> Iterator[Entry]:
    """Yield everything below *root*, without what *leave_out* names (relative paths).

    What cannot be read is an entry of its own; only *root* itself raises OSError.
    """
    stack: list[Iterator[str]] = [iter(_names(root, ""))]
    while stack:
        path = next(stack[-1], None)
        if path is None:
            stack.pop()
            continue
        if path in leave_out:
            continue
        entry = _entry(root, path)
        yield entry
        if entry.kind is not EntryKind.DIRECTORY:
            continue
        if len(stack) >= DEPTH_MAX:
            yield Entry(path, EntryKind.UNREADABLE, reason=f"deeper than {DEPTH_MAX} directories")
            continue
        try:
            names = _names(root, path)
        except OSError as exc:
            yield Entry(path, EntryKind.UNREADABLE, reason=exc.strerror or str(exc))
            continue
        stack.append(iter(names))


def _names(root: str, directory: str) -> list[str]:
    names = os.listdir(os.path.join(root, directory))
    names.sort(key=lambda name: (name.casefold(), name))
    return [f"{directory}/{name}" for name in names] if directory else names


def _entry(root: str, path: str) -> Entry:
    full = os.path.join(root, path)
    try:
        status = os.lstat(full)
        if stat.S_ISLNK(status.st_mode):
            return Entry(path, EntryKind.LINK, target=os.readlink(full))
    except OSError as exc:
        return Entry(path, EntryKind.UNREADABLE, reason=exc.strerror or str(exc))
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, EntryKind.DIRECTORY)
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, EntryKind.SPECIAL)
    return Entry(path, EntryKind.FILE, status.st_size)
