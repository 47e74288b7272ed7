"""What tk-core accepts, the imported template accepts, and refuses what it refuses.

The expectations were taken from tk-core's templatekey.py, template_path_parser.py and
template_includes.py by reading; where ours differs on purpose, the report must say it.
"""

from __future__ import annotations

from typing import Any

import pytest

from shotfs.errors import ImportInvalid
from shotfs.pathspec.importers import Severity, convert

from .imports import ROOTS, accepts, said, tk_core

DIFFERENT = (Severity.LOST, Severity.NARROWED, Severity.WIDENED)

# key, texts that tk-core reads with it, texts that it refuses, what the report says
KEYS: list[tuple[dict[str, Any], list[str], list[str], list[Severity]]] = [
    ({"type": "str"}, ["a", "A b", "x.y_z-1", "ü"], [], []),
    ({"type": "str", "filter_by": "alphanumeric"}, ["a", "Ab9"], ["a_b", "a-b", "a b"], []),
    ({"type": "str", "filter_by": "alpha"}, ["a", "Ab"], ["a9", "a_b"], []),
    ({"type": "str", "filter_by": "^[a-z]{2}[0-9]+$"}, ["ab1", "xy123"], ["a1", "ab", "ab1x"], []),
    # an expression without an end matches the beginning only
    ({"type": "str", "filter_by": "[a-z]{2}"}, ["ab", "abX9"], ["a", "Ab"], []),
    ({"type": "str", "filter_by": "(?P<one>[a-z]+?)$"}, ["ab"], ["a1"], []),
    ({"type": "str", "filter_by": "(?=a).*$"}, ["ab"], [], [Severity.WIDENED]),
    ({"type": "str", "choices": ["ma", "mb"]}, ["ma", "mb"], ["mc"], []),
    ({"type": "str", "choices": {"ma": "Ascii", "mb": "Binary"}}, ["ma"], ["Ascii"], []),
    ({"type": "str", "choices": ["a", "b"], "exclusions": ["B"]}, ["a"], ["b"], []),
    ({"type": "str", "exclusions": ["Seq", "Shot"]}, ["xy"], ["Seq", "Shot"], []),
    ({"type": "str", "length": 3}, ["abc", "a_c"], ["ab", "abcd"], []),
    ({"type": "str", "length": 3, "filter_by": "alpha"}, ["abc"], ["ab", "ab1"], []),
    ({"type": "str", "length": 3, "filter_by": "^a[0-9]*$"}, ["a12"], ["a1", "b12"], []),
    ({"type": "str", "default": "main"}, ["main", "x"], [], [Severity.LOST]),
    ({"type": "str", "subset": "([A-Z])[a-z]* .*"}, ["J"], [], [Severity.LOST]),
    ({"type": "int"}, ["1", "0", "0012", "100"], ["x", "-1", "1.5"], []),
    ({"type": "int", "format_spec": "03"}, ["001", "000", "1000"], ["1", "01", "0001"], []),
    (
        {"type": "int", "format_spec": "03", "strict_matching": False},
        ["1", "001", "0001"],
        ["x"],
        [],
    ),
    ({"type": "int", "format_spec": "3"}, ["  1", " 12", "123", "1234"], ["1", " 1", "001"],
     [Severity.LOST]),
    ({"type": "int", "format_spec": "01"}, ["0", "7", "10"], ["00", "07"], []),
    ({"type": "int", "format_spec": "03", "length": 3}, ["001", "999"], ["1000", "01"], []),
    ({"type": "int", "format_spec": "03", "length": 4}, ["1000"], ["001", "0001"], []),
    ({"type": "int", "length": 4}, ["0001", "1234"], ["1", "12345"], []),
    ({"type": "int", "format_spec": "02", "choices": [1, 12]}, ["12"], ["2", "13"],
     [Severity.WIDENED]),
    # tk-core excludes the text 0, and reads 000
    ({"type": "int", "exclusions": [0]}, ["1", "10"], ["0"], [Severity.NARROWED]),
    ({"type": "int", "format_spec": "01", "exclusions": [0]}, ["1", "10"], ["0"], []),
    ({"type": "int", "exclusions": [7]}, ["1"], ["x"], [Severity.WIDENED]),
    ({"type": "sequence", "format_spec": "04"}, ["1001", "7", "0007", "12345"], ["x", "-1"], []),
    ({"type": "sequence"}, ["1", "1001"], ["x"], []),
    ({"type": "sequence", "default": "<UDIM>"}, ["1001", "1911"], ["x"], []),
    ({"type": "timestamp"}, ["2015-06-24-21-20-30"], ["2015-13-24-21-20-30", "now"], []),
    ({"type": "timestamp", "format_spec": "%Y%m%d"}, ["20150624"], ["20150231", "2015"], []),
    ({"type": "timestamp", "format_spec": "%b%d"}, ["Jun24"], [], [Severity.WIDENED]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "accepted", "refused", "told"), KEYS, ids=lambda one: str(one)[:60]
)
def test_key_accepts_the_texts_that_tk_core_reads(
    key: dict[str, Any], accepted: list[str], refused: list[str], told: list[Severity]
) -> None:
    specification, report = tk_core({"key": key}, {"t": "d/{key}"} | {"f": "e/{key}.x"})
    assert [one for one in accepted if not accepts(specification, f"e/{one}.x")] == []
    assert [one for one in refused if accepts(specification, f"e/{one}.x")] == []
    found = [one.severity for one in report.findings if one.severity in DIFFERENT]
    assert found == told
    assert report.complete is not bool({Severity.LOST, Severity.NARROWED} & set(told))


SHOT = {
    "Sequence": {"type": "str"},
    "Shot": {"type": "str"},
    "Step": {"type": "str"},
    "name": {"type": "str", "filter_by": "alphanumeric"},
    "version": {"type": "int", "format_spec": "03"},
    "SEQ": {"type": "sequence", "format_spec": "04"},
    "output": {"type": "str", "alias": "out"},
    "eye": {"type": "str", "choices": ["left", "right", "%V"], "default": "%V"},
}

# definition, paths that tk-core accepts, paths that it refuses
PATHS: list[tuple[str, list[str], list[str]]] = [
    (
        "shots/{Shot}/{name}.v{version}.ma",
        ["shots/s_01/main.v001.ma", "shots/a b/x.v1000.ma"],
        ["shots/s_01/main.v1.ma", "shots/s_01/ma_in.v001.ma", "shots/s/t/main.v001.ma"],
    ),
    (
        "shots/{Shot}/{Shot}_{name}_v{version}.{SEQ}.exr",
        ["shots/s_01/s_01_main_v001.1001.exr", "shots/s/s_main_v001.7.exr"],
        ["shots/s_01/s_02_main_v001.1001.exr", "shots/s/s_main_v001.%04d.exr"],
    ),
    ("d/{name}[_{eye}].exr", ["d/a.exr", "d/a_left.exr"], ["d/a_up.exr", "d/a_.exr"]),
    ("d/{name}[/{eye}]/x.exr", ["d/a/x.exr", "d/a/right/x.exr"], ["d/a/b/x.exr"]),
    ("d/[{name}]/x.exr", ["d/x.exr", "d/a/x.exr"], ["d//x.exr", "d/a/b/x.exr"]),
    ("d/{name}@@2x.png", ["d/a@2x.png"], ["d/a@@2x.png"]),
    ("./d//{name}.png", ["d/a.png"], ["d//a.png"]),
    (
        "d/{name}[.{eye}][.v{version}][-{SEQ}][+{Step}]+[{Sequence}]x.png",
        ["d/a+x.png", "d/a.left.v001-7+s+qx.png", "d/a.v001+qx.png"],
        ["d/a.v1+x.png"],
    ),
]


@pytest.mark.parametrize(
    ("definition", "accepted", "refused"), PATHS, ids=lambda one: str(one)[:50]
)
def test_template_accepts_the_paths_that_tk_core_accepts(
    definition: str, accepted: list[str], refused: list[str]
) -> None:
    specification, _ = tk_core(SHOT, {"t": definition})
    assert [one for one in accepted if not accepts(specification, one)] == []
    assert [one for one in refused if accepts(specification, one)] == []


def test_references_take_the_longest_name_and_stay_references() -> None:
    specification, _ = tk_core(
        SHOT,
        {
            "shot": "wrong/{Shot}",
            "shot_root": {"definition": "shots/{Shot}/{Step}", "root_name": "primary"},
            "work": "@shot_root/work/{name}.ma",
            "twice": "@shot_root_old/{name}.ma",
        },
    )
    assert accepts(specification, "shots/a/anim/work/x.ma")
    assert accepts(specification, "shots/a/anim_old/x.ma")
    assert specification.templates["work"].pattern.startswith("{@shot_root}/")


def test_version_takes_the_letter_before_it_and_is_a_version() -> None:
    specification, report = tk_core(SHOT, {"t": "d/{name}.v{version}.ma", "u": "e/v{version}/x.ma"})
    assert specification.fields["version"].kind == "version"
    assert specification.format("u", {"version": "v007"}) == "e/v007/x.ma"
    assert "/keys/version" in said(report, Severity.RENAMED)


def test_version_keeps_its_letter_where_the_paths_differ() -> None:
    specification, _ = tk_core(SHOT, {"t": "d/{name}.v{version}.ma", "u": "e/r{version}/x.ma"})
    assert specification.format("u", {"version": 7}) == "e/r007/x.ma"


def test_area_with_files_below_is_kept_to_be_referred_to() -> None:
    specification, report = tk_core(
        SHOT, {"area": "d/{Shot}/work", "file": "d/{Shot}/work/{name}.ma", "alone": "e/{Shot}/pub"}
    )
    assert not accepts(specification, "d/a/work")
    assert accepts(specification, "d/a/work/x.ma")
    assert accepts(specification, "e/a/pub/any/thing.abc")
    assert said(report, Severity.GUESSED)[1:] == ["/paths/area", "/paths/alone"]


def test_view_is_guessed_from_its_token() -> None:
    specification, report = tk_core(SHOT, {"t": "d/{eye}.exr"})
    assert specification.fields["eye"].kind == "view"
    assert said(report, Severity.GUESSED) == ["/keys/eye/choices"]


def test_names_that_could_be_read_in_two_ways_are_narrowed_in_their_template_only() -> None:
    keys = SHOT | {"note": {"type": "str"}}
    specification, report = tk_core(keys, {"t": "d/{Shot}/{Shot}_{note}.txt", "u": "e/{note}.txt"})
    assert accepts(specification, "d/s_01/s_01_hello.txt")
    assert accepts(specification, "e/with_underscore.txt")
    assert not accepts(specification, "d/s_01/s_01_with_underscore.txt")
    assert said(report, Severity.NARROWED) == ["/paths/t"]
    assert not report.complete


def test_overlap_is_settled_and_told_with_a_path() -> None:
    specification, report = tk_core(
        {"a": {"type": "str"}}, {"free": "d/{a}.ma", "fixed": "d/scene_{a}.ma"}
    )
    resolution = specification.resolve("d/scene_1.ma")
    assert resolution is not None
    assert resolution.template.name == "fixed"
    told = [one.what for one in report.findings if one.severity is Severity.GUESSED]
    assert len(told) == 1
    assert "'d/scene_a.ma'" in told[0]


def test_two_keys_of_one_name_become_two_fields() -> None:
    keys = {
        "version": {"type": "int", "format_spec": "03"},
        "version_four": {"type": "int", "format_spec": "04", "alias": "version"},
        "nuke.output": {"type": "str", "alias": "output"},
    }
    specification, report = tk_core(
        keys, {"t": "a/v{version}.ma", "u": "b/v{version_four}.ma", "w": "c/{nuke.output}.ma"}
    )
    assert set(specification.fields) == {"version", "version_four", "output"}
    assert "/keys/version_four" in said(report, Severity.RENAMED)


def test_same_path_at_two_roots_is_lost_and_told() -> None:
    paths = {
        "one": {"definition": "d/{Shot}.ma", "root_name": "primary"},
        "two": {"definition": "d/{Shot}.ma", "root_name": "second"},
        "three": {"definition": "e/{Shot}.ma", "root_name": "second"},
    }
    specification, report = tk_core(SHOT, paths)
    assert list(specification.templates) == ["one", "three"]
    assert specification.templates["three"].policy.origin == "https://second.invalid/ant"
    assert said(report, Severity.LOST) == ["/paths/two"]


def test_strings_and_unknown_sections_are_told() -> None:
    _, report = tk_core(
        SHOT, {"t": "d/{Shot}.ma"}, strings={"s": "{Shot} v{version}"}, extra={"x": 1}
    )
    assert said(report, Severity.LOST) == ["/strings/s", "/extra"]


def test_included_documents_come_before_their_includer() -> None:
    documents = {
        "core/more.yml": "include: deep/keys.yml\npaths: {t: 'x/{Shot}.ma', u: 'u/{Shot}.ma'}\n",
        "core/deep/keys.yml": "keys: {Shot: {type: int}}\n",
    }
    text = (
        "includes: [more.yml, $HOME/own.yml]\n"
        "keys: {Shot: {type: str}}\n"
        "paths: {t: 'd/{Shot}.ma'}\n"
    )
    document, report = convert(
        "tk-core", text, source="core/templates.yml", show="ant", roots=ROOTS, documents=documents
    )
    assert report.mistakes == ()
    assert document["fields"] == {"shot": {"type": "str", "pattern": ".+"}}
    assert document["templates"]["t"] == {"path": "d/{shot}.ma"}
    assert document["templates"]["u"] == {"path": "u/{shot}.ma"}
    assert said(report, Severity.LOST) == ["/includes"]


def test_keys_side_by_side_are_told() -> None:
    keys = {"a": {"type": "int", "format_spec": "03"}, "b": {"type": "str", "filter_by": "alpha"}}
    specification, report = tk_core(keys, {"t": "d/{a}{b}.ma", "u": "d/{b}[_{a}].ma"})
    assert accepts(specification, "d/001x.ma")
    assert said(report, Severity.GUESSED) == ["/paths/t"]


MISTAKES = [
    ("keys: {a: {type: foo}}\npaths: {t: 'd/{a}'}", 1, 'unknown type "foo"'),
    ("keys:\n  a: {type: str}\n  b:\n    tpye: str\npaths: {t: 'd/{a}'}", 3, "has no type"),
    ("keys:\n  a:\n    type: str\n    filter: x\npaths: {t: 'd/{a}'}", 4, 'no option "filter"'),
    ("keys:\n  a:\n    type: int\n    format_spec: 03\npaths: {t: 'd/{a}'}", 4, "must be text"),
    ("keys: {a: {type: int, format_spec: '3x'}}\npaths: {t: 'd/{a}'}", 1, "cannot be '3x'"),
    ("keys: {a: {type: str}}\npaths:\n  t: 'd/{b}'", 3, 'unknown key "b"'),
    ("keys: {a: {type: str}}\npaths:\n  t: '@u/{a}'\n  u: '@t/x'", 3, "refers to itself"),
    ("keys: {a: {type: str}}\npaths:\n  t: '@nowhere/{a}'", 3, "unknown template"),
    ("keys: {a: {type: str}}\npaths:\n  t: 'd/{a}]'", 3, "without its other"),
    ("keys: {a: {type: str}}\npaths:\n  t: [1]", 3, "must be text or a mapping"),
    ("keys: {a: {type: str}}\npaths:\n  t: {root_name: x}", 3, "no definition"),
    ("keys: {a: {type: str}}", None, 'no "paths"'),
    ("keys: [a]\npaths: {t: 'd/{a}'}", 1, '"keys" must be a mapping'),
    ("includes: [gone.yml]\npaths: {t: d/x}", 1, "cannot be read"),
    ("just text", None, "must be a mapping"),
    ("keys: {a: {type: str, alias: n}, n: {type: str}}\npaths: {t: 'd/{a}{n}'}", 2, "two keys"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES)
def test_mistake_of_the_source_is_refused_with_its_line(
    text: str, line: int | None, message: str
) -> None:
    with pytest.raises(ImportInvalid) as refused:
        convert("tk-core", text, source="templates.yml")
    assert message in str(refused.value)
    if line is not None:
        assert refused.value.problems[0].line == line
