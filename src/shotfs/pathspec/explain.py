"""Why a path is what it is: for people who wonder, and for error messages.

Not made for speed: it compares a path with every template.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shotfs.pathspec import elements, regex
from shotfs.pathspec.elements import Fields, text_of
from shotfs.pathspec.fields import Field
from shotfs.pathspec.model import DirectoryMatch, Lookahead, Retention, Template
from shotfs.pathspec.pattern import Pattern, Place
from shotfs.pathspec.policy import BUILT_IN, KEYS
from shotfs.pathspec.problems import escape_pointer
from shotfs.pathspec.tokens import FieldRef, Literal, Token

MISSES_MAX = 10
"""How many of the templates that did not match are told, nearest first."""


class PathKind(StrEnum):
    """What the specification takes a path for."""

    FILE = "file"
    SCRATCH = "scratch"
    DIRECTORY = "directory"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FieldMeaning:
    """One field of a path: its text there, and what the document says of it."""

    name: str
    text: str
    kind: str
    wants: str
    usage: str
    line: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One policy key in force: its value as text, and who set it.

    Attributes:
        where: a JSON pointer, or "built in".
        line: of the document *source*; both are None for what is built in.
    """

    key: str
    value: str
    where: str
    line: int | None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    """Why one template does not produce the path.

    Attributes:
        template: its name.
        matched: how many elements did match.
        reason: which element failed and why, as a sentence without a full stop.
    """

    template: str
    matched: int
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the specification says of one path.

    Attributes:
        template: what produces it; None for directories and impossible paths.
        directory: what it is as a directory, or None.
        fields: in the order in which they stand in the path, compounds before their parts.
        settings: the policy in force, in the order of the documentation; empty without template.
        misses: why other templates did not match, the nearest first, at most `MISSES_MAX`.
    """

    path: str
    kind: PathKind
    template: Template | None
    template_line: int | None
    directory: DirectoryMatch | None
    fields: tuple[FieldMeaning, ...]
    settings: tuple[Setting, ...]
    misses: tuple[Miss, ...]


def meanings(compiled: Pattern, fields: Fields, texts: Mapping[str, str]) -> Iterator[FieldMeaning]:
    """Yield the fields of a path of *compiled* that have *texts*, each once."""
    told: set[str] = set()
    for tokens in compiled.elements:
        for field in elements.leaves(tokens, fields):
            if field.name in texts and field.name not in told:
                told.add(field.name)
                yield FieldMeaning(
                    field.name, texts[field.name], field.kind, field.wants, field.usage, field.line
                )


def settings(compiled: Pattern) -> Iterator[Setting]:
    """Yield the policy of *compiled*, with the place that each value comes from."""
    own = (
        "/unmatched"
        if compiled.fallback
        else f"/templates/{escape_pointer(compiled.template.name)}"
    )
    policy = compiled.template.policy
    for key in KEYS:
        # Without an origin the last tier is it.
        told = "tiers" if key == "origin" and not _is_given(compiled, key) else key
        if told in compiled.own:
            value, line = compiled.own[told]
            place = Place(compiled.source, line, f"{own}/{told}")
        elif told in compiled.inherited:
            value, place = compiled.inherited[told]
        else:
            value, place = BUILT_IN.get(key), None
        if key == "origin":
            text = policy.origin
        else:
            text = " ".join(policy.tiers) if key == "tiers" else shown(key, value)
        if place is None:
            yield Setting(key, text, "built in", None)
        else:
            yield Setting(key, text, place.pointer, place.line, place.source)


def _is_given(compiled: Pattern, key: str) -> bool:
    return key in compiled.own or key in compiled.inherited


def shown(key: str, value: Any) -> str:
    """Return the policy value *value* as people write it."""
    if key in ("mode", "directory_mode"):
        return f"{value:04o}"
    if key in ("ttl", "negative_ttl", "grace"):
        return f"{value:g} s"
    if key == "scratch":
        return " ".join(value) or "none"
    if isinstance(value, Lookahead):
        return _counted((value.frames, "frames"), (value.udims, "udims")) or "nothing"
    if isinstance(value, Retention):
        return _counted((value.days, "days"), (value.versions, "versions")) or "no limit"
    if value is None:
        return "the node decides" if key == "durability" else "the service's"
    return str(value)


def _counted(*counts: tuple[float | None, str]) -> str:
    return ", ".join(f"{count:g} {word}" for count, word in counts if count)


def misses(compiled: list[Pattern], fields: Fields, names: list[str]) -> tuple[Miss, ...]:
    """Return why each of *compiled* does not match the path *names*, the nearest first."""
    scored = [_miss(one, fields, names) for one in compiled]
    # Stable: among the equally near the order of the document stays.
    scored.sort(key=lambda pair: -pair[0])
    return tuple(miss for _, miss in scored[:MISSES_MAX])


def _miss(one: Pattern, fields: Fields, names: list[str]) -> tuple[float, Miss]:
    bound: dict[str, str] = {}
    for index, tokens in enumerate(one.elements):
        is_tree = one.tree is not None and index == len(one.elements) - 1
        if index == len(names):
            reason = f'the path ends before element {index + 1} "{text_of(tokens)}"'
            return index, Miss(one.template.name, index, reason)
        if is_tree:
            return index, Miss(one.template.name, index, "it matches")
        found = _element_problem(tokens, fields, names[index], bound)
        if found is not None:
            nearness, reason = found
            where = f"element {index + 1} {names[index]!r} does not match {text_of(tokens)}: "
            return index + nearness, Miss(one.template.name, index, where + reason)
    count = len(one.elements)
    if len(names) > count:
        reason = f"the template ends at element {count}, the path goes on with {names[count]!r}"
        return count - 0.5, Miss(one.template.name, count, reason)
    return count, Miss(one.template.name, count, "it matches")


def _element_problem(
    tokens: tuple[Token, ...], fields: Fields, name: str, bound: dict[str, str]
) -> tuple[float, str] | None:
    """Return (nearness in 0..1, reason) why *name* does not match, or None and note its fields."""
    tree = elements.expand(tokens, fields, set())
    found = re.compile(regex.render(tree), re.ASCII).fullmatch(name)
    if found is None:
        return _where_it_fails(tokens, fields, name)
    texts = found.groupdict()
    for key, check in elements.checks_of(tokens, fields):
        wrong = check(texts[key])
        if wrong is not None:
            return 0.9, f"{key} {texts[key]!r} {wrong}"
    for key, text in texts.items():
        if bound.get(key, text) != text:
            return 0.95, f"{key} is {bound[key]!r} in an earlier element and {text!r} here"
    bound.update(texts)
    return None


def _where_it_fails(tokens: tuple[Token, ...], fields: Fields, name: str) -> tuple[float, str]:
    """Match the beginnings of the element, longest first, and name the token that comes next."""
    flat = list(_flatten(tokens, fields))
    for count in range(len(flat) - 1, -1, -1):
        beginning = elements.expand(tuple(token for token, _ in flat[:count]), fields, set())
        found = re.compile(regex.render(beginning), re.ASCII).match(name)
        if found is None:
            continue
        token, field = flat[count]
        rest = name[found.end() :]
        nearness = 0.8 * found.end() / len(name)
        if field is not None:
            return nearness, f'"{field.name}" wants {field.wants}, found {rest[:60]!r}'
        assert isinstance(token, Literal), "a token is a literal or a field"
        nearness = max(nearness, 0.8 * difflib.SequenceMatcher(None, token.text, rest).ratio())
        return nearness, f"expected {token.text!r}, found {rest[:60]!r}"
    raise AssertionError("the empty beginning always matches")


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
