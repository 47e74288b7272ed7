"""The control socket as a thing in the file system: making, guarding and removing it.

One service owns a socket path, proven by a lock on a file beside it, so two services that start
at once cannot both replace a stale socket. The lock file stays: removing it would reopen the race.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shotfs.errors import MountFailed, NotPermitted, ServiceBusy

log = logging.getLogger(__name__)

PATH_BYTES_MAX = 107
"""sun_path has 108 bytes and ends with a zero (unix(7))."""

BACKLOG = 128
"""Connections that wait to be accepted; more get EAGAIN, which the client reports as busy."""

PROBE_TIMEOUT_S = 1.0
"""How long connecting to a socket that may be stale may take. Connecting needs no answer."""


def check_path(path: str) -> None:
    """Check that *path* can be a socket's.

    Raises:
        MountFailed: it is too long for the kernel.
    """
    length = len(os.fsencode(path))
    if length > PATH_BYTES_MAX:
        raise MountFailed(
            f"control socket path {path} has {length} bytes; the kernel allows {PATH_BYTES_MAX}",
            fix="set control.socket to a shorter path, for example /run/shotfs/control.sock",
            errno=errno.ENAMETOOLONG,
        )


@contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """Own *path* and listen on it, mode 0666; remove it at the end. Blocks for up to a second.

    Access is decided for each connection by its peer's credentials, not by the socket's mode.

    Raises:
        MountFailed: the path is too long, or its directory cannot be made or is unsafe.
        ServiceBusy: a live service owns it.
    """
    check_path(path)
    _make_directory(os.path.dirname(path))
    lock = _lock(path)
    try:
        _remove_stale(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            _bind(listener, path)
            try:
                yield listener
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(path)
    finally:
        os.close(lock)


def _bind(listener: socket.socket, path: str) -> None:
    """Bind and listen. Nobody can connect before `listen`, so the mode is right from the start."""
    try:
        listener.bind(path)
        # Everybody may connect: whom we answer is decided by the peer's credentials.
        os.chmod(path, 0o666)  # noqa: S103
        listener.listen(BACKLOG)
    except OSError as exc:
        raise MountFailed(
            f"cannot make the control socket {path}: {exc.strerror}",
            fix="set control.socket to a path that the service's user can write",
            errno=exc.errno,
        ) from exc


def _make_directory(directory: str) -> None:
    """Make the socket's directory, or check that nobody else could replace the socket in it."""
    try:
        if not os.path.isdir(directory):
            os.makedirs(directory, exist_ok=True)
            # Whatever the umask is: users of the mount come in here.
            os.chmod(directory, 0o755)  # noqa: S103
        status = os.stat(directory)
    except OSError as exc:
        raise MountFailed(
            f"cannot make {directory} for the control socket: {exc.strerror}",
            fix="systemd's RuntimeDirectory=shotfs makes it; or set control.socket to another path",
            errno=exc.errno,
        ) from exc
    if status.st_uid not in {0, os.geteuid()}:
        raise NotPermitted(
            f"control socket directory {directory} belongs to uid {status.st_uid}",
            fix=f"chown {os.geteuid()} {directory}, or set control.socket to another path",
        )
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and not status.st_mode & stat.S_ISVTX:
        raise NotPermitted(
            f"control socket directory {directory} can be written by others, "
            "who could put a socket of theirs in its place",
            fix=f"chmod 755 {directory}",
        )


def _lock(path: str) -> int:
    """Take the lock of *path*; return its descriptor, which holds the lock while it is open."""
    try:
        descriptor = os.open(
            f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as exc:
        raise MountFailed(
            f"cannot make {path}.lock: {exc.strerror}",
            fix="set control.socket to a path that the service's user can write",
            errno=exc.errno,
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise _busy(path) from exc
    return descriptor


def _remove_stale(path: str) -> None:
    """Remove the socket of a service that is gone.

    Raises:
        ServiceBusy: something answers on it although nobody holds the lock.
        MountFailed: what is there is not a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise MountFailed(
            f"control socket path {path} exists and is not a socket",
            fix="move the file away, or set control.socket to another path",
            errno=errno.EEXIST,
        )
    if _answers(path):
        raise _busy(path)
    log.info("removing the control socket of a service that is gone: %s", path)
    os.unlink(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # A full backlog (EAGAIN) or a time-out: somebody listens and is only slow.
            return True
    return True


def _busy(path: str) -> ServiceBusy:
    return ServiceBusy(
        f"a shotfs service is running already: it owns the control socket {path}",
        fix="shotfs status; stop it with shotfs unmount, or give this one its own control.socket "
        "and cache.directory",
    )
