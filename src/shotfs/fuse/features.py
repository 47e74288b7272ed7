"""Features: which fast paths of the kernel a mount uses, and why not.

Found out once, when it is mounted: what is built in and allowed before, what the kernel offers in
the handshake, and at last a real read through a test file, because only that shows that all parts
fit together. `status` and `doctor` tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shotfs.fuse import helper
from shotfs.fuse.passthrough import Passthrough

SYS_ADMIN = 21
"""CAP_SYS_ADMIN (include/uapi/linux/capability.h)."""


def has_sys_admin(status: str = "/proc/self/status") -> bool:
    """Whether this process may administer the system; root in a container often may not."""
    with open(status, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> SYS_ADMIN & 1)
    return False


def passthrough_obstacle(setting: str) -> str:
    """Return why passthrough need not even be asked for; "" if it may work.

    Args:
        setting: `mount.passthrough`.
    """
    if setting == "off":
        return "mount.passthrough is off"
    if helper.MODULE is None:
        return helper.PROBLEM
    if not has_sys_admin():
        return "it needs root (CAP_SYS_ADMIN)"
    return ""


def zero_upcall_obstacle() -> str:
    """Return why a mount without opens cannot be; "" if it can."""
    return "" if helper.MODULE is not None else helper.PROBLEM


def set_reads_by_inode(wanted: bool) -> None:
    """Let the reads of the session to come name their inode."""
    if helper.MODULE is not None:
        helper.MODULE.set_reads_by_inode(wanted)


def report(
    passthrough: Passthrough, *, zero_upcall: bool, zero_upcall_problem: str
) -> Mapping[str, Any]:
    """Return what `status` says of the fast paths in use."""
    return {
        "helper": helper.MODULE is not None,
        "helper_problem": helper.PROBLEM or None,
        "passthrough": passthrough.active,
        "passthrough_problem": passthrough.problem or None,
        "passthrough_files": passthrough.files,
        "passthrough_opens": passthrough.opens,
        "zero_upcall": zero_upcall,
        "zero_upcall_problem": zero_upcall_problem or None,
    }
