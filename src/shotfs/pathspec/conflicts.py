"""Overlaps that no `before` settles, told as mistakes; and what else the walk of all paths shows.

Two templates that can produce one path are a mistake, as are an alias that is a template's file or
directory, a template that reads a path in two of its variants, and two origins below one version
directory. What is not told is proven not to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shotfs.pathspec import closer
from shotfs.pathspec.automata import Budget, TooComplex
from shotfs.pathspec.elements import Fields, Tokens, leaves
from shotfs.pathspec.fields import Field
from shotfs.pathspec.languages import Languages
from shotfs.pathspec.model import Immutable
from shotfs.pathspec.order import Order
from shotfs.pathspec.overlap import Meeting, Met, meetings
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import Report
from shotfs.pathspec.readings import ElementProofs
from shotfs.pathspec.spellings import Owner, Speller, Spellings, loosely_repeated
from shotfs.pathspec.trie import alias_field

OVERLAPS_MAX = 100
"""How many unsettled overlaps are told."""


@dataclass(slots=True)
class Conflicts:
    """What the walk found.

    Attributes:
        crossing: indexes of templates with paths in version directories of others.
        settled: pairs of indexes that share paths, and that `before` settles.
    """

    crossing: set[int] = field(default_factory=set)
    settled: set[tuple[int, int]] = field(default_factory=set)


def find(
    compiled: Sequence[Pattern],
    fields: Fields,
    languages: Languages,
    order: Order,
    report: Report,
    offsets: Sequence[int],
) -> Conflicts:
    """Note every overlap that *order* does not settle, and return what else was found.

    Args:
        compiled: all templates; a fallback among them counts only for version directories.
        fields: of the specification.
        languages: of those fields.
        order: what `before` says.
        report: takes the mistakes.
        offsets: where each template is declared, by its index.
    """
    return _Finder(compiled, fields, languages, order, report, offsets).run()


class _Finder:
    def __init__(
        self,
        compiled: Sequence[Pattern],
        fields: Fields,
        languages: Languages,
        order: Order,
        report: Report,
        offsets: Sequence[int],
    ) -> None:
        self._compiled = [one for one in compiled if not one.fallback]
        self._fallback = next((one for one in compiled if one.fallback), None)
        self._fields = fields
        self._order = order
        self._report = report
        self._offsets = offsets
        self._aliased = {name: alias_field(one) for name, one in fields.items() if one.aliases}
        self._speller = Speller(fields, languages, self._aliased)
        self._alias_proofs: dict[str, ElementProofs] = {}
        self._budget = Budget(closer.STEPS_MAX)
        self._spellings = Spellings(languages)
        self._told: set[tuple[object, ...]] = set()
        self._cleared: set[tuple[Owner, Owner]] = set()
        self._result = Conflicts()

    def run(self) -> Conflicts:
        try:
            for owner in self._owners():
                self._spellings.add(owner, self._speller)
            for met in meetings(self._spellings):
                self._note(met)
                if len(self._told) >= OVERLAPS_MAX:
                    self._report.add(
                        "/templates",
                        f"more than {OVERLAPS_MAX} overlaps: the others are not listed",
                        self._offsets[0],
                        "mend these first",
                    )
                    break
        except TooComplex:
            self._report.add(
                "/templates",
                "there are too many paths to prove that no two templates share one",
                self._offsets[0],
                "begin paths with different literals, or narrow the patterns of their fields",
            )
        self._check_fallback()
        return self._result

    def _owners(self) -> list[Owner]:
        found: list[Owner] = []
        aliases: dict[tuple[object, ...], None] = {}
        for one in self._compiled:
            published = one.template.policy.immutable is Immutable.ON_VERSION_PUBLISH
            for variant in one.variants:
                depth = self._depth(variant.elements) if published else None
                tree = variant.tree is not None
                found.append(self._owner(one, variant.elements, None, depth, tree=tree))
                place = self._alias_place(variant.elements)
                if place is None:
                    continue
                index, version = place
                elements = variant.elements[: index + 1]
                if (elements, version.name) not in aliases:
                    aliases[elements, version.name] = None
                    self._check_alias(one, elements[-1], version)
                    found.append(self._owner(one, elements, version, None, tree=False))
        return found

    def _owner(
        self,
        one: Pattern,
        elements: tuple[Tokens, ...],
        alias: Field | None,
        depth: int | None,
        *,
        tree: bool,
    ) -> Owner:
        read = elements[:-1] if tree else elements
        approximate = {
            field.name: None
            for tokens in read
            for field in leaves(tokens, self._fields)
            if field.approximate
        }
        repeated = loosely_repeated(read, self._fields)
        return Owner(one, elements, tree, alias, repeated, tuple(approximate), depth)

    def _depth(self, elements: tuple[Tokens, ...]) -> int | None:
        for index, tokens in enumerate(elements[:-1]):
            if any(one.kind == "version" for one in leaves(tokens, self._fields)):
                return index + 1
        return None

    def _alias_place(self, elements: tuple[Tokens, ...]) -> tuple[int, Field] | None:
        for index, tokens in enumerate(elements):
            version = next(
                (one for one in leaves(tokens, self._fields) if one.kind == "version"), None
            )
            if version is not None and version.aliases:
                return index, version
        return None

    def _check_alias(self, one: Pattern, tokens: Tokens, version: Field) -> None:
        if sum(field.name == version.name for field in leaves(tokens, self._fields)) > 1:
            self._add(
                one,
                "path",
                f'the version field "{version.name}" stands twice in one name: an alias cannot'
                " take its place there",
                "use it once in a name, or remove its aliases",
            )
            return
        if version.name not in self._alias_proofs:
            stand_in = {**self._fields, version.name: self._aliased[version.name]}
            self._alias_proofs[version.name] = ElementProofs(stand_in)
        found = self._alias_proofs[version.name].problem(tokens)
        if found is not None:
            self._add(
                one, "path", f'with an alias in the place of "{version.name}", {found[0]}', found[1]
            )

    def _add(self, one: Pattern, key: str, message: str, fix: str) -> None:
        where = f"/templates/{one.template.name}/{key}"
        self._report.add(where, message, self._offsets[one.index], fix)

    def _note(self, met: Met) -> None:
        one, other = (self._spellings.owners[number] for number in (met.first, met.second))
        match met.meeting:
            case Meeting.IN_VERSION:
                self._note_in_version(one, other, met.path)
            case Meeting.ALIAS_IS_DIRECTORY:
                if self._is_new(one, other, "directory"):
                    self._note_alias(
                        one, other, met.path, f"a directory of {other.pattern.named(one.pattern)}"
                    )
            case Meeting.SAME_PATH:
                if one.alias is not None or other.alias is not None:
                    self._note_alias_path(one, other, met.path)
                else:
                    self._note_overlap(one, other, met.path)

    def _is_new(self, one: Owner, other: Owner, kind: str) -> bool:
        """Return whether such a meeting of these two is neither told nor settled yet."""
        first, second = sorted((one.pattern.index, other.pattern.index))
        if self._order.settles(one.pattern, other.pattern):
            self._result.settled.add((first, second))
            return False
        return (first, second, kind) not in self._told

    def _tell(self, one: Owner, other: Owner, kind: str) -> Pattern:
        """Note that it is told; return the template it is told at, the later one."""
        first, second = sorted((one.pattern.index, other.pattern.index))
        self._told.add((first, second, kind))
        return one.pattern if one.pattern.index == second else other.pattern

    def _note_overlap(self, one: Owner, other: Owner, path: str) -> None:
        if one.pattern.index > other.pattern.index:
            one, other = other, one
        if not self._is_new(one, other, "file"):
            return
        certain = not (one.approximate or other.approximate)
        if one.repeated or other.repeated:
            if (one, other) in self._cleared:
                return
            verdict = closer.look(one, other, self._fields, self._speller, self._budget)
            if verdict.path is None and verdict.certain:
                self._cleared.add((one, other))
                return
            path, certain = verdict.path or path, verdict.certain
        at = self._tell(one, other, "file")
        if one.pattern is other.pattern:
            self._add(
                at,
                "path",
                f'template "{at.template.name}" {_produces(certain)} {path!r} in two ways:'
                f" with and without optional parts{_doubt(certain, one, other)}",
                "exclude from its fields what the optional parts begin with",
            )
            return
        first, last = other.pattern, one.pattern
        if first.variants[0].tree is not None and last.variants[0].tree is None:
            first, last = last, first  # a tree has all that is in it: the other is the exception
        self._add(
            at,
            "path",
            f"templates {one.pattern.named(other.pattern)} and {other.pattern.named(one.pattern)}"
            f" {_produces(certain)} both {path!r}{_doubt(certain, one, other)}",
            "narrow a field, add a literal that tells them apart, or prefer one:"
            f' "before": ["{last.template.name}"] in "{first.template.name}"',
        )

    def _note_alias_path(self, one: Owner, other: Owner, path: str) -> None:
        if one.alias is None:
            one, other = other, one
        if not self._is_new(one, other, "alias"):
            return
        what = "a path" if other.alias is None else "an alias"
        self._note_alias(one, other, path, f"{what} of {other.pattern.named(one.pattern)}")

    def _note_alias(self, one: Owner, other: Owner, path: str, what: str) -> None:
        certain = not (one.repeated or other.repeated or one.approximate or other.approximate)
        self._tell(one, other, "alias")
        self._tell(one, other, "directory")
        assert one.alias is not None, "the first is an alias"
        self._add(
            one.pattern,
            "path",
            f'{path!r}, an alias of the versions "{one.alias.name}" of'
            f" {one.pattern.named(other.pattern)}, {'is' if certain else 'may be'} {what} too"
            f"{_doubt(certain, one, other)}",
            "rename the alias, or narrow a field so that it cannot be one of its texts",
        )

    def _note_in_version(self, one: Owner, other: Owner, path: str) -> None:
        depth = one.version_elements
        if one.elements[:depth] != other.elements[:depth]:
            # Where both begin alike they share the node, which tells everything below it.
            self._result.crossing.add(other.pattern.index)
        self._check_origin(one.pattern, other.pattern, path)

    def _check_origin(self, one: Pattern, other: Pattern, path: str) -> None:
        if one.template.policy.origin == other.template.policy.origin:
            return
        key = (one.index, other.index, "origin")
        if key in self._told:
            return
        self._told.add(key)
        where = f"/templates/{other.template.name}"
        message = (
            f"template {other.named(one)} has paths in {path!r}, a version directory of template"
            f" {one.named(other)} that is published as a whole, and another origin"
        )
        fix = "give them the same origin"
        if other.fallback:
            where = "/unmatched"
            message = (
                f'"unmatched" has another origin than template {one.named(other)}, which is'
                " published as a whole: what passes may lie in its version directories"
            )
            fix = "give it that origin, and what lies elsewhere a template of its own"
        self._report.add(where, message, self._offsets[other.index], fix)

    def _check_fallback(self) -> None:
        if self._fallback is None:
            return
        for one in self._compiled:
            if one.template.policy.immutable is Immutable.ON_VERSION_PUBLISH:
                self._check_origin(one, self._fallback, "any directory")


def _produces(certain: bool) -> str:
    return "can produce" if certain else "can perhaps produce"


def _doubt(certain: bool, *owners: Owner) -> str:
    if certain:
        return ""
    repeated = list(dict.fromkeys(name for owner in owners for name in owner.repeated))
    if repeated:
        listed = ", ".join(f'"{name}"' for name in repeated[:5])
        return f": {listed} stands there several times, and is read as any text each time"
    loose = list(dict.fromkeys(name for owner in owners for name in owner.approximate))
    listed = ", ".join(f'"{name}"' for name in loose[:5])
    return f": {listed} is read as more than its texts"


def warn_needless(
    compiled: Sequence[Pattern],
    settled: set[tuple[int, int]],
    warnings: Report,
    offsets: Sequence[int],
) -> None:
    """Note each `before` of two templates that share no path."""
    by_name: Mapping[str, Pattern] = {one.template.name: one for one in compiled}
    for one in compiled:
        for name in sorted(one.before):
            other = by_name[name]
            first, second = sorted((one.index, other.index))
            if (first, second) not in settled:
                warnings.add(
                    f"/templates/{one.template.name}/before",
                    f'"before": "{name}" is not needed: templates "{one.template.name}" and'
                    f' "{name}" share no path',
                    offsets[one.index],
                    "remove it",
                )
