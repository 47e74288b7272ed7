"""`timestamp` and `uuid`: names that a clock or chance makes."""

from __future__ import annotations

from calendar import isleap
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import Check, Field, FieldValue, Heading, NoText, name_problem
from shotfs.pathspec.fields.numbers import padded
from shotfs.pathspec.regex import Chars, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section

DEFAULT_FORMAT = "%Y%m%d_%H%M%S"
FORMAT_LENGTH_MAX = 100
UUID_FORMS = ("hyphens", "hex")
CENTURY = 2000
"""What ``%y`` counts from; unlike strptime, which sends 69 to 1969."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One part of a time: *width* digits, from *least* to *most*."""

    width: int
    least: int
    most: int
    attribute: str


DIRECTIVES = {
    "Y": Directive(4, 1, 9999, "year"),
    "y": Directive(2, 0, 99, "year"),
    "m": Directive(2, 1, 12, "month"),
    "d": Directive(2, 1, 31, "day"),
    "j": Directive(3, 1, 366, ""),
    "H": Directive(2, 0, 23, "hour"),
    "M": Directive(2, 0, 59, "minute"),
    "S": Directive(2, 0, 59, "second"),
    "f": Directive(6, 0, 999_999, "microsecond"),
}
"""The subset of strftime: digits of fixed width, the same in every language and on every system."""

_ORDERS = ("YmdHMSf", "ymdHMSf", "YjHMSf", "yjHMSf")
"""A format holds the first few of one of these, in any order: a time without gaps."""

_EXAMPLE = datetime(2026, 11, 21, 6, 5, 4, 125_000)  # noqa: DTZ001  # only its digits are shown


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal text of a format, or the letter of a directive."""

    text: str
    literal: bool

    @property
    def width(self) -> int:
        """How many characters it takes in a name."""
        return len(self.text) if self.literal else DIRECTIVES[self.text].width


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Times without a zone, exact to the finest part that the format has."""

    pieces: tuple[Piece, ...]

    def parse(self, text: str) -> datetime:
        """Return the time in *text*.

        Raises:
            ValueError: there is no such day.
        """
        found: dict[str, int] = {}
        index = 0
        for piece in self.pieces:
            if not piece.literal:
                found[piece.text] = int(text[index : index + piece.width])
            index += piece.width
        return _time(found)

    def format(self, value: FieldValue) -> str:
        """Return the text of the time *value*."""
        if not isinstance(value, datetime):
            raise NoText("it is no time")
        if value.tzinfo is not None:
            raise NoText("it has a time zone, and the name has no place for one")
        text = "".join(_written(piece, value) for piece in self.pieces)
        if self.parse(text) != value:
            raise NoText("it is more exact than the format, or in a year that it cannot write")
        return text


def _written(piece: Piece, value: datetime) -> str:
    if piece.literal:
        return piece.text
    match piece.text:
        case "y":
            number = value.year % 100
        case "j":
            number = value.timetuple().tm_yday
        case name:
            number = getattr(value, DIRECTIVES[name].attribute)
    return f"{number:0{piece.width}d}"


def _time(found: dict[str, int]) -> datetime:
    year = found["Y"] if "Y" in found else CENTURY + found["y"]
    # Without a zone on purpose: the name does not say one.
    time = datetime(  # noqa: DTZ001
        year,
        found.get("m", 1),
        found.get("d", 1),
        found.get("H", 0),
        found.get("M", 0),
        found.get("S", 0),
        found.get("f", 0),
    )
    days = found.get("j", 1) - 1
    # In the last of all years there is no day to overflow into.
    if days == 365 and not isleap(year):
        raise ValueError("day is out of range for year")
    return time + timedelta(days=days)


def timestamp_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `timestamp`, or None when it has mistakes."""
    text = section.text("format") if "format" in section else DEFAULT_FORMAT
    if text is None:
        return None
    try:
        pieces = _pieces(text)
    except _FormatError as error:
        section.problem("format", error.message, error.fix)
        return None
    codec = Timestamps(pieces)
    # Months have 28 to 31 days, years 365 or 366; everything coarser or finer the shape says.
    by_calendar = any(not piece.literal and piece.text in "dj" for piece in pieces)
    return heading.field(
        f"a time like {''.join(_written(piece, _EXAMPLE) for piece in pieces)}",
        Sequence(tuple(map(_shape, pieces))),
        codec,
        check=_calendar(codec) if by_calendar else None,
        approximate=by_calendar,
    )


@dataclass(frozen=True, slots=True)
class _FormatError(Exception):
    message: str
    fix: str


def _pieces(text: str) -> tuple[Piece, ...]:
    if len(text) > FORMAT_LENGTH_MAX:
        raise _FormatError(
            f"the format is longer than {FORMAT_LENGTH_MAX} characters", "shorten it"
        )
    pieces: list[Piece] = []
    index = 0
    while index < len(text):
        letter = text[index + 1 : index + 2]
        if text[index] != "%" or letter == "%":
            reason = name_problem(text[index])
            if reason is not None:
                raise _FormatError(f"{text!r} cannot be in a name: {reason}", "leave it out")
            pieces.append(Piece(text[index], literal=True))
            index += 2 if text[index] == "%" else 1
            continue
        if letter not in DIRECTIVES or letter == "":
            raise _FormatError(
                f'"%{letter}" is none of the parts of a time that have a fixed width',
                f"use {' '.join(f'%{one}' for one in DIRECTIVES)}, and %% for the character",
            )
        pieces.append(Piece(letter, literal=False))
        index += 2
    _check_complete([piece.text for piece in pieces if not piece.literal])
    return tuple(pieces)


def _check_complete(letters: list[str]) -> None:
    if len(set(letters)) < len(letters):
        raise _FormatError("a part of the time stands there twice", "write each once")
    if not any(letters and set(letters) == set(order[: len(letters)]) for order in _ORDERS):
        raise _FormatError(
            "the format leaves a gap in the time",
            "begin with the year and go on without leaving anything out: %Y %m %d %H %M %S %f",
        )


def _shape(piece: Piece) -> Regex:
    if piece.literal:
        return regex.literal(piece.text)
    part = DIRECTIVES[piece.text]
    return padded(part.width, part.least, part.most)


def _calendar(codec: Timestamps) -> Check:
    def check(text: str) -> str | None:
        try:
            codec.parse(text)
        except ValueError:
            return "is no day of the calendar"
        return None

    return check


@dataclass(frozen=True, slots=True)
class Uuids:
    """UUIDs in lower case, with or without hyphens."""

    hyphens: bool

    def parse(self, text: str) -> UUID:
        """Return the UUID in *text*."""
        return UUID(hex=text)

    def format(self, value: FieldValue) -> str:
        """Return the text of *value*."""
        if not isinstance(value, UUID):
            raise NoText("it is no UUID")
        return str(value) if self.hyphens else value.hex


def uuid_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `uuid`, or None when it has mistakes."""
    hyphens = section.word("form", UUID_FORMS) != "hex"
    hexadecimal = Chars(((ord("0"), ord("9")), (ord("a"), ord("f"))))
    groups = [Repeat(hexadecimal, size, size) for size in ((8, 4, 4, 4, 12) if hyphens else (32,))]
    parts: list[Regex] = []
    for group in groups:
        parts += [regex.chars("-"), group] if parts else [group]
    wants = "a UUID in lower case" + ("" if hyphens else ", without hyphens")
    return heading.field(wants, Sequence(tuple(parts)), Uuids(hyphens))
