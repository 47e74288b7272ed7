"""parse(format(x)) gives x back: for every field type, and for whole templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument, NoTemplate, SpecInvalid
from shotfs.pathspec import Specification, load, regex

from .documents import dna, document, spec

SAFE = st.text("abcXYZ019_-", min_size=1, max_size=12)
FIELD_TYPES: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
    ({"type": "str"}, SAFE),
    ({"type": "str", "pattern": "[a-z]{2}[0-9]+"}, st.from_regex("[a-z]{2}[0-9]+", fullmatch=True)),
    ({"type": "str", "pattern": "[^.]+"}, st.text("aé漢 {}%'\"\\", min_size=1, max_size=20)),
    ({"type": "str", "length": {"min": 2, "max": 3}}, st.text("ab_", min_size=2, max_size=3)),
    ({"type": "str", "case": "upper"}, st.text("ABC_1", min_size=1)),
    ({"type": "str", "choices": ["a", "ab", "abc"]}, st.sampled_from(["a", "ab", "abc"])),
    ({"type": "int"}, st.integers(0, 10**14)),
    ({"type": "int", "pad": 4, "min": 3, "max": 99999}, st.integers(3, 99999)),
    ({"type": "enum", "choices": ["beauty", "beauty_a", "x.y"]},
     st.sampled_from(["beauty", "beauty_a", "x.y"])),
    ({"type": "version"}, st.integers(0, 10**9)),
    ({"type": "version", "scheme": "ver-%05d"}, st.integers(0, 10**9)),
    ({"type": "frame", "negative": True}, st.integers(-(10**9), 10**9)),
    ({"type": "frame", "pad": 6}, st.integers(0, 10**9)),
    ({"type": "udim"}, st.integers(1001, 9999)),
    ({"type": "view"}, st.sampled_from(["left", "right"])),
    ({"type": "view", "choices": ["L", "R"]}, st.sampled_from(["L", "R"])),
]  # fmt: skip


@pytest.mark.parametrize(("field", "values"), FIELD_TYPES)
@pytest.mark.parametrize("path", ["d/{f}/x", "pre.{f}.post", "{f}/{f}.x"])
def test_field_reads_back_as_it_was_written(
    field: dict[str, Any], values: st.SearchStrategy[Any], path: str
) -> None:
    made = spec({"t": path}, {"f": field})

    @given(values)
    def check(value: Any) -> None:
        found = made.parse(made.format("t", {"f": value}))
        text = found.fields["f"]
        assert made.format("t", {"f": text}) == found.key
        if isinstance(value, int):
            assert int(text.lstrip("ver").lstrip("-") if "v" in text else text) == value
        else:
            assert text == value

    check()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ({"type": "str"}, ["", "a b", "a.b", "é", "a/b", "a\n"]),
        ({"type": "str", "exclusions": ["tmp"]}, ["tmp"]),
        ({"type": "str", "pattern": "[A-Za-z]+", "case": "upper"}, ["a", "Ab"]),
        ({"type": "str", "pattern": "[a-z]+", "length": {"min": 2, "max": 3}}, ["a", "abcd"]),
        ({"type": "int", "pad": 3}, ["12", "0123", "-12", "1e3", " 12", "٠١٢"]),
        ({"type": "int", "min": 5, "max": 7}, ["4", "8"]),
        ({"type": "version"}, ["v12", "V012", "012", "v0012"]),
        ({"type": "frame"}, ["-0001", "001", "1001.5"]),
        ({"type": "udim"}, ["1000", "0999", "10001"]),
        ({"type": "view"}, ["middle"]),
        ({"type": "enum", "choices": ["ab"]}, ["a", "abb"]),
    ],
)
def test_text_that_the_field_does_not_allow_is_refused(
    field: dict[str, Any], wrong: list[str]
) -> None:
    made = spec({"t": "d/{f}/x"}, {"f": field})
    for text in wrong:
        assert made.resolve(f"d/{text}/x") is None
        with pytest.raises(InvalidArgument):
            made.format("t", {"f": text})


def test_number_that_is_not_strict_reads_with_any_padding() -> None:
    made = spec({"t": "{f}.x"}, {"f": {"type": "int", "pad": 3, "strict": False}})
    assert [made.parse(f"{text}.x").fields["f"] for text in ("7", "0007")] == ["7", "0007"]
    assert made.format("t", {"f": 7}) == "007.x"


@given(
    seq=st.from_regex("[a-z]{2}", fullmatch=True),
    numbers=st.lists(st.integers(0, 5000), min_size=5, max_size=5),
    act=st.integers(1, 9),
    layer=st.sampled_from(["beauty", "shadow", "matte"]),
)
def test_dna_path_reads_back(seq: str, numbers: list[int], act: int, layer: str) -> None:
    made = dna()
    scene, cut, take, version, frame = numbers
    parts = {"seq": seq, "act": act, "scene": scene, "cut": cut, "take": take}
    fields = {**parts, "version": version, "layer": layer, "frame": frame}
    path = made.format("frames", fields)
    found = made.parse(path)
    assert found.template.name == "frames"
    numbered = {name: value for name, value in fields.items() if isinstance(value, int)}
    assert {name: int(found.fields[name].lstrip("v")) for name in numbered} == numbered
    assert made.format("frames", found.fields) == path


PATTERNS = ["[a-z]+", "[a-z]{2}", "[a-z_]+", "[0-9]+", "a|ab", "(ab)*c", "[^_.]+", "[A-Za-z0-9_-]+"]


@given(
    patterns=st.lists(st.sampled_from(PATTERNS), min_size=2, max_size=3),
    joints=st.lists(st.sampled_from(["", "_", ".", "-", "x"]), min_size=2, max_size=2),
    data=st.data(),
)
def test_element_that_loads_reads_back_every_text(
    patterns: list[str], joints: list[str], data: st.DataObject
) -> None:
    fields = {
        name: {"type": "str", "pattern": one} for name, one in zip("abc", patterns, strict=False)
    }
    path = "{a}" + "".join(
        joint + f"{{{name}}}" for name, joint in zip(list(fields)[1:], joints, strict=False)
    )
    try:
        made: Specification = load(json.dumps(document({"t": path}, fields)), source="t")
    except SpecInvalid:
        assume(False)
        raise
    values = {
        name: data.draw(st.from_regex(one, fullmatch=True).filter(lambda text: len(text) < 50))
        for name, one in zip(fields, patterns, strict=True)
    }
    assume(all("/" not in text and "\0" not in text and text.isascii() for text in values.values()))
    assume("".join(values.values()).isprintable())
    written = made.format("t", values)
    assert made.parse(written).fields == values


def test_element_that_could_be_cut_in_two_ways_is_refused_with_an_example() -> None:
    fields = {"a": {"type": "str"}, "b": {"type": "str"}}
    with pytest.raises(SpecInvalid, match=r"ambiguous: 'a_*[a_-]*' can be cut") as caught:
        spec({"t": "{a}_{b}"}, fields)
    assert caught.value.problems[0].where == "/templates/t/path"
    # The same fields are fine where what stands between them cannot be in either.
    assert spec({"t": "{a}.{b}"}, fields).parse("x_y.z_w").fields == {"a": "x_y", "b": "z_w"}
    # Or where the second can only be read from the end.
    fields["b"] = {"type": "version"}
    assert spec({"t": "{a}_{b}"}, fields).parse("x_v001_v002").fields["a"] == "x_v001"


def test_format_names_missing_unknown_and_wrong_fields() -> None:
    made = dna()
    with pytest.raises(InvalidArgument, match="no template") as caught:
        made.format("frame", {})
    assert caught.value.fix == 'write "frames"'
    with pytest.raises(InvalidArgument, match='needs the field "seq"'):
        made.format("frames", {"version": 1, "layer": "beauty", "frame": 1})
    with pytest.raises(InvalidArgument, match='no field "lyer"') as caught:
        made.format("frames", {"lyer": "beauty"})
    assert caught.value.fix == 'write "layer"'
    with pytest.raises(InvalidArgument, match="does not match"):
        made.format("frames", {"shot": "nope", "version": 1, "layer": "beauty", "frame": 1})


def test_format_refuses_a_compound_that_contradicts_its_parts() -> None:
    made = spec(
        {"t": "{pair}.{a}"},
        {"a": {"type": "int"}, "pair": {"type": "compound", "format": "{a}-{a}"}},
    )
    assert made.format("t", {"a": 1}) == "1-1.1"
    with pytest.raises(
        InvalidArgument, match=r"field \"a\" is '2' and, in \"pair\", '1'"
    ) as caught:
        made.format("t", {"pair": "1-1", "a": 2})
    assert caught.value.fix == 'leave "a" out, or give another "pair"'


def test_compound_given_whole_gives_its_parts_too() -> None:
    fields = {
        "seq": {"type": "str", "pattern": "[a-z]{2}"},
        "number": {"type": "int", "pad": 3},
        "shot": {"type": "compound", "format": "{seq}{number}"},
        "take": {"type": "compound", "format": "{shot}-{number}"},
    }
    made = spec({"t": "{seq}/{number}/{shot}[_{take}]"}, fields)
    assert made.format("t", {"shot": "ab010"}) == "ab/010/ab010"
    assert made.format("t", {"take": "ab010-010"}) == "ab/010/ab010_ab010-010"
    assert made.format("t", {"shot": "ab010", "seq": "ab"}) == "ab/010/ab010"
    with pytest.raises(InvalidArgument, match=r"cannot be 'ab10': it does not match \{seq\}"):
        made.format("t", {"shot": "ab10"})
    with pytest.raises(InvalidArgument, match="in \"take\", 'ab011'"):
        made.format("t", {"shot": "ab010", "take": "ab011-011"})


def test_parse_of_an_impossible_path_names_the_nearest_template() -> None:
    with pytest.raises(NoTemplate, match="no template can produce") as caught:
        dna().parse("render/xy_1_1OO_030_00_v005/beauty/x")
    assert caught.value.fix is not None
    assert "frames" in caught.value.fix
    assert "'1OO_030_00_v005'" in caught.value.fix


@given(
    st.sampled_from(["[a-c]+x?", "(a|b)c{2,3}", r"\d{2}[^0-9]", r"[\w.-]+", "a(b(c|d))?"]),
    st.data(),
)
def test_rendered_pattern_matches_what_python_matches(pattern: str, data: st.DataObject) -> None:
    import re

    text = data.draw(st.text("abcd01x._-", max_size=8))
    ours = re.compile(regex.render(regex.parse(pattern)), re.ASCII).fullmatch(text)
    theirs = re.compile(pattern, re.ASCII).fullmatch(text)
    assert (ours is None) == (theirs is None)
