"""The way to a directory: who could put another one in its place.

Every directory on it decides what its names mean, and so does every symbolic link, also those
that a link leads through. All must belong to root or to us, and nobody else may change them.
"""

from __future__ import annotations

import os
import stat

from shotfs.errors import CacheUnsafe

_LINKS_MAX = 40  # as in the kernel


def check_way(path: str, setting: str) -> None:
    """Return if nobody but root and us decides what *path* is.

    Args:
        path: absolute; exists.
        setting: names the path in messages.

    Raises:
        CacheUnsafe: somebody else could replace a part of it.
    """
    here, links = "/", 0
    parts = _parts(path)
    checked: set[str] = set()
    while parts:
        part = parts.pop(0)
        if part == "..":
            here = os.path.dirname(here)
            continue
        if here not in checked:
            checked.add(here)
            _check_directory(here, setting)
        there = os.path.join(here, part)
        status = os.lstat(there)
        if not stat.S_ISLNK(status.st_mode):
            here = there
            continue
        links += 1
        _check_link(there, status, links, setting)
        target = os.readlink(there)
        parts = _parts(target) + parts
        if target.startswith("/"):
            here = "/"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _check_directory(path: str, setting: str) -> None:
    status = os.stat(path)
    if status.st_uid not in (0, os.geteuid()):
        raise CacheUnsafe(
            f"{path} belongs to uid {status.st_uid}, who could put another directory there",
            fix=f"chown root {path}, or set {setting} to a directory elsewhere",
        )
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise CacheUnsafe(
            f"{path} is writable by others, who could put another directory there",
            fix=f"chmod go-w {path} (or chmod +t {path}), or set {setting}",
        )


def _check_link(path: str, status: os.stat_result, links: int, setting: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise CacheUnsafe(
            f"{path} is a symbolic link that belongs to uid {status.st_uid}, who could point it"
            " elsewhere",
            fix=f"chown -h {os.geteuid()} {path}, or set {setting} to the real directory",
        )
    if links > _LINKS_MAX:
        raise CacheUnsafe(f"{path}: too many symbolic links", fix=f"set {setting}")
