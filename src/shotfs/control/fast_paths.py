"""What `shotfs doctor` says of the kernel's fast paths: what this node can, and what is in use.

Nothing here is wrong: without any of it everything works, only slower. What a running service says
of itself counts more than what can be seen from here, because it may run with other rights.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shotfs.control.checks import Finding, Node, Verdict, file_system_of, nearest_existing

if TYPE_CHECKING:
    from shotfs.config import Settings

PASSTHROUGH_KERNEL = (6, 9)
"""The first kernel with FUSE passthrough."""

STACKED_FILE_SYSTEMS = frozenset({"overlay", "ecryptfs", "aufs", "unionfs"})
"""Files of these cannot back files of ours: the kernel allows one file system on another, and
we are that one (`max_stack_depth`)."""

CONFIGURATION_BYTES_MAX = 4 * 1024 * 1024

_FIXES = (
    ("mount.passthrough is off", 'set mount.passthrough = "auto", and mount again'),
    ("mount.native_thread is off", 'set mount.native_thread = "auto", and mount again'),
    (
        "CAP_SYS_ADMIN",
        "run the service as root or with AmbientCapabilities=CAP_SYS_ADMIN, --cap-add SYS_ADMIN",
    ),
    ("SHOTFS_NO_KERNEL_HELPER", "unset it where the service is started, and mount again"),
    ("was not built", "apt install gcc python3-dev libfuse3-dev, and install shotfs again"),
    ("does not know libfuse", "use libfuse 3.14 to 3.16 (fuse3 of Debian 12), or a newer shotfs"),
    ("LD_PRELOAD", "start the service without LD_PRELOAD"),
    ("does not offer it", "boot Linux 6.9 or later with CONFIG_FUSE_PASSTHROUGH"),
    ("refuses backing files", "put cache.directory and spool.directory on a disk: ext4 or xfs"),
    ("no test file can be made", "look at cache.directory: its disk, owner and mode"),
    ("of files in", "put spool.directory on ext4 or xfs, on Linux 6.13 or later"),
    ("the file system of", "put spool.directory on ext4 or xfs, on Linux 6.13 or later"),
)
"""What to do about a problem that has these words; `status` tells the problems."""


_IN_USE = {
    "passthrough": "passthrough in use",
    "native_thread": "native thread in use",
    "zero_upcall": "zero-upcall in use",
}
"""Keys of `status`, and what the findings about them are called."""


def fix_of(problem: str) -> str:
    """Return what to do about a *problem* that `status` tells."""
    return next((fix for words, fix in _FIXES if words in problem), "look into the service's log")


# --- what this node can --------------------------------------------------------------------------


def check_possible(settings: Settings | None, node: Node) -> Iterator[Finding]:
    """Check what passthrough and reads without opens need: helper, kernel, right, disks."""
    yield _check_helper()
    if settings is not None and settings.mount.passthrough == "off":
        problem = "mount.passthrough is off"
        yield Finding("passthrough", Verdict.NOTE, problem, fix_of(problem))
        return
    yield _check_kernel(node)
    yield _check_right(node)
    if settings is not None:
        yield _check_disk("cache.directory", settings.cache.directory)
        if settings.spool.directory is not None:
            yield _check_disk("spool.directory", settings.spool.directory)


def _check_helper() -> Finding:
    from shotfs.fuse import helper

    if helper.MODULE is None:
        return Finding("kernel helper", Verdict.NOTE, helper.PROBLEM, fix_of(helper.PROBLEM))
    version = helper.MODULE.libfuse_version()
    text = f"built, and loaded before libfuse {version // 100}.{version % 100}"
    return Finding("kernel helper", Verdict.OK, text)


def _check_kernel(node: Node) -> Finding:
    match = re.match(r"(\d+)\.(\d+)", node.kernel_release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    name, fix = "passthrough: kernel", fix_of("does not offer it")
    if version < PASSTHROUGH_KERNEL:
        text = f"kernel {node.kernel_release} has no FUSE passthrough (6.9 is the first)"
        return Finding(name, Verdict.NOTE, text, fix)
    built = _built_with_passthrough(node)
    if built is False:
        text = f"kernel {node.kernel_release} was built without CONFIG_FUSE_PASSTHROUGH"
        return Finding(name, Verdict.NOTE, text, fix)
    seen = "has CONFIG_FUSE_PASSTHROUGH" if built else "may have it; its configuration is not here"
    return Finding(name, Verdict.OK, f"kernel {node.kernel_release} {seen}")


def _built_with_passthrough(node: Node) -> bool | None:
    """Return what the kernel's own configuration says; None: it cannot be seen."""
    for path in (*node.kernel_configurations, f"/boot/config-{node.kernel_release}"):
        opener = gzip.open if path.endswith(".gz") else open
        try:
            with opener(path, "rb") as file:
                text = file.read(CONFIGURATION_BYTES_MAX)
        except (OSError, EOFError):
            continue
        return re.search(rb"^CONFIG_FUSE_PASSTHROUGH=y$", text, re.MULTILINE) is not None
    return None


def _check_right(node: Node) -> Finding:
    from shotfs.fuse.features import has_sys_admin

    name = "passthrough: right"
    try:
        allowed = has_sys_admin(node.process_status)
    except OSError as exc:
        return Finding(name, Verdict.NOTE, f"capabilities cannot be read: {exc}", "mount /proc")
    if allowed:
        return Finding(name, Verdict.OK, "this user has CAP_SYS_ADMIN")
    text = "this process has no CAP_SYS_ADMIN; the service may have it all the same"
    return Finding(name, Verdict.NOTE, text, fix_of("CAP_SYS_ADMIN"))


def _check_disk(setting: str, path: str) -> Finding:
    kind = file_system_of(nearest_existing(os.path.abspath(path)))
    name = f"passthrough: {setting}"
    fix = f"set {setting} to a disk: ext4 or xfs; in a container, a volume"
    if kind in STACKED_FILE_SYSTEMS:
        text = f"{path} is on {kind}, whose files the kernel does not read for us"
        return Finding(name, Verdict.NOTE, text, fix)
    if kind.split(".")[0] in ("fuse", "fuseblk"):
        text = f"{path} is on {kind}: another program answers each read of the kernel"
        return Finding(name, Verdict.NOTE, text, fix)
    return Finding(name, Verdict.OK, f"{path} is on {kind or 'a disk'}")


# --- what is in use ------------------------------------------------------------------------------


def findings_of(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Say what the service uses, by its own *status*; nothing of a service without a mount."""
    kernel = status.get("kernel")
    if not kernel:
        return
    for name, title in _IN_USE.items():
        problem = kernel.get(f"{name}_problem")
        if kernel.get(name):
            yield Finding(title, Verdict.OK, _counted(name, kernel))
        elif problem:
            given = "files are opened without asking" if problem == "zero_upcall" else problem
            fix = None if problem == "zero_upcall" else fix_of(problem)
            yield Finding(title, Verdict.NOTE, f"no: {given}", fix)
    lending = status.get("spool", {}).get("lending_problem")
    if kernel.get("passthrough") and lending:
        text = f"written through the service: {lending}"
        yield Finding("passthrough of outputs", Verdict.NOTE, text, fix_of(lending))


def _counted(name: str, kernel: Mapping[str, Any]) -> str:
    if name != "passthrough":
        return "yes"
    opens, files = kernel.get("passthrough_opens", 0), kernel.get("passthrough_files", 0)
    return f"yes: {opens} opens since the start, {files} files now"
