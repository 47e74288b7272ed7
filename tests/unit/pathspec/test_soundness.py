"""What the proofs once overlooked: names with two meanings, and paths that read back otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import InvalidArgument, Problem, SpecInvalid
from shotfs.pathspec import load
from shotfs.pathspec.fields import Tile

from .documents import document, spec

LETTERS = {"type": "str", "pattern": "[a-z]+"}


def mistakes(templates: dict[str, Any], fields: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        spec(templates, fields)
    return caught.value.problems


@pytest.mark.parametrize(
    ("path", "aliases", "text"),
    [
        # "lalatest" is "la" with the alias latest, and "lala" with the alias test.
        ("{name}{version}/x", ["latest", "test"], "alatest"),
        ("{shot}_{version}/x", ["approved", "client_approved"], "a_client_approved"),
    ],
)
def test_alias_that_can_be_cut_out_of_a_name_in_two_ways_is_refused(
    path: str, aliases: list[str], text: str
) -> None:
    fields = {
        "name": LETTERS,
        "shot": {"type": "str", "pattern": "[a-z_]+"},
        "version": {"type": "version", "aliases": aliases},
    }
    (problem,) = mistakes({"t": path}, fields)
    assert problem.where == "/templates/t/path"
    assert 'with an alias in the place of "version"' in problem.message
    assert repr(text) in problem.message


def test_of_two_aliases_with_one_path_the_preferred_template_has_it() -> None:
    fields = {
        "v": {"type": "version", "aliases": ["latest"]},
        "w": {"type": "version", "scheme": "w%03d", "aliases": ["latest"]},
    }
    templates = {
        "later": {"path": "{v}/x"},
        "first": {"path": "{w}/y", "before": ["later"]},
    }
    found = spec(templates, fields).alias("latest")
    assert found is not None
    assert found.field == "w"


def test_alias_whose_name_looks_like_scratch_is_an_alias_and_no_file() -> None:
    fields = {"name": LETTERS, "v": {"type": "version", "aliases": ["latest"]}}
    templates = {
        "tree": {"path": "{v}.tmp/x", "flow": "out"},
        "file": {"path": "{name}.q", "flow": "out"},
    }
    made = spec(templates, fields)
    assert made.alias("latest.tmp") is not None
    assert made.resolve("latest.tmp") is None
    other = made.resolve("other.tmp")
    assert other is not None
    assert other.scratch


def test_parts_that_disagree_with_their_compound_are_refused() -> None:
    fields = {
        "a": LETTERS,
        "b": LETTERS,
        "both": {"type": "compound", "format": "{a}_{b}"},
    }
    made = spec({"t": "{both}/x"}, fields)
    assert made.format("t", {"both": "x_y", "a": "x"}) == "x_y/x"
    with pytest.raises(InvalidArgument, match="field \"a\" is 'z' and, in \"both\", 'x'"):
        made.format("t", {"both": "x_y", "a": "z"})


def test_format_writes_the_variant_that_reads_back_as_the_same_fields() -> None:
    fields = {
        "a": LETTERS,
        "b": LETTERS,
        "both": {"type": "compound", "format": "{a}_{b}"},
    }
    made = spec({"t": "r/[{a}.][{both}/]x[-{b}]"}, fields)
    for path in ("r/a.x-b", "r/a_b/x", "r/a.a_b/x-b"):
        found = made.parse(path)
        assert made.parse(made.format("t", found.fields)).fields == found.fields


def test_format_writes_a_longer_variant_where_another_template_has_the_shorter() -> None:
    fields = {"a": {"type": "enum", "choices": ["x"]}}
    templates = {"first": {"path": "x", "before": ["t"]}, "t": {"path": "{a}[_a]"}}
    assert spec(templates, fields).format("t", {"a": "x"}) == "x_a"


def test_format_says_which_other_template_or_scratch_name_the_path_is() -> None:
    fields = {"a": LETTERS, "b": {"type": "str", "pattern": "[a-z.]+"}}
    templates = {
        "first": {"path": "{a}", "before": ["t"]},
        "t": {"path": "{b}", "flow": "out"},
    }
    made = spec(templates, fields)
    with pytest.raises(InvalidArgument, match='a path of template "first"'):
        made.format("t", {"b": "x"})
    with pytest.raises(InvalidArgument, match="a scratch name"):
        made.format("t", {"b": "x.tmp"})


def test_tile_that_no_screen_has_room_for_is_refused_like_any_other() -> None:
    made = spec({"t": "{u}.x"}, {"u": {"type": "udim"}})
    with pytest.raises(InvalidArgument, match="cannot be the tile"):
        made.format("t", {"u": Tile(10**6000, 0)})


def test_path_outside_all_templates_is_written_as_it_is() -> None:
    text = document({"t": "a/x"}, {}) | {"unmatched": "pass"}
    made = load(json.dumps(text), source="test.json")
    assert made.format("unmatched", {"unmatched": "b/c"}) == "b/c"


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "str", "pattern": "a|b", "exclusions": ["a", "b"]},
        {"type": "str", "pattern": "a+", "length": {"max": 2}, "exclusions": ["a", "aa"]},
    ],
)
def test_exclusions_that_leave_no_text_are_refused_where_the_field_is(
    declared: dict[str, Any],
) -> None:
    (problem,) = mistakes({"t": "{ok}/{none}"}, {"ok": LETTERS, "none": declared})
    assert problem.where == "/fields/none"
    assert 'no text is left for field "none"' in problem.message


def test_choices_longer_than_a_name_are_no_directories() -> None:
    fields = {
        "a": {"type": "enum", "choices": ["a" * 100, "b" * 200]},
        "b": {"type": "enum", "choices": ["é" * 50]},
    }
    children = spec({"t": "{a}{b}/x"}, fields).implied_children("")
    assert children == ("a" * 100 + "é" * 50,)


def test_template_without_a_path_that_can_exist_is_refused_with_the_reason() -> None:
    fields = {"dot": {"type": "str", "pattern": r"\."}, "dots": {"type": "str", "pattern": r"\.+"}}
    (problem,) = mistakes({"t": "{dot}/x"}, fields)
    assert 'a path has no element "."' in problem.message
    assert spec({"t": "{dots}/x"}, fields).resolve(".../x") is not None


def test_circle_of_before_names_only_what_is_in_it() -> None:
    templates = {
        "after": {"path": "d"},
        "a": {"path": "a", "before": ["b"]},
        "b": {"path": "b", "before": ["a", "after"]},
    }
    (problem,) = mistakes(templates, {})
    assert problem.message == '"before" goes in a circle: a before b before a'


def test_origin_that_tiers_of_the_show_decide_is_explained_by_them() -> None:
    text = document({"t": "a", "own": {"path": "b", "tiers": ["near", "far"]}}, {})
    text["roots"] = {
        "near": "gs://near/x",
        "far": {"url": "gs://far/x", "defaults": {"tiers": ["near", "far"], "ttl": 7}},
    }
    text["defaults"] = {"tiers": ["far"]}
    made = load(json.dumps(text, indent=1), source="test.json")
    told = {one.key: one.where for one in made.explain("a").settings}
    assert told["origin"] == "/defaults/tiers"
    assert told["tiers"] == "/roots/far/defaults/tiers"
    own = {one.key: one.where for one in made.explain("b").settings}
    assert own["origin"] == own["tiers"] == "/templates/own/tiers"


def test_only_root_does_not_take_the_place_of_tiers_that_name_it() -> None:
    text = document({"t": "a", "own": {"path": "b", "tiers": ["main"]}}, {})
    text["roots"] = {"main": "gs://main/x"}
    text["defaults"] = {}
    made = load(json.dumps(text, indent=1), source="test.json")
    assert {one.key: one.where for one in made.explain("a").settings}["origin"] == (
        "/roots (the only one)"
    )
    assert {one.key: one.where for one in made.explain("b").settings}["origin"] == (
        "/templates/own/tiers"
    )
