"""Which of its files a Read of Nuke shows at which frame. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.frames import frames_text, parse_frames
from shotfs.prewarm.scanners.base import Edge

LENGTH_MAX = 1_000_000
"""Files of one Read."""

TURNED_MAX = 1000
"""Files of a Read that loops which are told with the frames that each is for."""

_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Clip:
    """The knobs of a Read that are about time, as text.

    Attributes:
        first: number of its first file; *last* of its last.
        mode: ``start at``, ``offset`` or ``expression``; *shift* is the knob ``frame``.
        before: what it shows before *first*: hold, loop, bounce or black; *after* likewise.
    """

    first: str
    last: str
    mode: str
    shift: str
    before: str
    after: str


def whole(edge: Edge, clip: Clip) -> Edge | None:
    """Return *edge* for all files of *clip*, half as likely; None where they are not known."""
    bounds = _bounds(clip)
    if bounds is None:
        return None
    return replace(
        edge,
        file_frames=_range(*bounds),
        confidence=round(edge.confidence / 2, 3),
    )


def at_frames(edge: Edge, clip: Clip, asked: str) -> Iterator[Edge]:
    """Yield *edge* for those files of *clip* that are shown at the frames *asked*.

    With "" asked, or where ``frame`` is an expression, all its files.
    """
    bounds = _bounds(clip)
    if bounds is None:
        yield edge
        return
    first, last = bounds
    shift = _shift(clip, first)
    if not asked or shift is None:
        yield replace(edge, file_frames=_range(first, last))
        return
    try:
        frames = sorted(parse_frames(asked))
    except InvalidArgument:
        yield replace(edge, file_frames=_range(first, last))
        return
    yield from _shown(edge, frames, first, last, shift, clip)


def _shown(
    edge: Edge, frames: list[int], first: int, last: int, shift: int, clip: Clip
) -> Iterator[Edge]:
    within = [frame for frame in frames if first <= frame + shift <= last]
    if within:
        shown = frames_text(frame + shift for frame in within)
        yield replace(edge, frames=frames_text(within), file_frames=shown)
    length = last - first + 1
    outside = (
        (clip.before, first, [frame for frame in frames if frame + shift < first]),
        (clip.after, last, [frame for frame in frames if frame + shift > last]),
    )
    for what, end, beyond in outside:
        turned = _TURNS.get(what)
        if not beyond or what == "black":
            continue
        if turned is None:
            yield replace(edge, frames=frames_text(beyond), file_frames=str(end))
            continue
        yield from _turned(edge, beyond, partial(_number, turned, shift, first, length))


def _number(
    turned: Callable[[int, int], int], shift: int, first: int, length: int, frame: int
) -> int:
    return first + turned(frame + shift - first, length)


def _turned(edge: Edge, frames: list[int], number: Callable[[int], int]) -> Iterator[Edge]:
    """Yield *edge* once for each file that *number* gives for *frames*."""
    shown: dict[int, list[int]] = {}
    for frame in frames:
        shown.setdefault(number(frame), []).append(frame)
    if len(shown) > TURNED_MAX:
        yield replace(edge, file_frames=frames_text(shown))
        return
    for file, those in shown.items():
        yield replace(edge, frames=frames_text(those), file_frames=str(file))


def _loop(index: int, length: int) -> int:
    return index % length


def _bounce(index: int, length: int) -> int:
    # There and back again, the ends shown once each way round.
    round_trip = max(2 * (length - 1), 1)
    index %= round_trip
    return index if index < length else round_trip - index


_TURNS: dict[str, Callable[[int, int], int]] = {"loop": _loop, "bounce": _bounce}


def _bounds(clip: Clip) -> tuple[int, int] | None:
    if not _NUMBER.fullmatch(clip.first) or not _NUMBER.fullmatch(clip.last):
        return None
    first, last = int(clip.first), int(clip.last)
    return (first, last) if first <= last < first + LENGTH_MAX else None


def _shift(clip: Clip, first: int) -> int | None:
    """Return what is added to a frame to get the number of the file; None if it is not known."""
    if clip.mode == "expression":
        return None if clip.shift else 0
    if not _NUMBER.fullmatch(clip.shift):
        return None if clip.shift else 0
    if clip.mode in ("start at", "start_at"):
        return first - int(clip.shift)
    return -int(clip.shift) if clip.mode == "offset" else None


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
