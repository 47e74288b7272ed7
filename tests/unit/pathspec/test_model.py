"""A brute-force model: list all paths of small specifications and compare every answer.

The model expands templates over finite fields with plain loops and knows nothing of tries,
expressions or automata.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import Specification, load

from .documents import document

# Free fields have two texts each here, enumerations are known to be finite.
TEXTS = {"e": ["p", "q"], "g": ["p", "pq"], "s": ["p", "q"], "n": ["0", "1"], "x": ["p-p", "q-q"]}
FIELDS: dict[str, Any] = {
    "e": {"type": "enum", "choices": ["p", "q"]},
    "g": {"type": "str", "choices": ["p", "pq"]},
    "s": {"type": "str", "pattern": "[pq]"},
    "n": {"type": "int", "max": 1},
    "x": {"type": "compound", "format": "{e}-{e}"},
}
FINITE = {"e", "g", "x"}
ELEMENTS = ["a", "b", "{e}", "{g}", "{s}", "{n}", "a{e}", "{e}.{s}", "{x}", "p", "{s}_{n}"]
TEMPLATE = st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4).map("/".join)
NAMES = [
    "a",
    "b",
    "p",
    "q",
    "pq",
    "0",
    "1",
    "ap",
    "aq",
    "p.p",
    "p.q",
    "q.q",
    "p-p",
    "q-p",
    "p_0",
    "zz",
]


def fields_in(text: str) -> list[str]:
    names = re.findall(r"\{(\w)\}", text)
    return list(dict.fromkeys(names + (["e"] if "x" in names else [])))


def expansions(template: str) -> dict[str, list[dict[str, str]]]:
    """Every path of the template, with the fields that it may have."""
    names = fields_in(template)
    result: dict[str, list[dict[str, str]]] = {}
    for texts in itertools.product(*(TEXTS[name] for name in names)):
        values = dict(zip(names, texts, strict=True))
        if "x" in values and values["x"] != f"{values['e']}-{values['e']}":
            continue
        path = re.sub(r"\{(\w)\}", lambda found, of=values: of[found[1]], template)
        result.setdefault(path, []).append(values)
    return result


def build(templates: list[str]) -> Specification | None:
    made = document({f"t{index}": one for index, one in enumerate(templates)}, FIELDS)
    try:
        return load(json.dumps(made), source="model")
    except SpecInvalid as refused:
        # Two equal paths are the only mistake that these documents can have.
        assert all("same path" in one.message for one in refused.problems)  # noqa: PT017 - ditto
        return None


@given(st.lists(TEMPLATE, min_size=1, max_size=4))
@settings(max_examples=150)
def test_answers_are_those_of_the_model(templates: list[str]) -> None:
    made = build(templates)
    if made is None:
        return
    possible = [expansions(one) for one in templates]
    for depth in range(1, 4):
        for names in itertools.product(NAMES, repeat=depth) if depth < 3 else ():
            check_path(made, possible, "/".join(names))
    for one in possible:
        for path in one:
            check_path(made, possible, path)
            check_path(made, possible, path.rpartition("/")[0])
            check_path(made, possible, path + "/a")


def check_path(
    made: Specification, possible: list[dict[str, list[dict[str, str]]]], path: str
) -> None:
    producers = [index for index, one in enumerate(possible) if path in one]
    found = made.resolve(path)
    assert (found is not None) == bool(producers)
    if found is not None:
        index = int(found.template.name[1:])
        assert index in producers
        assert dict(found.fields) in possible[index][path]
    prefix = path + "/" if path else ""
    is_directory = any(other.startswith(prefix) for one in possible for other in one)
    assert (made.directory(path) is not None) == (is_directory or path == "")


@given(st.lists(TEMPLATE, min_size=1, max_size=4))
@settings(max_examples=150)
def test_implied_directories_are_those_of_the_model(templates: list[str]) -> None:
    made = build(templates)
    if made is None:
        return
    implied = {""}
    for one in templates:
        parts = one.split("/")
        for depth in range(1, len(parts)):
            if set(fields_in("/".join(parts[:depth]))) <= FINITE:
                implied.update(expansions("/".join(parts[:depth])))
    walked, waiting = set[str](), [""]
    while waiting:
        here = waiting.pop()
        walked.add(here)
        match = made.directory(here)
        assert match is not None
        assert match.implied
        children = made.implied_children(here)
        assert list(children) == sorted(set(children))
        waiting.extend(f"{here}/{child}".lstrip("/") for child in children)
    assert walked == implied
    for path in (path for one in templates for path in expansions(one)):
        parts = path.split("/")
        for depth in range(len(parts)):
            match = made.directory("/".join(parts[:depth]))
            assert match is not None
            assert match.implied is ("/".join(parts[:depth]) in implied)


@given(st.lists(TEMPLATE, min_size=2, max_size=4))
@settings(max_examples=150)
def test_every_overlap_of_the_model_is_warned_of(templates: list[str]) -> None:
    made = build(templates)
    if made is None:
        return
    possible = [expansions(one) for one in templates]
    warned = {
        frozenset(re.findall(r'"(t\d)"', one.message)[:2])
        for one in made.warnings
        if "both produce" in one.message
    }
    for (i, one), (j, other) in itertools.combinations(enumerate(possible), 2):
        if one.keys() & other.keys():
            assert frozenset({f"t{i}", f"t{j}"}) in warned
