"""Sets of frames as text: ``1001-1010,1012-1020x2``; "" stands for all frames. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from shotfs.errors import InvalidArgument
from shotfs.pathspec.sequences import ranges

FRAMES_MAX = 1_000_000
"""Frames in one set."""

TEXT_CHARACTERS_MAX = 16_384
"""Of a set as text: 1,000,000 frames are one range, and 2,000 scattered ones fit."""

NUMBER_MAX = 10**9

KEPT_FRAMES_MAX = 1_000
"""A set with more is not kept in memory once it was read from text."""

_PART = re.compile(r"(-?[0-9]{1,10})(?:-(-?[0-9]{1,10})(?:x([0-9]{1,10}))?)?", re.ASCII)


def parse_frames(text: str) -> frozenset[int]:
    """Return the frames that *text* names; none for "".

    Raises:
        InvalidArgument: it is no such text, or names more than `FRAMES_MAX`.
    """
    return _kept(text) if check_frames(text) <= KEPT_FRAMES_MAX else _set_of(text)


@lru_cache(maxsize=4096)
def check_frames(text: str) -> int:
    """Return how many frames *text* names at most (one that is named twice counts twice).

    Cheap, however many they are: what reads a manifest checks with it and makes no sets.

    Raises:
        InvalidArgument: it is no such text, or names more than `FRAMES_MAX`.
    """
    count = sum(len(part) for part in _parts(text))
    if count > FRAMES_MAX:
        raise InvalidArgument(
            f"{text[:80]!r} names more than {FRAMES_MAX} frames",
            fix="name those that are rendered, or none for all",
        )
    return count


@lru_cache(maxsize=1024)
def _kept(text: str) -> frozenset[int]:
    return _set_of(text)


def _set_of(text: str) -> frozenset[int]:
    return frozenset().union(*_parts(text))


def _parts(text: str) -> list[range]:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise _no_frames(text)
    found = []
    for part in filter(None, text.split(",")):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise _no_frames(text)
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        step = 1 if match[3] is None else int(match[3])
        if step < 1 or last < first or max(abs(first), abs(last)) > NUMBER_MAX:
            raise _no_frames(text)
        found.append(range(first, last + 1, step))
    return found


def _no_frames(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{text[:80]!r} names no frames", fix="write them as 1001-1010,1012 or 1001-1099x2"
    )


@lru_cache(maxsize=1024)
def joined_frames(one: str, other: str) -> str:
    """Return the frames of *one* and those of *other*; all, if either is all.

    Where they are too many, or do not fit into `TEXT_CHARACTERS_MAX`, it is their span, or all:
    too many are fetched then, never too few.
    """
    if not one or not other or one == other:
        return one if one == other else ""
    return short_text(parse_frames(one) | parse_frames(other))


def frames_text(frames: Iterable[int]) -> str:
    """Return *frames* as text."""
    return ranges(frames)


def short_text(frames: frozenset[int] | set[int]) -> str:
    """Return *frames* as text that a manifest may have: their span, or "" for all, where they are
    too many or too scattered.
    """
    text = ranges(frames)
    if len(frames) <= FRAMES_MAX and len(text) <= TEXT_CHARACTERS_MAX:
        return text
    first, last = min(frames), max(frames)
    return f"{first}-{last}" if last - first < FRAMES_MAX else ""


def meets(one: str, other: str) -> bool:
    """Whether *one* and *other* have a frame in common; all meets everything.

    Costs what the smaller of them does: a range is asked for a frame, and not written out.
    """
    if not one or not other:
        return True
    few, many = sorted((one, other), key=check_frames)
    among = frame_ranges(many)
    return any(frame in part for own in frame_ranges(few) for frame in own for part in among)


def has_frame(text: str, frame: int) -> bool:
    """Whether *frame* is one of those that *text* names."""
    return any(frame in part for part in frame_ranges(text))


@lru_cache(maxsize=256)
def frame_ranges(text: str) -> tuple[range, ...]:
    """Return the frames that *text* names as ranges, which take no memory for each frame.

    Raises:
        InvalidArgument: as `parse_frames`.
    """
    check_frames(text)
    return tuple(_parts(text))
