"""Every mistake in a document is named with its pointer and line, all at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import load

from .documents import DNA, document

NAME = {"name": {"type": "str"}}


def mistakes(text: str, show: str | None = None) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load(text, source="test.json", show=show)
    return caught.value.problems


def template(path: str, **policy: Any) -> dict[str, Any]:
    return document({"t": {"path": path, **policy}}, NAME)


def field(**keys: Any) -> dict[str, Any]:
    return document({"t": "{f}/x"}, {"f": keys})


def without(key: str) -> dict[str, Any]:
    return {name: one for name, one in document({"t": "x"}).items() if name != key}


CASES: list[tuple[dict[str, Any], str, str]] = [
    # (document, JSON pointer, part of the message)
    (without("spec"), "/", 'does not say its form ("spec")'),
    (document({"t": "x"}) | {"spec": "shotfs-path/9"}, "/spec", "not a form"),
    (without("show"), "/", 'does not name its show ("show")'),
    (document({"t": "x"}) | {"show": "a/b"}, "/show", "cannot name a show"),
    (document({"t": "x"}) | {"show": 3}, "/show", "must be a string, not a number"),
    (without("templates"), "/", 'no "templates"'),
    (document({}), "/templates", '"templates" is empty'),
    (document({"t": "x"}) | {"templates": []}, "/templates", "must be an object, not a list"),
    (document({"t": "x"}) | {"template": {}}, "/template", 'unknown name "template"'),
    (document({"t": "x"}) | {"roots": {"main": "bucket"}}, "/roots/main", "no origin URL"),
    (document({"t": "x"}) | {"roots": {"main": "gs://"}}, "/roots/main", "no origin URL"),
    (document({"t": "x"}) | {"roots": {"main": "gs:///"}}, "/roots/main", "missing"),
    (document({"t": "x"}) | {"roots": {"main": "gs://b/../c"}}, "/roots/main", '".."'),
    (document({"t": "x"}) | {"roots": {"main": "file://x/y"}}, "/roots/main", "three slashes"),
    (document({"t": "x"}) | {"roots": {}}, "/templates/t", "has no origin"),
    (template("x", origin="mian"), "/templates/t/origin", "is no root"),
    (template("x", origin="gs://a b"), "/templates/t/origin", "no origin URL"),
    (document({"t": {}}), "/templates/t", "has no path"),
    (document({"t t": "x"}), "/templates/t t", "cannot name a template"),
    (document({"t": "x", "u": "x"}), "/templates/u", "have the same path"),
    (template("x", flwo="in"), "/templates/t/flwo", 'unknown name "flwo"'),
    (template(""), "/templates/t/path", "path is empty"),
    (template("/x"), "/templates/t/path", "path is absolute"),
    (template("a/../x"), "/templates/t/path", 'element ".."'),
    (template("./x"), "/templates/t/path", 'element "."'),
    (template("a//x"), "/templates/t/path", "empty element"),
    (template("a/"), "/templates/t/path", "empty element"),
    (template("a\0b"), "/templates/t/path", "NUL"),
    (template("x" * 256), "/templates/t/path", "longer than 255 bytes"),
    (template("x/" * 3000 + "x"), "/templates/t/path", "too long"),
    (template("x/" * 64 + "x"), "/templates/t/path", "more than 64 elements"),
    (template("a/{nmae}"), "/templates/t/path", 'unknown field "nmae"'),
    (template("a/{name"), "/templates/t/path", '"{" without "}" (character 3)'),
    (template("a/name}"), "/templates/t/path", '"}" without "{"'),
    (template("a/{Name}"), "/templates/t/path", "names no field"),
    (template("a/{}"), "/templates/t/path", "names no field"),
    (template("{name}{name}"), "/templates/t/path", "ambiguous"),
    (template("x", flow="out-of-order"), "/templates/t/flow", 'cannot be "out-of-order"'),
    (template("x", immutable=True), "/templates/t/immutable", "must be a string, not a boolean"),
    (template("x", durability="disk"), "/templates/t/durability", 'cannot be "disk"'),
    (template("x", rewrite="yes"), "/templates/t/rewrite", 'cannot be "yes"'),
    (template("x", owner="root"), "/templates/t/owner", 'cannot be "root"'),
    (template("x", ttl="90 seconds"), "/templates/t/ttl", "must be a duration"),
    (template("x", ttl=-1), "/templates/t/ttl", "must be from 0"),
    (template("x", ttl=10**400 // 10**101), "/templates/t/ttl", "must be from 0"),
    (template("x", grace="2d"), "/templates/t/grace", "must be from 0 to 86400"),
    (template("x", mode=644), "/templates/t/mode", "must be a string"),
    (template("x", mode="0999"), "/templates/t/mode", "is no mode"),
    (template("x", uid=-1), "/templates/t/uid", "must be from 0"),
    (template("x", gid="staff"), "/templates/t/gid", "whole number"),
    (template("x", priority=5000), "/templates/t/priority", "must be from -1000 to 1000"),
    (template("x", scratch="*.tmp"), "/templates/t/scratch", "list of strings"),
    (template("x", scratch=["*"]), "/templates/t/scratch", "cannot be a scratch pattern"),
    (template("x", scratch=["a", "a"]), "/templates/t/scratch/1", "twice"),
    (template("x", scratch=[1]), "/templates/t/scratch/0", "must be a string"),
    (document({"t": "x"}, defaults={"tll": 1}), "/defaults/tll", 'unknown name "tll"'),
    (document({"t": "x"}, {"F": {"type": "str"}}), "/fields/F", "cannot name a field"),
    (field(pattern="x"), "/fields/f", "has no type"),
    (field(type="string"), "/fields/f/type", 'cannot be "string"'),
    (field(type="str", pad=3), "/fields/f/pad", 'unknown name "pad"'),
    (field(type="str", pattern="[a-z"), "/fields/f/pattern", '"[" without "]"'),
    (field(type="str", pattern="a)"), "/fields/f/pattern", '")" without "("'),
    (field(type="str", pattern="(a"), "/fields/f/pattern", '"(" without ")"'),
    (field(type="str", pattern="a/b"), "/fields/f/pattern", "part of one path element"),
    (field(type="str", pattern=r"a\/b"), "/fields/f/pattern", "part of one path element"),
    (field(type="str", pattern="[/]"), "/fields/f/pattern", "class is empty"),
    (field(type="str", pattern="^a$"), "/fields/f/pattern", "always matches whole"),
    (field(type="str", pattern="(?=a)b"), "/fields/f/pattern", "look-around"),
    (field(type="str", pattern=r"(a)\1"), "/fields/f/pattern", "not in the subset"),
    (field(type="str", pattern="a+?"), "/fields/f/pattern", "lazy"),
    (field(type="str", pattern="*a"), "/fields/f/pattern", "nothing to repeat"),
    (field(type="str", pattern="a{2,1}"), "/fields/f/pattern", "is empty or over"),
    (field(type="str", pattern="a{x}"), "/fields/f/pattern", "starts no count"),
    (field(type="str", pattern="a{9999}"), "/fields/f/pattern", "is empty or over"),
    (field(type="str", pattern="((a{99}){99}){99}"), "/fields/f/pattern", "too large"),
    (field(type="str", pattern="[z-a]"), "/fields/f/pattern", "wrong way round"),
    (field(type="str", pattern="a*"), "/fields/f/pattern", "matches the empty text"),
    (field(type="str", pattern="(a+)+b"), "/fields/f/pattern", "could take very long"),
    (field(type="str", pattern="(a|aa)+b"), "/fields/f/pattern", "could take very long"),
    (field(type="str", pattern=".*a.*a.*b"), "/fields/f/pattern", "could take very long"),
    (field(type="str", pattern="(" * 50 + "a" + ")" * 50), "/fields/f/pattern", "nested deeper"),
    (field(type="str", choices=[]), "/fields/f/choices", "is empty"),
    (field(type="str", choices=["a/b"]), "/fields/f/choices", "a slash"),
    (field(type="str", choices=["a"], pattern="a"), "/fields/f/pattern", "says nothing beside"),
    (field(type="str", choices=["a"], exclusions=["a"]), "/fields/f/exclusions", "no choice"),
    (field(type="str", length=0), "/fields/f/length", "must be from 1 to 255"),
    (field(type="str", length={"min": 3, "max": 2}), "/fields/f/length/max", "smaller"),
    (field(type="str", case="title"), "/fields/f/case", 'cannot be "title"'),
    (field(type="enum"), "/fields/f", "has no choices"),
    (field(type="int", pad=0), "/fields/f/pad", "must be from 1 to 12"),
    (field(type="int", min=3, max=2), "/fields/f/max", "smaller"),
    (field(type="int", strict="no"), "/fields/f/strict", "must be true or false"),
    (field(type="version", scheme="v%d"), "/fields/f/scheme", "no version scheme"),
    (field(type="version", scheme="v%099d"), "/fields/f/scheme", "pads to 99"),
    (field(type="compound"), "/fields/f", "has no format"),
    (field(type="compound", format="{f}_{f}"), "/fields/f/format", "contains itself"),
    (field(type="compound", format="x"), "/fields/f/format", "holds no field"),
    (field(type="compound", format="{g}"), "/fields/f/format", 'unknown field "g"'),
    (field(type="compound", format="{f}/x"), "/fields/f/format", "part of one path element"),
    (field(type="compound", format="{"), "/fields/f/format", '"{" without "}"'),
    (
        field(type="compound", format="{g}-" * 65)
        | {"fields": {"f": {"type": "compound", "format": "{g}-" * 65}, "g": {"type": "int"}}},
        "/fields/f/format",
        "more than 64 fields",
    ),
    (field(type="tree"), "/templates/t/path", "must be the whole last element"),
    (document({"t": "x{f}"}, {"f": {"type": "tree"}}), "/templates/t/path", "whole last element"),
    (
        document({"t": "{g}"}, {"f": {"type": "tree"}, "g": {"type": "compound", "format": "{f}"}}),
        "/fields/g/format",
        "is a tree",
    ),
]


@pytest.mark.parametrize(("made", "where", "message"), CASES)
def test_mistake_is_named_with_its_place(made: dict[str, Any], where: str, message: str) -> None:
    text = json.dumps(made, indent=1)
    problems = mistakes(text)
    assert [one.where for one in problems] == [where]
    assert message in problems[0].message
    last_name = where.rsplit("/", 1)[1]
    assert problems[0].line is not None
    line = text.splitlines()[problems[0].line - 1]
    assert last_name.isdigit() or last_name in line


def test_all_mistakes_are_told_at_once_in_the_order_of_the_document() -> None:
    made = document({"t": {"path": "a//b", "ttl": "x"}, "u": "{nmae}"}, NAME, usgae="")
    problems = mistakes(json.dumps(made, indent=1))
    assert [one.where for one in problems] == [
        "/templates/t/path",
        "/templates/t/ttl",
        "/templates/u/path",
        "/usgae",
    ]
    assert problems[3].fix == 'write "usage"'
    assert problems[2].fix is not None
    assert '"name"' in problems[2].fix


def test_broken_field_is_told_once_not_at_every_use() -> None:
    made = document({"t": "{f}", "u": "x/{f}"}, {"f": {"type": "sstr"}})
    assert [one.where for one in mistakes(json.dumps(made))] == ["/fields/f/type"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "ends too early"),
        ("[]", 1, "must be an object"),
        ('{\n"a": 1,\n}', 3, "name in double quotes"),
        ('{"a": 1 "b": 2}', 1, 'expected "," or "}"'),
        ('{"a"; 1}', 1, 'expected ":"'),
        ('{\n// comment\n"a": 1}', 2, "comments are not allowed"),
        ('{\n"a": 1 # comment\n}', 2, "comments are not allowed"),
        ('{"a":\n # x\n1}', 2, "comments are not allowed"),
        ('{"a": NaN}', 1, "unexpected 'N'"),
        ('{"a": 1e999}', 1, "too large"),
        ('{"a": ' + "9" * 5000 + "}", 1, "more than 300 digits"),
        ('{"a": "x\ny"}', 1, "invalid control character"),
        ('{"a": "\\ud800"}', 1, "half of a surrogate pair"),
        ('{"a": "\udcff"}', 1, "not UTF-8"),
        ("\ufeff{}", 1, "byte order mark"),
        ("[" * 100_000, 1, "nested deeper"),
        ('{"a": [1 2]}', 1, 'expected "," or "]"'),
        ("{} {}", 1, "after the end"),
        (" " * (16 * 1024 * 1024 + 1), None, "larger than"),
    ],
)
def test_text_that_is_no_json_is_told_with_its_line(
    text: str, line: int | None, message: str
) -> None:
    problems = mistakes(text)
    assert problems[0].line == line
    assert message in problems[0].message


def test_duplicate_names_are_mistakes_at_the_second_one() -> None:
    text = json.dumps(document({"t": "x"}), indent=1)
    text = text.replace('"show": "ant",', '"show": "ant",\n "show": "bee",')
    problems = mistakes(text)
    assert [(one.where, one.line) for one in problems] == [("/show", 4)]


def test_show_must_be_the_one_of_the_configuration() -> None:
    text = json.dumps(document({"t": "x"}))
    assert load(text, source="s", show="ant").show == "ant"
    assert "the configuration has it as" in mistakes(text, show="bee")[0].message


def test_error_text_names_source_line_and_fix() -> None:
    with pytest.raises(
        SpecInvalid, match=r"test\.json:\d+:\d+: /templates/t/path: .*absolute"
    ) as info:
        load(json.dumps(template("/x"), indent=1), source="test.json")
    assert "fix: leave the first slash out" in str(info.value)


FIXES = [
    (template("a/{name"), '"{" without "}"', 'write "}" where it ends'),
    (template("a/{name/{other}"), '"{" without "}" (character 3)', 'write "}" where it ends'),
    (template("a[/b"), '"[" without "]"', 'write "]" where it ends'),
    (field(type="str", pattern="[a-z"), '"[" without "]"', r'or "\[" for the character itself'),
    (template("a/{name}", mode=644), "not a number", 'in double quotes: "644"'),
    (template("a/{name}", usage=None), "not null", "leave it out"),
    (document({"t": "x/{rest}"}, {"shot": {"type": "str"}}),
     "unknown field", 'choose one of "shot"'),
    (template("a/{name}", tiers=["gs://b", "gs://b"]), "twice", "remove one"),
    (document({"t": "{@r}", "r": {"path": "a", "abstract": True, "flow": "out"}}),
     'an abstract template takes no "flow"', "templates that refer to this one"),
    (document({"a": "{f}/x", "b": "{f}/{r}"}, {"f": {"type": "str"}, "r": {"type": "tree"}}),
     "can produce both", '"before": ["b"] in "a"'),
    (document({"b": "{f}/{r}", "a": "{f}/x"}, {"f": {"type": "str"}, "r": {"type": "tree"}}),
     "can produce both", '"before": ["b"] in "a"'),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message", "fix"), FIXES)
def test_fix_is_what_mends_it(made: dict[str, Any], message: str, fix: str) -> None:
    (problem,) = mistakes(json.dumps(made))
    assert message in problem.message
    assert problem.fix is not None
    assert fix in problem.fix


HOSTILE: dict[str, dict[str, Any]] = {
    "two open counts": document(
        {"t": "{a}_{b}"},
        {
            "a": {"type": "str", "pattern": "[a-z_]{1,255}"},
            "b": {"type": "str", "pattern": "[a-z_]{1,255}"},
        },
    ),
    "compounds that multiply": document(
        {"t": "{c0}"},
        {
            **{f"c{i}": {"type": "compound", "format": f"{{c{i + 1}}}-" * 50} for i in range(8)},
            "c8": {"type": "int"},
        },
    ),
    "a chain of compounds": document(
        {"t": "{c0}"},
        {
            **{f"c{i}": {"type": "compound", "format": f"{{c{i + 1}}}-"} for i in range(3000)},
            "c3000": {"type": "int"},
        },
    ),
    "many branches repeated": document(
        {"t": "{a}"},
        {
            "a": {
                "type": "str",
                "pattern": "(" + "|".join("abc"[: i % 3 + 1] for i in range(300)) + ")+",
            }
        },
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_document_is_refused_quickly(name: str) -> None:
    assert mistakes(json.dumps(HOSTILE[name]))


@pytest.mark.timeout(20)
def test_largest_enumeration_is_proven_quickly() -> None:
    choices = [f"c{i:05d}" for i in range(9000)]
    made = load(
        json.dumps(document({"t": "{f}/x"}, {"f": {"type": "enum", "choices": choices}})),
        source="s",
    )
    assert list(made.implied_children("")) == choices


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "path", "pattern", "choices", "format", "length", "ttl", "t"])
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def load_or_refuse(text: str) -> None:
    try:
        made = load(text, source="fuzz")
    except SpecInvalid as refused:
        assert refused.problems  # noqa: PT017 - both outcomes are right, no other error is
    else:
        assert made.templates


@settings(deadline=None)
@given(st.text())
def test_any_text_loads_or_is_refused(text: str) -> None:
    load_or_refuse(text)


@given(st.binary(max_size=60), st.integers(0, 3000), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_damaged_document_loads_or_is_refused(noise: bytes, start: int, length: int) -> None:
    text = DNA.read_text()
    load_or_refuse(text[:start] + noise.decode("latin-1") + text[start + length :])


@given(JSON, st.sampled_from(["fields", "templates", "roots", "defaults", "f", "t", "show"]))
@settings(max_examples=150, deadline=None)
def test_any_json_in_any_place_loads_or_is_refused(value: Any, place: str) -> None:
    made = document({"t": "{f}/x"}, {"f": {"type": "str"}}, defaults={})
    target = {"f": made["fields"], "t": made["templates"]}.get(place, made)
    target[place] = value
    load_or_refuse(json.dumps(made))


@given(st.text("abc01.[]()|+*?{},\\dws-^$/", max_size=24))
@settings(max_examples=300, deadline=None)
def test_any_pattern_loads_or_is_refused(pattern: str) -> None:
    load_or_refuse(json.dumps(field(type="str", pattern=pattern)))
