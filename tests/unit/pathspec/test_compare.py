"""What changes meaning between two specifications, against lists of all their paths."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import load
from shotfs.pathspec.compare import Side, compare
from shotfs.pathspec.comparison import Comparison, Paths, TemplateChange
from shotfs.pathspec.declarations import declarations

from .documents import document
from .small_dna import TEXT


def side(made: dict[str, Any], name: str = "a.json", **included: dict[str, Any]) -> Side:
    texts = {f"{one}.json": json.dumps(text) for one, text in included.items()}
    text = json.dumps(made, indent=1)
    specification = load(text, source=name, documents=texts)
    return Side(specification, declarations(name, {name: text, **texts}))


def difference(old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    return compare(side(old, "old.json"), side(new, "new.json"))


def only(comparison: Comparison) -> TemplateChange:
    (change,) = comparison.templates
    return change


def changed_dna(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(TEXT)
    for path, value in changes.items():
        *above, last = path.split("__")
        place = made
        for name in above:
            place = place[name]
        place[last] = value
    return made


def test_a_document_means_what_it_means() -> None:
    made = changed_dna()
    comparison = difference(made, made)
    assert comparison == Comparison((), (), (), ())
    assert comparison.same_meaning


@pytest.mark.parametrize(
    ("path", "value", "paths"),
    [
        ("fields__layer__choices", {"beauty": "All lights", "shadow": "", "depth": ""}, "changed"),
        ("fields__layer__choices", ["beauty", "shadow", "matte", "depth"], "grew"),
        ("fields__act__max", 8, "shrank"),
        ("fields__frame__negative", True, "grew"),
        ("fields__frame__min", 1001, "shrank"),
        (
            "templates__frames__path",
            "render/{shot}_{version}/{layer}/{shot}.{frame}.png",
            "changed",
        ),
    ],
)
def test_example_shows_how_the_paths_of_a_template_differ(
    path: str, value: Any, paths: str
) -> None:
    old, new = side(changed_dna()), side(changed_dna(**{path: value}))
    comparison = compare(old, new)
    change = next(one for one in comparison.templates if one.name == "frames")
    assert change.paths == paths
    assert change.exact
    assert not comparison.same_meaning
    for example in change.examples:
        assert example.before != example.after
        for specification, template in (
            (old.specification, example.before),
            (new.specification, example.after),
        ):
            found = specification.resolve(example.path)
            assert template == (None if found is None else found.template.name)


def test_exclusions_are_found_although_no_automaton_knows_them() -> None:
    fields = {"name": {"type": "str"}}
    old = document({"t": "tex/{name}.tif"}, fields)
    new = document({"t": "tex/{name}.tif"}, {"name": {"type": "str", "exclusions": ["secret"]}})
    change = only(difference(old, new))
    assert change.paths is Paths.SHRANK
    assert change.examples[0].path == "tex/secret.tif"


def test_what_was_compared_by_examples_only_is_told() -> None:
    old = document({"t": "{a}/x"}, {"a": {"type": "str", "pattern": "[ab]+", "exclusions": ["a"]}})
    new = document({"t": "{a}/x"}, {"a": {"type": "str", "pattern": "[ba]+", "exclusions": ["a"]}})
    comparison = difference(old, new)
    change = only(comparison)
    assert (change.paths, change.exact) == (Paths.SAME, False)
    assert "compared by examples" in comparison.limits[0]


def test_template_with_another_name_and_the_same_paths_was_renamed() -> None:
    fields = {"name": {"type": "str"}}
    old = document({"a": "x/{name}", "b": "y/{name}"}, fields)
    new = document({"c": "x/{name}", "b": "y/{name}"}, fields)
    change = only(difference(old, new))
    assert (change.name, change.old_name, change.paths) == ("c", "a", Paths.SAME)
    assert not difference(old, new).same_meaning


def test_added_and_removed_templates_have_an_example() -> None:
    old, new = document({"a": "x/y", "b": "z"}), document({"a": "x/y", "c": "w/v"})
    added, removed = difference(old, new).templates
    assert (added.name, added.paths) == ("c", Paths.ADDED)
    assert (added.examples[0].path, added.examples[0].before) == ("w/v", None)
    assert (removed.name, removed.paths, removed.examples[0].path) == ("b", Paths.REMOVED, "z")


def test_policy_is_told_with_old_and_new_value_and_their_lines() -> None:
    old = document({"t": {"path": "x", "ttl": "5s"}, "u": "y"})
    new = document({"t": {"path": "x", "ttl": "9s"}, "u": "y"}, defaults={"mode": "0640"})
    comparison = difference(old, new)
    keys = {one.name: {two.key: two for two in one.policy} for one in comparison.templates}
    ttl = keys["t"]["ttl"]
    assert ttl.old is not None
    assert ttl.new is not None
    assert (ttl.old.text, ttl.new.text) == ("5 s", "9 s")
    line = int(ttl.old.where.removeprefix("old.json:"))
    assert '"ttl"' in json.dumps(old, indent=1).splitlines()[line - 1]
    assert keys["u"]["mode"].old is not None
    assert keys["u"]["mode"].old.where == "built in"
    assert {one.paths for one in comparison.templates} == {Paths.SAME}


def test_root_with_another_url_changes_the_policy_of_its_templates() -> None:
    made = document({"t": "x"}, defaults={"origin": "main"})
    change = only(difference(made, {**made, "roots": {"main": "gs://other/ant"}}))
    assert {one.key for one in change.policy} >= {"origin"}
    values = next(one for one in change.policy if one.key == "origin")
    assert values.new is not None
    assert values.new.text == "gs://other/ant"


def test_words_are_told_and_change_no_meaning() -> None:
    old = changed_dna()
    new = changed_dna(
        fields__layer__choices={"beauty": "Lights", "shadow": "Shadow pass", "matte": "X"},
        templates__log__usage="Said by the renderer",
        fields__cut__usage="",
    )
    comparison = difference(old, new)
    assert comparison.same_meaning
    assert [one.name for one in comparison.templates] == ["log"]
    told = {one.name: {two.key for two in one.words} for one in comparison.fields}
    assert told == {"layer": {"choices/beauty", "choices/matte"}, "cut": {"usage"}}


def test_field_with_another_name_makes_the_template_read_differently() -> None:
    old = document({"t": "{a}/x"}, {"a": {"type": "int"}})
    new = document({"t": "{b}/x"}, {"b": {"type": "int"}})
    comparison = difference(old, new)
    change = only(comparison)
    assert (change.paths, change.fields) == (Paths.SAME, True)
    assert [(one.name, one.added, one.removed) for one in comparison.fields] == [
        ("b", True, False),
        ("a", False, True),
    ]


def test_moving_a_declaration_into_an_included_document_changes_nothing() -> None:
    whole = document({"t": "{a}/x"}, {"a": {"type": "int", "usage": "A"}})
    shared = {"spec": "shotfs-path/1", "fields": whole["fields"]}
    split = {**whole, "include": ["shared.json"]}
    del split["fields"]
    comparison = compare(side(whole), side(split, "b.json", shared=shared))
    assert comparison.same_meaning
    assert comparison.fields == ()


def test_other_order_of_preference_shows_a_path_that_moved() -> None:
    fields = {"name": {"type": "str"}, "rest": {"type": "tree"}}
    one = document({"a": {"path": "x/{name}", "before": ["b"]}, "b": "x/{rest}"}, fields)
    two = document({"a": "x/{name}", "b": {"path": "x/{rest}", "before": ["a"]}}, fields)
    comparison = difference(one, two)
    moved = {one.examples[0].before: one.examples[0].after for one in comparison.templates}
    assert moved == {"a": "b"}


CHOICES = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=3, unique=True)
PATHS = st.sampled_from(
    ["{f}", "{g}", "{f}/{g}", "x/{f}", "x/{g}", "{f}_{g}", "x/{f}_{f}", "x[/{g}]/y", "{f}/x"]
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    fields = {name: {"type": "enum", "choices": draw(CHOICES)} for name in ("f", "g")}
    names = draw(st.lists(st.sampled_from(["t", "u"]), min_size=1, max_size=2, unique=True))
    templates = {
        name: {"path": draw(PATHS), "ttl": draw(st.sampled_from([1, 2]))} for name in names
    }
    return document(templates, fields)


NAMES = ["x", "y", *("".join(text) for n in (1, 2) for text in itertools.product("ab", repeat=n))]
NAMES += [f"{one}_{other}" for one, other in itertools.product(NAMES[2:], repeat=2)]
ALL = ["/".join(path) for size in (1, 2, 3) for path in itertools.product(NAMES, repeat=size)
       if size < 3 or path[0] == "x"]  # fmt: skip


def meaning(one: Side) -> dict[str, Any]:
    found = {path: one.specification.resolve(path) for path in ALL}
    return {
        path: (hit.template.name, hit.template.policy, hit.fields)
        for path, hit in found.items()
        if hit is not None
    }


@given(documents(), documents())
@settings(max_examples=60, deadline=None)
def test_same_meaning_is_what_a_list_of_all_paths_says(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    try:
        before, after = side(old, "old.json"), side(new, "new.json")
    except SpecInvalid:
        return  # paths that overlap are another test
    comparison = compare(before, after)
    kept = [one for one in comparison.templates if not one.same_meaning]
    assert (not kept) == (meaning(before) == meaning(after))
    for change in comparison.templates:
        for example in change.examples:
            found = after.specification.resolve(example.path)
            assert example.after == (None if found is None else found.template.name)
