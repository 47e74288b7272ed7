"""How two images differ, pixel by pixel, through OpenImageIO where it is installed.

Runs in a process of its own (`python -m shotfs.cli.image_difference OURS THEIRS` prints JSON): it
reads files that somebody else wrote, in code that is not ours, and may die of one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

SUFFIXES = frozenset({".exr", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dpx"})
"""What is taken for an image, by its name."""

TIMEOUT_S = 600.0
"""How long a comparison may take."""

PARTS_MAX = 64
"""So many parts of a multi-part file are compared."""

INSTALL = "pip install 'shotfs[images]'"


def image_difference(ours: str, theirs: str) -> dict[str, Any]:
    """Return how the images in two files differ; blocks.

    Returns:
        ``ours`` and ``theirs`` (``width``, ``height``, ``channels`` by name, ``parts``,
        ``format``) and, if they can be compared, ``pixels``, ``different_pixels``, ``max_error``,
        ``mean_error``, ``rms_error`` of the part that differs most and ``worst`` (part, x, y,
        channel). Or ``problem``: why not.
    """
    if find_spec("OpenImageIO") is None:
        return {"problem": f"OpenImageIO is not installed, so pixels are not compared: {INSTALL}"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "shotfs.cli.image_difference", ours, theirs],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"problem": f"the pixels were not compared within {TIMEOUT_S:g} s"}
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return {"problem": f"OpenImageIO ended with {done.returncode}: {last or 'no message'}"}
    return found


def _compared(ours: str, theirs: str) -> dict[str, Any]:
    import OpenImageIO

    told: dict[str, Any] = {}
    for side, path in (("ours", ours), ("theirs", theirs)):
        buffer = OpenImageIO.ImageBuf(path)
        if not buffer.initialized or buffer.has_error:
            return {**told, "problem": f"{side} cannot be read as an image: {buffer.geterror()}"}
        spec = buffer.spec()
        told[side] = {
            "width": spec.width, "height": spec.height, "channels": list(spec.channelnames),
            "format": str(spec.format), "parts": buffer.nsubimages,
        }  # fmt: skip
    for name in ("width", "height", "channels", "parts"):
        if told["ours"][name] != told["theirs"][name]:
            return told  # nothing to compare pixel by pixel
    return told | _pixels(OpenImageIO, ours, theirs, min(told["ours"]["parts"], PARTS_MAX))


def _pixels(library: Any, ours: str, theirs: str, parts: int) -> dict[str, Any]:
    pixels = different = 0
    worst: dict[str, Any] = {}
    for part in range(parts):
        mine, other = library.ImageBuf(ours, part, 0), library.ImageBuf(theirs, part, 0)
        result = library.ImageBufAlgo.compare(mine, other, 0.0, 0.0)
        if mine.has_error or other.has_error:
            broken = mine if mine.has_error else other
            return {"problem": f"part {part} cannot be read: {broken.geterror()}"}
        spec = mine.spec()
        pixels += spec.width * spec.height
        different += result.nfail
        if not worst or result.maxerror > worst["max_error"]:
            worst = {
                "max_error": result.maxerror, "mean_error": result.meanerror,
                "rms_error": result.rms_error,
                "worst": {
                    "part": part, "x": result.maxx, "y": result.maxy,
                    "channel": _name(spec.channelnames, result.maxc),
                },
            }  # fmt: skip
    return {"pixels": pixels, "different_pixels": different, **worst}


def _name(names: Any, index: int) -> str:
    return str(names[index]) if 0 <= index < len(names) else str(index)


if __name__ == "__main__":
    json.dump(_compared(sys.argv[1], sys.argv[2]), sys.stdout)
