"""Suggests the right name for a file that is almost named right.

A name is laid beside the tokens of a template, cheapest first: exact text costs nothing; another
case, another separator, another padding, a near choice, and a field that disagrees with an earlier
element cost one each. What comes out is resolved before it is told, so a suggestion always fits.
Work is bounded by the length of names and the number of tokens. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shotfs.errors import InvalidArgument
from shotfs.pathspec.elements import Fields
from shotfs.pathspec.fields import Field
from shotfs.pathspec.pattern import Variant
from shotfs.pathspec.samples import produces
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import FieldRef, Literal, Token

COST_MAX = 3
"""More changes than this are another name, not a slip."""

TEMPLATES_MAX = 3
NAME_LENGTH_MAX = 160
TOKENS_MAX = 48
STEPS_MAX = 20_000
"""Pieces of one name that are tried for fields: a tenth of a second."""

NEAR_MAX = 64
CHOICES_NEAR_MAX = 500
"""Pieces of one name that are compared with choices which are spelt otherwise, and how many."""

_CLOSE = 0.75
_NUMBERED = re.compile(r"[A-Za-z]{0,8}?(-?\d{1,15})", re.ASCII)
_SEPARATORS = "_-. "


@dataclass(frozen=True, slots=True)
class _Cut:
    """One way to lay a name beside tokens: its cost, what it should be, the fields in it."""

    cost: int
    text: str
    fields: Mapping[str, str]


def suggest_path(specification: Specification, path: str, templates: tuple[str, ...]) -> str | None:
    """Return a path near *path* that one of *templates* produces, or None.

    Args:
        specification: that does not know *path*.
        path: relative to the show.
        templates: names, the nearest first; the first `TEMPLATES_MAX` are tried.
    """
    names = path.split("/")
    if any(len(name) > NAME_LENGTH_MAX for name in names):
        return None
    best: _Cut | None = None
    for name in templates[:TEMPLATES_MAX]:
        pattern = specification.patterns.get(name)
        if pattern is None or pattern.fallback:
            continue
        for variant in pattern.variants:
            found = _lay(specification.fields, variant, names)
            if (
                found is not None
                and found.text != path
                and (best is None or found.cost < best.cost)
                and produces(specification, pattern, found.text)
            ):
                best = found
    return None if best is None else best.text


def _lay(fields: Fields, variant: Variant, names: list[str]) -> _Cut | None:
    count = len(variant.elements)
    rest: list[str] = []
    if variant.tree is not None:
        count -= 1
        names, rest = names[:count], names[count:]
        if not rest:
            return None
    if len(names) != count:
        return None
    cost, texts, bound = 0, [], dict[str, str]()
    for tokens, name in zip(variant.elements[:count], names, strict=True):
        flat = tuple(_flatten(tokens, fields))
        if len(flat) > TOKENS_MAX:
            return None
        found = _Laying(flat, fields, name, bound).best()
        if found is None:
            return None
        cost += found.cost
        if cost > COST_MAX:
            return None
        texts.append(found.text)
        bound.update(found.fields)
    return _Cut(cost, "/".join((*texts, *rest)), bound)


def _flatten(tokens: tuple[Token, ...], fields: Fields) -> Iterator[Token]:
    for token in tokens:
        if isinstance(token, FieldRef) and fields[token.name].tokens:
            yield from _flatten(fields[token.name].tokens, fields)
        else:
            yield token


class _Laying:
    """One name beside the tokens of one element."""

    def __init__(
        self, tokens: tuple[Token, ...], fields: Fields, name: str, bound: Mapping[str, str]
    ) -> None:
        self._tokens = tokens
        self._fields = fields
        self._name = name
        self._bound = bound
        self._known: dict[tuple[int, int], _Cut | None] = {}
        self._steps = 0
        self._near = 0

    def best(self) -> _Cut | None:
        """Return the cheapest way, or None."""
        tokens = self._tokens
        if len(tokens) == 1 and isinstance(tokens[0], Literal):
            return _near_literal(tokens[0].text, self._name)
        return self._from(0, 0)

    def _from(self, index: int, start: int) -> _Cut | None:
        key = (index, start)
        if key not in self._known:
            self._known[key] = self._find(index, start)
        return self._known[key]

    def _find(self, index: int, start: int) -> _Cut | None:
        if index == len(self._tokens):
            return _Cut(0, "", {}) if start == len(self._name) else None
        token = self._tokens[index]
        best: _Cut | None = None
        steps = (
            self._literal(token.text, start)
            if isinstance(token, Literal)
            else self._field(self._fields[token.name], start)
        )
        for end, cost, text in steps:
            if best is not None and cost >= best.cost:
                continue
            rest = self._from(index + 1, end)
            if rest is None or cost + rest.cost > COST_MAX:
                continue
            if best is None or cost + rest.cost < best.cost:
                own = {} if isinstance(token, Literal) else {token.name: text}
                best = _Cut(cost + rest.cost, text + rest.text, {**own, **rest.fields})
        return best

    def _literal(self, text: str, start: int) -> Iterator[tuple[int, int, str]]:
        end = start + len(text)
        found = self._name[start:end]
        if found == text:
            yield end, 0, text
        elif _plain(found) == _plain(text):
            yield end, 1, text
        elif len(text) == 1 and text in _SEPARATORS:
            yield start, 1, text  # it was left out

    def _field(self, field: Field, start: int) -> Iterator[tuple[int, int, str]]:
        # Longest first, as matching does.
        for end in range(len(self._name), start, -1):
            self._steps += 1
            if self._steps > STEPS_MAX:
                return
            found = self._name[start:end]
            wanted = self._bound.get(field.name)
            if found == wanted:
                yield end, 0, found
                continue
            fitting = field.problem(found) is None
            if wanted is not None:
                if fitting or any(True for _ in self._repaired(field, found)):
                    yield end, 1, wanted
            elif fitting:
                yield end, 0, found
            else:
                for text in self._repaired(field, found):
                    yield end, 1, text

    def _repaired(self, field: Field, text: str) -> Iterator[str]:
        is_near = field.choices is not None and len(text) > 2
        self._near += is_near
        return repaired(field, text, near=self._near <= NEAR_MAX)


def _plain(text: str) -> str:
    return re.sub(r"[_\-. ]", "_", text.casefold())


def _near_literal(text: str, name: str) -> _Cut | None:
    if text == name:
        return _Cut(0, text, {})
    near = _plain(name) == _plain(text) or (
        difflib.SequenceMatcher(None, text.casefold(), name.casefold()).ratio() >= _CLOSE
    )
    return _Cut(1, text, {}) if near else None


def repaired(field: Field, text: str, *, near: bool = True) -> Iterator[str]:
    """Yield texts of *field* that *text* was probably meant to be.

    With *near*, choices that are spelt a little otherwise are among them.
    """
    if field.choices is not None:
        plain = text.casefold()
        exact = [one for one in field.choices if one.casefold() == plain]
        if exact:
            yield exact[0]
        elif near and len(text) > 2 and len(field.choices) <= CHOICES_NEAR_MAX:
            yield from difflib.get_close_matches(text, field.choices, n=1, cutoff=_CLOSE)
        return
    if field.kind in ("int", "frame", "udim", "version"):
        found = _NUMBERED.fullmatch(text)
        if found is not None:
            try:
                yield field.format(int(found.group(1)))
            except InvalidArgument:
                return
        return
    for changed in (
        text.lower(),
        text.upper(),
        text.replace(" ", "_"),
        text.replace(" ", ""),
        text.replace("-", "_"),
        text.replace("_", "-"),
        text.replace(".", "_"),
    ):
        if changed != text and field.problem(changed) is None:
            yield changed
            return
