"""Optional parts: each way to write a template is a path of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import SpecInvalid
from shotfs.pathspec import load
from shotfs.pathspec.elements import text_of

from .documents import document, spec

FIELDS: dict[str, Any] = {
    "name": {"type": "str", "pattern": "[a-z]+"},
    "layer": {"type": "str", "pattern": "[a-z]+"},
    "view": {"type": "view"},
    "frame": {"type": "frame"},
    "rest": {"type": "tree"},
}


def variants(path: str) -> list[str]:
    (pattern,) = spec({"t": path}, FIELDS).patterns.values()
    return ["/".join(map(text_of, variant.elements)) for variant in pattern.variants]


def mistake(path: str) -> tuple[str, str]:
    """The message, and the text of the document from the place on that it points at."""
    text = json.dumps(document({"t": path}, FIELDS), indent=1, ensure_ascii=False)
    with pytest.raises(SpecInvalid) as caught:
        load(text, source="test.json")
    (problem,) = caught.value.problems
    assert problem.where == "/templates/t/path"
    assert problem.line is not None
    assert problem.column is not None
    return problem.message, text.splitlines()[problem.line - 1][problem.column - 1 :]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("{name}[_draft].exr", ["{name}_draft.exr", "{name}.exr"]),
        ("r/{name}[/{view}]/x", ["r/{name}/{view}/x", "r/{name}/x"]),
        ("[{view}/]{name}.exr", ["{view}/{name}.exr", "{name}.exr"]),
        ("{name}[.{frame}][_{view}]", ["{name}.{frame}_{view}", "{name}.{frame}", "{name}_{view}",
                                       "{name}"]),
        ("a[[1]]", ["a[[1]]"]),
        ("a[[[{view}]]]", ["a[[{view}]]", "a[["]),
    ],
)  # fmt: skip
def test_variants_begin_with_the_one_that_has_all_parts(path: str, wanted: list[str]) -> None:
    assert variants(path) == wanted


def test_every_variant_resolves_to_its_template_with_the_fields_it_has() -> None:
    made = spec({"t": "r/{name}[/{view}]/{name}.{frame}.exr"}, FIELDS)
    full, short = made.resolve("r/a/left/a.0001.exr"), made.resolve("r/a/a.0001.exr")
    assert full is not None
    assert short is not None
    assert dict(full.fields) == {"name": "a", "view": "left", "frame": "0001"}
    assert dict(short.fields) == {"name": "a", "frame": "0001"}
    assert made.resolve("r/a//a.0001.exr") is None
    assert made.resolve("r/a/middle/a.0001.exr") is None


def test_sixteen_variants_are_the_most() -> None:
    assert len(variants("{name}[.a][.b][.c][.d]")) == 16
    message, place = mistake("{name}[.a][.b][.c][.d][.e]")
    assert "more than 4 optional parts" in message
    assert place.startswith(".e]")


@pytest.mark.parametrize(
    ("path", "message", "place"),
    [
        ("a[b[c]]", "an optional part inside another", "[c]]"),
        ("a[b", '"[" without "]"', "[b"),
        ("ab]", '"]" without "["', "]"),
        ("a[]", "the optional part is empty", "[]"),
        ("[a]", 'the path is empty, in the variant ""', "["),
        ("a/[{view}]/b", 'an empty element, in the variant "a//b"', "[{view}]/b"),
        ("[{view}]/b", "absolute", ""),
        ("a[/{rest}]", "a tree cannot be optional", "{rest}"),
        ("{name}[x][x]", "two of its variants are the same path", "{name}[x][x]"),
        ("{name}[{layer}]", "is ambiguous", "{name}"),
        ('ä\\"[{nmae}]', 'unknown field "nmae"', "{nmae}"),
    ],
)
def test_mistake_points_at_its_character(path: str, message: str, place: str) -> None:
    told, found = mistake(path)
    assert message in told
    assert "(character " in told
    assert found.startswith(place)


def test_variants_of_two_templates_may_not_be_the_same_path() -> None:
    text = json.dumps(document({"t": "{name}[.{frame}]", "u": "{name}"}, FIELDS))
    with pytest.raises(
        SpecInvalid, match=r'templates "t" \(line 1\) and "u" \(line 1\) have the same path'
    ):
        load(text, source="test.json")
