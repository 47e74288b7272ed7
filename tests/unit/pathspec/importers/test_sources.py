"""Sources that are broken or hostile end with an error that has the line, soon."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import ImportInvalid
from shotfs.pathspec.importers import convert
from shotfs.pathspec.importers.source import (
    SOURCE_BYTES_MAX,
    VALUES_MAX,
    Value,
    read_json_source,
    read_source,
)

from .imports import refused

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
MERGES = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\n" + "".join(
    f"m{i}: {{<<: *a}}\n" for i in range(VALUES_MAX // 1000 + 1)
)  # fmt: skip


def plain(value: Value) -> Any:
    """The values alone, without their places."""
    if isinstance(value.value, dict):
        return {name: plain(member) for name, member in value.value.items()}
    if isinstance(value.value, list):
        return [plain(item) for item in value.value]
    return value.value


def test_yaml_is_read_with_the_place_of_each_value() -> None:
    top = read_source("a: 1\nb:\n  - x\n  - {c: 'y', d: null, e: 03, f: 2026-01-02}\n", "s.yml")
    assert plain(top) == {"a": 1, "b": ["x", {"c": "y", "d": None, "e": 3, "f": "2026-01-02"}]}
    assert isinstance(top.value, dict)
    assert (top.value["b"].line, top.value["b"].column) == (2, 1)


def test_aliases_share_and_merge_keys_yield_to_own_ones() -> None:
    top = read_source("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n", "s.yml")
    assert plain(top) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def test_alias_bomb_costs_no_more_than_its_text() -> None:
    started = time.process_time()
    top = read_source(BOMB, "s.yml")
    assert isinstance(top.value, dict)
    assert len(top.value) == 13
    with pytest.raises(ImportInvalid):
        convert("tk-core", "paths:\n  t: *x\n" + BOMB, source="s.yml")
    assert time.process_time() - started < 5


REFUSED = [
    ("a: [1, 2\nb: 3", 2, "not YAML"),
    ("a: b: c", 1, "not YAML"),
    ("a: !!python/object/apply:os.system ['true']", 1, "the tag"),
    ("a: !thing x", 1, "the tag !thing"),
    ("a: &a [*a]", 1, "contains itself"),
    ("a: *b", 1, "is not defined above"),
    ("a: 1\n---\nb: 2", 2, "more than one document"),
    ("", None, "is empty"),
    ("a: \x07", None, "not YAML"),
    ('a: "\\ud800"', 1, "surrogate"),
    ("a: 1\nb: \udcff", 2, "not UTF-8"),
    ("[" * 200, 1, "nested deeper"),
    ("a: {" * 200, 1, "nested deeper"),
    ("? [a, b]\n: c", 1, "cannot be a list"),
    ("a: {<<: [1]}", 1, "merges mappings only"),
    (f"a: {'9' * 400}", 1, "a number of more than"),
    ("a: " + "x" * SOURCE_BYTES_MAX, None, "larger than"),
    (MERGES, None, "values"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED, ids=lambda one: str(one)[:30])
def test_broken_or_hostile_yaml_is_refused(text: str, line: int | None, message: str) -> None:
    with pytest.raises(ImportInvalid, match=re.escape(message)) as caught:
        read_source(text, "s.yml")
    assert caught.value.problems[0].line == line


def test_json_is_read_before_yaml_and_its_error_is_the_one_shown() -> None:
    assert plain(read_source('{\t"a": [1, "x"]}', "s.json")) == {"a": [1, "x"]}
    assert plain(read_source("{a: 1}", "s.yml")) == {"a": 1}
    with pytest.raises(ImportInvalid, match="not JSON"):
        read_source('{"a": 1', "s.json")
    with pytest.raises(ImportInvalid, match="not JSON"):
        read_json_source("a: 1", "s.json")


@given(st.text("ab:{}[]-&*!<>?,'\"\n #|%@`\\09~\t", max_size=60))
@settings(max_examples=400, deadline=None)
def test_no_text_crashes_the_reader(text: str) -> None:
    assert len(refused("tk-core", text)) < 5


KEYS = st.fixed_dictionaries(
    {"type": st.sampled_from(["str", "int", "sequence", "timestamp", "float"])},
    optional={
        "choices": st.one_of(st.lists(st.sampled_from(["a", "1", "%V", "", "/"]), max_size=3),
                             st.just({"a": "A"}), st.just("a")),
        "filter_by": st.sampled_from(["alpha", "alphanumeric", "^a+$", "(", "a*", "[^/]+"]),
        "format_spec": st.sampled_from(["03", "3", "01", "x", "%Y", "%Y-%m", 3, "0" + "9" * 50]),
        "strict_matching": st.sampled_from([True, False, "x"]),
        "length": st.sampled_from([1, 3, 300, "x", -1]),
        "exclusions": st.lists(st.sampled_from(["a", "b", 0, 7]), max_size=2),
        "default": st.sampled_from(["a", 1, "<UDIM>", "%V"]),
        "alias": st.sampled_from(["a", "version", "ü"]),
        "abstract": st.booleans(),
    },
)  # fmt: skip
PIECES = st.sampled_from(
    ["{a}", "{b}", "{c.d}", "/", "_", ".", "x", "v", "[", "]", "@t", "@@", "@"]
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c.d", "version"]), KEYS, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["t", "u", "t2"]),
                    st.lists(PIECES, max_size=9).map("".join), max_size=3),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_templates_yml_crashes_the_importer(keys: dict[str, Any], paths: dict[str, str]) -> None:
    text = yaml.safe_dump({"keys": keys, "paths": paths})
    problems = refused("tk-core", text)
    assert all(one.message and one.where for one in problems)
    if not problems:
        document, report = convert("tk-core", text, source="templates.yml", show="ant")
        assert document["templates"] or report.findings
        assert all(one.line is not None or one.where == "/" for one in report.findings)
