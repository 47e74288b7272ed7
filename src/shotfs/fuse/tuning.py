"""Tuning: kernel limits of one mount that only root may change, after it is mounted.

With the kernel's default of 12 background requests, a dozen readers that wait for a slow origin
stop everybody else (measured, field notes); and its read-ahead of 128 KiB halves first reads.
Without privileges both stay as they are, and `status` says so.
"""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass

log = logging.getLogger(__name__)

CONNECTIONS = "/sys/fs/fuse/connections"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is in force after `tune`.

    Attributes:
        max_background: how many background requests the kernel keeps under way; None: its default.
        readahead_bytes: None: the kernel's default.
    """

    max_background: int | None
    readahead_bytes: int | None


def device_of(mountpoint: str) -> tuple[int, int] | None:
    """Return the device number of what is mounted at *mountpoint*, without touching it."""
    wanted = os.path.realpath(os.path.dirname(mountpoint) or "/")
    wanted = os.path.join(wanted, os.path.basename(mountpoint))
    device = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            parts = line.split()
            if _unescaped(parts[4]) == wanted:
                major, _, minor = parts[2].partition(":")
                device = int(major), int(minor)
    return device


def tune(mountpoint: str, *, max_background: int, readahead_bytes: int) -> Tuned:
    """Raise the limits of the mount at *mountpoint* as far as this process may.

    Args:
        mountpoint: absolute path.
        max_background: background requests; the congestion threshold is set to 3/4 of it.
        readahead_bytes: kernel read-ahead.
    """
    device = device_of(mountpoint)
    if device is None:
        return Tuned(None, None)
    major, minor = device
    readahead = _write(f"/sys/class/bdi/{major}:{minor}/read_ahead_kb", readahead_bytes // 1024)
    connection = f"{CONNECTIONS}/{minor}"
    if not os.path.isdir(connection) and os.geteuid() == 0:
        _mount_control_file_system()
    background = _write(f"{connection}/max_background", max_background)
    if background:
        _write(f"{connection}/congestion_threshold", max_background * 3 // 4)
    return Tuned(max_background if background else None, readahead_bytes if readahead else None)


def _mount_control_file_system() -> None:
    done = subprocess.run(
        ["mount", "-t", "fusectl", "fusectl", CONNECTIONS],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    if done.returncode:
        log.info("fusectl cannot be mounted: %s", done.stderr.strip())


def _write(path: str, value: int) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{value}\n")
    except OSError as exc:
        log.info("kernel limit left as it is: %s", exc)
        return False
    return True


def _unescaped(field: str) -> str:
    """Undo the octal escapes of mountinfo (space, tab, newline, backslash)."""
    if "\\" not in field:
        return field
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        field = field.replace(f"\\{code}", character)
    return field
