"""Frame ranges on the command line: ``1001-1086``, ``1-100x2``, ``1001-1010,1020``."""

from __future__ import annotations

import re

import typer

FRAMES_MAX = 1_000_000
_RANGE = re.compile(r"\s*(-?\d{1,12})(?:-(-?\d{1,12})(?:x(\d{1,9}))?)?\s*", re.ASCII)


def frames_of(text: str) -> tuple[int, ...]:
    """Return the frames of *text*, sorted, each once; at most `FRAMES_MAX`."""
    frames: set[int] = set()
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise typer.BadParameter(f"{text!r} are no frames; write 1001-1086, 1-100x2 or 1,5,9")
        first = int(found.group(1))
        last = int(found.group(2) or first)
        step = int(found.group(3) or 1)
        if last < first or step < 1:
            raise typer.BadParameter(f"{part.strip()!r} goes backwards")
        if len(frames) + (last - first) // step >= FRAMES_MAX:
            raise typer.BadParameter(f"{text!r} are more than {FRAMES_MAX} frames")
        frames.update(range(first, last + 1, step))
    return tuple(sorted(frames))
