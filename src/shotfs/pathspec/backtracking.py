"""Bounds the work of Python's backtracking matcher, so that no name can make it slow.

`re` tries one way after another. Where the next character always decides which way to go, there is
nothing to try again and matching is linear in the name. This module counts the places where it does
not decide, and how many ways each opens for a name of at most 255 characters; their product bounds
the number of attempts. Expressions over `ATTEMPTS_MAX` are refused when the document is loaded.

The count is an upper bound: a pattern that is refused can always be written with narrower classes
(`[^_]+_[^_]+` instead of `.+_.+_`). ADR 0003 has the measurements and what was rejected.
"""

from __future__ import annotations

from shotfs.pathspec.regex import (
    REPEAT_MAX,
    Chars,
    Choice,
    Group,
    Ranges,
    Regex,
    Repeat,
    Same,
    Sequence,
    intersect,
    matches_empty,
    union,
)

ATTEMPTS_MAX = 2000
"""One repeat whose end is open (255 ways), times a few alternatives; two such repeats are over."""

_LIMITLESS = 10**9
_ROUNDS_COUNTED = 30
"""2**30 is over the limit already."""


def attempts(tree: Regex) -> int:
    """Return an upper bound of the ways that `re` tries for one name; at most 10**9."""
    return _attempts(tree, ())


def _attempts(tree: Regex, following: Ranges) -> int:
    """*following*: the characters that may come directly after *tree*."""
    match tree:
        case Chars():
            return 1
        case Sequence(parts):
            count = 1
            for part in reversed(parts):
                count = min(count * _attempts(part, following), _LIMITLESS)
                following = union(first(part), following if matches_empty(part) else ())
            return count
        case Choice(branches):
            return _choice(branches, following)
        case Repeat(body, least, most):
            return _repeat(body, least, most, following)
        case Group(_, body):
            return _attempts(body, following)
        case Same():
            return 1


def _choice(branches: tuple[Regex, ...], following: Ranges) -> int:
    seen: Ranges = ()
    overlapping = 1
    most = 1
    for branch in branches:
        begins = union(first(branch), following if matches_empty(branch) else ())
        if intersect(seen, begins):
            overlapping += 1
        seen = union(seen, begins)
        most = max(most, _attempts(branch, following))
    return min(overlapping * most, _LIMITLESS)


def _repeat(body: Regex, least: int, most: int | None, following: Ranges) -> int:
    rounds = REPEAT_MAX if most is None else most
    begins = first(body)
    inner = _attempts(body, union(begins, following) if rounds > 1 else following)
    if inner > 1 and rounds > 1:
        return _LIMITLESS if rounds > _ROUNDS_COUNTED else min(_power(inner, rounds), _LIMITLESS)
    open_ended = rounds > least and bool(intersect(begins, following))
    return min(inner * (rounds - least + 1 if open_ended else 1), _LIMITLESS)


def _power(base: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result *= base
    return result


def first(tree: Regex) -> Ranges:
    """Return the characters that a text of *tree* may begin with."""
    match tree:
        case Chars(ranges):
            return ranges
        case Sequence(parts):
            result: Ranges = ()
            for part in parts:
                result = union(result, first(part))
                if not matches_empty(part):
                    break
            return result
        case Choice(branches):
            result = ()
            for branch in branches:
                result = union(result, first(branch))
            return result
        case Repeat(body, _, most):
            return () if most == 0 else first(body)
        case Group(_, body) | Same(_, body):
            return first(body)
