"""Why templates do not produce a path: which element fails, at which field, and how near it is.

Not made for speed: it compares one path with every template.
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shotfs.pathspec import elements, regex
from shotfs.pathspec.elements import Fields, text_of
from shotfs.pathspec.fields import Field
from shotfs.pathspec.pattern import Matcher, Pattern, Variant
from shotfs.pathspec.tokens import FieldRef, Literal, Token

CHOICES_MAX = 100
"""How many choices of a field are compared with what stands in its place."""

TEMPLATES_MAX = 300
"""How many templates are compared in earnest, which takes a millisecond each."""

MISSES_MAX = 10
"""How many of the templates that did not match are told, nearest first."""

_SAME_LENGTH = 0.2
"""What it counts that path and template have as many elements, of one element that matches."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Why one template does not produce the path.

    Attributes:
        template: its name.
        matched: how many elements did match, of its nearest variant.
        reason: which element failed and why, as a sentence without a full stop.
    """

    template: str
    matched: int
    reason: str


def misses(
    patterns: Iterable[Pattern], fields: Fields, names: list[str], winner: Pattern | None
) -> tuple[Miss, ...]:
    """Return why each of *patterns* does not produce the path *names*, the nearest first.

    Args:
        patterns: in the order of the documents; *winner* and fallbacks are passed over.
        fields: of the specification.
        names: the elements of the path.
        winner: what does produce it, or None.
    """
    comparison = _Comparison(fields, names, winner)
    others = [one for one in patterns if one is not winner and not one.fallback]
    scored = [comparison.miss(one) for one in _likely(others, names)]
    # Stable: among the equally near the order of the document stays.
    scored.sort(key=lambda pair: -pair[0])
    return tuple(miss for _, miss in scored[:MISSES_MAX])


def _likely(patterns: list[Pattern], names: list[str]) -> list[Pattern]:
    """Return those of many *patterns* whose literal texts stand in *names* most, in their order."""
    if len(patterns) <= TEMPLATES_MAX:
        return patterns
    scores = [max(_literal_score(one, names) for one in each.variants) for each in patterns]
    best = heapq.nlargest(TEMPLATES_MAX, range(len(patterns)), key=scores.__getitem__)
    return [patterns[place] for place in sorted(best)]


def _literal_score(variant: Variant, names: list[str]) -> tuple[int, float]:
    """Return how many leading elements may match by their literals, and how much of the next."""
    for index, tokens in enumerate(variant.elements):
        if index == len(names):
            return index, 0.0
        texts = [token.text for token in tokens if isinstance(token, Literal)]
        found = sum(len(text) for text in texts if text in names[index])
        wanted = sum(map(len, texts))
        if found < wanted:
            nearness = 0.0 if len(variant.elements) != len(names) else _SAME_LENGTH
            return index, found / wanted + nearness
    return len(variant.elements), _SAME_LENGTH if len(variant.elements) == len(names) else 0.0


class _Comparison:
    """Compares one path with one template after another, which share many elements."""

    def __init__(self, fields: Fields, names: list[str], winner: Pattern | None) -> None:
        self._fields = fields
        self._names = names
        self._winner = winner
        self._matchers: dict[tuple[Token, ...], Matcher] = {}
        self._failures: dict[tuple[tuple[Token, ...], str], tuple[float, str]] = {}

    def miss(self, one: Pattern) -> tuple[float, Miss]:
        """Return (nearness, why *one* does not produce the path) of its nearest variant."""
        nearness, matched, reason = max(
            (self._variant_miss(variant) for variant in one.variants), key=lambda found: found[0]
        )
        return nearness, Miss(one.template.name, matched, reason)

    def _variant_miss(self, variant: Variant) -> tuple[float, int, str]:
        names = self._names
        bound: dict[str, str] = {}
        count = len(variant.elements)
        bonus = _SAME_LENGTH if count == len(names) else 0.0
        for index, tokens in enumerate(variant.elements):
            if index == len(names):
                shown = text_of(tokens)
                return index, index, f'the path ends before element {index + 1} "{shown}"'
            if variant.tree is not None and index == count - 1:
                return count, index, self._matching()
            found = self._element_problem(tokens, names[index], bound)
            if found is not None:
                nearness, reason = found
                where = f"element {index + 1} {names[index]!r} does not match {text_of(tokens)}: "
                nearness = nearness * (1 - _SAME_LENGTH) + bonus
                return index + nearness, index, where + reason
        if len(names) > count:
            reason = f"the template ends at element {count}, the path goes on with {names[count]!r}"
            return count - 0.5, count, reason
        return count, count, self._matching()

    def _matching(self) -> str:
        if self._winner is None:
            return "it matches"
        return f'it matches too, and "{self._winner.template.name}" is before it'

    def _element_problem(
        self, tokens: tuple[Token, ...], name: str, bound: dict[str, str]
    ) -> tuple[float, str] | None:
        """Return (nearness in 0..0.95, why *name* does not match), or None and note its fields."""
        if tokens not in self._matchers:
            self._matchers[tokens] = _compiled(tokens, self._fields).fullmatch
        found = self._matchers[tokens](name)
        if found is None:
            if (tokens, name) not in self._failures:
                self._failures[tokens, name] = _where_it_fails(tokens, self._fields, name)
            return self._failures[tokens, name]
        texts = found.groupdict()
        for key, check in elements.checks_of(tokens, self._fields):
            wrong = check(texts[key])
            if wrong is not None:
                return 0.9, f"{key} {texts[key]!r} {wrong}"
        for key, text in texts.items():
            if bound.get(key, text) != text:
                return 0.95, f"{key} is {bound[key]!r} in an earlier element and {text!r} here"
        bound.update(texts)
        return None


def _compiled(tokens: tuple[Token, ...], fields: Fields) -> re.Pattern[str]:
    return re.compile(regex.render(elements.expand(tokens, fields, set())), re.ASCII)


def _where_it_fails(tokens: tuple[Token, ...], fields: Fields, name: str) -> tuple[float, str]:
    """Match the beginnings of the element, longest first, and name the token that comes next."""
    flat = list(_flatten(tokens, fields))
    for count in range(len(flat) - 1, -1, -1):
        found = _compiled(tuple(token for token, _ in flat[:count]), fields).match(name)
        if found is None:
            continue
        token, field = flat[count]
        rest = name[found.end() :]
        nearness = 0.8 * found.end() / len(name)
        if field is not None:
            if field.choices is not None:
                nearness = max(nearness, 0.8 * _likeness(rest, field.choices))
            return nearness, f'"{field.name}" wants {field.wants}, found {rest[:60]!r}'
        assert isinstance(token, Literal), "a token is a literal or a field"
        nearness = max(nearness, 0.8 * _likeness(rest, (token.text,)))
        return nearness, f"expected {token.text!r}, found {rest[:60]!r}"
    raise AssertionError("the empty beginning always matches")


def _likeness(text: str, wanted: tuple[str, ...]) -> float:
    """Return how near *text* begins to one of *wanted*, 0 to 1."""
    return max(
        difflib.SequenceMatcher(None, one, text[: len(one)]).ratio() for one in wanted[:CHOICES_MAX]
    )


def _flatten(tokens: tuple[Token, ...], fields: Fields) -> Iterator[tuple[Token, Field | None]]:
    for token in tokens:
        if isinstance(token, FieldRef):
            field = fields[token.name]
            if field.tokens:
                yield from _flatten(field.tokens, fields)
            else:
                yield token, field
        else:
            yield token, None
