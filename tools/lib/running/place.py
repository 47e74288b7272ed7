"""The directory that a program works in: made anew, cleared also after a run that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import ExitStack

from running import interrupts, processes
from running.processes import StartFailed

_PREFIX = "shotfs-run-"


def take(stack: ExitStack, place: str, program: str, *, keep: bool) -> str:
    """Make the empty directory *place*, ours until *stack* closes; return one for sockets.

    First ends and unmounts what an earlier run left there. *stack* does the same at the end: every
    process that was started from now on is ended and every mount below *place* detached.

    Args:
        stack: ends and unmounts everything when it closes.
        place: absolute path of the directory.
        program: the script that stands for this program; locked, so that only one runs at once.
        keep: whether *place* stays at the end.

    Returns:
        A directory with a short name: a Unix socket's path may have 107 bytes, and the project may
        lie deep.

    Raises:
        StartFailed: the program is running already.
    """
    _lock(program)
    mark = f"{program}:{place}"
    link = f"{place}/sockets"
    processes.end_marked(mark)
    processes.unmount_below(place)
    _remove_sockets(link)
    processes.mark_children(mark)
    with interrupts.held():
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        sockets = tempfile.mkdtemp(prefix=_PREFIX)
        os.symlink(sockets, link)
        if not keep:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(_remove_sockets, link)
        stack.callback(processes.unmount_below, place)
        stack.callback(processes.end_marked, mark)
    return sockets


def _lock(program: str) -> None:
    """Lock the file *program*, which is not changed; the lock lasts as long as this process."""
    descriptor = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartFailed(f"{program} is running already; wait for it or end it") from None


def _remove_sockets(link: str) -> None:
    """Remove the directory that *link* leads to, and the link; only one that `take` made."""
    if not os.path.islink(link):
        return
    directory = os.readlink(link)
    if os.path.dirname(directory) == tempfile.gettempdir() and _PREFIX in directory:
        shutil.rmtree(directory, ignore_errors=True)
    os.unlink(link)
