"""Helper: the optional C library between pyfuse3 and libfuse, and why it may be missing.

It must be loaded before pyfuse3, with its symbols in sight of every library that comes later; so
the package imports this module first. Without it (no compiler at installation, a libfuse that it
does not know) everything works, only slower.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

LIBFUSE_VERSIONS = range(314, 317)
"""libfuse 3.17 changed the structures of open files and offers passthrough itself; 3.14 is the
first with custom I/O. Run here with 3.14."""

OFF = "SHOTFS_NO_KERNEL_HELPER"
"""Environment variable: leave the helper out, as on a machine without a compiler."""


def _load() -> tuple[ModuleType | None, str]:
    """Return the helper, or why there is none."""
    if os.environ.get(OFF):
        return None, f"{OFF} is set"
    if "pyfuse3" in sys.modules:
        return None, "pyfuse3 was imported before it"
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    try:
        from shotfs.fuse import _interpose
    except ImportError as exc:
        return None, f"the C helper was not built: {exc}"
    finally:
        sys.setdlopenflags(flags)
    version = _interpose.libfuse_version()
    if version not in LIBFUSE_VERSIONS:
        return None, f"the C helper does not know libfuse {version // 100}.{version % 100}"
    if not _interpose.is_interposed():
        return None, "another library stands before the C helper (LD_PRELOAD?)"
    return _interpose, ""


MODULE, PROBLEM = _load()
"""The loaded helper, None if there is none; and why."""
