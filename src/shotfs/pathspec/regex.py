"""The regular expressions that fields may use: a subset whose matching cannot explode.

Patterns are parsed here into a small tree, and rendered from it for Python's `re`. The subset is
what is regular: characters, classes, groups, `|`, and the greedy quantifiers. Look-around,
back-references, anchors, flags and lazy quantifiers are refused with their position. Nothing can
match "/" or NUL: a pattern describes (a part of) one path element.

`backtracking.py` bounds the work of matching such a tree, `automata.py` decides questions about it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, not touching, both ends included."""

REPEAT_MAX = 255
"""No name is longer, so no count needs to be."""

_NESTING_MAX = 20
_SYMBOLS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set of code points."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; the empty sequence matches the empty text."""

    parts: tuple[Regex, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several, tried in this order."""

    branches: tuple[Regex, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """*body* at least *least* times and at most *most* times (None: no limit), greedy."""

    body: Regex
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A field: what *body* matches is the text of field *name*."""

    name: str
    body: Regex


@dataclass(frozen=True, slots=True)
class Same:
    """The text that the group *name* matched before, once more. *body* is what it may be."""

    name: str
    body: Regex


Regex = Chars | Sequence | Choice | Repeat | Group | Same


@dataclass(frozen=True, slots=True)
class PatternError(Exception):
    """A pattern cannot be used. *index* is the character of the pattern where it shows."""

    message: str
    index: int
    fix: str | None = None


def _normalise(ranges: list[tuple[int, int]]) -> Ranges:
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def complement(ranges: Ranges) -> Ranges:
    """Return all code points that are not in *ranges*."""
    result: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        if low > start:
            result.append((start, low - 1))
        start = high + 1
    if start <= 0x10FFFF:
        result.append((start, 0x10FFFF))
    return tuple(result)


def intersect(one: Ranges, other: Ranges) -> Ranges:
    """Return the code points that are in both."""
    result: list[tuple[int, int]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        low = max(one[i][0], other[j][0])
        high = min(one[i][1], other[j][1])
        if low <= high:
            result.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


NAME_CHARACTERS = complement(((0, 0), (ord("/"), ord("/")), (0xD800, 0xDFFF)))
"""What a name in a path may hold at all: no NUL, no slash, nothing that UTF-8 cannot carry."""

DIGITS: Ranges = ((ord("0"), ord("9")),)
_WORD: Ranges = _normalise([(48, 57), (65, 90), (95, 95), (97, 122)])
_SPACES: Ranges = _normalise([(9, 13), (32, 32)])
_SHORTHANDS = {
    "d": DIGITS,
    "w": _WORD,
    "s": _SPACES,
    "D": intersect(complement(DIGITS), NAME_CHARACTERS),
    "W": intersect(complement(_WORD), NAME_CHARACTERS),
    "S": intersect(complement(_SPACES), NAME_CHARACTERS),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}
_COUNT = re.compile(r"\{(\d{1,4})(,(\d{1,4})?)?\}", re.ASCII)


def chars(text: str) -> Chars:
    """Return the set of the characters of *text*."""
    return Chars(_normalise([(ord(one), ord(one)) for one in text]))


def literal(text: str) -> Regex:
    """Return what matches exactly *text*."""
    return Sequence(tuple(chars(one) for one in text))


def union(one: Ranges, other: Ranges) -> Ranges:
    """Return the code points that are in either."""
    return _normalise([*one, *other]) if one and other else one or other


def any_of(texts: tuple[str, ...]) -> Regex:
    """Return what matches exactly one of *texts*.

    Common beginnings are shared, so that each character decides and nothing is tried twice.
    """
    return _any_of(sorted(set(texts)), 0)


def _common_beginning(first: str, last: str) -> str:
    """Return how both begin; of a sorted list, the first and the last decide for all."""
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def _any_of(texts: list[str], depth: int) -> Regex:
    prefix = _common_beginning(texts[0], texts[-1])
    rests = [text[len(prefix) :] for text in texts]
    branches: list[Regex] = []
    if depth >= _NESTING_MAX:
        # Longest first, as a shared beginning would have it; deeper groups would exhaust `re`.
        branches = [literal(rest) for rest in reversed(rests)]
        return Sequence((literal(prefix), Choice(tuple(branches))))
    for _, group in itertools.groupby((rest for rest in rests if rest), key=lambda rest: rest[0]):
        branches.append(_any_of(list(group), depth + 1))
    if not branches:
        return literal(prefix)
    rest = branches[0] if len(branches) == 1 else Choice(tuple(branches))
    return Sequence((literal(prefix), Repeat(rest, 0, 1) if "" in rests else rest))


@cache
def parse(pattern: str) -> Regex:
    """Return the tree of *pattern*.

    Raises:
        PatternError: it is not in the subset, or it matches a name that cannot exist.
    """
    parser = _Parser(pattern)
    tree = parser.choice(0)
    if parser.index < len(pattern):
        raise PatternError('")" without "("', parser.index, r'write "\\)" for the character itself')
    return tree


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._symbols = 0
        self.index = 0

    def _peek(self) -> str:
        return self._pattern[self.index : self.index + 1]

    def _fail(self, message: str, fix: str | None = None) -> PatternError:
        return PatternError(message, min(self.index, len(self._pattern)), fix)

    def choice(self, depth: int) -> Regex:
        if depth > _NESTING_MAX:
            raise self._fail(f"groups nested deeper than {_NESTING_MAX}")
        branches = [self._sequence(depth)]
        while self._peek() == "|":
            self.index += 1
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self, depth: int) -> Regex:
        parts: list[Regex] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, body: Regex) -> Regex:
        counts = self._counts()
        if counts is None:
            return body
        least, most = counts
        if self._peek() in ("?", "+", "*", "{") and self._peek():
            raise self._fail(
                "lazy, possessive and doubled quantifiers are not in the subset",
                "use one greedy quantifier; a field's extent must be clear without them",
            )
        self._symbols += (most or least + 1) * _symbol_count(body)
        if self._symbols > _SYMBOLS_MAX:
            raise self._fail("the pattern is too large once its counts are written out")
        return Repeat(body, least, most)

    def _counts(self) -> tuple[int, int | None] | None:
        mark = self._peek()
        if mark in ("*", "+", "?") and mark:
            self.index += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[mark]
        if mark != "{":
            return None
        found = _COUNT.match(self._pattern, self.index)
        if found is None:
            raise self._fail(
                '"{" starts no count like {2}, {1,} or {2,4}', r'write "\\{" for itself'
            )
        least = int(found.group(1))
        most = least
        unlimited = False
        if found.group(2) is not None:
            unlimited = found.group(3) is None
            most = least if unlimited else int(found.group(3))
        if most < least or max(least, most) > REPEAT_MAX:
            raise self._fail(f"the count {found.group()} is empty or over {REPEAT_MAX}")
        self.index = found.end()
        return least, None if unlimited else most

    def _atom(self, depth: int) -> Regex:
        mark = self._peek()
        if mark == "(":
            return self._group(depth)
        if mark == "[":
            return self._class()
        if mark == ".":
            self.index += 1
            return Chars(NAME_CHARACTERS)
        if mark == "\\":
            return Chars(self._escape())
        if mark in ("*", "+", "?", "{"):
            raise self._fail(f'"{mark}" has nothing to repeat')
        if mark in ("^", "$"):
            raise self._fail(f'"{mark}" is not needed: a pattern always matches whole', "remove it")
        self.index += 1
        return Chars(self._single(mark))

    def _single(self, character: str) -> Ranges:
        if not intersect(((ord(character), ord(character)),), NAME_CHARACTERS):
            self.index -= 1
            raise self._fail(
                f"{character!r} cannot be in a field: a field is a part of one path element",
                "put the slash into the template and use two fields",
            )
        return ((ord(character), ord(character)),)

    def _group(self, depth: int) -> Regex:
        self.index += 1
        if self._peek() == "?":
            if not self._pattern.startswith("?:", self.index):
                raise self._fail(
                    "look-around, named groups and flags are not in the subset",
                    'use a plain "(...)" group; name parts of a name with a compound field',
                )
            self.index += 2
        body = self.choice(depth + 1)
        if self._peek() != ")":
            raise self._fail(
                '"(" without ")"', 'write ")" where it ends, or "\\(" for the character itself'
            )
        self.index += 1
        return body

    def _escape(self) -> Ranges:
        self.index += 1
        mark = self._peek()
        self.index += 1
        if mark in _SHORTHANDS:
            return _SHORTHANDS[mark]
        if mark in _CONTROLS:
            return self._single(_CONTROLS[mark])
        if mark == "" or mark.isalnum():
            self.index -= 2
            raise self._fail(
                f'"\\{mark}" is not in the subset (back-reference, anchor or unknown escape)',
                r"allowed are \d \w \s \D \W \S \t \n \r and escaped punctuation",
            )
        return self._single(mark)

    def _class(self) -> Regex:
        start = self.index
        self.index += 1
        negated = self._peek() == "^"
        if negated:
            self.index += 1
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._peek() == "":
                self.index = start
                raise self._fail(
                    '"[" without "]"', 'write "]" where it ends, or "\\[" for the character itself'
                )
            ranges.extend(self._class_item())
        self.index += 1
        members = _normalise(ranges)
        if negated:
            members = complement(members)
        members = intersect(members, NAME_CHARACTERS)
        if not members:
            self.index = start
            raise self._fail("the class is empty: nothing that it allows can be in a name")
        return Chars(members)

    def _class_item(self) -> Ranges:
        low = self._class_character()
        following = self._pattern[self.index + 1 : self.index + 2]
        if self._peek() != "-" or following in ("]", ""):
            return low
        self.index += 1
        high = self._class_character()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            raise self._fail("a range needs a single character at each end")
        if high[0][0] < low[0][0]:
            raise self._fail(f"the range {chr(low[0][0])}-{chr(high[0][0])} is the wrong way round")
        return ((low[0][0], high[0][0]),)

    def _class_character(self) -> Ranges:
        if self._peek() == "\\":
            self.index += 1
            mark = self._peek()
            if mark == "/":
                self.index += 1
                return ((ord("/"), ord("/")),)
            self.index -= 1
            return self._escape()
        character = self._peek()
        self.index += 1
        return ((ord(character), ord(character)),)


def _symbol_count(tree: Regex) -> int:
    match tree:
        case Chars():
            return 1
        case Sequence(parts) | Choice(parts):
            return sum(map(_symbol_count, parts))
        case Repeat(body, least, most):
            return (most or least + 1) * _symbol_count(body)
        case Group(_, body) | Same(_, body):
            return _symbol_count(body)


def sign_count(tree: Regex) -> int:
    """Return how many character sets are written in *tree*, which is what compiling it costs."""
    match tree:
        case Chars():
            return 1
        case Sequence(parts) | Choice(parts):
            return sum(map(sign_count, parts))
        case Repeat(body, _, _) | Group(_, body) | Same(_, body):
            return sign_count(body)


def matches_empty(tree: Regex) -> bool:
    """Return whether *tree* matches the empty text."""
    match tree:
        case Chars():
            return False
        case Sequence(parts):
            return all(map(matches_empty, parts))
        case Choice(branches):
            return any(map(matches_empty, branches))
        case Repeat(body, least, _):
            return least == 0 or matches_empty(body)
        case Group(_, body) | Same(_, body):
            return matches_empty(body)


def alphabet(tree: Regex) -> Ranges:
    """Return all characters that a text of *tree* may hold."""
    match tree:
        case Chars(ranges):
            return ranges
        case Sequence(parts) | Choice(parts):
            return _normalise([one for part in parts for one in alphabet(part)])
        case Repeat(body, _, _) | Group(_, body) | Same(_, body):
            return alphabet(body)


def lengths(tree: Regex) -> tuple[int, int | None]:
    """Return how many characters a text of *tree* has: (least, most or None)."""
    match tree:
        case Chars():
            return 1, 1
        case Sequence(parts):
            least = 0
            most: int | None = 0
            for part in parts:
                low, high = lengths(part)
                least += low
                most = None if most is None or high is None else most + high
            return least, most
        case Choice(branches):
            ends = [lengths(branch) for branch in branches]
            highs = [high for _, high in ends if high is not None]
            return min(low for low, _ in ends), max(highs) if len(highs) == len(ends) else None
        case Repeat(body, fewest, times):
            low, high = lengths(body)
            return low * fewest, None if times is None or high is None else high * times
        case Group(_, body) | Same(_, body):
            return lengths(body)


def render(tree: Regex) -> str:
    """Return *tree* as text for `re`, with a named group for each field."""
    match tree:
        case Chars(ranges):
            return _render_chars(ranges)
        case Sequence(parts):
            return "".join(map(render, parts))
        case Choice(branches):
            return "(?:" + "|".join(map(render, branches)) + ")"
        case Repeat(body, least, most):
            inner = render(body)
            atom = inner if isinstance(body, Chars) else f"(?:{inner})"
            return atom + _render_count(least, most)
        case Group(name, body):
            return f"(?P<{name}>{render(body)})"
        case Same(name, _):
            return f"(?P={name})"


def _render_count(least: int, most: int | None) -> str:
    marks = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (least, most) in marks:
        return marks[least, most]
    return f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"


def _render_chars(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return re.escape(chr(ranges[0][0]))
    return "[" + "".join(_render_range(low, high) for low, high in ranges) + "]"


def _render_range(low: int, high: int) -> str:
    first, last = (
        chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\U{code:08x}"
        for code in (low, high)
    )
    return first if low == high else f"{first}-{last}"
