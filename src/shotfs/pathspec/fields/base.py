"""What all field types have in common: `Field`, and how a type makes one.

A field's text in a path is raw: matching never changes it, so parse(format(x)) gives x back as it
was written. Each type makes a `Regex` over one path element (the shape) and a `Codec` between texts
and values. What a shape says badly stands beside it as data, for the proofs, and in `check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from shotfs.errors import InvalidArgument
from shotfs.pathspec import regex
from shotfs.pathspec.regex import Regex
from shotfs.pathspec.tokens import Token

CHOICES_MAX = 10_000
NAME_BYTES_MAX = 255

Check = Callable[[str], str | None]
"""Returns what is wrong with a text that has the field's shape ("is over 9"), or None."""

Length = tuple[int, int | None]
"""Fewest and most characters; None is no limit."""


class Tile(NamedTuple):
    """A texture tile, counted from 0 in both directions."""

    u: int
    v: int

    @property
    def udim(self) -> int | None:
        """Its UDIM number, or None for columns after the tenth, which have none."""
        return 1001 + self.u + 10 * self.v if self.u < 10 else None


FieldValue = str | int | Decimal | datetime | UUID | Tile


class NoText(ValueError):
    """A value has no text in the field. Its message says why, without the field's name."""


class Codec(Protocol):
    """Turns texts of one field into values and back. Frozen; holds plain data only."""

    def parse(self, text: str) -> FieldValue:
        """Return the value of *text*, which is a text of the field."""
        ...

    def format(self, value: FieldValue) -> str:
        """Return the text of *value*; whether the field allows it is checked after that.

        Raises:
            NoText: it is not of a type, or not in a range, that can be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Texts:
    """The value is the text itself."""

    def parse(self, text: str) -> str:
        """Return *text*."""
        return text

    def format(self, value: FieldValue) -> str:
        """Return *value*, which must be text."""
        if not isinstance(value, str):
            raise NoText("it is not text")
        return value


class Matcher:
    """Matches whole texts of one shape. Compiles it when it is first asked."""

    __slots__ = ("_match", "_shape")

    def __init__(self, shape: Regex) -> None:
        self._shape = shape
        self._match: Callable[[str], re.Match[str] | None] | None = None

    def __call__(self, text: str) -> bool:
        """Return whether *text* matches."""
        if self._match is None:
            self._match = re.compile(regex.render(self._shape), re.ASCII).fullmatch
        return self._match(text) is not None


@dataclass(frozen=True, slots=True)
class VersionAlias:
    """A name for one of the versions, like ``latest``: a symbolic link beside them.

    Attributes:
        usage: what it is for; may be empty.
        follows_publish: it moves by itself when a version is published; otherwise by hand.
    """

    name: str
    usage: str
    follows_publish: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field.

    Its language, for proofs: texts of `shape`, without those in `excluded`, of `length` characters.
    With `approximate` it is less than that.

    Attributes:
        kind: the type's name in the document.
        wants: what its text must look like, in words.
        line: of the document.
        declared: the field's object in the document, as JSON; `restore_field` reads it.
        shape: of its text within one path element; None for compound and tree.
        codec: between its texts and its values.
        check: everything that the shape does not say, or None.
        excluded: texts of the shape that are not the field's.
        length: how many characters a text may have, where the shape does not say it.
        approximate: `check` refuses more than `excluded` and `length` do.
        choices: all its texts where they are few and known, else None.
        choice_usages: what each choice is for, or empty.
        tokens: of a compound: what it is made of; otherwise empty.
        aliases: of a version, in the order of the document; none of their names is a version.
        matches: whether a text has the shape; None for compound and tree.
    """

    name: str
    kind: str
    usage: str
    wants: str
    line: int
    declared: str
    shape: Regex | None
    codec: Codec = Texts()
    check: Check | None = None
    excluded: frozenset[str] = frozenset()
    length: Length = (1, None)
    approximate: bool = False
    choices: tuple[str, ...] | None = None
    choice_usages: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    aliases: tuple[VersionAlias, ...] = ()
    matches: Matcher | None = field(default=None, compare=False, repr=False)

    def problem(self, text: str) -> str | None:
        """Return why *text* cannot be the field's text, or None.

        The parts of a compound are not looked at: that takes the other fields.
        """
        if self.kind == "tree":
            problems = (element_problem(name) for name in text.split("/"))
            return next((one for one in problems if one is not None), None)
        reason = name_problem(text)
        if reason is not None or self.matches is None:
            return reason
        if not self.matches(text):
            return "it is not one of its texts"
        wrong = None if self.check is None else self.check(text)
        return None if wrong is None else f"it {wrong}"

    def parse(self, text: str) -> FieldValue:
        """Return the value of *text*.

        Raises:
            InvalidArgument: it is no text of this field.
        """
        reason = self.problem(text)
        if reason is not None:
            raise self._refused(text, reason)
        return self.codec.parse(text)

    def format(self, value: FieldValue) -> str:
        """Return the text of *value*.

        Args:
            value: as `parse` returns it. A text of the field is returned as it is.

        Raises:
            InvalidArgument: the field has no such value.
        """
        reason = None
        if isinstance(value, bool):
            raise self._refused(value, "it is true or false")
        if isinstance(value, str):
            reason = self.problem(value)
            if reason is None:
                return value
        try:
            text = self.codec.format(value)
        except NoText as error:
            raise self._refused(value, reason or str(error)) from None
        reason = self.problem(text)
        if reason is not None:
            raise self._refused(value, reason)
        return text

    def _refused(self, value: FieldValue, reason: str) -> InvalidArgument:
        return InvalidArgument(
            f'field "{self.name}" cannot be {shown(value)}: {reason}', fix=f"give {self.wants}"
        )


@dataclass(frozen=True, slots=True)
class Heading:
    """What every field declares, whatever its type."""

    name: str
    kind: str
    usage: str
    line: int
    declared: str

    def field(
        self,
        wants: str,
        shape: Regex | None,
        codec: Codec = Texts(),
        *,
        check: Check | None = None,
        approximate: bool = False,
        choices: tuple[str, ...] | None = None,
        choice_usages: tuple[str, ...] = (),
        tokens: tuple[Token, ...] = (),
        aliases: tuple[VersionAlias, ...] = (),
        excluded: frozenset[str] = frozenset(),
        length: Length = (1, None),
    ) -> Field:
        """Return the field. *check* is what neither the shape nor the data beside it say."""
        return Field(
            name=self.name,
            kind=self.kind,
            usage=self.usage,
            wants=wants,
            line=self.line,
            declared=self.declared,
            shape=shape,
            codec=codec,
            check=_whole_check(excluded, length, check),
            excluded=excluded,
            length=length,
            approximate=approximate,
            choices=choices,
            choice_usages=choice_usages,
            tokens=tokens,
            aliases=aliases,
            matches=None if shape is None else Matcher(shape),
        )


def _whole_check(excluded: frozenset[str], length: Length, more: Check | None) -> Check | None:
    least, most = length
    if not excluded and least <= 1 and most is None:
        return more

    def check(text: str) -> str | None:
        if text in excluded:
            return "is excluded"
        if len(text) < least:
            return f"is shorter than {least} characters"
        if most is not None and len(text) > most:
            return f"is longer than {most} characters"
        return None if more is None else more(text)

    return check


def shown(value: FieldValue) -> str:
    """Return *value* for a message, not too long."""
    text = repr(value) if isinstance(value, str) else _plain(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _plain(value: FieldValue) -> str:
    # A number of thousands of digits cannot be printed (sys.set_int_max_str_digits).
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number so large"
    if isinstance(value, Tile):
        return f"the tile ({_plain(value.u)}, {_plain(value.v)})"
    return str(value)


def name_problem(text: str) -> str | None:
    """Return why *text* cannot be (a part of) a path element, or None."""
    if text == "":
        return "it is empty"
    for character, word in (("/", "a slash"), ("\0", "a NUL character")):
        if character in text:
            return f"it holds {word}"
    if len(text) > NAME_BYTES_MAX:
        return f"it is longer than {NAME_BYTES_MAX} bytes"
    try:
        length_bytes = len(text.encode())
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    return None if length_bytes <= NAME_BYTES_MAX else f"it is longer than {NAME_BYTES_MAX} bytes"


def element_problem(text: str) -> str | None:
    """Return why *text* cannot be a whole path element, or None."""
    if text in (".", ".."):
        return f'"{text}" is no name'
    return name_problem(text)
