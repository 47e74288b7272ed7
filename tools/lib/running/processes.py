"""Child processes: started with a mark, ended by their own ids, and nothing else.

The mark is an environment variable. Children inherit it, also when they become daemons with a
session of their own, so what a run left behind can be found and ended without guessing by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from running import interrupts

MARK = "SHOTFS_TOOL_RUN"
STOP_S = 10.0
"""How long a process may take to stop when asked, before it is killed."""


class StartFailed(Exception):
    """A program did not start or did not become ready; the message says which and why."""


def mark_children(value: str) -> None:
    """Mark every process that is started from now on."""
    os.environ[MARK] = value


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(
    stack: ExitStack,
    command: Sequence[str],
    *,
    log: str,
    cwd: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own; *stack* ends it. Its output goes to the file *log*.

    A session of its own, because Ctrl-C reaches every process of the terminal's group: it should
    reach us only, and we end the others in order.
    """
    with interrupts.held(), open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        stack.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask *process* to stop, wait, then insist. Returns when it is gone."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_port(process: subprocess.Popen[bytes], port: int, *, name: str, log: str) -> None:
    """Return when something listens on *port*.

    Raises:
        StartFailed: the process ended, or did not listen within 20 seconds.
    """
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise StartFailed(f"{name} does not listen on 127.0.0.1:{port}; its output is in {log}")


def marked(value: str) -> list[int]:
    """Return the ids of all processes that carry the mark with *value*, except this one."""
    wanted = f"{MARK}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        # It may end while we look, or belong to somebody else.
        with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environment:
            if wanted in environment.read().split(b"\0"):
                found.append(int(entry))
    return found


def end_marked(value: str) -> None:
    """End every process that carries the mark with *value*: ask, wait, insist."""
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 2.0)):
        pids = marked(value)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while pids and time.monotonic() < deadline:
            time.sleep(0.05)
            pids = marked(value)
        if not pids:
            return


def mounts_below(directory: str) -> list[str]:
    """Return the mount points below *directory*, deepest first."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
        points = [_unescape(line.split(" ")[1]) for line in table]
    top = directory.rstrip("/") + "/"
    return sorted((p for p in points if p.startswith(top)), key=len, reverse=True)


def unmount(point: str) -> None:
    """Detach the mount on *point*, if there is one, also when its server is dead."""
    if point not in mounts_below(os.path.dirname(point)):
        return
    for command in (["fusermount3", "-u", "-z", "--", point], ["umount", "-l", "--", point]):
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return


def unmount_below(directory: str) -> None:
    """Detach every mount below *directory*."""
    for point in mounts_below(directory):
        unmount(point)


def _unescape(text: str) -> str:
    # The kernel writes a space in a mount point as \040.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
