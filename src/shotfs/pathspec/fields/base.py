"""Fields: what a named part of a path may be, how it reads and how it is written.

A field's text in a path is raw: parsing never changes it, so parse(format(x)) gives x back as it
was written. Each type makes a `Shape` (a regular expression over one path element) and perhaps a
check for what an expression says badly (ranges, exclusions).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.regex import Chars, Choice, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import FIELD_NAME, TemplateError, Token, tokenize

FieldValue = str | int
Check = Callable[[str], str | None]
"""Returns what is wrong with a text that has the field's shape, or None."""

PAD_MAX = 12
RANGE_DIGITS_MAX = 15
"""Digits of the limits of a number."""

CHOICES_MAX = 10_000
ALIASES_MAX = 64
FOLLOWS_PUBLISH = "latest"
"""The alias that moves when a version is published, where the document does not say."""
ON_PUBLISH, BY_HAND = "on-publish", "by-hand"
_ALIAS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
DEFAULT_VIEWS = ("left", "right")
_CASES = {"any": "[A-Za-z0-9_-]", "lower": "[a-z0-9_-]", "upper": "[A-Z0-9_-]"}


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

    Attributes:
        kind: the type's name in the document.
        wants: what its text must look like, in words.
        shape: of its text within one path element; None for compound and tree.
        check: what the shape cannot say, or None.
        choices: all its texts where they are few and known, else None.
        tokens: of a compound: what it is made of; otherwise empty.
        write: turns a number into the field's text; None where only text is accepted.
        aliases: of a version, in the order of the document; none of their names is a version.
        line: of the document.
    """

    name: str
    kind: str
    usage: str
    wants: str
    line: int
    shape: Regex | None
    check: Check | None = None
    choices: tuple[str, ...] | None = None
    choice_usages: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    write: Callable[[int], str] | None = None
    aliases: tuple[VersionAlias, ...] = ()


@dataclass(frozen=True, slots=True)
class _Type:
    keys: tuple[str, ...]
    build: Callable[[_Heading, Section], Field | None]


@dataclass(frozen=True, slots=True)
class _Heading:
    name: str
    kind: str
    usage: str
    line: int

    def field(self, wants: str, shape: Regex | None, **more: object) -> Field:
        return Field(
            self.name,
            self.kind,
            self.usage,
            wants,
            self.line,
            shape,
            **more,  # type: ignore[arg-type]  # the builders below pass the right types; spelling all out would double them
        )


def read_field(name: str, section: Section) -> Field | None:
    """Return the field that *section* declares, or None when it has mistakes (they are noted)."""
    if FIELD_NAME.fullmatch(name) is None:
        section.report.add(
            section.where,
            f'"{name[:100]}" cannot name a field',
            section.offset,
            "use up to 64 lower-case letters, digits and _, beginning with a letter",
        )
        return None
    if "type" not in section:
        section.missing(f'field "{name}" has no type', 'add "type": "str"')
        return None
    kind = section.word("type", _TYPES)
    if kind is None:
        return None
    type_ = _TYPES[kind]
    section.only(("type", "usage", *type_.keys))
    usage = section.text("usage") or ""
    return type_.build(_Heading(name, kind, usage, section.line_of("type")), section)


def _str_field(heading: _Heading, section: Section) -> Field | None:
    exclusions = section.texts("exclusions") or ()
    case = section.word("case", _CASES) or "any"
    least, most = _length(section)
    if "choices" in section:
        for other in ("pattern", "length"):
            if other in section:
                section.problem(other, f'"{other}" says nothing beside "choices"', "remove it")
        return _with_choices(heading, section, exclusions)
    pattern = section.text("pattern")
    if pattern is None:
        shape: Regex = Repeat(regex.parse(_CASES[case]), least, most)
        wants = (
            f"letters, digits, _ and - ({case} case)"
            if case != "any"
            else "letters, digits, _ and -"
        )
    else:
        parsed = _pattern(section, pattern)
        if parsed is None:
            return None
        shape = parsed
        wants = f"text like {pattern}"
    check = _str_check(exclusions, case, least, most)
    return heading.field(wants, shape, check=check)


def _length(section: Section) -> tuple[int, int | None]:
    raw = section.raw("length")
    if raw is None:
        return 1, None
    if isinstance(raw.value, dict):
        limits = section.section("length")
        assert limits is not None, "it is an object"
        limits.only(("min", "max"))
        least, most = limits.integer("min", 1, 255) or 1, limits.integer("max", 1, 255)
        if most is not None and most < least:
            limits.problem("max", f'"max" is smaller than "min" ({most} < {least})')
            return least, None
        return least, most
    exact = section.integer("length", 1, 255)
    return (1, None) if exact is None else (exact, exact)


def _pattern(section: Section, pattern: str) -> Regex | None:
    try:
        tree = regex.parse(pattern)
    except regex.PatternError as error:
        section.problem(
            "pattern",
            f"{error.message} (character {error.index + 1} of {pattern[:100]!r})",
            error.fix,
        )
        return None
    if attempts(tree) > ATTEMPTS_MAX:
        section.problem(
            "pattern",
            f"matching {pattern[:100]!r} could take very long for some names",
            "do not nest repeats, and let each repeat exclude the character that follows it",
        )
        return None
    if regex.matches_empty(tree):
        section.problem(
            "pattern", "the pattern matches the empty text; a field is never empty", "use + or {1,}"
        )
        return None
    return tree


def _str_check(
    exclusions: tuple[str, ...], case: str, least: int, most: int | None
) -> Check | None:
    if not exclusions and case == "any" and (least, most) == (1, None):
        return None
    excluded = frozenset(exclusions)

    def check(text: str) -> str | None:
        if text in excluded:
            return f"{text!r} is excluded"
        if case == "lower" and text != text.lower():
            return "must be lower case"
        if case == "upper" and text != text.upper():
            return "must be upper case"
        if len(text) < least:
            return f"is shorter than {least} characters"
        if most is not None and len(text) > most:
            return f"is longer than {most} characters"
        return None

    return check


def _choices(section: Section) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    raw = section.raw("choices")
    usages: tuple[str, ...] = ()
    if raw is not None and isinstance(raw.value, dict):
        members = section.section("choices")
        assert members is not None, "it is an object"
        members.unique()
        found: tuple[str, ...] | None = tuple(members)
        usages = tuple(members.text(one) or "" for one in members)
    else:
        found = section.texts("choices")
    if not found:
        if found == ():
            section.problem("choices", '"choices" is empty', "list at least one")
        return None
    if len(found) > CHOICES_MAX:
        section.problem("choices", f"more than {CHOICES_MAX} choices", "use a pattern")
        return None
    for one in found:
        reason = name_problem(one)
        if reason is not None:
            section.problem("choices", f"{one[:100]!r} cannot be in a path: {reason}")
            return None
    return found, usages


def _with_choices(
    heading: _Heading, section: Section, exclusions: tuple[str, ...] = ()
) -> Field | None:
    read = _choices(section)
    if read is None:
        return None
    listed, usages = read
    choices = tuple(one for one in listed if one not in exclusions)
    if not choices:
        section.problem("exclusions", "the exclusions leave no choice")
        return None
    shown = ", ".join(choices[:8]) + (", ..." if len(choices) > 8 else "")
    return heading.field(
        f"one of {shown}",
        regex.any_of(choices),
        choices=choices,
        choice_usages=usages if len(usages) == len(choices) else (),
    )


def _enum_field(heading: _Heading, section: Section) -> Field | None:
    if "choices" not in section:
        section.missing(f'enum "{heading.name}" has no choices', 'add "choices": [...]')
        return None
    return _with_choices(heading, section)


def _view_field(heading: _Heading, section: Section) -> Field | None:
    if "choices" in section:
        return _with_choices(heading, section)
    return heading.field(
        f"one of {', '.join(DEFAULT_VIEWS)}", regex.any_of(DEFAULT_VIEWS), choices=DEFAULT_VIEWS
    )


def digits(pad: int, *, strict: bool) -> Regex:
    """Return the shape of a number of at least *pad* digits.

    Strict: exactly as `%0{pad}d` writes it, so that each number has one text. Otherwise any number
    of digits reads. The first character decides which branch applies, so nothing is tried twice.
    """
    digit = Chars(regex.DIGITS)
    if not strict:
        return Repeat(digit, 1, None)
    return Choice(
        (
            Sequence((regex.chars("0"), Repeat(digit, pad - 1, pad - 1))),
            Sequence((regex.chars("123456789"), Repeat(digit, pad - 1, None))),
        )
    )


def _number(heading: _Heading, section: Section, pad: int, shape: Regex, wants: str) -> Field:
    least, most = _range(section)

    def check(text: str) -> str | None:
        if least is not None and int(text) < least:
            return f"is below {least}"
        return f"is over {most}" if most is not None and int(text) > most else None

    return heading.field(
        wants,
        shape,
        check=None if least is None and most is None else check,
        write=lambda value: f"-{-value:0{pad}d}" if value < 0 else f"{value:0{pad}d}",
    )


def _range(section: Section) -> tuple[int | None, int | None]:
    limit = 10**RANGE_DIGITS_MAX - 1
    least, most = section.integer("min", -limit, limit), section.integer("max", -limit, limit)
    if least is not None and most is not None and most < least:
        section.problem("max", f'"max" is smaller than "min" ({most} < {least})', "swap them")
    return least, most


def _int_field(heading: _Heading, section: Section) -> Field:
    pad = section.integer("pad", 1, PAD_MAX) or 1
    strict = section.boolean("strict") is not False
    wants = f"{pad} digits or more" if strict else "digits"
    return _number(heading, section, pad, digits(pad, strict=strict), wants)


def _frame_field(heading: _Heading, section: Section) -> Field:
    pad = section.integer("pad", 1, PAD_MAX) or 4
    strict = section.boolean("strict") is not False
    shape = digits(pad, strict=strict)
    wants = f"a frame number of {pad} digits or more"
    if section.boolean("negative"):
        shape = Sequence((Repeat(regex.chars("-"), 0, 1), shape))
        wants += ", perhaps negative"
    return _number(heading, section, pad, shape, wants)


def _udim_field(heading: _Heading, section: Section) -> Field:
    del section  # it has no keys of its own
    digit = Chars(regex.DIGITS)
    # 1001 is u 0, v 0; ten tiles in u, so 1001 to 9999 with any v that still has four digits.
    shape = Sequence((regex.chars("123456789"), Repeat(digit, 3, 3)))

    def check(text: str) -> str | None:
        return "is below 1001, the first tile" if int(text) < 1001 else None

    return heading.field("a UDIM tile from 1001", shape, check=check, write=str)


def _version_field(heading: _Heading, section: Section) -> Field | None:
    scheme = section.text("scheme") if "scheme" in section else "v%03d"
    if scheme is None:
        return None
    before, mark, rest = scheme.partition("%0")
    pad_text, _, after = rest.partition("d")
    if (
        not mark
        or after
        or not pad_text.isascii()
        or not pad_text.isdigit()
        or name_problem(before or "v")
    ):
        section.problem("scheme", f"{scheme[:100]!r} is no version scheme", 'write "v%03d"')
        return None
    pad = int(pad_text[:4])
    if not 1 <= pad <= PAD_MAX:
        section.problem("scheme", f"the scheme pads to {pad} digits", f"pad to 1..{PAD_MAX}")
        return None
    shape = Sequence((regex.literal(before), digits(pad, strict=True)))
    aliases = _aliases(section, shape)
    if aliases is None:
        return None
    return heading.field(
        f"a version like {before}{1:0{pad}d}",
        shape,
        write=lambda value: f"{before}{value:0{pad}d}",
        aliases=aliases,
    )


def _aliases(section: Section, shape: Regex) -> tuple[VersionAlias, ...] | None:
    raw = section.raw("aliases")
    if raw is None:
        return ()
    found: list[VersionAlias | None] = []
    if isinstance(raw.value, dict):
        members = section.section("aliases")
        assert members is not None, "it is an object"
        members.unique()
        names = tuple(members)
        found = [_described_alias(members, name) for name in names]
    else:
        listed = section.texts("aliases")
        if listed is None:
            return None
        names = listed
        found = [VersionAlias(name, "", name == FOLLOWS_PUBLISH) for name in names]
    if len(names) > ALIASES_MAX:
        section.problem("aliases", f"more than {ALIASES_MAX} aliases", "remove some")
        return None
    version = re.compile(regex.render(shape), re.ASCII)
    for name in names:
        if _ALIAS_NAME.fullmatch(name) is None:
            section.problem(
                "aliases",
                f"{name[:100]!r} cannot name an alias",
                "use up to 64 letters, digits, _ and -, beginning with a letter",
            )
            return None
        if version.fullmatch(name) is not None:
            section.problem(
                "aliases", f'"{name}" is a version of the scheme itself', "choose another name"
            )
            return None
    return tuple(one for one in found if one is not None)


def _described_alias(members: Section, name: str) -> VersionAlias | None:
    one = members.section(name)
    if one is None:
        return None
    one.only(("usage", "moves"))
    moves = one.word("moves", (ON_PUBLISH, BY_HAND))
    follows = name == FOLLOWS_PUBLISH if moves is None else moves == ON_PUBLISH
    return VersionAlias(name, one.text("usage") or "", follows)


def _compound_field(heading: _Heading, section: Section) -> Field | None:
    text = section.text("format")
    if text is None:
        if "format" not in section:
            section.missing(f'compound "{heading.name}" has no format', 'add "format"')
        return None
    try:
        tokens = tokenize(text)
    except TemplateError as error:
        section.problem("format", f"{error.message} (character {error.index + 1})", error.fix)
        return None
    if "/" in text or "\0" in text:
        section.problem(
            "format", "a compound is a part of one path element", 'put the "/" into the template'
        )
        return None
    return heading.field(f"{text}", None, tokens=tokens)


def _tree_field(heading: _Heading, section: Section) -> Field:
    del section  # it has no keys of its own
    return heading.field("one or more path elements", None)


def name_problem(text: str) -> str | None:
    """Return why *text* cannot be (a part of) a path element, or None."""
    if text == "":
        return "it is empty"
    for character, word in (("/", "a slash"), ("\0", "a NUL character")):
        if character in text:
            return f"it holds {word}"
    return "it is longer than 255 bytes" if len(text.encode()) > 255 else None


_TYPES = {
    "str": _Type(("pattern", "choices", "exclusions", "length", "case"), _str_field),
    "int": _Type(("pad", "strict", "min", "max"), _int_field),
    "enum": _Type(("choices",), _enum_field),
    "version": _Type(("scheme", "aliases"), _version_field),
    "frame": _Type(("pad", "strict", "negative", "min", "max"), _frame_field),
    "udim": _Type((), _udim_field),
    "view": _Type(("choices",), _view_field),
    "compound": _Type(("format",), _compound_field),
    "tree": _Type((), _tree_field),
}

TYPE_KEYS = {kind: type_.keys for kind, type_ in _TYPES.items()}
"""The keys that each field type takes beside "type" and "usage"."""
