"""What changes between two specifications of one show: paths, policies, fields, words.

Whether two templates mean the same paths is decided on the automata of their shapes. What an
automaton does not know (ranges, exclusions, a field that must repeat) is tried with paths made for
it: the limits that either document names and the texts just beyond them. A path is told as an
example only after both specifications were asked about it. Pure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec import elements, regex
from shotfs.pathspec.automata import TooComplex, automaton_of
from shotfs.pathspec.comparison import (
    Changed,
    Comparison,
    Example,
    FieldChange,
    Paths,
    TemplateChange,
    Value,
)
from shotfs.pathspec.declarations import Declarations, Declared, meaning, words
from shotfs.pathspec.differences import text_only_in
from shotfs.pathspec.explain import Setting, settings
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.regex import Choice, Group, Regex, Repeat, Sequence
from shotfs.pathspec.samples import example_path, leaf_fields, produces
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.trials import trial_texts

DECIDED_MAX = 2000
"""Questions that are decided on automata; each may take a second, most take a thousandth."""

PATHS_MAX = 400
"""Generated paths that are tried for one pair of templates."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two specifications, with the words of its documents."""

    specification: Specification
    declared: Declarations


def compare(old: Side, new: Side) -> Comparison:
    """Return what differs between *old* and *new*."""
    return _Comparing(old, new).compare()


class _Comparing:
    def __init__(self, old: Side, new: Side) -> None:
        self._old, self._new = old, new
        self._shape_texts: dict[str, tuple[str, ...]] = {}
        self._fitting: dict[tuple[bool, str], bool] = {}
        self._decided = 0

    def compare(self) -> Comparison:
        old, new = self._old.specification.patterns, self._new.specification.patterns
        renamed = self._renamed()
        pairs = [(renamed.get(name, name if name in old else None), name) for name in new]
        changes = [
            self._added(new[name]) if before is None else self._pair(old[before], new[name])
            for before, name in pairs
        ]
        kept = {before for before, _ in pairs}
        changes += [self._removed(one) for name, one in old.items() if name not in kept]
        told = tuple(one for one in changes if one is not None)
        return Comparison(
            document=tuple(self._document()),
            templates=told,
            fields=tuple(self._fields()),
            limits=tuple(self._limits(told)),
        )

    def _document(self) -> Iterator[Changed]:
        one, other = self._old.specification, self._new.specification
        if one.show != other.show:
            yield Changed("show", Value(one.show, one.source), Value(other.show, other.source))

    def _limits(self, told: tuple[TemplateChange, ...]) -> Iterator[str]:
        unsure = [one.name for one in told if not one.exact]
        if unsure:
            yield (
                f"{', '.join(unsure[:10])}{', ...' if len(unsure) > 10 else ''}: compared by"
                " examples, because ranges, exclusions or repeated fields decide there;"
                " a difference that none of the examples shows is not told"
            )

    # --- templates --------------------------------------------------------------------------------

    def _renamed(self) -> dict[str, str]:
        """Return new name -> old name of templates that produce the same paths."""
        old, new = self._old.specification, self._new.specification
        found: dict[str, str] = {}
        for name, pattern in old.patterns.items():
            if name in new.patterns:
                continue
            path = example_path(old, pattern)
            hit = None if path is None else new.resolve(path)
            if hit is None or hit.scratch or hit.template.name in {*old.patterns, *found}:
                continue
            other = new.patterns[hit.template.name]
            paths, _, _ = self._language(pattern, other)
            if paths is Paths.SAME:
                found[hit.template.name] = name
        return found

    def _added(self, pattern: Pattern) -> TemplateChange:
        path = example_path(self._new.specification, pattern)
        return TemplateChange(pattern.template.name, None, Paths.ADDED, True, self._examples(path))

    def _removed(self, pattern: Pattern) -> TemplateChange:
        path = example_path(self._old.specification, pattern)
        return TemplateChange(
            pattern.template.name, None, Paths.REMOVED, True, self._examples(path)
        )

    def _examples(self, *paths: str | None) -> tuple[Example, ...]:
        return tuple(
            Example(path, _template(self._old, path), _template(self._new, path))
            for path in paths
            if path is not None
        )

    def _pair(self, old: Pattern, new: Pattern) -> TemplateChange | None:
        paths, exact, examples = self._language(old, new)
        if paths is Paths.SAME and old.before != new.before:
            examples = self._moved(old, new)
            paths = Paths.CHANGED if examples else Paths.SAME
        before, after = old.template, new.template
        said = [
            Changed(key, Value(one, _place(old)), Value(other, _place(new)))
            for key, one, other in (
                ("path", before.pattern, after.pattern),
                ("usage", before.usage, after.usage),
            )
            if one != other
        ]
        change = TemplateChange(
            name=after.name,
            old_name=before.name if before.name != after.name else None,
            paths=paths,
            exact=exact,
            examples=examples,
            fields=self._reading(self._old, old) != self._reading(self._new, new),
            policy=tuple(_policy_changes(old, new)),
            words=tuple(said),
        )
        return change if said or not change.same_meaning or not exact else None

    def _reading(self, side: Side, pattern: Pattern) -> tuple[tuple[str, ...], ...]:
        fields = side.specification.fields
        return tuple(
            tuple(
                field.name
                for tokens in variant.elements
                for field in elements.leaves(tokens, fields)
            )
            for variant in pattern.variants
        )

    def _moved(self, old: Pattern, new: Pattern) -> tuple[Example, ...]:
        """Return a path whose template another order of preference has changed."""
        for side, pattern in ((self._old, old), (self._new, new)):
            for trial in self._paths(side, pattern):
                if _template(self._old, trial) != _template(self._new, trial):
                    return self._examples(trial)
        for name in old.before ^ new.before:
            other = self._old.specification.patterns.get(name)
            path = None if other is None else example_path(self._old.specification, other)
            if path is not None and _template(self._old, path) != _template(self._new, path):
                return self._examples(path)
        return ()

    def _language(self, old: Pattern, new: Pattern) -> tuple[Paths, bool, tuple[Example, ...]]:
        if self._signature(self._old, old) == self._signature(self._new, new):
            return Paths.SAME, True, ()
        gone, all_stay = self._only(self._old, old, self._new, new)
        come, none_new = self._only(self._new, new, self._old, old)
        paths = {
            (False, False): Paths.SAME,
            (False, True): Paths.GREW,
            (True, False): Paths.SHRANK,
            (True, True): Paths.CHANGED,
        }[gone is not None, come is not None]
        exact = (gone is not None or all_stay) and (come is not None or none_new)
        return paths, exact, self._examples(gone, come)

    def _only(
        self, side: Side, pattern: Pattern, other: Side, beside: Pattern
    ) -> tuple[str | None, bool]:
        """Return (a path that only *pattern* has, it is proven that there is none)."""

        def is_one(path: str) -> bool:
            return produces(side.specification, pattern, path) and not produces(
                other.specification, beside, path
            )

        differing = self._differing(pattern, beside)
        if differing is not None and all(self._fits(side, other, one) for one in differing):
            return None, True
        for trial in self._paths(side, pattern, differing):
            if is_one(trial):
                return trial, False
        if differing is not None:
            return None, False
        try:
            text = self._text_only_in(
                _whole(side.specification, pattern), _whole(other.specification, beside)
            )
        except TooComplex:
            return None, False
        if text is not None and is_one(text):
            return text, False
        return None, text is None and self._says_all(side, other, beside)

    def _differing(self, pattern: Pattern, beside: Pattern) -> list[str] | None:
        """Return the fields that differ between two templates which are written alike.

        Then only those decide, and it does not matter which fields repeat. None: they are written
        otherwise, or a compound in them is.
        """
        if [one.elements for one in pattern.variants] != [one.elements for one in beside.variants]:
            return None
        fields = self._old.specification.fields
        found = []
        for name in {name for reading in self._reading(self._old, pattern) for name in reading} | {
            name for reading in self._reading(self._new, beside) for name in reading
        }:
            if self._declared(self._old, name) != self._declared(self._new, name):
                if name not in fields or fields[name].tokens:
                    return None
                found.append(name)
        return sorted(found)

    def _fits(self, side: Side, other: Side, name: str) -> bool:
        """Return whether the field *name* of *other* is proven to take every text of ours."""
        key = (side is self._old, name)
        if key not in self._fitting:
            self._fitting[key] = self._decide_fit(side, other, name)
        return self._fitting[key]

    def _decide_fit(self, side: Side, other: Side, name: str) -> bool:
        ours, theirs = side.specification.fields[name], other.specification.fields[name]
        if ours.shape is None or theirs.shape is None or theirs.check is not None:
            return False
        try:
            return self._text_only_in(ours.shape, theirs.shape) is None
        except TooComplex:
            return False

    def _text_only_in(self, one: Regex, other: Regex) -> str | None:
        self._decided += 1
        if self._decided > DECIDED_MAX:
            raise TooComplex
        return text_only_in(automaton_of(one), automaton_of(other))

    def _says_all(self, side: Side, other: Side, beside: Pattern) -> bool:
        """Return whether the automaton of *beside* is all that decides about its paths."""
        for variant in beside.variants:
            seen: set[str] = set()
            for tokens in variant.elements:
                for field in elements.leaves(tokens, other.specification.fields):
                    known = self._declared(side, field.name) == self._declared(other, field.name)
                    if (field.check is not None or field.name in seen) and not known:
                        return False
                    seen.add(field.name)
        return True

    def _signature(self, side: Side, pattern: Pattern) -> object:
        """Return what determines the paths of *pattern*: equal for two means the same paths."""
        fields = side.specification.fields
        used = {
            field.name
            for variant in pattern.variants
            for tokens in variant.elements
            for field in elements.leaves(tokens, fields)
        }
        declared = {name: self._declared(side, name) for name in sorted(used)}
        return [variant.elements for variant in pattern.variants], declared, pattern.fallback

    def _declared(self, side: Side, name: str) -> str | None:
        declared = side.declared.fields.get(name)
        return None if declared is None else json.dumps(meaning(declared.value), sort_keys=True)

    # --- paths made to show differences -----------------------------------------------------------

    def _paths(
        self, side: Side, pattern: Pattern, names: Collection[str] | None = None
    ) -> Iterator[str]:
        """Yield paths of *pattern* in which the fields *names* (None: all) take telling texts."""
        made = self._make_paths(side, pattern, names)
        return itertools.islice(made, PATHS_MAX)

    def _make_paths(
        self, side: Side, pattern: Pattern, names: Collection[str] | None
    ) -> Iterator[str]:
        specification = side.specification
        for index, variant in enumerate(pattern.variants):
            base = example_path(specification, pattern, variant=index)
            if base is None:
                continue
            yield base
            tokens = tuple(token for element in variant.elements for token in element)
            for name in leaf_fields(specification, tokens):
                if names is not None and name not in names:
                    continue
                for text in self._texts(name):
                    path = example_path(specification, pattern, {name: text}, variant=index)
                    if path is not None:
                        yield path

    def _texts(self, name: str) -> tuple[str, ...]:
        """Return texts at the limits of what either document says of the field *name*."""
        if name not in self._shape_texts:
            declared = [
                side.declared.fields[name].value
                for side in (self._old, self._new)
                if name in side.declared.fields
            ]
            fields = [
                side.specification.fields[name]
                for side in (self._old, self._new)
                if name in side.specification.fields
            ]
            self._shape_texts[name] = trial_texts(declared, fields)
        return self._shape_texts[name]

    # --- fields -----------------------------------------------------------------------------------

    def _fields(self) -> Iterator[FieldChange]:
        old, new = self._old.declared.fields, self._new.declared.fields
        for name, after in new.items():
            before = old.get(name)
            if before is None:
                yield FieldChange(name, True, False, (), ())
                continue
            keys = tuple(_changes(meaning(before.value), meaning(after.value), before, after))
            said = tuple(self._said(before, after))
            if keys or said:
                yield FieldChange(name, False, False, keys, said)
        for name in old:
            if name not in new:
                yield FieldChange(name, False, True, (), ())

    def _said(self, before: Declared, after: Declared) -> Iterator[Changed]:
        """Yield words that differ; those of a choice that came or went are told with it."""
        old, new = words(before.value), words(after.value)
        both = old.keys() & new.keys()
        yield from _changes(
            {key: old[key] for key in old if key in both},
            {key: new[key] for key in new if key in both},
            before,
            after,
        )


def _template(side: Side, path: str) -> str | None:
    found = side.specification.resolve(path)
    if found is None:
        return None
    return f"{found.template.name} (scratch)" if found.scratch else found.template.name


def _place(pattern: Pattern) -> str:
    return f"{pattern.source}:{pattern.line}"


def _whole(specification: Specification, pattern: Pattern) -> Regex:
    """Return the shape of all paths of *pattern*, slashes and all."""
    slash = regex.chars("/")
    name = Repeat(regex.Chars(regex.NAME_CHARACTERS), 1, None)
    branches: list[Regex] = []
    for variant in pattern.variants:
        parts: list[Regex] = []
        seen: set[str] = set()
        for index, tokens in enumerate(variant.elements):
            parts += [slash] if index else []
            if variant.tree is not None and index == len(variant.elements) - 1:
                more = Repeat(Sequence((slash, name)), 0, None)
                parts.append(Group(variant.tree, Sequence((name, more))))
            else:
                parts.append(elements.expand(tokens, specification.fields, seen))
        branches.append(Sequence(tuple(parts)))
    return branches[0] if len(branches) == 1 else Choice(tuple(branches))


def _policy_changes(old: Pattern, new: Pattern) -> Iterator[Changed]:
    if old.template.policy == new.template.policy:
        return
    before = {one.key: one for one in settings(old)}
    after = {one.key: one for one in settings(new)}
    for key in dict.fromkeys((*after, *before)):
        values = [_policy_value(one, key) for one in (old, new)]
        if values[0] == values[1]:
            continue
        texts = [one[key].value if key in one else "" for one in (before, after)]
        if texts[0] == texts[1]:
            # A root's name that stands for another URL now.
            texts = [str(value) for value in values]
        yield Changed(
            key,
            Value(texts[0], _set_by(old, before.get(key))),
            Value(texts[1], _set_by(new, after.get(key))),
        )


_ATTRIBUTES = {
    "ttl": "ttl_s",
    "negative_ttl": "negative_ttl_s",
    "stale_if_error": "stale_if_error_s",
    "grace": "grace_s",
    "owner": "owner_caller",
}


def _policy_value(pattern: Pattern, key: str) -> Any:
    return getattr(pattern.template.policy, _ATTRIBUTES.get(key, key))


def _set_by(pattern: Pattern, setting: Setting | None) -> str:
    if setting is None or setting.line is None:
        return "built in" if setting is None else setting.where
    return f"{getattr(setting, 'source', None) or pattern.source}:{setting.line}"


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], old: Declared, new: Declared
) -> Iterator[Changed]:
    for key in dict.fromkeys((*after, *before)):
        if before.get(key) != after.get(key):
            yield Changed(
                key,
                Value(_shown(before[key]), f"{old.source}:{old.line}") if key in before else None,
                Value(_shown(after[key]), f"{new.source}:{new.line}") if key in after else None,
            )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
