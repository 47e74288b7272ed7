"""Sizes and durations as people write them: ``100 GiB``, ``1.5TB``, ``30 s``, ``5 min``.

Pure text and numbers. A size becomes whole bytes, a duration becomes seconds. A bare number is
already in bytes or seconds, so that programs which write configuration need no units.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from shotfs.config.mistake import Mistake

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SIZE_BYTES_MAX = 2**60
"""The largest size that is accepted (1 EiB): beyond it somebody has mistyped."""

DURATION_S_MAX = 10.0 * 365 * 86400
"""The longest duration that is accepted (ten years): beyond it somebody has mistyped."""

_BINARY = ("KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("kB", "MB", "GB", "TB", "PB")
_SIZE_UNITS: dict[str, int] = {
    "B": 1,
    **{unit: 1024**power for power, unit in enumerate(_BINARY, start=1)},
    **{unit: 1000**power for power, unit in enumerate(_DECIMAL, start=1)},
}
_SIZE_UNIT_BY_FOLDED = {unit.lower(): factor for unit, factor in _SIZE_UNITS.items()}

_DURATION_UNITS: dict[str, Decimal] = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}

_QUANTITY = re.compile(r"\s*([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*\Z")

SIZE_EXAMPLES = '"100 GiB" (1024-based), "1.5 TB" (1000-based) or a whole number of bytes'
DURATION_EXAMPLES = '30, 0.5, "200 ms", "30 s", "5 min", "2 h" or "1 d"'


def parse_size(value: object) -> int:
    """Return *value* in bytes.

    Args:
        value: a whole number of bytes, or text with a unit (``B``, ``kB`` ... ``PB`` are powers
            of 1000; ``KiB`` ... ``PiB`` are powers of 1024; case does not matter).

    Raises:
        Mistake: it is not a size, is negative, is above `SIZE_BYTES_MAX`, or does not come to
            a whole number of bytes. The message says what to write.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Mistake("a size is expected", f"write {SIZE_EXAMPLES}")
    size = _size_from_text(value) if isinstance(value, str) else _whole(value)
    if size < 0:
        raise Mistake("a size cannot be negative", f"write {SIZE_EXAMPLES}")
    if size > SIZE_BYTES_MAX:
        raise _too_large()
    return size


def format_size(size_bytes: int) -> str:
    """Return *size_bytes* exactly and as short as a unit makes it; parsing gives it back."""
    exact = [
        (size_bytes // factor, unit)
        for unit, factor in _SIZE_UNITS.items()
        if size_bytes % factor == 0
    ]
    count, unit = min(exact, key=lambda one: one[0])
    return f"{count} {unit}"


def rounded_size(size_bytes: float) -> str:
    """Return a size as people say it: ``12.3 GiB``. `format_size` is exact instead."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} PiB"


def parse_duration(value: object) -> float:
    """Return *value* in seconds.

    Args:
        value: a number of seconds, or text with a unit (``ms``, ``s``, ``min``, ``h``, ``d``).

    Raises:
        Mistake: it is not a duration, is negative, not finite, or above `DURATION_S_MAX`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Mistake("a duration is expected", f"write {DURATION_EXAMPLES}")
    seconds = _duration_from_text(value) if isinstance(value, str) else _finite(value)
    if seconds < 0:
        raise Mistake("a duration cannot be negative", f"write {DURATION_EXAMPLES}")
    if seconds > DURATION_S_MAX:
        raise Mistake(
            "the duration is too long", f"write at most {format_duration(DURATION_S_MAX)}"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Return *seconds* in the largest unit that divides it, so that parsing gives it back."""
    for unit in ("d", "h", "min"):
        factor = float(_DURATION_UNITS[unit])
        if seconds and seconds % factor == 0:
            return f"{int(seconds / factor)} {unit}"
    # `repr` may use an exponent, which is no duration; Decimal's "f" never does.
    text = format(Decimal(repr(seconds)), "f")
    return f"{text.removesuffix('.0')} s"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."


def _too_large() -> Mistake:
    return Mistake("the size is too large", f"write at most {format_size(SIZE_BYTES_MAX)}")


def _whole(value: float) -> int:
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        raise Mistake("a size is a whole number of bytes", f"write {SIZE_EXAMPLES}")
    return int(value)


def _finite(value: float) -> float:
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Mistake("a duration is a finite number", f"write {DURATION_EXAMPLES}")
    return seconds


def _split(text: str, expected: str) -> tuple[Decimal, str]:
    if text.lstrip().startswith("-"):
        raise Mistake("it cannot be negative", f"write {expected}")
    match = _QUANTITY.match(text)
    if match is None:
        raise Mistake(f"{_shown(text)} is not understood", f"write {expected}")
    try:
        return Decimal(match[1].replace("_", "")), match[2]
    except InvalidOperation:
        raise Mistake("it has too many digits", f"write {expected}") from None


def _size_from_text(text: str) -> int:
    number, unit = _split(text, SIZE_EXAMPLES)
    factor = _SIZE_UNIT_BY_FOLDED.get(unit.lower() or "b")
    if factor is None:
        known = ", ".join(_SIZE_UNITS)
        raise Mistake(f"{_shown(unit)} is not a unit of size", f"use one of {known}")
    size = number * factor
    if size > SIZE_BYTES_MAX:
        raise _too_large()
    if size != int(size):
        raise Mistake(f"{_shown(text)} is not a whole number of bytes", "use a smaller unit")
    return int(size)


def _duration_from_text(text: str) -> float:
    number, unit = _split(text, DURATION_EXAMPLES)
    factor = _DURATION_UNITS.get(unit or "s")
    if factor is None:
        known = ", ".join(_DURATION_UNITS)
        raise Mistake(f"{_shown(unit)} is not a unit of time", f"use one of {known}")
    return float(number * factor)


def _schema(kind: str, pattern: str, examples: list[Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": kind, "minimum": 0}, {"type": "string", "pattern": pattern}],
            "examples": examples,
        }
    )


SizeBytes = Annotated[
    int,
    BeforeValidator(parse_size),
    _schema(
        "integer",
        r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*([KkMmGgTtPp]?[Ii]?[Bb])?\s*$",
        ["100 GiB", "1.5 TB", 8388608],
    ),
]
"""A number of bytes; text with a unit is accepted."""

Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    _schema(
        "number", r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*(ms|s|min|m|h|d)?\s*$", [30, "5 min", "200 ms"]
    ),
]
"""A number of seconds; text with a unit is accepted."""
