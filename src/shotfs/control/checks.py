"""What `shotfs doctor` checks: one function a question, each answers with how to fix it.

Every check returns findings and raises nothing that is about the node: a doctor that dies of a
disease is of no use. Nothing here changes anything, and nothing waits without a limit.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shotfs.errors import NotPermitted, ServiceNotRunning, ShotfsError

if TYPE_CHECKING:
    from shotfs.config import Settings
    from shotfs.fuse.mountpoint import MountpointState

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "beegfs"})


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    WRONG = "wrong"
    """Something does not work, or will not; `doctor` exits with 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of one check.

    Attributes:
        check: what was looked at (``/dev/fuse``, ``cache directory``).
        message: what was found.
        fix: what to do about it; None where nothing is to be done.
    """

    check: str
    verdict: Verdict
    message: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """Where the node's files are; tests put others in their place."""

    fuse_device: str = "/dev/fuse"
    fuse_configuration: str = "/etc/fuse.conf"
    kernel_release: str = os.uname().release
    kernel_configurations: tuple[str, ...] = ("/proc/config.gz",)
    process_status: str = "/proc/self/status"
    uid: int = os.geteuid()


def check_node(settings: Settings | None, node: Node) -> Iterator[Finding]:
    """Check what has nothing to do with our files: the kernel, FUSE, its set-uid program."""
    yield _check_device(node)
    yield _check_fusermount(node)
    if settings is not None and settings.mount.allow_other:
        yield _check_allow_other(node)


def _check_device(node: Node) -> Finding:
    try:
        status = os.stat(node.fuse_device)
    except OSError:
        return Finding(
            "/dev/fuse",
            Verdict.WRONG,
            f"{node.fuse_device} does not exist: the kernel has no FUSE here",
            "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN",
        )
    if not stat.S_ISCHR(status.st_mode):
        return Finding(
            "/dev/fuse",
            Verdict.WRONG,
            f"{node.fuse_device} is not a device",
            f"rm {node.fuse_device}; mknod -m 666 {node.fuse_device} c 10 229",
        )
    mode = stat.S_IMODE(status.st_mode)
    if node.uid != 0 and mode & 0o006 != 0o006:
        return Finding(
            "/dev/fuse",
            Verdict.WRONG,
            f"{node.fuse_device} has mode {mode:04o}: only root can mount",
            f"chmod 666 {node.fuse_device} (as root; a udev rule makes it last), or mount as root",
        )
    return Finding("/dev/fuse", Verdict.OK, f"{node.fuse_device}, mode {mode:04o}")


def _check_fusermount(node: Node) -> Finding:
    program = shutil.which("fusermount3")
    if program is None:
        verdict = Verdict.NOTE if node.uid == 0 else Verdict.WRONG
        return Finding(
            "fusermount3",
            verdict,
            "fusermount3 is not installed; who is not root needs it to mount",
            "apt install fuse3",
        )
    if node.uid != 0 and not os.stat(program).st_mode & stat.S_ISUID:
        return Finding(
            "fusermount3",
            Verdict.WRONG,
            f"{program} is not set-uid root, so it cannot mount for others",
            f"chmod u+s {program}   (as root)",
        )
    return Finding("fusermount3", Verdict.OK, program)


def _check_allow_other(node: Node) -> Finding:
    if node.uid == 0:
        return Finding("allow_other", Verdict.OK, "root needs no permission for allow_other")
    try:
        with open(node.fuse_configuration, encoding="utf-8", errors="replace") as file:
            allowed = any(re.match(r"\s*user_allow_other\s*$", line) for line in file)
    except OSError:
        allowed = False
    if allowed:
        return Finding("allow_other", Verdict.OK, f"allowed by {node.fuse_configuration}")
    return Finding(
        "allow_other",
        Verdict.WRONG,
        f"mount.allow_other is set, and {node.fuse_configuration} does not allow it",
        f"echo user_allow_other >> {node.fuse_configuration}   (as root), "
        "or set mount.allow_other = false",
    )


def check_mountpoints(paths: Iterable[str]) -> Iterator[Finding]:
    """Check *paths*, and every mount of ours that the kernel lists. Takes seconds a dead one."""
    from shotfs.fuse import mountpoint

    wanted = [mountpoint.resolve(path) for path in paths]
    ours = [entry.mountpoint for entry in mountpoint.shotfs_mounts()]
    for path in dict.fromkeys([*wanted, *ours]):
        yield _finding_of_mountpoint(path, mountpoint.inspect(path))


def _finding_of_mountpoint(path: str, state: MountpointState) -> Finding:
    from shotfs.fuse.mountpoint import MountpointState, refusal

    if state is MountpointState.READY:
        return Finding("mountpoint", Verdict.OK, f"{path} is an empty directory")
    if state is MountpointState.MOUNTED_SHOTFS:
        return Finding("mountpoint", Verdict.OK, f"{path} is mounted by shotfs")
    if state is MountpointState.DEAD:
        return Finding(
            "mountpoint",
            Verdict.WRONG,
            f"{path} is a dead mount: its service was killed",
            f"shotfs doctor --fix {path}   (mounting again clears it too)",
        )
    message, fix = refusal(path, state)
    return Finding("mountpoint", Verdict.WRONG, f"{path}: {message}", fix)


def check_directories(settings: Settings, node: Node) -> Iterator[Finding]:
    """Check that cache and spool are ours alone, on a local disk, and have room."""
    yield from _check_directory(
        "cache directory", settings.cache.directory, settings.cache.free_bytes_min, "cache", node
    )
    if settings.spool.directory is not None:
        yield from _check_directory(
            "spool directory",
            settings.spool.directory,
            settings.spool.free_bytes_min,
            "spool",
            node,
        )


def _check_directory(
    check: str, path: str, free_bytes_min: int, section: str, node: Node
) -> Iterator[Finding]:
    existing = path
    if os.path.lexists(path):
        yield _check_safety(check, path, section, node)
    else:
        existing = nearest_existing(path)
        yield _check_creatable(check, path, existing, section)
    if not os.path.isdir(existing):
        return
    kind = file_system_of(existing)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Finding(
            check,
            Verdict.WRONG,
            f"{path} is on {kind}: locks and fsync there are not what a crash needs",
            f"set {section}.directory to a local disk",
        )
    yield _check_room(check, existing, free_bytes_min, section)


def _check_safety(check: str, path: str, section: str, node: Node) -> Finding:
    status = os.stat(path, follow_symlinks=True) if os.path.exists(path) else os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode):
        return Finding(
            check,
            Verdict.WRONG,
            f"{path} is not a directory",
            f"move it away, or set {section}.directory",
        )
    if status.st_uid != node.uid:
        return Finding(
            check,
            Verdict.WRONG,
            f"{path} belongs to {_user(status.st_uid)}, and this is {_user(node.uid)}",
            f"run shotfs as {_user(status.st_uid)} (doctor too: sudo -u), or chown it",
        )
    if mode & 0o077:
        return Finding(
            check,
            Verdict.WRONG,
            f"{path} has mode {mode:04o}: others could read or change what we serve",
            f"chmod 700 {path}",
        )
    return Finding(check, Verdict.OK, f"{path}, mode {mode:04o}, {_user(status.st_uid)}")


def _check_creatable(check: str, path: str, existing: str, section: str) -> Finding:
    if os.access(existing, os.W_OK | os.X_OK):
        return Finding(check, Verdict.NOTE, f"{path} does not exist yet; mounting makes it")
    return Finding(
        check,
        Verdict.WRONG,
        f"{path} does not exist, and {existing} cannot be written",
        f"install -d -m 700 -o {_user(os.geteuid())} {path}   (as root), "
        f"or set {section}.directory",
    )


def _check_room(check: str, path: str, free_bytes_min: int, section: str) -> Finding:
    status = os.statvfs(path)
    free_bytes = status.f_bavail * status.f_frsize
    free = f"{free_bytes / 2**30:.1f} GiB free on the disk of {path}"
    if status.f_files and not status.f_favail:
        return Finding(f"{check}: room", Verdict.WRONG, f"no inodes left at {path}", "df -i")
    if free_bytes <= free_bytes_min:
        return Finding(
            f"{check}: room",
            Verdict.WRONG,
            f"{free}: at or below {section}.free_bytes_min ({free_bytes_min / 2**30:.1f} GiB)",
            f"make room, set {section}.directory to another disk, or lower "
            f"{section}.free_bytes_min",
        )
    return Finding(f"{check}: room", Verdict.OK, free)


def check_service(settings: Settings) -> Iterator[Finding]:
    """Check whether the service of this configuration runs, and what of the kernel it uses.

    That it does not run is no mistake.
    """
    from shotfs.control.client import Client
    from shotfs.control.fast_paths import findings_of
    from shotfs.control.output_checks import troubles_of
    from shotfs.control.version_checks import retracted_of

    try:
        with Client(settings.control.socket) as client:
            status = client.status()
    except ServiceNotRunning:
        yield Finding("service", Verdict.NOTE, "not running", "shotfs mount /shows")
        return
    except NotPermitted as exc:
        yield Finding("service", Verdict.NOTE, f"running; {exc.message}", exc.fix)
        return
    except ShotfsError as exc:
        yield Finding("service", Verdict.WRONG, exc.message, exc.fix)
        return
    where = status.get("mountpoint") or "no mount"
    yield Finding("service", Verdict.OK, f"{status.get('state', 'running')}: {where}")
    yield from retracted_of(status)
    yield from findings_of(status)
    yield from troubles_of(status)


def check_shutdown(settings: Settings, obstacle: str | None) -> Finding:
    """Check whether a shutdown waits for outputs; *obstacle* says why it cannot."""
    inhibit = settings.preemption.inhibit
    if inhibit == "off":
        return Finding("shutdown", Verdict.NOTE, "preemption.inhibit is off: it waits for nothing")
    if obstacle is not None:
        return Finding("shutdown", Verdict.NOTE, f"it does not wait for outputs: {obstacle}")
    return Finding("shutdown", Verdict.OK, f"it waits for outputs ({inhibit})")


def nearest_existing(path: str) -> str:
    """Return *path*, or the nearest directory above it that there is."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def file_system_of(path: str) -> str:
    """Return the type of the file system that *path* is on, by the mount table."""
    from shotfs.fuse.mountpoint import mounts

    real = os.path.realpath(path)
    best = ""
    kind = ""
    for entry in mounts():
        inside = real == entry.mountpoint or real.startswith(entry.mountpoint.rstrip("/") + "/")
        if inside and len(entry.mountpoint) >= len(best):
            best, kind = entry.mountpoint, entry.kind
    return kind


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
