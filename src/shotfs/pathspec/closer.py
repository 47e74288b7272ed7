"""A closer look at overlaps that a repeated field may only seem to make.

The walk of all paths reads a field that repeats as any text each time, so what it finds may be no
path at all. Here the texts that a finding shows are put into the two templates: what is left has no
repeated field and is decided exactly. Where one field repeats only, its texts are tried and taken
out of its language until a real path shows or nothing is left; a few rounds settle what a literal
beside the field pins. Beyond that the question stays open.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.automata import Budget, TooComplex
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.elements import Fields, Tokens
from shotfs.pathspec.overlap import Meeting, meetings
from shotfs.pathspec.regex import Group, Regex, Sequence
from shotfs.pathspec.spellings import NOTHING_KNOWN, Known, Owner, Speller, Spellings
from shotfs.pathspec.tokens import Literal

ROUNDS_MAX = 8
TEXTS_MAX = 16
"""Combinations of texts that one round tries."""
STEPS_MAX = 2_000_000
"""Pairs of moves that all closer looks of one load compare."""
LOOK_STEPS = 100
"""What one comparison costs beside: making the automaton."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a closer look found.

    Attributes:
        path: one that both produce.
        certain: False where it could not be decided: the path is then perhaps not one of both.
            True and no path: proven that there is none.
    """

    path: str | None
    certain: bool


def look(one: Owner, other: Owner, fields: Fields, speller: Speller, budget: Budget) -> Verdict:
    """Return whether *one* and *other*, which seem to share a path, really do.

    Args:
        one: a template's variant, or its alias path.
        other: the same.
        fields: of the specification.
        speller: of their paths.
        budget: of all looks together; without any left the question stays open.
    """
    try:
        return _look(one, other, fields, speller, budget)
    except TooComplex:
        return Verdict(None, certain=False)


def _look(one: Owner, other: Owner, fields: Fields, speller: Speller, budget: Budget) -> Verdict:
    certain = not (one.approximate or other.approximate)
    if not one.repeated and not other.repeated:
        return Verdict(_meet(one, other, NOTHING_KNOWN, NOTHING_KNOWN, speller, budget), certain)
    taken: dict[tuple[int, str], frozenset[str]] = {}
    open_path = None
    for _ in range(ROUNDS_MAX):
        known = [_excluding(taken, side) for side in (0, 1)]
        path = _meet(one, other, known[0], known[1], speller, budget)
        if path is None:
            return Verdict(None, certain=True)
        open_path = open_path or path
        texts = [_texts_in(path, owner, fields) for owner in (one, other)]
        if any(
            not texts[side].get(name)
            for side, owner in enumerate((one, other))
            for name in owner.repeated
        ):
            break
        names = [(side, name) for side in (0, 1) for name in texts[side]]
        ranges = [texts[side][name] for side, name in names]
        for chosen in itertools.islice(itertools.product(*ranges), TEXTS_MAX):
            fixed: tuple[dict[str, str], dict[str, str]] = ({}, {})
            for (side, name), text in zip(names, chosen, strict=True):
                fixed[side][name] = text
            real = _meet(one, other, Known(fixed[0], {}), Known(fixed[1], {}), speller, budget)
            if real is not None:
                return Verdict(real, certain)
        if len(names) != 1 or len(one.repeated) + len(other.repeated) != 1:
            break
        taken[names[0]] = taken.get(names[0], frozenset()) | frozenset(ranges[0])
    return Verdict(open_path, certain=False)


def _excluding(taken: dict[tuple[int, str], frozenset[str]], side: int) -> Known:
    return Known({}, {name: texts for (at, name), texts in taken.items() if at == side})


def _meet(
    one: Owner, other: Owner, known: Known, beside: Known, speller: Speller, budget: Budget
) -> str | None:
    """Return a path that both produce with what is known of their fields, or None."""
    budget.spend(LOOK_STEPS)
    spellings = Spellings(speller.languages)
    spellings.add(one, speller, known)
    spellings.add(other, speller, beside)
    return next(
        (met.path for met in meetings(spellings, budget) if met.meeting is Meeting.SAME_PATH), None
    )


def _texts_in(path: str, owner: Owner, fields: Fields) -> dict[str, list[str]]:
    """Return the texts that each repeated field of *owner* has in *path*, where it is read so."""
    names = path.split("/")
    found: dict[str, list[str]] = {name: [] for name in owner.repeated}
    last = len(owner.elements) - 1
    for index, tokens in enumerate(owner.elements):
        if index == last and owner.tree:
            break
        groups: list[str] = []
        alias = owner.alias.name if owner.alias is not None and index == last else None
        tree = _loose(tokens, fields, groups, alias)
        if attempts(tree) > ATTEMPTS_MAX:
            return {}
        match = re.compile(regex.render(tree), re.ASCII).fullmatch(names[index])
        if match is None:
            return {}
        for number, name in enumerate(groups):
            if name in found and match[number + 1] not in found[name]:
                found[name].append(match[number + 1])
    return found


def _loose(tokens: Tokens, fields: Fields, groups: list[str], alias: str | None) -> Regex:
    """Return the expression of *tokens* in which each place of a field has a group of its own."""
    parts: list[Regex] = []
    for token in tokens:
        if isinstance(token, Literal):
            parts.append(regex.literal(token.text))
            continue
        field = fields[token.name]
        if field.tokens:
            parts.append(_loose(field.tokens, fields, groups, alias))
            continue
        assert field.shape is not None, "trees are elements of their own"
        if alias == field.name:
            names = tuple(one.name for one in field.aliases)
            shape = regex.any_of(names)
        else:
            shape = field.shape
        parts.append(Group(f"g{len(groups)}", shape))
        groups.append(field.name)
    return Sequence(tuple(parts))
