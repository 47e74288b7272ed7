"""Whole numbers in names: what padding, strictness, sign and range leave, as one expression.

The expressions are deterministic: each character decides how to go on, so that a matcher never
tries twice and the proofs stay small however a range is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import NAME_BYTES_MAX, Field, FieldValue, Heading, NoText
from shotfs.pathspec.regex import Chars, Choice, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section

PAD_MAX = 12
RANGE_DIGITS_MAX = 15
"""Digits of the limits of a number."""

VALUE_MAX = 10**NAME_BYTES_MAX
"""No name has room for it."""

DIGIT = Chars(regex.DIGITS)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers, written as `printf` writes ``%0{pad}d``: the sign counts towards the padding.

    Attributes:
        before: literal text before each number.
        strict: no other padding reads.
        least: the lowest number of the field; None is no limit.
    """

    pad: int
    before: str = ""
    strict: bool = True
    least: int | None = 0

    def parse(self, text: str) -> int:
        """Return the number in *text*."""
        return int(text[len(self.before) :])

    def format(self, value: FieldValue) -> str:
        """Return the text of the whole number *value*."""
        if not isinstance(value, int):
            raise NoText("it is no whole number")
        if abs(value) >= VALUE_MAX:
            raise NoText(f"it has more than {NAME_BYTES_MAX} digits")
        return f"{self.before}{value:0{self.pad}d}"


def int_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of an `int`, or None when it has mistakes."""
    pad = section.integer("pad", 1, PAD_MAX) or 1
    strict = section.boolean("strict") is not False
    least, most = read_range(section)
    shape = number_shape(pad, strict=strict, negative=False, least=least, most=most)
    if shape is None:
        no_number(section)
        return None
    wants = "a number" if not strict or pad == 1 else f"{pad} digits or more"
    return heading.field(
        wants + range_words(least, most), shape, Numbers(pad, "", strict, max(least or 0, 0))
    )


def read_range(section: Section) -> tuple[int | None, int | None]:
    """Return the members "min" and "max"; None is no limit."""
    limit = 10**RANGE_DIGITS_MAX - 1
    least, most = section.integer("min", -limit, limit), section.integer("max", -limit, limit)
    if least is not None and most is not None and most < least:
        section.problem("max", f'"max" is smaller than "min" ({most} < {least})', "swap them")
        return least, None
    return least, most


def no_number(section: Section) -> None:
    """Note that the range leaves nothing."""
    section.problem("max", "the range holds no number that can be written", "allow more")


def range_words(least: int | None, most: int | None) -> str:
    """Return the range for people."""
    if least is None:
        return "" if most is None else f" up to {most}"
    return f" from {least}" if most is None else f" from {least} to {most}"


def number_shape(
    pad: int, *, strict: bool, negative: bool, least: int | None, most: int | None
) -> Regex | None:
    """Return what matches the numbers from *least* to *most*, or None when there are none.

    Args:
        pad: fewest characters, the sign included.
        strict: only exactly as `printf` writes ``%0{pad}d``, so that each number has one text;
            otherwise with any number of zeros before it.
        negative: numbers below 0 have a text too. There is no "-0".
        least: None is no limit.
        most: None is no limit.
    """
    branches: list[Regex] = []
    if most is None or most >= 0:
        low = max(least or 0, 0)
        branches.append(padded(pad, low, most) if strict else unpadded(low, most))
    if negative and (least is None or least < 0):
        low = 1 if most is None or most >= 0 else -most
        high = None if least is None else -least
        width = max(pad - 1, 1)
        digits = padded(width, low, high) if strict else unpadded(low, high)
        branches.append(Sequence((regex.chars("-"), digits)))
    if not branches:
        return None
    return branches[0] if len(branches) == 1 else Choice(tuple(branches))


@cache
def padded(pad: int, least: int, most: int | None) -> Regex:
    """Return what matches *least* to *most*, as ``%0{pad}d`` writes them; 0 <= *least*."""
    widest = max(len(str(least if most is None else most)), pad)
    spans: set[_Span] = set()
    for width in range(pad, widest + 1):
        low = max(least, 0 if width == pad else 10 ** (width - 1))
        high = 10**width - 1 if most is None else min(most, 10**width - 1)
        if low <= high:
            spans.add((f"{low:0{width}d}", f"{high:0{width}d}"))
    if most is not None:
        return _digits(frozenset(spans), None)
    # A number wider than all spans is over the least one, so only its first digit matters.
    return _branches(
        frozenset(spans), {digit: None if digit == "0" else widest for digit in "0123456789"}
    )


@cache
def unpadded(least: int, most: int | None) -> Regex:
    """Return what matches *least* to *most* with any number of zeros before them; 0 <= *least*."""
    zeros = regex.chars("0")
    if most == 0:
        return Repeat(zeros, 1, None)
    plain = padded(1, max(least, 1), most)
    if least > 0:
        return Sequence((Repeat(zeros, 0, None), plain))
    return Choice((Sequence((Repeat(zeros, 1, None), Repeat(plain, 0, 1))), plain))


_Span = tuple[str, str]
"""The first and the last of some numbers of one width, as digits."""


def _digits(spans: frozenset[_Span], wide: int | None) -> Regex:
    """Return what matches a number in one of *spans*, or any *wide* digits or more."""
    free = _free(spans, wide)
    if free is not None:
        return free
    deeper = None if wide is None else max(wide - 1, 0)
    return _branches(spans, dict.fromkeys("0123456789", deeper))


def _free(spans: frozenset[_Span], wide: int | None) -> Regex | None:
    """Return the expression where only the number of digits matters, or None where more does."""
    if any(first.strip("0") or last.strip("9") for first, last in spans):
        return None
    widths = {len(first) for first, _ in spans}
    least = min(widths if wide is None else {*widths, wide})
    most = max(widths) if wide is None else wide - 1
    assert widths.issuperset(range(least, most + 1)), "ranges of numbers leave out no width"
    if wide is None and most == 0:
        return Sequence(())
    return Repeat(DIGIT, least, None if wide is not None else most)


def _branches(spans: frozenset[_Span], wide: dict[str, int | None]) -> Regex:
    """Return what matches a digit of *wide* and what may come after it."""
    ways: dict[tuple[frozenset[_Span], int | None], str] = {}
    for digit, deeper in wide.items():
        after = frozenset(_after(span, digit) for span in spans if _takes(span, digit))
        if after or deeper is not None:
            ways[after, deeper] = ways.get((after, deeper), "") + digit
    branches = tuple(
        Sequence((regex.chars(digits), _digits(after, deeper)))
        for (after, deeper), digits in ways.items()
    )
    rest = branches[0] if len(branches) == 1 else Choice(branches)
    return Repeat(rest, 0, 1) if ("", "") in spans else rest


def _takes(span: _Span, digit: str) -> bool:
    first, last = span
    return first != "" and first[0] <= digit <= last[0]


def _after(span: _Span, digit: str) -> _Span:
    """Return what is left of *span* behind *digit*."""
    first, last = span
    width = len(first) - 1
    return (
        first[1:] if digit == first[0] else "0" * width,
        last[1:] if digit == last[0] else "9" * width,
    )
