"""What lucidity parses, the imported pattern accepts.

`parses` says what lucidity does, written from its documentation: a pattern becomes one regular
expression, its default anchor is the start. Where ours accepts less, the report must say so.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import ImportInvalid
from shotfs.pathspec.importers import Severity, convert

from .imports import accepts, imported, lucidity, refused, said

DIFFERENT = (Severity.LOST, Severity.NARROWED, Severity.WIDENED)


def parses(pattern: str, path: str) -> bool:
    """Whether lucidity, anchored at both ends and in strict mode, parses *path*."""
    expression, seen = "", set()
    for piece in re.split(r"(\{(?:\\.|[^{}\\])*\})", pattern):
        if not piece.startswith("{"):
            expression += re.escape(piece)
            continue
        name, _, own = piece[1:-1].partition(":")
        group = name.replace(".", "_")
        own = own.replace(r"\{", "{").replace(r"\}", "}") or r"[\w_.\-]+"
        expression += f"(?P={group})" if group in seen else f"(?P<{group}>{own})"
        seen.add(group)
    return re.fullmatch(expression, path, re.ASCII) is not None


# pattern, paths to try, what the report says beside names and guesses
PATTERNS: list[tuple[str, list[str], list[Severity]]] = [
    ("d/{job.code}/x.ma", ["d/ant/x.ma", "d/a-b_c.d/x.ma", "d/a b/x.ma", "d//x.ma"], []),
    (
        r"d/{name}.{version:v\d\{3\}}.ma",
        ["d/a.v001.ma", "d/a.b.v001.ma", "d/a.v1.ma", "d/a.v0001.ma"],
        [],
    ),
    (r"d/{name}.{ext:(ma|mb)}", ["d/a.ma", "d/a.mb", "d/a.mc", "d/a.b.ma"], []),
    (r"d/{name:[a-z]+?}.{n:\d+}", ["d/a.1", "d/A.1", "d/ab.0012", "d/ab."], []),
    (r"d/{name:(?P<x>a|b)+}.ma", ["d/ab.ma", "d/c.ma"], []),
    (r"d/{a}/{a}.ma", ["d/x/x.ma", "d/x/y.ma"], []),
    (r"d/{a}-{b:[a-z]*}.ma", ["d/x-y.ma", "d/x-Y.ma"], [Severity.NARROWED]),
    (r"d/{a:[^_]+}_{b:[^.]+}.ma", ["d/x_y.ma", "d/x_y_z.ma", "d/x.ma"], [Severity.NARROWED] * 2),
    (r"d/{rest:.+}", ["d/a", "d/a/b/c.exr", "d"], []),
    (r"d/{a:\w+(?=x)x}.ma", [], [Severity.WIDENED]),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "paths", "told"), PATTERNS, ids=lambda one: str(one)[:40])
def test_pattern_accepts_the_paths_that_lucidity_parses(
    pattern: str, paths: list[str], told: list[Severity]
) -> None:
    strict = {"pattern": pattern, "anchor": "both", "duplicate_placeholder_mode": "strict"}
    specification, report = lucidity({"t": strict})
    assert [accepts(specification, one) for one in paths] == [parses(pattern, one) for one in paths]
    assert [one.severity for one in report.findings if one.severity in DIFFERENT] == told


@given(
    st.lists(st.sampled_from(["{a}", "{b}", "{c:[a-z]+}", "_", ".", "/", "x", "v{d:\\d+}"]),
             min_size=1, max_size=7),
    st.lists(st.sampled_from(["a", "b_c", "_", ".", "/", "x", "v12", "9"]), max_size=9),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_imported_pattern_accepts_nothing_that_lucidity_refuses(
    pieces: list[str], names: list[str]
) -> None:
    pattern, path = "d/" + "".join(pieces) + ".ma", "d/" + "".join(names) + ".ma"
    made, report = convert(
        "lucidity", f"t: '{pattern}'", source="patterns.yml", show="ant", roots={"main": "gs://a/b"}
    )
    if report.mistakes:
        return  # told; nothing is accepted before a person decides
    specification, _ = imported("lucidity", f"t: '{pattern}'", roots={"main": "gs://a/b"})
    if accepts(specification, path):
        normal = re.sub(r"/(\.?/)+", "/", pattern)  # no path has such elements
        assert parses(normal, path), made["templates"]
    elif parses(pattern, path) and "//" not in pattern:
        assert any(one.severity is Severity.NARROWED for one in report.findings)


def test_list_of_constructors_is_read_without_running_it() -> None:
    text = (
        "- Template('job', '/jobs/{job}')\n"
        "- lucidity.Template(name='shot', pattern='{@job}/shots/{shot:\\d+}',"
        " anchor=lucidity.Template.ANCHOR_BOTH, template_resolver=resolver)\n"
        "- [file, '{@shot}/{name}.ma']\n"
        "- {name: other, pattern: '{@shot}/x/{name}.mb', duplicate_placeholder_mode: 2}\n"
    )
    specification, report = imported("lucidity", text, roots={"main": "gs://a/b"})
    assert accepts(specification, "jobs/ant/shots/010/a.ma")
    assert not accepts(specification, "jobs/ant/shots/xyz/a.ma")
    assert specification.templates["file"].pattern == "{@shot}/{name}.ma"
    assert said(report, Severity.GUESSED) == ["/0", "/0", "/1"]


def test_first_of_two_patterns_counts_as_in_lucidity() -> None:
    specification, report = lucidity([["any", "d/{name}.ma"], ["main", "d/main.{ext:[a-z]+}"]])
    resolution = specification.resolve("d/main.ma")
    assert resolution is not None
    assert resolution.template.name == "any"
    assert "'d/main.ma'" in report.findings[-1].what


def test_relaxed_duplicates_and_open_beginnings_are_told() -> None:
    _, report = lucidity(
        {
            "t": {"pattern": "d/{a}/{a}.ma", "anchor": "end"},
            "u": {"pattern": "e/{a}.ma", "anchor": None},
        }
    )
    assert said(report, Severity.NARROWED) == ["/t", "/t", "/u"]


def test_one_placeholder_with_two_expressions_is_two_fields() -> None:
    specification, report = lucidity({"t": r"d/{n:\d+}.ma", "u": "e/{n:[a-z]+}.ma"})
    assert [accepts(specification, one) for one in ("d/1.ma", "d/a.ma", "e/a.ma", "e/1.ma")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert said(report, Severity.RENAMED) == ["/u"]


def test_reference_that_begins_with_a_slash_is_joined_as_text() -> None:
    specification, _ = lucidity({"sub": "/x/{a}", "t": "d{@sub}.ma", "u": "{@sub}/f.mb"})
    assert accepts(specification, "d/x/1.ma")
    assert accepts(specification, "x/1/f.mb")


MISTAKES = [
    ("t: 'd/{a'", 1, '"{" without "}"'),
    ("t: 'd/{}'", 1, "is no placeholder"),
    ("t: 'd/{a-b}'", 1, "is no placeholder"),
    ("x: 'a/b'\nt: '{@u}/a'", 2, 'unknown pattern "u"'),
    ("t: '{@u}/a'\nu: '{@t}/b'", 2, "refers to itself"),
    ("t: 1", 1, "cannot be a number"),
    ("- print('a')", 1, "must be a constructor"),
    ("- Template('a', 'b/c', color=1)", 1, "no option"),
    ("- [a]", 1, "[name, pattern]"),
    ("t: {pattern: x/y, anchor: middle}", 1, "is none of start, end, both"),
    ("- [a, x/y]\n- [a, x/z]", 2, "stands above"),
    ("{}", None, "holds no pattern"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES)
def test_mistake_of_the_source_is_refused_with_its_line(
    text: str, line: int | None, message: str
) -> None:
    with pytest.raises(ImportInvalid) as caught:
        convert("lucidity", text, source="patterns.yml")
    assert message in str(caught.value)
    if line is not None:
        assert caught.value.problems[0].line == line


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("{}@:ab/\\[].*(", max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=3),
                            st.dictionaries(st.sampled_from(["name", "pattern", "t", "u"]), inner,
                                            max_size=3)),
    max_leaves=8,
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_source_crashes_the_importer(value: Any) -> None:
    problems = refused("lucidity", json.dumps(value))
    assert all(one.message and one.where for one in problems)
