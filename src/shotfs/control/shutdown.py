"""Whether a shutdown of this machine can be made to wait: logind's locks, by systemd-inhibit."""

from __future__ import annotations

import os
import shutil

SYSTEMD_RUNS = "/run/systemd/system"
"""Exists where systemd is the init: sd_booted(3)."""


def obstacle() -> str | None:
    """Return why a shutdown cannot be held up here; None: it can be tried."""
    if not os.path.isdir(SYSTEMD_RUNS):
        return "systemd does not run here"
    if shutil.which("systemd-inhibit") is None:
        return "systemd-inhibit is not installed"
    return None
