"""Makes a drafted document load: narrows what could be read in two ways, orders what overlaps.

The loader is asked, not imitated: a template alone with its fields shows whether it is in order,
and the whole document shows which templates overlap. What cannot be settled stays in the document
and in the report, for a person to decide.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec.importers.draft import (
    Body,
    Draft,
    FieldDraft,
    TemplateDraft,
    document_text,
    unique,
)
from shotfs.pathspec.importers.parts import (
    Maybe,
    Part,
    Parts,
    Text,
    Use,
    each,
    elements,
    inlined,
    mapped,
    merged,
    optional_count,
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

Patterns = dict[str, str]
"""Patterns of fields by name."""

_OPTIONAL = "optional parts"
"""What the loader says of a template whose variants overlap."""

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
    done: set[str] = set()
    while named := [name for name in map(_template_of, problems) if _is_open(draft, name, done)]:
        # The loader stops at the first kind of mistake, so later ones show in another round.
        for name in dict.fromkeys(named):
            done.add(name)
            _narrow(draft, draft.templates[name])
        problems, warnings = _loaded(draft)
    _settle_names(draft)
    problems, warnings = _loaded(draft)
    rounds = 0
    while problems and rounds < ROUNDS_MAX and _order(draft, problems, ordered=ordered):
        problems, warnings = _loaded(draft)
        rounds += 1
    return problems, warnings


def _loaded(draft: Draft) -> tuple[list[Problem], list[Problem]]:
    return _tried(document_text(draft.document()))


def _tried(text: str) -> tuple[list[Problem], list[Problem]]:
    try:
        specification = load(text, source="import")
    except SpecInvalid as refused:
        return refused.problems, []
    return [], list(specification.warnings)


def _is_open(draft: Draft, name: str, done: set[str]) -> bool:
    return name in draft.templates and name not in done and not draft.templates[name].abstract


def _template_of(problem: Problem) -> str:
    """Return the template that *problem* is about; "" if it is about none."""
    parts = problem.where.split("/")
    if len(parts) < 3 or parts[1] != "templates":
        return ""
    return parts[2].replace("~1", "/").replace("~0", "~")


# --- paths that could be read in two ways -------------------------------------------------------


def _narrow(draft: Draft, template: TemplateDraft) -> None:
    """Take separators out of free fields until every path of *template* reads in one way.

    Where that would take them out of a field that is a whole directory, too, the template is split
    at an optional part instead, if that is what makes two ways of reading.
    """
    whole = inlined(template.parts, draft.parts_of())
    names = _neighbours(draft, whole)
    # What can be split without its references keeps them.
    base = template.parts if optional_count(template.parts) == optional_count(whole) else whole
    best: _Way | None = None
    for choice in itertools.islice([{}, *_choices(draft, names)], TRIALS_MAX):
        cost = sum(names[name].alone for name in choice)
        if best is not None and cost >= best.cost and (best.cut is None or cost > best.cost):
            continue
        problems = _problems(draft, template.parts, choice)
        if not problems:
            best = _Way(choice, cost)
        elif all(_OPTIONAL in problem.message for problem in problems):
            cut = _cut(draft, base, choice)
            if cut is not None and (best is None or cost < best.cost):
                best = _Way(choice, cost, cut)
    if best is None:
        return
    ways = [template.parts] if best.cut is None else _ways(base, best.cut)

    def fits(choice: Patterns) -> bool:
        return not any(_problems(draft, way, choice) for way in ways)

    choice = _least(draft, names, best.choice, fits)
    if best.cut is not None:
        _split(draft, template, base, best.cut)
    _use_all(draft, template, choice)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to make a template read in one way only.

    Attributes:
        choice: narrower patterns.
        cost: how many of them are of fields that are whole elements elsewhere.
        cut: index of the optional part to split at, or None.
    """

    choice: Patterns
    cost: int
    cut: int | None = None


def _use_all(draft: Draft, template: TemplateDraft, choice: Patterns) -> None:
    twins = [one for one in draft.templates.values() if one.twin_of == template.name]
    for one in (template, *twins):
        for name, pattern in choice.items():
            if Use(name) in set(each(inlined(one.parts, draft.parts_of()))):
                _use_narrowed(draft, one, draft.fields[name], pattern)


def _ways(parts: Parts, index: int) -> list[Parts]:
    """Return *parts* with the optional part at *index*, and without it."""
    part = parts[index]
    assert isinstance(part, Maybe)
    return [merged((*parts[:index], *inner, *parts[index + 1 :])) for inner in (part.parts, ())]


def _cut(draft: Draft, parts: Parts, choice: Patterns) -> int | None:
    """Return the optional part of *parts* without which it would be in order, with and without."""
    for index, part in enumerate(parts):
        if isinstance(part, Maybe) and not any(
            _problems(draft, way, choice) for way in _ways(parts, index)
        ):
            return index
    return None


def _split(draft: Draft, template: TemplateDraft, parts: Parts, index: int) -> None:
    """Make two of *template*: *parts* with the optional part at *index*, and without it."""
    held = [draft.fields[name].shown for name in _fields_of((parts[index],))]
    template.parts, shorter = _ways(parts, index)
    name = unique(f"{template.name}_short", draft.templates)
    short = replace(template, name=name, parts=shorter, before=[], twin_of=template.name)
    listed = list(draft.templates.items())
    place = list(draft.templates).index(template.name) + 1
    draft.templates = dict([*listed[:place], (name, short), *listed[place:]])
    draft.notes.note(
        Severity.RENAMED,
        template.place,
        f'template "{template.shown}" became "{template.name}" and "{name}", with and without its '
        f"optional part ({', '.join(held)}): some of its paths can be read both ways",
    )


def _problems(draft: Draft, parts: Parts, patterns: Patterns) -> list[Problem]:
    """Return what is wrong with a template of *parts* when fields have these *patterns*."""
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
    return _tried(json.dumps(document))[0]


def _fields_of(flat: Parts) -> list[str]:
    return list(dict.fromkeys(part.field for part in each(flat) if isinstance(part, Use)))


def _choices(draft: Draft, names: Mapping[str, _Neighbours]) -> Iterator[Patterns]:
    """Yield ways to narrow the fields *names*, those that take the least first.

    What stands alone in an element before is known when it stands in a longer name, and names like
    a shot's come first in it: so fields that are not known elsewhere are narrowed first, and of
    these the last one in its name.
    """
    free = [name for name, one in names.items() if one.before or one.after]
    candidates = sorted(free, key=lambda name: (names[name].alone, -free.index(name)))
    for digits in (True, False):
        for count in range(1, len(candidates) + 1):
            for both in (False, True):
                choice = {}
                for name in candidates[:count]:
                    pattern = _narrower(draft, name, names[name], both=both, digits=digits)
                    if pattern is not None:
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


def _narrower(
    draft: Draft, name: str, beside: _Neighbours, *, both: bool, digits: bool
) -> str | None:
    """Return the pattern of field *name* without the separators before it.

    Args:
        draft: has the field.
        name: of the field.
        beside: its separators.
        both: without those after it, too.
        digits: it may begin with a digit.
    """
    signs = beside.before + beside.after if both else beside.before
    ranges = _free(draft.fields[name])
    pattern = without(ranges, signs) if ranges is not None and signs else None
    if pattern is None or ranges is None or digits:
        return pattern
    first = without(ranges, signs + "0123456789")
    return None if first is None else f"{first.removesuffix('+')}{pattern.removesuffix('+')}*"


def _is_free(draft: Draft, name: str) -> bool:
    return _free(draft.fields[name]) is not None


def _free(field: FieldDraft) -> Ranges | None:
    pattern = field.body.get("pattern") if field.body["type"] == "str" else None
    return None if not isinstance(pattern, str) else free_characters(pattern)


def _least(
    draft: Draft,
    names: Mapping[str, _Neighbours],
    choice: Patterns,
    fits: Callable[[Patterns], bool],
) -> Patterns:
    """Return as little of *choice* as suffices."""
    for name in list(choice):
        fewer = {other: pattern for other, pattern in choice.items() if other != name}
        ways = [fewer]
        for both, digits in ((False, True), (True, True), (False, False)):
            less = _narrower(draft, name, names[name], both=both, digits=digits)
            ways += [choice | {name: less}] if less is not None else []
        choice = next((way for way in ways if fits(way)), choice)
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
    flat = inlined(template.parts, draft.parts_of())
    if list(each(flat)).count(Use(field.name)) > list(each(template.parts)).count(Use(field.name)):
        template.parts = flat  # a reference holds the field, too
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
            f'templates "{first.name}" and "{second.name}" {_both(problem)}; "{first.name}" is '
            f"preferred, because {rule}",
            f'if that is wrong, move "before" to "{second.name}"',
        )
    return added


def _both(problem: Problem) -> str:
    """Return what *problem* says of two templates, without lines of the document."""
    found = re.search(r"'[^']*'", problem.message)
    perhaps = "perhaps " if "perhaps" in problem.message else ""
    return f"can {perhaps}both produce {found.group() if found else 'one path'}"


def _pair(draft: Draft, problem: Problem) -> tuple[TemplateDraft, TemplateDraft] | None:
    """Return the two templates that *problem* says overlap, in the order of the source."""
    named = [name for name in re.findall(r'"([^"]+)"', problem.message) if name in draft.templates]
    own = _template_of(problem)
    names = dict.fromkeys([*([own] if own in draft.templates else []), *named])
    if len(names) != 2 or "same path" in problem.message:
        return None
    first, second = sorted(names, key=list(draft.templates).index)
    return draft.templates[first], draft.templates[second]


def _literals(draft: Draft, template: TemplateDraft) -> int:
    flat = inlined(template.parts, draft.parts_of())
    return sum(len(part.text) for part in each(flat) if isinstance(part, Text))
