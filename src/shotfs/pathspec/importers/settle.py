"""Makes a drafted document load: narrows what could be read in two ways, orders what overlaps.

The loader is asked, not imitated: a template alone with its fields shows whether it is in order,
and the whole document shows which templates overlap. What cannot be settled stays in the document
and in the report, for a person to decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec.importers.draft import Body, Draft, FieldDraft, TemplateDraft, unique
from shotfs.pathspec.importers.parts import (
    Part,
    Parts,
    Text,
    Use,
    each,
    elements,
    inlined,
    mapped,
    variants,
    written,
)
from shotfs.pathspec.importers.patterns import free_characters, without
from shotfs.pathspec.importers.report import Severity
from shotfs.pathspec.importers.shape import shape
from shotfs.pathspec.loader import load
from shotfs.pathspec.regex import Ranges

ROUNDS_MAX = 20
"""Times that the whole document is loaded while overlaps are ordered."""

TRIALS_MAX = 24
"""Ways to narrow that are tried for one template."""

_PROBE_ROOT = {"probe": "https://probe.invalid/probe"}


def settle(draft: Draft, *, ordered: bool) -> tuple[list[Problem], list[Problem]]:
    """Make the document of *draft* load if that can be done.

    Args:
        draft: what the source says; it is changed in place.
        ordered: the source's order says which of two overlapping templates counts (the first).

    Returns:
        What is wrong with the document still, and what the loader warns of.
    """
    shape(draft)
    problems, warnings = _loaded(draft)
    if problems:
        for name in dict.fromkeys(_template_of(one) for one in problems):
            template = draft.templates.get(name or "")
            if template is not None and not template.abstract:
                _narrow(draft, template)
        _settle_names(draft)
        problems, warnings = _loaded(draft)
    rounds = 0
    while problems and rounds < ROUNDS_MAX and _order(draft, problems, ordered=ordered):
        problems, warnings = _loaded(draft)
        rounds += 1
    return problems, warnings


def _loaded(draft: Draft) -> tuple[list[Problem], list[Problem]]:
    return _tried(draft.document())


def _tried(document: Body) -> tuple[list[Problem], list[Problem]]:
    try:
        specification = load(json.dumps(document), source="import")
    except SpecInvalid as refused:
        return refused.problems, []
    return [], list(specification.warnings)


def _template_of(problem: Problem) -> str | None:
    parts = problem.where.split("/")
    if len(parts) < 3 or parts[1] != "templates":
        return None
    return parts[2].replace("~1", "/").replace("~0", "~")


# --- paths that could be read in two ways -------------------------------------------------------


def _narrow(draft: Draft, template: TemplateDraft) -> None:
    """Take separators out of free fields until every path of *template* reads in one way."""
    if _in_order(draft, template.parts, {}):
        return
    for trial, choice in enumerate(_choices(draft, template)):
        if trial >= TRIALS_MAX:
            return
        if _in_order(draft, template.parts, choice):
            for name, pattern in _least(draft, template, choice).items():
                _use_narrowed(draft, template, draft.fields[name], pattern)
            return


def _in_order(draft: Draft, parts: Parts, patterns: dict[str, str]) -> bool:
    """Return whether a template of *parts* is in order when fields have these *patterns*."""
    flat = inlined(parts, draft.parts_of())
    fields: Body = {}
    for name in _fields_of(flat):
        body = draft.fields[name].body
        fields[name] = body | {"pattern": patterns[name]} if name in patterns else body
    document = {
        "spec": "shotfs-path/1",
        "show": "probe",
        "roots": _PROBE_ROOT,
        "fields": fields,
        "templates": {"probe": {"path": written(flat)}},
    }
    return not _tried(document)[0]


def _fields_of(flat: Parts) -> list[str]:
    return list(dict.fromkeys(part.field for part in each(flat) if isinstance(part, Use)))


def _choices(draft: Draft, template: TemplateDraft) -> Iterator[dict[str, str]]:
    """Yield ways to narrow the free fields of *template*, those that take the least first.

    What stands alone in an element before is known when it stands in a longer name, and names like
    a shot's come first in it: so fields that are not known elsewhere are narrowed first, and of
    these the last one in its name.
    """
    names = _neighbours(draft, inlined(template.parts, draft.parts_of()))
    free = [name for name, one in names.items() if one.before or one.after]
    candidates = sorted(free, key=lambda name: (names[name].alone, -free.index(name)))
    for digits in (True, False):
        for count in range(1, len(candidates) + 1):
            for signs in ("before", "both"):
                choice = {}
                for name in candidates[:count]:
                    one = names[name]
                    taken = one.before if signs == "before" else one.before + one.after
                    pattern = _without(draft.fields[name], taken, digits=digits)
                    if taken and pattern is not None:
                        choice[name] = pattern
                if choice:
                    yield choice


@dataclass(slots=True)
class _Neighbours:
    """What stands beside a field in names that hold more than it.

    Attributes:
        before, after: separators.
        alone: the field is a whole element elsewhere in the path, too.
    """

    before: str = ""
    after: str = ""
    alone: bool = False


def _neighbours(draft: Draft, flat: Parts) -> dict[str, _Neighbours]:
    """Return the free fields that share an element with others, in the order of their names."""
    found: dict[str, _Neighbours] = {}
    alone: set[str] = set()
    for element in (one for variant in variants(flat) for one in elements(variant)):
        for index, part in enumerate(element):
            if not isinstance(part, Use) or not _is_free(draft, part.field):
                continue
            if len(element) == 1:
                alone.add(part.field)
                continue
            one = found.setdefault(part.field, _Neighbours())
            one.before = _joined(one.before, element[index - 1 : index], -1)
            one.after = _joined(one.after, element[index + 1 : index + 2], 0)
    for name in alone & found.keys():
        found[name].alone = True
    return found


def _joined(signs: str, beside: Sequence[Part], index: int) -> str:
    """Return *signs* with the character at *index* of the text *beside*, if it separates."""
    sign = beside[0].text[index] if beside and isinstance(beside[0], Text) else ""
    return signs if sign in signs or sign.isalnum() else signs + sign


def _without(field: FieldDraft, signs: str, *, digits: bool) -> str | None:
    """Return the pattern of *field* without *signs*, and without a digit as its beginning."""
    ranges = _free(field)
    pattern = None if ranges is None else without(ranges, signs)
    if pattern is None or digits:
        return pattern
    first = None if ranges is None else without(ranges, signs + "0123456789")
    return None if first is None else f"{first.removesuffix('+')}{pattern.removesuffix('+')}*"


def _is_free(draft: Draft, name: str) -> bool:
    return _free(draft.fields[name]) is not None


def _free(field: FieldDraft) -> Ranges | None:
    pattern = field.body.get("pattern") if field.body["type"] == "str" else None
    return None if not isinstance(pattern, str) else free_characters(pattern)


def _least(draft: Draft, template: TemplateDraft, choice: dict[str, str]) -> dict[str, str]:
    """Return as few of *choice* as suffice."""
    for name in list(choice):
        fewer = {other: pattern for other, pattern in choice.items() if other != name}
        if fewer and _in_order(draft, template.parts, fewer):
            choice = fewer
    return choice


def _use_narrowed(draft: Draft, template: TemplateDraft, field: FieldDraft, pattern: str) -> None:
    """Let *template* use a field like *field* with *pattern*; other templates keep theirs."""
    name = next(
        (
            one.name
            for one in draft.fields.values()
            if one.shown == field.shown and one.body.get("pattern") == pattern
        ),
        None,
    )
    if name is None:
        name = unique(f"{field.name}_part", draft.fields)
        draft.fields[name] = FieldDraft(
            name, field.body | {"pattern": pattern}, field.place, field.shown, field.name
        )
    if Use(field.name) not in set(each(template.parts)):
        template.parts = inlined(template.parts, draft.parts_of())
    _replace(template, field.name, name)


def _replace(template: TemplateDraft, old: str, new: str) -> None:
    template.parts = mapped(template.parts, lambda part: (Use(new) if part == Use(old) else part,))


def _settle_names(draft: Draft) -> None:
    """Give a narrowed field the name of the one that it took over everywhere; note all of them."""
    uses = draft.field_uses()
    for field in [one for one in draft.fields.values() if one.narrowed is not None]:
        origin = draft.fields[field.narrowed or ""]
        twins = [one for one in draft.fields.values() if one.narrowed == origin.name]
        old = str(origin.body["pattern"])
        using = [one for one in draft.templates.values() if Use(field.name) in set(each(one.parts))]
        name = field.name
        if uses[origin.name] == 0 and len(twins) == 1:
            name = origin.name
            origin.body["pattern"] = field.body["pattern"]
            del draft.fields[field.name]
            for template in using:
                _replace(template, field.name, name)
        for template in using:
            draft.notes.note(
                Severity.NARROWED,
                template.place,
                f'in template "{template.shown}" the key "{field.shown}" matches '
                f'{field.body["pattern"]} instead of {old} (field "{name}"): its names could be '
                "read in two ways",
                f'give "{name}" the pattern that its texts really have, or put another separator '
                "beside it",
            )


# --- paths that two templates produce -----------------------------------------------------------


def _order(draft: Draft, problems: list[Problem], *, ordered: bool) -> bool:
    """Add a `before` for each pair that *problems* name; return whether any was new."""
    added = False
    for problem in problems:
        pair = _pair(draft, problem)
        if pair is None:
            continue
        first, second = pair
        if not ordered and _literals(draft, second) > _literals(draft, first):
            first, second = second, first
        if second.name in first.before or first.name in second.before:
            continue
        first.before.append(second.name)
        added = True
        rule = "it comes first in the source" if ordered else "it has more text of its own"
        draft.notes.note(
            Severity.GUESSED,
            first.place,
            f'templates "{first.shown}" and "{second.shown}" overlap ({problem.message}); '
            f'"{first.name}" is preferred, because {rule}',
            f'if that is wrong, move "before" to "{second.name}"',
        )
    return added


def _pair(draft: Draft, problem: Problem) -> tuple[TemplateDraft, TemplateDraft] | None:
    """Return the two templates that *problem* says overlap, in the order of the source."""
    named = [name for name in re.findall(r'"([^"]+)"', problem.message) if name in draft.templates]
    own = _template_of(problem)
    names = dict.fromkeys([*([own] if own in draft.templates else []), *named])
    if len(names) != 2 or "same path" in problem.message:
        return None
    order = list(draft.templates)
    first, second = sorted((name for name in names if name is not None), key=order.index)
    return draft.templates[first], draft.templates[second]


def _literals(draft: Draft, template: TemplateDraft) -> int:
    flat = inlined(template.parts, draft.parts_of())
    return sum(len(part.text) for part in each(flat) if isinstance(part, Text))
