"""OpenTimelineIO: the media of clips, as files or as image sequences, for the frames of the shot.

A timeline has its own time: where a clip of 24 frames begins at 1001 in its media, its file 1001 is
shown at frame 0 of the timeline. Who renders from a timeline asks for media, so a file is said to
be needed for all frames that are asked for.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from typing import Any

from shotfs.errors import ScanFailed
from shotfs.prewarm.manifest.frames import FRAMES_MAX, frames_text
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Edge, Kind, Scope

BYTES_MAX = 512 * 1024 * 1024
"""A timeline of more is not read: the library makes objects of all of it."""

OTHER_MEDIA = 0.3
"""Confidence of media that a clip has, and that is not the one it shows (proxies)."""


class OtioScanner:
    """Reads ``.otio`` files with the library that writes them."""

    name = "otio"
    suffixes = (".otio",)
    extra = "otio"

    def available(self) -> str:
        """Return "" if OpenTimelineIO is installed."""
        found = importlib.util.find_spec("opentimelineio") is not None
        return "" if found else "OpenTimelineIO is not installed"

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins a document of OpenTimelineIO."""
        return head.lstrip()[:1] == b"{" and b'"OTIO_SCHEMA"' in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:  # noqa: ARG002 - the seam's form
        """Yield the media that the timeline *path* names.

        Raises:
            ScanFailed: it is no timeline, or too large.
        """
        for reference, confidence in _references(_timeline(path)):
            yield from _edges(reference, confidence)


def _timeline(path: str) -> Any:
    size_bytes = os.stat(path).st_size
    if size_bytes > BYTES_MAX:
        raise ScanFailed(f"{path}: a timeline of {size_bytes} bytes; the limit is {BYTES_MAX}")
    import opentimelineio as otio

    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    try:
        # The library recurses in C, without an end; Python's reader refuses what is too deep.
        json.loads(text)
        return otio.adapters.read_from_string(text, "otio_json")
    except RecursionError as exc:
        raise ScanFailed(f"{path}: it is nested too deep for a timeline") from exc
    except (ValueError, TypeError, LookupError, otio.exceptions.OTIOError) as exc:
        raise ScanFailed(f"{path}: no timeline of OpenTimelineIO: {exc}") from exc


def _references(top: Any) -> Iterator[tuple[Any, float]]:
    """Yield the media references of all clips in *top*, and how sure it is that each is read."""
    import opentimelineio as otio

    waiting = [top]
    # An object may stand in itself, by reference. Those that were seen are kept: an id is only
    # theirs while they live.
    seen = {id(top): top}
    while waiting:
        one = waiting.pop()
        if isinstance(one, otio.schema.Timeline):
            waiting.append(one.tracks)
        elif isinstance(one, otio.schema.Clip):
            shown = one.active_media_reference_key
            for key, reference in one.media_references().items():
                yield reference, 1.0 if key == shown else OTHER_MEDIA
        elif isinstance(one, otio.core.MediaReference):
            yield one, 1.0
        elif isinstance(one, otio.core.Composition | otio.schema.SerializableCollection):
            children = [child for child in one if id(child) not in seen]
            seen.update((id(child), child) for child in children)
            waiting += reversed(children)


def _edges(reference: Any, confidence: float) -> Iterator[Edge]:
    import opentimelineio as otio

    if isinstance(reference, otio.schema.ImageSequenceReference):
        yield _sequence(reference, confidence)
    elif isinstance(reference, otio.schema.ExternalReference) and reference.target_url:
        target = str(reference.target_url)
        kind = Kind.SCENE if registry.reads(target) else Kind.FILE
        yield Edge(target, kind, confidence=confidence)


def _sequence(reference: Any, confidence: float) -> Edge:
    base = str(reference.target_url_base)
    if base and not base.endswith("/"):
        base += "/"
    token = f"%0{reference.frame_zero_padding}d" if reference.frame_zero_padding > 1 else "%d"
    target = f"{base}{reference.name_prefix}{token}{reference.name_suffix}"
    if reference.available_range is None:
        # It does not say how many there are: whatever is there.
        return Edge(target, confidence=confidence)
    first, last = int(reference.start_frame), int(reference.end_frame())
    step = max(int(reference.frame_step), 1)
    if last < first or (last - first) // step >= FRAMES_MAX:
        return Edge(target, confidence=confidence, unresolved=f"its frames are {first}-{last}")
    return Edge(
        target, file_frames=frames_text(range(first, last + 1, step)), confidence=confidence
    )
