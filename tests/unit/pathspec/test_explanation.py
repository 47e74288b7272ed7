"""Explanations of the full form: aliases, variants, orders, and paths that can never be."""

from __future__ import annotations

from typing import Any

import pytest

from shotfs.errors import NoTemplate
from shotfs.pathspec import Explanation, PathKind, Specification

from .documents import spec

FIELDS: dict[str, Any] = {
    "name": {"type": "str", "pattern": "[a-z]+"},
    "word": {"type": "str", "pattern": "[a-z0-9]+"},
    "view": {"type": "view"},
    "frame": {"type": "frame"},
    "version": {
        "type": "version",
        "aliases": {"latest": {"usage": "What is newest"}, "approved": {}},
    },
}


def made() -> Specification:
    return spec(
        {
            "frames": "r/{name}_{version}[/{view}]/{name}.{frame}.exr",
            "notes": "r/{name}_{version}/notes[_{view}].txt",
        },
        FIELDS,
    )


def reason(explanation: Explanation, template: str) -> str:
    return next(one.reason for one in explanation.misses if one.template == template)


def test_alias_is_explained_with_what_it_stands_for() -> None:
    told = made().explain("r/ab_latest")
    assert told.kind is PathKind.ALIAS
    assert told.alias is not None
    assert (told.alias.alias, told.alias.usage) == ("latest", "What is newest")
    assert told.alias.follows_publish
    assert told.points_to == "ab_{version}"
    assert (told.template, told.misses, told.note) == (None, (), None)


def test_path_below_an_alias_is_told_to_name_the_version() -> None:
    told = made().explain("r/ab_approved/left/ab.0001.exr")
    assert told.kind is PathKind.NONE
    assert told.note is not None
    assert '"r/ab_approved" is the alias "approved"' in told.note


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("r/ab_v001/left/ab.x.exr", ["element 4 'ab.x.exr'", '"frame" wants']),
        ("r/ab_v001/ab.x.exr", ["element 3 'ab.x.exr'", '"frame" wants', "found 'x.exr'"]),
        ("r/ab_v001/lift/ab.0001.exr", ["element 3 'lift'", '"view" wants one of left, right']),
        ("r/ab_v001/left/ab.0001.exr/x", ["the template ends at element 4"]),
        ("r/ab_v001", ["the path ends before element 3"]),
    ],
)
def test_nearest_variant_says_why_the_template_does_not_match(path: str, words: list[str]) -> None:
    told = reason(made().explain(path), "frames")
    assert [word for word in words if word not in told] == []


def test_nearest_template_comes_first_and_helps_in_the_error() -> None:
    assert made().explain("r/ab_v001/notes_lift.txt").misses[0].template == "notes"
    assert made().explain("r/ab_v001/ab.1.exr").misses[0].template == "frames"
    with pytest.raises(NoTemplate, match="nearest is template 'notes'"):
        made().parse("r/ab_v001/notes_lift.txt")


def test_template_that_matches_too_is_told_to_come_later() -> None:
    ordered = spec({"t": {"path": "{name}", "before": ["u"]}, "u": "{word}"}, FIELDS)
    told = ordered.explain("ab")
    assert told.template is not None
    assert told.template.name == "t"
    assert reason(told, "u") == 'it matches too, and "t" is before it'
    assert "'1ab'" in reason(ordered.explain("1ab"), "t")


@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("a//b", 'a path has no element ""'),
        ("/a", 'a path has no element ""'),
        ("a/../b", 'a path has no element ".."'),
        ("a\0", "a name cannot hold a NUL character"),
        ("x" * 256, "is longer than 255 bytes"),
        ("\udcff", "is not UTF-8"),
        (".shotfs/aliases", "holds what shotfs itself keeps in the origin"),
    ],
)
def test_path_that_can_never_be_is_told_why(path: str, note: str) -> None:
    for one in (made(), spec({"t": "x"}, unmatched="pass")):
        told = one.explain(path)
        assert told.kind is PathKind.NONE
        assert told.note is not None
        assert note in told.note
        assert told.misses == ()


def test_fields_and_templates_are_told_with_their_documents() -> None:
    told = made().explain("r/ab_v001/ab.0001.exr")
    assert [(one.name, one.text) for one in told.fields] == [
        ("name", "ab"), ("version", "v001"), ("frame", "0001"),
    ]  # fmt: skip
    assert {one.source for one in told.fields} == {"test.json"}
    assert told.template_source == "test.json"
