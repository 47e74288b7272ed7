"""Included documents: taken over by name, overridden, and blamed by their own lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.digest import digest_bytes
from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import Specification, documents, include_locations, load

NAME = {"name": {"type": "str"}}


def part(**members: Any) -> dict[str, Any]:
    return {"spec": "shotfs-path/1", **members}


def main(*include: str, **members: Any) -> dict[str, Any]:
    whole = {"show": "ant", "roots": {"main": "gs://ant"}, "templates": {"t": {"path": "t/{name}"}}}
    return part(**{"include": list(include), **whole, **members})


def texts(shared: dict[str, Any]) -> dict[str, str]:
    return {
        name: one if isinstance(one, str) else json.dumps(one, indent=1)
        for name, one in shared.items()
    }


def load_all(made: dict[str, Any], source: str = "ant.json", **shared: Any) -> Specification:
    given = {name.replace("_json", ".json"): one for name, one in shared.items()}
    return load(json.dumps(made, indent=1), source=source, documents=texts(given))


def mistakes(made: dict[str, Any], source: str = "ant.json", **shared: Any) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load_all(made, source, **shared)
    for problem in caught.value.problems:
        assert problem.line is not None
        assert problem.column is not None
    return caught.value.problems


def test_declarations_of_included_documents_are_taken_over() -> None:
    shared = part(
        fields=NAME, roots={"tmp": "s3://tmp"}, templates={"u": {"path": "u/{name}"}},
        defaults={"ttl": 7, "origin": "main"},
    )  # fmt: skip
    made = load_all(main("shared.json", defaults={"mode": "0600"}), shared_json=shared)
    assert sorted(made.templates) == ["t", "u"]
    policy = made.parse("u/x").template.policy
    assert (policy.ttl_s, policy.mode, policy.origin) == (7, 0o600, "gs://ant")


def test_including_document_wins_name_by_name_and_key_by_key() -> None:
    shared = part(
        fields={"name": {"type": "int"}}, roots={"main": "gs://other"},
        templates={"t": {"path": "other"}}, defaults={"ttl": 7, "priority": 7},
    )  # fmt: skip
    made = load_all(main("s.json", fields=NAME, defaults={"ttl": 8}), s_json=shared)
    policy = made.parse("t/abc").template.policy
    assert (policy.origin, policy.ttl_s, policy.priority) == ("gs://ant", 8, 7)
    assert made.resolve("other") is None


def test_template_may_use_what_another_document_declares() -> None:
    fields = part(fields=NAME)
    roots = part(include=["fields.json"], templates={"top": {"path": "t", "abstract": True}})
    made = load_all(
        main("roots.json", templates={"t": {"path": "{@top}/{name}"}}),
        roots_json=roots, fields_json=fields,
    )  # fmt: skip
    assert made.resolve("t/x") is not None


def test_document_that_two_others_include_is_no_conflict() -> None:
    made = load_all(
        main("a.json", "b.json"),
        a_json=part(include=["c.json"]), b_json=part(include=["c.json"]), c_json=part(fields=NAME),
    )  # fmt: skip
    assert [place for place, _ in made.documents] == ["ant.json", "a.json", "c.json", "b.json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fields", NAME),
        ("templates", {"x": {"path": "x"}}),
        ("roots", {"x": "gs://x"}),
        ("defaults", {"ttl": 3}),
    ],
)
def test_two_included_declarations_of_one_name_are_a_mistake_unless_overridden(
    key: str, value: dict[str, Any]
) -> None:
    fields = NAME if key != "fields" else {}
    made = main("a.json", "b.json", fields=fields, defaults={"origin": "main"})
    both = {"a_json": part(**{key: value}), "b_json": part(**{key: value})}
    (problem,) = mistakes(made, **both)
    (name,) = value
    assert problem.where == "/include/1"
    assert f'declare "{name}" of "{key}": a.json:4 and b.json:4' in problem.message
    assert problem.fix is not None
    assert load_all({**made, key: {**made.get(key, {}), **value}}, **both).show == "ant"


def test_unmatched_is_taken_over_and_conflicts_like_a_name() -> None:
    passes = part(unmatched="pass")
    assert load_all(main("a.json", fields=NAME), a_json=passes).resolve("any/x") is not None
    denied = main("a.json", fields=NAME, unmatched="deny")
    assert load_all(denied, a_json=passes).resolve("any/x") is None
    both = {"a_json": passes, "b_json": passes}
    (problem,) = mistakes(main("a.json", "b.json", fields=NAME), **both)
    assert 'declare "unmatched": a.json:3 and b.json:3' in problem.message


def test_mistake_names_the_included_document_and_its_line() -> None:
    shared = part(fields={"name": {"type": "sstr"}}, tempaltes={}, templates={"u": {"path": "//"}})
    problems = mistakes(main("s.json", ttl=3), s_json=shared)
    assert [(one.source, one.where, one.line) for one in problems] == [
        (None, "/ttl", 15),
        ("s.json", "/fields/name/type", 5),
        ("s.json", "/tempaltes", 8),
        ("s.json", "/templates/u/path", 11),
    ]
    with pytest.raises(SpecInvalid, match=r"s\.json:8:2: /tempaltes: unknown name"):
        load_all(main("s.json"), s_json=shared)


def test_warning_names_the_included_document() -> None:
    hidden = part(templates={"u": {"path": "x.tmp", "flow": "out"}})
    (warning,) = load_all(main("s.json", fields=NAME), s_json=hidden).warnings
    assert (warning.source, warning.line) == ("s.json", 4)


def test_unused_fields_of_included_documents_are_not_warned_of() -> None:
    more = {"other": {"type": "int"}}
    assert load_all(main("s.json", fields=NAME), s_json=part(fields=more)).warnings == ()
    (warning,) = load_all(main("s.json", fields={**NAME, **more}), s_json=part()).warnings
    assert warning.where == "/fields/other"


@pytest.mark.parametrize(
    ("shared", "source", "message"),
    [
        ({}, None, 'included document "s.json" is not there'),
        ({"s.json": "{"}, "s.json", "not JSON"),
        ({"s.json": "[]"}, "s.json", "must be an object"),
        ({"s.json": "\udcff"}, "s.json", "not UTF-8"),
        ({"s.json": {}}, "s.json", "does not say its form"),
        ({"s.json": part(spec="shotfs-path/2")}, "s.json", "not a form"),
        ({"s.json": part(show="bee")}, "s.json", 'one of show "ant" includes it'),
        ({"s.json": part(show="")}, "s.json", "cannot name a show"),
        ({"s.json": part(include=["ant.json"])}, "s.json", "ant.json includes s.json includes"),
        ({"s.json": part(include=["s.json"])}, "s.json", "in a circle: s.json includes s.json"),
        ({"s.json": part(include=["nope.json"])}, "s.json", '"nope.json" is not there'),
        ({"s.json": part(defaults={"tll": 1})}, "s.json", 'unknown name "tll"'),
        ({"s.json": part(roots=[])}, "s.json", "must be an object, not a list"),
    ],
)
def test_wrong_included_document_is_told_in_its_place(
    shared: dict[str, Any], source: str | None, message: str
) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(main("s.json", fields=NAME)), source="ant.json", documents=texts(shared))
    (problem,) = caught.value.problems
    assert problem.source == source
    assert message in problem.message
    assert problem.line == 1 or "//" in problem.message or problem.line is not None


def test_included_document_may_name_the_same_show() -> None:
    assert load_all(main("s.json", fields=NAME), s_json=part(show="ant")).show == "ant"


@pytest.mark.parametrize(
    ("source", "text", "location"),
    [
        ("ant.json", "s.json", "s.json"),
        ("shows/ant.json", "../s.json", "s.json"),
        ("/etc/shotfs/ant.json", "shared/s.json", "/etc/shotfs/shared/s.json"),
        ("/etc/shotfs/ant.json", "/srv/s.json", "/srv/s.json"),
        ("/etc/shotfs/ant.json", "gs://specs/s.json", "gs://specs/s.json"),
        ("gs://specs/shows/ant.json", "s.json", "gs://specs/shows/s.json"),
        ("gs://specs/shows/ant.json", "../s.json", "gs://specs/s.json"),
        ("gs://specs/ant.json", "s3://other/s.json", "s3://other/s.json"),
        ("file:///etc/ant.json", "sub/s.json", "file:///etc/sub/s.json"),
        ("file:///etc/ant.json", "../s.json", "file:///s.json"),
    ],
)
def test_location_is_relative_to_the_including_document(
    source: str, text: str, location: str
) -> None:
    made = main(text, fields=NAME)
    assert include_locations(json.dumps(made), source) == (location,)
    found = load(json.dumps(made), source=source, documents={location: json.dumps(part())})
    assert [place for place, _ in found.documents] == [source, location]


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("gs://specs/ant.json", "../s.json", "leaves the bucket"),
        ("gs://specs/a/ant.json", "../../other/s.json", "leaves the bucket"),
        ("gs://specs/ant.json", "/etc/passwd", "is a file of the machine"),
        ("gs://specs/ant.json", "file:///etc/passwd", "is a file of the machine"),
        ("ant.json", "gs://specs", "names a bucket"),
        ("ant.json", "gs://specs/a b.json", "without spaces"),
        ("ant.json", "", "is no document"),
        ("ant.json", "dir/", "is no document"),
        ("ant.json", "a\0b", "is no document"),
        ("ant.json", "x" * 2000, "is no document"),
    ],
)
def test_location_that_cannot_be_is_refused(source: str, text: str, message: str) -> None:
    made = main(text, fields=NAME)
    assert include_locations(json.dumps(made), source) == ()
    (problem,) = mistakes(made, source)
    assert problem.where == "/include/0"
    assert message in problem.message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"include": 3}', '{"include": [3]}', '"include"', "\udcff", "null"]
)
def test_broken_document_includes_nothing(text: str) -> None:
    assert include_locations(text, "ant.json") == ()


def test_locations_are_told_once_each() -> None:
    text = json.dumps(main("a.json", "./a.json", "b.json"))
    assert include_locations(text, "x/ant.json") == ("x/a.json", "x/b.json")


def test_sixty_four_documents_are_the_most() -> None:
    chain = {f"d{i}_json": part(include=[f"d{i + 1}.json"]) for i in range(62)}
    assert len(load_all(main("d0.json", fields=NAME), **chain, d62_json=part()).documents) == 64
    chain["d62_json"] = part(include=["d63.json"])
    (problem,) = mistakes(main("d0.json", fields=NAME), **chain, d63_json=part())
    assert "more than 64 documents" in problem.message
    assert problem.source == "d62.json"


def test_documents_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_BYTES_MAX", 1000)
    assert load_all(main("s.json", fields=NAME), s_json=part(usage="x" * 400)).show == "ant"
    (problem,) = mistakes(main("s.json", fields=NAME), s_json=part(usage="ä" * 400))
    assert "together are larger than 1000 bytes" in problem.message


def test_digest_is_that_of_the_text_or_of_all_texts() -> None:
    alone = json.dumps(main(fields=NAME))
    assert load(alone, source="ant.json").digest == digest_bytes(alone.encode())
    made = main("s.json", fields=NAME)
    one, other = (load_all(made, s_json=part(usage=text)) for text in ("a", "b"))
    assert one.digest != other.digest
    assert one.documents[0] == other.documents[0]
    assert one.documents[1] != other.documents[1]
    assert load_all(made, s_json=part(usage="a")).digest == one.digest


def test_explanation_names_the_document_of_each_setting() -> None:
    shared = part(defaults={"ttl": 7}, fields=NAME)
    explained = load_all(main("s.json", defaults={"mode": "0600"}), s_json=shared).explain("t/x")
    told = {one.key: (one.source, one.where) for one in explained.settings}
    assert told["ttl"] == ("s.json", "/defaults/ttl")
    assert told["mode"] == ("ant.json", "/defaults/mode")
    assert told["flow"] == (None, "built in")
    assert told["origin"] == ("ant.json", "/roots (the only one)")
    assert explained.fields[0].source == "s.json"
    assert explained.template_source == "ant.json"


def test_one_document_that_cannot_be_read_is_one_mistake() -> None:
    made = main(
        "gone.json",
        templates={"t": {"path": "{@there}/{name}"}, "own": {"path": "own/{both}"}},
        fields={"both": {"type": "compound", "format": "{seq}_{name}"}},
        defaults={"origin": "faraway"},
    )
    assert [one.where for one in mistakes(made)] == ["/include/0"]
