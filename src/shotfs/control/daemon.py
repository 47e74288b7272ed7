"""Starting the service in the background: the launcher's side and the service's side.

The launcher starts the same program again, detached, with one end of a pipe; the service writes
one JSON line into it: ``{"ready": true}`` or ``{"error": text, "exit": code}``. A service that dies
without a word closes the pipe, so the launcher never waits longer than the service lives or the
deadline allows. No double fork: a session of its own is all that detaching needs today.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from shotfs.errors import MountFailed

log = logging.getLogger(__name__)

LOG_BYTES_MAX = 16 * 1024 * 1024
"""At a start a larger log of a background service is renamed to ``.1``; one old log is kept."""

LOG_TAIL_LINES = 5
"""How many last lines of the log are shown when the service died without a word."""

END_TIMEOUT_S = 15.0
"""How long a service that is told to end may take before it is killed."""

ANSWER_BYTES_MAX = 1024 * 1024
"""The longest readiness line: a configuration with very many mistakes."""

_running: list[subprocess.Popen[bytes]] = []
"""Services that outlive this process; kept, because Popen complains when it is collected."""


class StartFailed(MountFailed):
    """The background service did not come up.

    Attributes:
        exit_code: what it said that it exits with; None where it said nothing.
    """

    def __init__(
        self, message: str, *, fix: str | None = None, exit_code: int | None = None
    ) -> None:
        super().__init__(message, fix=fix)
        self.exit_code = exit_code


class Readiness:
    """The service's end of the pipe; without a pipe every call does nothing.

    Args:
        descriptor: inherited from the launcher; None in a foreground service.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        """Tell the launcher that the service serves."""
        self._tell({"ready": True})

    def failed(self, message: str, exit_code: int) -> None:
        """Tell the launcher why the service ends. After `ready` it does nothing."""
        self._tell({"error": message, "exit": exit_code})

    def _tell(self, answer: Mapping[str, Any]) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, json.dumps(answer).encode("ascii") + b"\n")
        except BrokenPipeError:
            log.warning("the process that started this service did not wait for it")
        finally:
            os.close(descriptor)


def launch(
    command: str, arguments: Sequence[str], *, log_path: str, log_is_ours: bool, deadline_s: float
) -> int:
    """Start ``shotfs <command> ...`` in the background; return its pid when it serves.

    Args:
        command: one that takes ``--ready-fd N``.
        arguments: of its foreground form.
        log_path: where its output goes.
        log_is_ours: nobody else looks after that file, so it is kept small and never a link.
        deadline_s: how long it may take to serve; then it is ended.

    Raises:
        StartFailed: it said why not, or it died, or it took too long. It runs no more.
    """
    # -P: the working directory is not a place to import from.
    program = [sys.executable, "-P", "-m", "shotfs.cli.main"]
    readable, writable = os.pipe2(os.O_CLOEXEC)
    try:
        with open_log(log_path, ours=log_is_ours) as log_file:
            process = subprocess.Popen(
                [*program, command, "--ready-fd", str(writable), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                cwd="/",
                pass_fds=(writable,),
                start_new_session=True,
                env={name: text for name, text in os.environ.items() if name != "NOTIFY_SOCKET"},
            )
    except BaseException:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    try:
        line = _read_line(readable, deadline_s)
        _check_answer(line, process, log_path, deadline_s)
    except BaseException:
        _end(process)
        raise
    finally:
        os.close(readable)
    _running.append(process)
    return process.pid


def open_log(path: str, *, ours: bool) -> IO[bytes]:
    """Open the log of a background service for appending, mode 0600; make its directory, 0700.

    A directory that others can write could redirect what we append through a link of theirs: then
    nothing is written, and the service itself will say what is wrong with the directory.

    Raises:
        StartFailed: the file or its directory cannot be made.
    """
    try:
        return _open_log(path, ours=ours)
    except OSError as exc:
        raise StartFailed(
            f"cannot write the service's log {path}: {exc.strerror}",
            fix="set cache.directory to a directory that this user may write, or set log.file",
        ) from exc


def _open_log(path: str, *, ours: bool) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if not ours:
        return open(os.open(path, flags, 0o600), "ab")
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    status = os.stat(directory)
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write or status.st_uid not in {0, os.geteuid()}:
        return open(os.devnull, "ab")
    if _size_bytes(path) > LOG_BYTES_MAX:
        os.replace(path, f"{path}.1")
    return open(os.open(path, flags | os.O_NOFOLLOW, 0o600), "ab")


def _size_bytes(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _read_line(descriptor: int, deadline_s: float) -> bytes | None:
    """Return the line, b"" when the pipe closes without one, None when time is up."""
    ends = time.monotonic() + deadline_s
    received = b""
    while b"\n" not in received and len(received) < ANSWER_BYTES_MAX:
        left_s = ends - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            return None
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return b""
        received += chunk
    return received


def _check_answer(
    line: bytes | None, process: subprocess.Popen[bytes], log_path: str, deadline_s: float
) -> None:
    if line is None:
        raise StartFailed(
            f"the service did not come up within {deadline_s:g} s and was ended{_tail(log_path)}",
            fix="an origin may be slow: --start-timeout gives it longer; "
            "or see it start: shotfs mount --foreground",
        )
    if not line:
        process.wait(END_TIMEOUT_S)
        raise StartFailed(
            f"the service ended ({_how(process.returncode)}) before it came up{_tail(log_path)}",
            fix=f"its log: {log_path}; or see it start: shotfs mount --foreground",
        )
    answer = json.loads(line)
    if "error" in answer:
        raise StartFailed(str(answer["error"]), exit_code=int(answer["exit"]))


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    return f"killed by {signal.Signals(-returncode).name}"


def _tail(log_path: str) -> str:
    """Return the log's last lines, each indented on a line of its own."""
    try:
        with open(log_path, "rb") as file:
            file.seek(max(0, _size_bytes(log_path) - 16 * 1024))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as exc:
        if exc.errno not in {errno.ENOENT, errno.EACCES}:
            log.debug("cannot read %s", log_path, exc_info=True)
        return ""
    return "".join(f"\n  | {line}" for line in lines[-LOG_TAIL_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a service that did not come up: politely, so that it unmounts; else by force."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
