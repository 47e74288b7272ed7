"""Where a measuring program waits, all loaded, until whoever started it has the machine ready.

Standard library only, and imported by name: interpreters of other environments run it, too.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "BENCH_START_LINE"
"""In the environment of a program that shall wait."""

READY = "ready"


def wait() -> None:
    """Say that everything is loaded; return when a line comes. Nobody asked for it: at once."""
    if VARIABLE in os.environ:
        print(READY, flush=True)
        sys.stdin.readline()
