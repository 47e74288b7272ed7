"""Mountpoints: what is at a path now, and making it fit to be mounted on.

Owns the questions that come before and after a mount: is there a directory, is something mounted
on it, does that answer. Knows nothing of pyfuse3. Never asks the file system at a path from this
process: a FUSE mount whose server hangs would hold the caller for ever, and a serving process that
touches its own mount waits for itself. What must be asked, a short-lived child asks, with a
deadline; the rest comes from the kernel's mount table.

Every function blocks for up to a few seconds: call them from a thread, not from the event loop.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pwd
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shotfs.errors import MountFailed

log = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 5.0
"""How long a mount may take to list one entry before it counts as hung. Our own root directory is
answered from memory, so seconds mean that nobody serves it."""

UNMOUNT_TIMEOUT_S = 10.0
"""How long `umount` or `fusermount3` may take; both only talk to the kernel."""

STACKED_MOUNTS_MAX = 8
"""How many dead mounts on top of each other `recover` clears before it gives up."""

MOUNT_TABLE = "/proc/self/mountinfo"

# The child that does what may hang. Run with -I -S: no site-packages, 15 ms.
_PROBE = r"""
import errno, json, os, sys
path, user, group = sys.argv[1:]
if user:
    # Here and not by Popen: another user may not be able to run an interpreter below /root.
    os.setgroups([]), os.setgid(int(group)), os.setuid(int(user))
answer = {"path": path, "exists": False, "directory": False, "empty": False, "errno": 0}
try:
    answer["path"] = os.path.realpath(path)
    with os.scandir(path) as entries:
        answer["exists"] = answer["directory"] = True
        answer["empty"] = next(entries, None) is None
except OSError as error:
    answer["errno"] = error.errno
    answer["exists"] = error.errno != errno.ENOENT
    answer["directory"] = answer["exists"] and error.errno != errno.ENOTDIR
print(json.dumps(answer))
"""

# What listing a mount says when its server is gone: the kernel has aborted the connection.
# Not EIO or ETIMEDOUT: those a living server says too, and a living mount is never taken away.
_DEAD_ERRNOS = frozenset({errno.ENOTCONN, errno.ECONNABORTED})


class MountpointState(StrEnum):
    """What is at a path that somebody wants to mount on or unmount."""

    MISSING = "missing"
    NOT_A_DIRECTORY = "not a directory"
    NOT_LISTABLE = "not listable"
    NOT_EMPTY = "not empty"
    READY = "ready"
    MOUNTED_SHOTFS = "mounted by shotfs"
    MOUNTED_OTHER = "mounted by something else"
    DEAD = "dead mount"
    UNRESPONSIVE = "mount that does not answer"


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of the kernel's mount table.

    Attributes:
        mountpoint: absolute path, unescaped.
        kind: the file system type (``fuse.shotfs``, ``tmpfs``).
        source: what is mounted (``shotfs``, a device).
        owner: uid and gid that made a FUSE mount; None for other file systems.
        allow_other: a FUSE mount that users other than its owner may enter.
    """

    mountpoint: str
    kind: str
    source: str
    owner: tuple[int, int] | None
    allow_other: bool

    @property
    def is_fuse(self) -> bool:
        """Served by a process, which may die or hang."""
        return self.kind in {"fuse", "fuseblk"} or self.kind.startswith("fuse.")

    @property
    def is_shotfs(self) -> bool:
        """Made by shotfs: by its subtype, or by its source where the subtype got lost."""
        return self.kind == "fuse.shotfs" or (self.is_fuse and self.source == "shotfs")


def mounts(table: str = MOUNT_TABLE) -> list[MountEntry]:
    """Return the mount table in mount order: of two entries for one path the later is on top."""
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        return [_parse(line) for line in lines if " - " in line]


def mount_at(path: str, table: str = MOUNT_TABLE) -> MountEntry | None:
    """Return what is mounted on *path* itself (topmost), without touching it; None: nothing.

    *path* must be free of symbolic links, as `resolve` gives it.
    """
    wanted = os.path.abspath(path)
    found = [entry for entry in mounts(table) if entry.mountpoint == wanted]
    return found[-1] if found else None


def shotfs_mounts(table: str = MOUNT_TABLE) -> list[MountEntry]:
    """Return every mount that shotfs made, live or dead."""
    return [entry for entry in mounts(table) if entry.is_shotfs]


def resolve(path: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> str:
    """Return *path* absolute and without symbolic links, as the mount table would name it.

    A path that is in the mount table is returned as it is; a child resolves any other, the parent
    first, so that a hung mount at the end of the path is recognised without being asked.
    """
    absolute = os.path.abspath(path)
    if mount_at(absolute) is not None:
        return absolute
    parent = _probe(os.path.dirname(absolute), None, timeout_s)
    if parent is None:
        return absolute
    candidate = os.path.join(parent.path, os.path.basename(absolute))
    if mount_at(candidate) is not None:
        return candidate
    answer = _probe(candidate, None, timeout_s)
    return candidate if answer is None else answer.path


def inspect(path: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> MountpointState:
    """Say what is at *path*; takes at most about *timeout_s* seconds, whatever is there."""
    return _inspect(resolve(path, timeout_s=timeout_s), timeout_s)


def recover(path: str) -> None:
    """Detach whatever dead mounts are on *path*, lazily: open descriptors keep their error.

    Raises:
        MountFailed: the mount is still there afterwards (not permitted, no fusermount3).
    """
    for _ in range(STACKED_MOUNTS_MAX):
        detach(path, lazy=True)
        if _inspect(path, PROBE_TIMEOUT_S) is not MountpointState.DEAD:
            return
    raise MountFailed(
        f"cannot clear {path}: more than {STACKED_MOUNTS_MAX} dead mounts on top of each other",
        fix=f"umount -l {path}   (as root, repeatedly)",
    )


def detach(path: str, *, lazy: bool) -> None:
    """Take the topmost mount off *path*; *lazy* also when files in it are open.

    Raises:
        MountFailed: it is in use (errno EBUSY), or not permitted, or no program can do it.
    """
    refusals: list[str] = []
    for command in _unmount_commands(path, lazy=lazy):
        refusal = _run_unmount(command)
        if refusal is None:
            return
        refusals.append(refusal)
    text = "; ".join(refusals)
    if "busy" in text:
        raise MountFailed(
            f"cannot unmount {path}: files in it are open or it is a working directory",
            fix=f"end what uses it (fuser -vm {path}), or: shotfs unmount --force {path}",
            errno=errno.EBUSY,
        )
    raise MountFailed(
        f"cannot unmount {path}: {text}", fix=f"as root or the user who mounted: umount {path}"
    )


def ensure_ready(path: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> str:
    """Return *path* without symbolic links, ready to be mounted on; clear a dead mount on it.

    Raises:
        MountFailed: with what is there and what to do about it.
    """
    resolved = resolve(path, timeout_s=timeout_s)
    state = _inspect(resolved, timeout_s)
    if state is MountpointState.DEAD:
        log.warning("%s is a dead mount of a process that was killed: detaching it", resolved)
        recover(resolved)
        state = _inspect(resolved, timeout_s)
    if state is MountpointState.READY:
        return resolved
    message, fix = refusal(resolved, state)
    raise MountFailed(f"cannot mount {resolved}: {message}", fix=fix)


def refusal(path: str, state: MountpointState) -> tuple[str, str]:
    """Return why a state cannot be mounted on, and the fix."""
    return {
        MountpointState.MISSING: ("there is no such directory", f"mkdir -p {path}"),
        MountpointState.NOT_A_DIRECTORY: (
            "it is not a directory",
            "name an empty directory, for example /shows",
        ),
        MountpointState.NOT_LISTABLE: (
            f"the directory cannot be listed by user {_user_name(os.geteuid())}",
            f"run shotfs as the directory's owner, or: chmod u+rx {path}",
        ),
        MountpointState.NOT_EMPTY: (
            "the directory is not empty, and a mount would hide what is in it",
            f"move the files away (ls -A {path}), or name another directory",
        ),
        MountpointState.MOUNTED_SHOTFS: (
            "shotfs is mounted there already",
            f"shotfs status; to mount again: shotfs unmount {path}",
        ),
        MountpointState.MOUNTED_OTHER: (
            "another file system is mounted there",
            f"findmnt {path}; then umount it, or name another directory",
        ),
        MountpointState.DEAD: (
            "a dead mount there cannot be cleared",
            f"as root or the user who mounted it: umount -l {path}",
        ),
        MountpointState.UNRESPONSIVE: (
            f"a mount there has a server that did not answer for {PROBE_TIMEOUT_S:g} s",
            f"pgrep -af shotfs shows its process; to take it away: shotfs unmount --force {path}",
        ),
    }[state]


def _inspect(path: str, timeout_s: float) -> MountpointState:
    entry = mount_at(path)
    answer = _probe(path, entry, timeout_s)
    if entry is not None:
        return _state_of_mount(entry, answer)
    return _state_of_directory(answer)


def _state_of_mount(entry: MountEntry, answer: _Answer | None) -> MountpointState:
    if entry.is_fuse and answer is None:
        return MountpointState.UNRESPONSIVE
    if entry.is_fuse and answer is not None and answer.errno in _DEAD_ERRNOS:
        return MountpointState.DEAD
    # EACCES and the like: somebody else's mount; it answers, or at least nobody says it is dead.
    return MountpointState.MOUNTED_SHOTFS if entry.is_shotfs else MountpointState.MOUNTED_OTHER


def _state_of_directory(answer: _Answer | None) -> MountpointState:
    if answer is None:
        return MountpointState.UNRESPONSIVE
    if answer.errno in _DEAD_ERRNOS:
        # A dead mount above it, or one that this mount namespace does not list.
        return MountpointState.DEAD
    if not answer.exists:
        return MountpointState.MISSING
    if not answer.directory:
        return MountpointState.NOT_A_DIRECTORY
    if answer.errno:
        return MountpointState.NOT_LISTABLE
    return MountpointState.READY if answer.empty else MountpointState.NOT_EMPTY


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the probing child found; *errno* 0 means that listing worked."""

    path: str
    exists: bool
    directory: bool
    empty: bool
    errno: int


def _probe(path: str, entry: MountEntry | None, timeout_s: float) -> _Answer | None:
    """List *path* in a child; None when it did not answer within *timeout_s*."""
    user, group = _probe_identity(entry)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROBE, path, user, group],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _abandon(process)
        return None
    try:
        return _Answer(**json.loads(output))
    except (ValueError, TypeError) as exc:
        raise MountFailed(
            f"cannot look at {path}: the process that lists it ended with {process.returncode}",
            fix=f"check that {sys.executable} can be run",
        ) from exc


def _probe_identity(entry: MountEntry | None) -> tuple[str, str]:
    """Return uid and gid to ask as, "" for our own.

    Root is kept out of a mount whose user did not open it.

    Without this, a live and a dead mount of another user both say EACCES.
    """
    if entry is None or entry.owner is None or entry.allow_other or os.geteuid() != 0:
        return "", ""
    user, group = entry.owner
    return str(user), str(group)


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill a child and let a thread reap it whenever the kernel lets it go.

    A request that the server has taken is waited out uninterruptibly, so waiting here could take
    for ever: exactly what the probe is for.
    """
    process.kill()
    threading.Thread(target=process.communicate, name="mount-probe-reaper", daemon=True).start()


def _unmount_commands(path: str, *, lazy: bool) -> list[Sequence[str]]:
    """Return the commands to try: root needs no set-uid program, others have only that one."""
    fusermount = ["fusermount3", "-uz" if lazy else "-u", "--", path]
    umount = ["umount", "--no-canonicalize", *(["--lazy"] if lazy else []), "--", path]
    return [umount, fusermount] if os.geteuid() == 0 else [fusermount, umount]


def _run_unmount(command: Sequence[str]) -> str | None:
    """Run one unmount command; return why it failed, or None."""
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UNMOUNT_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {UNMOUNT_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}"


def _parse(line: str) -> MountEntry:
    """Parse a line of mountinfo (proc_pid_mountinfo(5)): ids, path, options - type, source."""
    before, _, after = line.rstrip("\n").partition(" - ")
    kind, source, options = [*after.split(" ", 2), "", ""][:3]
    owner = re.search(r"(?:^|,)user_id=(\d+),group_id=(\d+)", options)
    return MountEntry(
        mountpoint=_unescape(before.split(" ")[4]),
        kind=kind,
        source=_unescape(source),
        owner=(int(owner.group(1)), int(owner.group(2))) if owner else None,
        allow_other="allow_other" in options.split(","),
    )


def _unescape(text: str) -> str:
    r"""Undo the kernel's octal escapes of space, tab, newline and backslash (``\040``)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
