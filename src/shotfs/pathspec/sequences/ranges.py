"""Ranges of frames as people write them: ``1001-1010,1012-1020x2``.

fileseq makes the text, so that whatever reads its ranges reads ours; of sub-frames we make it. It
is imported when it is first needed (37 ms, 118 modules).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from math import gcd

from shotfs.pathspec.fields import FieldValue, Tile

MISSING_MAX = 100_000
"""Missing frames that are looked at one by one for steps; more are told as plain ranges."""

NUMBER_MAX = 10**15
"""Larger numbers are no frames; they are listed as they are."""

_MICRO = 10**6
"""Sub-frames have at most six digits behind the point."""


def ranges(values: Iterable[FieldValue]) -> str:
    """Return *values* as text, in order, each once; "" for none.

    Frames and UDIM numbers become ranges. Everything else is listed.
    """
    numbers, others = _sorted(values)
    listed = ([_frame_range(numbers)] if numbers else []) + others
    return ",".join(listed)


def missing(values: Iterable[FieldValue]) -> str:
    """Return what lies between the lowest and the highest of *values* and is not one of them.

    Sub-frames: of the steps that the frames that are there stand in, a whole frame at most. Only
    numbers have anything between them.
    """
    numbers, _ = _sorted(values)
    if len(numbers) < 2:
        return ""
    if all(isinstance(number, int) for number in numbers):
        return _between([int(number) for number in numbers], 1)
    scaled = [_scaled(number) for number in numbers]
    step = gcd(_MICRO, *(later - earlier for earlier, later in itertools.pairwise(scaled)))
    return _between(scaled, step, _MICRO)


def _between(numbers: list[int], step: int, scale: int = 1) -> str:
    """Return the multiples of *step* between *numbers*, all divided by *scale*."""
    gaps = [
        (earlier + step, later - step)
        for earlier, later in itertools.pairwise(numbers)
        if later - earlier > step
    ]
    if sum((last - first) // step + 1 for first, last in gaps) > MISSING_MAX:
        return ",".join(_plain(first, last, step, scale) for first, last in gaps)
    lacking = (one for first, last in gaps for one in range(first, last + 1, step))
    return _frame_range([_number(one, scale) for one in lacking])


def _plain(first: int, last: int, step: int, scale: int) -> str:
    low, high, by = (str(one) if scale == 1 else _shown(one) for one in (first, last, step))
    if first == last:
        return low
    return f"{low}-{high}" if step == scale else f"{low}-{high}x{by}"


def _is_frame(value: Decimal) -> bool:
    if not value.is_finite() or value.copy_abs() >= NUMBER_MAX:
        return False
    above, below = value.as_integer_ratio()
    return above * _MICRO % below == 0


def _scaled(number: int | Decimal) -> int:
    above, below = number.as_integer_ratio()
    return above * _MICRO // below


def _number(scaled: int, scale: int) -> int | Decimal:
    return scaled if scale == 1 else Decimal(scaled) / scale


def _frame_range(numbers: list[int | Decimal]) -> str:
    if not numbers:
        return ""
    if isinstance(numbers[0], Decimal):
        return ",".join(_sub_frame_ranges([_scaled(number) for number in numbers]))
    from fileseq.frameset import FrameSet

    return str(FrameSet.framesToFrameRange(numbers))


def _sub_frame_ranges(scaled: list[int]) -> Iterator[str]:
    """Yield three or more at one distance as a range, all others alone.

    fileseq 3.4 fails for some lists of decimals, and invents frames for others (a test shows it).
    """
    index = 0
    while index < len(scaled):
        end = index + 1
        step = scaled[end] - scaled[index] if end < len(scaled) else 0
        while end + 1 < len(scaled) and scaled[end + 1] - scaled[end] == step:
            end += 1
        first = _shown(scaled[index])
        if end - index < 2:
            yield first
            index += 1
        else:
            yield f"{first}-{_shown(scaled[end])}" + (f"x{_shown(step)}" if step != _MICRO else "")
            index = end + 1


def _shown(scaled: int) -> str:
    return format((Decimal(scaled) / _MICRO).normalize(), "f")


def _sorted(values: Iterable[FieldValue]) -> tuple[list[int | Decimal], list[str]]:
    """Return the numbers in *values*, and the texts of all others."""
    numbers: set[int | Decimal] = set()
    tiles: set[Tile] = set()
    others: set[str] = set()
    for value in values:
        match value:
            case int() if abs(value) < NUMBER_MAX:
                numbers.add(value)
            case Decimal() if _is_frame(value):
                numbers.add(int(value) if value == value.to_integral_value() else value)
            case Tile():
                tiles.add(value)
            case _:
                others.add(str(value))
    # A list of both kinds would be taken for floats.
    whole = all(isinstance(number, int) for number in numbers)
    found = sorted(number if whole else Decimal(number) for number in numbers)
    return found, [f"u{one.u}_v{one.v}" for one in sorted(tiles)] + sorted(others)
