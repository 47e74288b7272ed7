"""The types whose values are texts: `str` and `enum`."""

from __future__ import annotations

import functools
import operator

from shotfs.pathspec import regex
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.fields.base import CHOICES_MAX, Field, Heading, Length, name_problem
from shotfs.pathspec.regex import Chars, Choice, Ranges, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section

CASES = ("any", "lower", "upper")
LENGTH_MAX = 255
"""Characters; a name in a path has at most 255 bytes."""

_CASED_END = 0x2_0000
"""No character from here on has a case (Unicode 14; a test looks)."""

_FREE = "[A-Za-z0-9_-]"
"""What a `str` without a pattern is made of."""


def str_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `str`, or None when it has mistakes."""
    case = section.word("case", CASES) or "any"
    exclusions = _exclusions(section)
    if exclusions is None:
        return None
    if "choices" in section:
        for other in ("pattern", "length"):
            if other in section:
                section.problem(other, f'"{other}" says nothing beside "choices"', "remove it")
        return _with_choices(heading, section, exclusions, case)
    length = _length(section)
    pattern = section.text("pattern")
    excluded = frozenset(exclusions)
    if pattern is None:
        body = restrict(regex.parse(_FREE), case)
        assert body is not None, "there are letters of both cases in it"
        cases = "" if case == "any" else f" ({case} case)"
        return heading.field(
            f"letters, digits, _ and -{cases}{_length_words(length)}",
            Repeat(body, *length),
            excluded=excluded,
        )
    shape = _pattern(section, pattern, case)
    if shape is None:
        return None
    if not _has_length(shape, length):
        section.problem("length", "no text that the pattern matches is so long", "change either")
        return None
    cases = "" if case == "any" else f" in {case} case"
    return heading.field(
        f"text like {pattern}{cases}{_length_words(length)}",
        shape,
        excluded=excluded,
        length=length,
    )


def enum_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of an `enum`, or None when it has mistakes."""
    if "choices" not in section:
        section.missing(f'enum "{heading.name}" has no choices', 'add "choices": [...]')
        return None
    return _with_choices(heading, section, (), "any")


def _exclusions(section: Section) -> tuple[str, ...] | None:
    if "exclusions" not in section:
        return ()
    found = section.texts("exclusions")
    if found is not None and len(found) > CHOICES_MAX:
        section.problem("exclusions", f"more than {CHOICES_MAX} exclusions", "use a pattern")
        return None
    return found


def _length(section: Section) -> Length:
    raw = section.raw("length")
    if raw is None:
        return 1, None
    if isinstance(raw.value, dict):
        limits = section.section("length")
        assert limits is not None, "it is an object"
        limits.only(("min", "max"))
        least = limits.integer("min", 1, LENGTH_MAX) or 1
        most = limits.integer("max", 1, LENGTH_MAX)
        if most is not None and most < least:
            limits.problem("max", f'"max" is smaller than "min" ({most} < {least})')
            return least, None
        return least, most
    exact = section.integer("length", 1, LENGTH_MAX)
    return (1, None) if exact is None else (exact, exact)


def _has_length(shape: Regex, length: Length) -> bool:
    if length == (1, None):
        return True
    least, most = length
    wanted = (1 << (LENGTH_MAX if most is None else most) + 1) - (1 << least)
    return bool(_lengths(shape) & wanted)


def _lengths(tree: Regex) -> int:
    """Return which lengths texts of *tree* have: bit n for n characters, up to `LENGTH_MAX`."""
    match tree:
        case Chars():
            return 0b10
        case Sequence(parts):
            return functools.reduce(_joined, map(_lengths, parts), 0b1)
        case Choice(branches):
            return functools.reduce(operator.or_, map(_lengths, branches))
        case Repeat(body, least, most):
            each = _lengths(body)
            more = LENGTH_MAX if most is None else most - least
            return _joined(_repeated(each, least), _repeated(each | 0b1, more))
        case _:
            raise AssertionError("a field's own pattern has no fields in it")


def _repeated(each: int, count: int) -> int:
    """Return the lengths of *count* texts of *each*, one behind the other."""
    found = 0b1
    while count:
        if count & 1:
            found = _joined(found, each)
        each = _joined(each, each)
        count >>= 1
    return found


def _joined(one: int, other: int) -> int:
    """Return the lengths of a text of *one* with one of *other* behind it."""
    found = 0
    while one:
        shortest = one & -one
        found |= other * shortest
        one ^= shortest
    return found & (1 << LENGTH_MAX + 1) - 1


def _length_words(length: Length) -> str:
    least, most = length
    if most is None:
        return "" if least == 1 else f", {least} characters or more"
    return f", {most} characters" if least == most else f", {least} to {most} characters"


def _pattern(section: Section, pattern: str, case: str) -> Regex | None:
    try:
        tree = regex.parse(pattern)
    except regex.PatternError as error:
        section.problem(
            "pattern",
            f"{error.message} (character {error.index + 1} of {pattern[:100]!r})",
            error.fix,
        )
        return None
    restricted = restrict(tree, case)
    if restricted is None:
        section.problem("case", f'no text that the pattern matches is in "{case}" case')
        return None
    if attempts(restricted) > ATTEMPTS_MAX:
        section.problem(
            "pattern",
            f"matching {pattern[:100]!r} could take very long for some names",
            "do not nest repeats, and let each repeat exclude the character that follows it",
        )
        return None
    if regex.matches_empty(restricted):
        section.problem(
            "pattern", "the pattern matches the empty text; a field is never empty", "use + or {1,}"
        )
        return None
    return restricted


@functools.cache
def _characters(case: str) -> Ranges:
    """Return the characters that a text of *case* may hold: those that are their own fold.

    A text equals its own `str.lower()` exactly when each of its characters does; the one letter
    whose fold depends on its neighbours, the capital sigma, is never its own lower case.
    """
    changed = [
        (code, code)
        for code in range(_CASED_END)
        if (chr(code).lower() if case == "lower" else chr(code).upper()) != chr(code)
    ]
    return regex.complement(tuple(changed))


def restrict(tree: Regex, case: str) -> Regex | None:
    """Return what matches the texts of *tree* that are in *case*, or None when there are none."""
    return tree if case == "any" else _restrict(tree, _characters(case))


def _restrict(tree: Regex, allowed: Ranges) -> Regex | None:
    match tree:
        case Chars(ranges):
            left = regex.intersect(ranges, allowed)
            return Chars(left) if left else None
        case Sequence(parts):
            kept = [_restrict(part, allowed) for part in parts]
            found = tuple(part for part in kept if part is not None)
            return Sequence(found) if len(found) == len(kept) else None
        case Choice(branches):
            tried = (_restrict(branch, allowed) for branch in branches)
            left_over = tuple(branch for branch in tried if branch is not None)
            if len(left_over) > 1:
                return Choice(left_over)
            return left_over[0] if left_over else None
        case Repeat(body, least, most):
            inner = _restrict(body, allowed)
            if inner is None:
                return Sequence(()) if least == 0 else None
            return Repeat(inner, least, most)
        case _:
            raise AssertionError("a field's own pattern has no fields in it")


def choices_problem(choices: tuple[str, ...]) -> tuple[str, str | None] | None:
    """Return (what is wrong with the texts *choices*, its fix), or None."""
    if not choices:
        return '"choices" is empty', "list at least one"
    if len(choices) > CHOICES_MAX:
        return f"more than {CHOICES_MAX} choices", "use a pattern"
    for one in choices:
        reason = name_problem(one)
        if reason is not None:
            return f"{one[:100]!r} cannot be in a path: {reason}", None
    return None


def listed_words(choices: tuple[str, ...]) -> str:
    """Return *choices* for people: the first of them."""
    return f"one of {', '.join(choices[:8])}" + (", ..." if len(choices) > 8 else "")


def _with_choices(
    heading: Heading, section: Section, exclusions: tuple[str, ...], case: str
) -> Field | None:
    raw = section.raw("choices")
    usages: dict[str, str] = {}
    if raw is not None and isinstance(raw.value, dict):
        members = section.section("choices")
        assert members is not None, "it is an object"
        members.unique()
        listed: tuple[str, ...] | None = tuple(members)
        usages = {one: members.text(one) or "" for one in members}
    else:
        listed = section.texts("choices")
    if listed is None:
        return None
    reason = choices_problem(listed)
    if reason is not None:
        section.problem("choices", *reason)
        return None
    for one in listed:
        if case != "any" and restrict(regex.literal(one), case) is None:
            section.problem("choices", f'"{one[:100]}" is not in {case} case', "write it so")
            return None
    excluded = frozenset(exclusions)
    choices = tuple(one for one in listed if one not in excluded)
    if not choices:
        section.problem("exclusions", "the exclusions leave no choice")
        return None
    return heading.field(
        listed_words(choices),
        regex.any_of(choices),
        choices=choices,
        choice_usages=tuple(usages[one] for one in choices) if usages else (),
    )
