"""Meanings: what the specification says of a path, worked out once, and never of another one."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from shotfs.namespace import Show, ShowSet
from shotfs.pathspec import Specification, load
from shotfs.vfs.meanings import Meanings
from tests.unit.namespace.spec import DOCUMENT, FRAME, SHOT


def specification(**templates: Any) -> Specification:
    document = copy.deepcopy(DOCUMENT)
    document["templates"].update(templates)
    return load(json.dumps(document), source="spec.json", show="ant")


def shows() -> ShowSet:
    return ShowSet({"ant": Show("ant", specification())})


PATHS = ["ant", SHOT, FRAME, "ant/library/a/b", "ant/nonsense", "ant/assets/chars", "ant/config/x"]


@pytest.mark.parametrize("path", PATHS)
def test_a_meaning_is_what_the_specification_says(path: str) -> None:
    mounted = shows()
    meanings = Meanings(mounted)
    place = mounted.split(path)
    assert place is not None
    show, rest = place
    for _ in range(2):
        meaning = meanings.of(path)
        assert meaning is not None
        assert meaning.alias == show.spec.alias(rest)
        assert meaning.match == show.spec.directory(rest)
        assert meaning.resolution == show.spec.resolve(rest)
    assert meanings.of(path) is meaning


def test_outside_of_all_shows_nothing_has_a_meaning() -> None:
    assert Meanings(shows()).of("bee/oak") is None


def test_a_replaced_specification_takes_its_meanings_along() -> None:
    mounted = shows()
    meanings = Meanings(mounted)
    path = "ant/new/oak.png"
    before = meanings.of(path)
    assert before is not None
    assert before.resolution is None
    spec = specification(added={"path": "new/{name}.png"})
    mounted.replace(replace(mounted_show(mounted), spec=spec))
    after = meanings.of(path)
    assert after is not None
    assert after.resolution is not None


def test_s10_so_many_are_remembered_and_no_more_and_those_in_use_stay() -> None:
    meanings = Meanings(shows(), entries_max=20)
    used = meanings.of(FRAME)
    for index in range(200):
        meanings.of(f"ant/library/{index}")
        assert meanings.of(FRAME) is used
        assert len(meanings) <= 20


def mounted_show(mounted: ShowSet) -> Show:
    show = mounted.get("ant")
    assert show is not None
    return show
