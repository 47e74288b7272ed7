"""`frame`: numbers of frames, perhaps negative, perhaps with a part of a frame behind a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import Check, Field, FieldValue, Heading, NoText
from shotfs.pathspec.fields.numbers import (
    DIGIT,
    PAD_MAX,
    VALUE_MAX,
    Numbers,
    no_number,
    number_shape,
    padded,
    range_words,
    read_range,
    unpadded,
)
from shotfs.pathspec.regex import Choice, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section

FRAME_PAD = 4
SUBFRAME_DIGITS_MAX = 6

_NOT_ZERO = regex.chars("123456789")
_POINT = regex.chars(".")
_MINUS = regex.chars("-")


@dataclass(frozen=True, slots=True)
class SubFrames:
    """Frames with *digits* digits behind the point.

    Not fixed: at most so many, without zeros at the end, and no point where nothing follows it,
    as Houdini's ``$FF`` writes them: 1001, 1001.25. Fixed: always so many: 1001.00, 1001.25.
    Either way each value has one text. *strict* and *least* as in `Numbers`.
    """

    pad: int
    digits: int
    fixed: bool
    strict: bool = True
    least: int | None = 0

    def parse(self, text: str) -> Decimal:
        """Return the frame in *text*."""
        return Decimal(text)

    def format(self, value: FieldValue) -> str:
        """Return the text of the whole or decimal number *value*."""
        if not isinstance(value, (int, Decimal)):
            raise NoText("it is no number")
        if isinstance(value, Decimal) and not value.is_finite():
            raise NoText("it is no finite number")
        if value <= -VALUE_MAX or value >= VALUE_MAX:
            raise NoText("it is too large for a name")
        whole, fraction = _split(value, self.digits)
        if not self.fixed:
            fraction = fraction.rstrip("0")
        sign = "-" if value < 0 else ""
        text = sign + whole.rjust(max(self.pad - len(sign), 1), "0")
        return f"{text}.{fraction}" if fraction else text


def _split(value: int | Decimal, digits: int) -> tuple[str, str]:
    """Return the digits before and behind the point, exactly.

    Raises:
        NoText: there are more than *digits* behind it.
    """
    if isinstance(value, int) or not value:
        return str(abs(int(value))), "0" * digits
    _, found, exponent = value.as_tuple()
    assert isinstance(exponent, int), "it is finite"
    if exponent < -len(found) - digits:
        raise NoText(f"it has more than {digits} digits behind the point")
    written = "".join(map(str, found)) + "0" * max(exponent, 0)
    behind = max(-exponent, 0)
    written = written.rjust(behind + 1, "0")
    whole, fraction = written[: len(written) - behind], written[len(written) - behind :]
    if fraction[digits:].strip("0"):
        raise NoText(f"it has more than {digits} digits behind the point")
    return whole.lstrip("0") or "0", fraction[:digits].ljust(digits, "0")


def frame_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `frame`, or None when it has mistakes."""
    pad = section.integer("pad", 1, PAD_MAX) or FRAME_PAD
    strict = section.boolean("strict") is not False
    negative = section.boolean("negative") is True
    least, most = read_range(section)
    wants = f"a frame number of {pad} digits or more" if strict else "a frame number"
    if negative:
        wants += ", perhaps negative"
    wants += range_words(least, most)
    if "subframes" in section:
        return _with_subframes(heading, section, wants, _Whole(pad, strict, negative, least, most))
    shape = number_shape(pad, strict=strict, negative=negative, least=least, most=most)
    if shape is None:
        no_number(section)
        return None
    return heading.field(wants, shape, Numbers(pad, "", strict, lowest(least, negative=negative)))


def lowest(least: int | None, *, negative: bool) -> int | None:
    """Return the lowest number that there may be; None is no limit."""
    return least if negative else max(least or 0, 0)


@dataclass(frozen=True, slots=True)
class _Whole:
    """What is declared of the number before the point."""

    pad: int
    strict: bool
    negative: bool
    least: int | None
    most: int | None


def _with_subframes(heading: Heading, section: Section, wants: str, whole: _Whole) -> Field | None:
    read = _subframes(section)
    if read is None:
        return None
    digits, fixed = read
    shape = _shape(whole, digits, fixed=fixed)
    if shape is None:
        no_number(section)
        return None
    behind = f"{digits} digits behind the point"
    wants += f", with {behind}" if fixed else f", perhaps with up to {behind}"
    return heading.field(
        wants,
        shape,
        SubFrames(
            whole.pad,
            digits,
            fixed,
            whole.strict,
            lowest(whole.least, negative=whole.negative),
        ),
        check=_range_check(whole.least, whole.most),
        # "1010.5" has the digits of a frame up to 1010, and is over it.
        approximate=(whole.most is not None and whole.most >= 0)
        or (whole.negative and whole.least is not None and whole.least < 0),
    )


def _subframes(section: Section) -> tuple[int, bool] | None:
    raw = section.raw("subframes")
    assert raw is not None, "the caller saw it"
    if isinstance(raw.value, dict):
        inner = section.section("subframes")
        assert inner is not None, "it is an object"
        inner.only(("digits", "fixed"))
        if "digits" not in inner:
            inner.missing('"subframes" does not say how many digits', 'add "digits": 3')
            return None
        digits = inner.integer("digits", 1, SUBFRAME_DIGITS_MAX)
        return None if digits is None else (digits, inner.boolean("fixed") is True)
    digits = section.integer("subframes", 1, SUBFRAME_DIGITS_MAX)
    return None if digits is None else (digits, False)


def _range_check(least: int | None, most: int | None) -> Check | None:
    if least is None and most is None:
        return None

    def check(text: str) -> str | None:
        value = Decimal(text)
        if least is not None and value < least:
            return f"is below {least}"
        return f"is over {most}" if most is not None and value > most else None

    return check


def _shape(whole: _Whole, digits: int, *, fixed: bool) -> Regex | None:
    """Return what matches the frames whose whole part is in the range.

    Below zero there is one frame more than whole numbers say: -0.5 is "-0000.5", but "-0000" is no
    text of 0.
    """
    if fixed:
        fraction: Regex = Sequence((_POINT, Repeat(DIGIT, digits, digits)))
        some: Regex = Sequence((_POINT, _not_all_zero(digits)))
    else:
        # The last digit is not 0; before it stand up to digits - 1 others.
        some = Sequence((_POINT, Repeat(DIGIT, 0, digits - 1), _NOT_ZERO))
        fraction = Repeat(some, 0, 1)
    least, most = whole.least, whole.most
    branches: list[Regex] = []
    numbers = _numbers(whole.pad, strict=whole.strict)
    if most is None or most >= 0:
        branches.append(Sequence((numbers(max(least or 0, 0), most), fraction)))
    if whole.negative and (least is None or least < 0):
        numbers = _numbers(max(whole.pad - 1, 1), strict=whole.strict)
        low = 1 if most is None or most >= 0 else -most
        high = None if least is None else -least
        below: list[Regex] = [Sequence((numbers(low, high), fraction))]
        if most is None or most >= 0:
            below.append(Sequence((numbers(0, 0), some)))
        branches.append(Sequence((_MINUS, Choice(tuple(below)) if below[1:] else below[0])))
    if not branches:
        return None
    return branches[0] if len(branches) == 1 else Choice(tuple(branches))


def _numbers(pad: int, *, strict: bool) -> Callable[[int, int | None], Regex]:
    return partial(padded, pad) if strict else unpadded


def _not_all_zero(digits: int) -> Regex:
    """Return what matches *digits* digits that are not all 0; the first other one decides."""
    rest = Sequence((_NOT_ZERO, Repeat(DIGIT, digits - 1, digits - 1)))
    if digits == 1:
        return _NOT_ZERO
    return Choice((rest, Sequence((regex.chars("0"), _not_all_zero(digits - 1)))))
