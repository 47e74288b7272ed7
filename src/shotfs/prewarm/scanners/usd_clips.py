"""Value clips of USD: which clip is read at which frame. Pure.

Seen with strace on usd-core 26.11: a clip set without a manifest opens all its clips when the stage
is opened; one with a manifest opens the clip that is active at a time, and the next one when a
value between two frames is asked for (motion blur).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from shotfs.prewarm.manifest.frames import NUMBER_MAX, frames_text
from shotfs.prewarm.scanners.base import Edge

CLIPS_MAX = 100_000
"""Clips of one set."""

NEXT = 0.6
"""Confidence that a clip is read for the frame before it: where there is motion blur."""

_TEMPLATE = re.compile(r"#+(?:\.#+)?")


def held(times: Sequence[float], asked: frozenset[int] | None) -> dict[float, str | None]:
    """Return for which frames what stands at each of *times* is read, until the next one does.

    Args:
        times: sorted. The first also holds before itself, the last for ever.
        asked: frames that will be rendered; None for all.

    Returns:
        Frames as text, "" for all; None: it is not read at any frame that is asked for.
    """
    found: dict[float, str | None] = {}
    if len(times) == 1:
        return {times[0]: ""}
    frames = sorted(asked or ())
    for index, time in enumerate(times):
        last = index == len(times) - 1
        until = math.inf if last else times[index + 1]
        if asked is None:
            stop = math.floor(time) + 1 if last else math.ceil(until)
            numbers = range(math.ceil(time), stop) or range(math.floor(time), math.floor(time) + 1)
            found[time] = frames_text(numbers) if len(numbers) <= CLIPS_MAX else ""
        else:
            since = -math.inf if index == 0 else time
            chosen = [frame for frame in frames if since <= frame < until]
            # A shutter that opens within the frame before the first of these.
            between = [frame for frame in frames if frame < time < frame + 1]
            read = [*between, *chosen]
            found[time] = frames_text(read) if read else None
    return found


def set_edges(clips: Any, offset: Any, asked: frozenset[int] | None) -> Iterator[Edge]:
    """Yield the files of one clip set.

    Args:
        clips: the dictionary of the set, as a layer has it.
        offset: from the time of that layer to that of the stage; `offset * time` applies it.
        asked: frames that will be rendered; None for all.
    """
    if not isinstance(clips, Mapping):
        return
    manifest = _path(clips.get("manifestAssetPath"))
    if manifest:
        yield Edge(manifest)
    starts = _explicit(clips) or _template(clips)
    if not starts:
        template = clips.get("templateAssetPath")
        if isinstance(template, str) and template:
            yield Edge(template, confidence=0.5)  # whatever there is of it
        return
    if not manifest:
        yield from (Edge(path) for path in dict.fromkeys(path for _, path in starts))
        return
    shifted = sorted((float(offset * time), path) for time, path in starts)
    frames = held(list(dict.fromkeys(time for time, _ in shifted)), asked)
    for time, path in shifted:
        own = frames[time]
        if own is not None:
            yield Edge(path, frames=own)
    for (_, _), (time, path) in pairwise(shifted):
        before = math.ceil(time) - 1
        if abs(before) < NUMBER_MAX and (asked is None or before in asked):
            yield Edge(path, frames=str(before), confidence=NEXT)


def _explicit(clips: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return when each clip begins to be active, and its path."""
    paths = [_path(one) for one in clips.get("assetPaths") or ()]
    if not paths or len(paths) > CLIPS_MAX:
        return []
    found: list[tuple[float, str]] = []
    active = clips.get("active") or ()
    for time, index in ((float(one[0]), int(one[1])) for one in active):
        if 0 <= index < len(paths) and paths[index] and math.isfinite(time):
            found.append((time, paths[index]))
    # A clip that is never active is opened for the manifest only.
    return found or [(0.0, path) for path in paths if path]


def _template(clips: Mapping[str, Any]) -> list[tuple[float, str]]:
    template = clips.get("templateAssetPath")
    numbers = [
        clips.get(name) for name in ("templateStartTime", "templateEndTime", "templateStride")
    ]
    if not isinstance(template, str) or not all(isinstance(one, int | float) for one in numbers):
        return []
    start, end, stride = (float(one) for one in numbers if one is not None)
    places = list(_TEMPLATE.finditer(template))
    if not places or not all(map(math.isfinite, (start, end, stride))) or stride <= 0:
        return []
    if end < start or (end - start) / stride >= CLIPS_MAX:
        return []
    shift = clips.get("templateActiveOffset") or 0.0
    place = places[-1]
    whole, point, parts = place.group().partition(".")
    found: list[tuple[float, str]] = []
    for index in range(int((end - start) / stride + 1e-6) + 1):
        time = start + index * stride
        digits = f"{time:.{len(parts)}f}" if point else str(int(time))
        number, dot, behind = digits.partition(".")
        text = number.zfill(len(whole)) + dot + behind
        path = template[: place.start()] + text + template[place.end() :]
        found.append((time + float(shift), path))
    return found


def _path(value: Any) -> str:
    """Return the path of an asset path of usd-core, or of a string."""
    text = getattr(value, "authoredPath", "") or getattr(value, "path", "") or value
    return text if isinstance(text, str) else ""
