"""Names below a root, found step by step, so that no link leads out of it.

A path that was checked and then opened can change between the two: who may write in the root puts
a link in place of a directory, and a service that runs as root reads, or writes, what it points
to. Here each part is opened below the descriptor of the one before it and never as a link; links
are read, and followed as long as they stay inside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MAX = 40  # as in the kernel


class LeadsOut(FileNotFoundError):
    """A link leads out of the root, or is the root."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a directory; use it with ``dir_fd`` and without following links.

    Attributes:
        directory: descriptor, good for the ``*at`` calls only.
        name: ``.`` when the directory itself was found.
    """

    directory: int
    name: str


@contextmanager
def located(root: str, key: str, *, make: bool = False, follow: bool = True) -> Iterator[Place]:
    """Find *key* below *root*, for the block.

    Args:
        root: may be a link itself; whoever configured it decided so.
        key: relative, POSIX style. Its last part need not exist.
        make: make the directories that are missing.
        follow: if the last part is a link, find what it points to.

    Raises:
        LeadsOut: a link leads out of the root.
        OSError: as the operating system says.
    """
    walk = _Walk(root)
    try:
        yield walk.to(key, make=make, follow=follow)
    finally:
        walk.close()


class _Walk:
    """The way down from the root; all directories on it are open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]

    def to(self, key: str, *, make: bool, follow: bool) -> Place:
        parts, links = key.split("/"), 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                self._up()
            if part in ("", ".", ".."):
                continue
            target = self._target_of(part) if parts or follow else None
            if target is not None:
                links += 1
                if links > _LINKS_MAX:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), key)
                parts = self._inside(target) + parts
            elif parts:
                self._down(part, make=make)
            else:
                return Place(self._open[-1], part)
        if len(self._open) == 1:
            raise LeadsOut(errno.ENOENT, "a link leads to the root", key)
        return Place(self._open[-1], ".")

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def _up(self) -> None:
        if len(self._open) == 1:
            raise LeadsOut(errno.ENOENT, "a link leads out of the root", self._root)
        os.close(self._open.pop())

    def _down(self, part: str, *, make: bool) -> None:
        above = self._open[-1]
        try:
            self._open.append(os.open(part, _DIRECTORY, dir_fd=above))
        except FileNotFoundError:
            if not make:
                raise
            # Another put may be quicker; or it is no directory, which opening it tells.
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=above)
            self._open.append(os.open(part, _DIRECTORY, dir_fd=above))

    def _target_of(self, part: str) -> str | None:
        try:
            return os.readlink(part, dir_fd=self._open[-1])
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def _inside(self, target: str) -> list[str]:
        """Return the parts of a link's target, from the root on if it is absolute."""
        if not target.startswith("/"):
            return target.split("/")
        # By another name the root may be the same; the parts are walked all the same.
        root, real = os.path.realpath(self._root), os.path.realpath(target)
        if not real.startswith(root.rstrip("/") + "/"):
            raise LeadsOut(errno.ENOENT, "a link leads out of the root", target)
        while len(self._open) > 1:
            os.close(self._open.pop())
        return real[len(root) :].split("/")
