"""Small specifications: every answer, and every overlap, is that of the reference model."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import Specification, load

from .documents import document
from .reference import ALIASES, ELEMENTS, FIELDS, NAMES, Model, parents, variants

TEMPLATE = st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4).map("/".join)
TEMPLATES = st.lists(TEMPLATE, min_size=1, max_size=4, unique=True)
OTHER_MISTAKES = ("same path", "stands twice", "can be cut into")
"""What else these documents may have: not the model's business."""


def source(model: Model, before: set[frozenset[int]]) -> dict[str, Any]:
    """The document of *model*, where of each pair in *before* the earlier one wins."""
    made: dict[str, Any] = {}
    for index, path in enumerate(model.templates):
        made[f"t{index}"] = one = {"path": path}
        if index in model.published:
            one["immutable"] = "on-version-publish"
        later = sorted(max(pair) for pair in before if min(pair) == index and len(pair) == 2)
        if later:
            one["before"] = [f"t{other}" for other in later]
    return document(made, FIELDS)


def attempt(made: dict[str, Any]) -> Specification | list[str]:
    try:
        return load(json.dumps(made), source="model")
    except SpecInvalid as refused:
        return [problem.message for problem in refused.problems]


def pairs(messages: list[str]) -> dict[frozenset[int], str]:
    """The templates that each message names, by number."""
    return {
        frozenset(int(name) for name in re.findall(r'"t(\d)"', message)): message
        for message in messages
    }


def modelled(templates: list[str], *, publish: bool) -> Model:
    published = frozenset(
        index
        for index, one in enumerate(templates)
        if publish and all("{v}" in way.rpartition("/")[0] for way in variants(one))
    )
    return Model(templates, published)


@given(TEMPLATES)
@settings(max_examples=250, deadline=None)
def test_overlaps_are_told_exactly_where_two_templates_share_a_path(templates: list[str]) -> None:
    model = modelled(templates, publish=False)
    answer = attempt(source(model, set()))
    messages = [] if isinstance(answer, Specification) else answer
    assume(not any(other in message for message in messages for other in OTHER_MISTAKES))
    told = pairs(messages)
    expected = model.conflicts | {frozenset((index,)) for index in model.twice}
    # Where a field repeats the proof may say "perhaps"; where it does not, it is exact.
    certain = {pair for pair, message in told.items() if "perhaps" not in message}
    assert expected <= told.keys()
    assert {pair for pair in certain if "may be" not in told[pair]} <= expected


@given(TEMPLATES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_answers_are_those_of_the_model(templates: list[str], publish: bool) -> None:
    model = modelled(templates, publish=publish)
    answer = attempt(source(model, set()))
    if not isinstance(answer, Specification):
        told = pairs(answer)
        assume(not any(other in message for message in answer for other in OTHER_MISTAKES))
        assume(all(len(pair) == 2 for pair in told))
        answer = attempt(source(model, set(told)))
    assert isinstance(answer, Specification), answer
    paths = {
        "/".join(names) for depth in (1, 2) for names in itertools.product(NAMES, repeat=depth)
    }
    for one in (*model.files, model.aliases):
        for path in one:
            paths.update((path, f"{path}/a", *parents(path)))
    for path in sorted(paths):
        check_path(answer, model, path)


def check_path(made: Specification, model: Model, path: str) -> None:
    alias = model.alias(path)
    producers = [] if alias is not None else model.producers(path)
    found = made.resolve(path)
    directory, _, name = path.rpartition("/")
    assert made.resolve_in(directory)(path) == found
    templates_of = made.templates_in(directory)
    template = None if templates_of is None else templates_of([name])[0]
    if template is not None:
        assert found is not None
        assert (found.template, found.scratch, found.version_depth) == (template, False, None)
    assert (found is not None) == bool(producers)
    if found is not None:
        assert found.template.name == f"t{producers[0]}"
        assert dict(found.fields) == model.files[producers[0]][path]
        depth = model.version_depth(path)
        assert found.version_depth == (
            depth if depth is not None and depth < len(path.split("/")) else None
        )
    match = made.directory(path)
    assert (match is not None) == (model.is_directory(path) and alias is None)
    if match is not None:
        assert match.implied is (path in model.implied)
        assert match.version_depth == model.version_depth(path)
    pointer = made.alias(path)
    assert (pointer is not None) == (alias is not None)
    if pointer is not None:
        assert pointer.alias in ALIASES
        assert pointer.target(pointer.alias) == path.rpartition("/")[2]
        assert pointer.key == f".shotfs/aliases/{path}.json"


@given(TEMPLATES)
@settings(max_examples=100, deadline=None)
def test_implied_directories_are_those_of_the_model(templates: list[str]) -> None:
    model = modelled([one for one in templates if "{v}" not in one] or ["a"], publish=False)
    answer = attempt(source(model, set()))
    if not isinstance(answer, Specification):
        told = pairs(answer)
        assume(not any(other in message for message in answer for other in OTHER_MISTAKES))
        assume(all(len(pair) == 2 for pair in told))
        answer = attempt(source(model, set(told)))
    assert isinstance(answer, Specification), answer
    walked, waiting = set[str](), [""]
    while waiting:
        here = waiting.pop()
        walked.add(here)
        match = answer.directory(here)
        assert match is not None
        assert match.implied
        children = answer.implied_children(here)
        assert list(children) == sorted(set(children))
        waiting.extend(f"{here}/{child}".lstrip("/") for child in children)
    assert walked == model.implied
