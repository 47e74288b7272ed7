"""What each type's keys mean, and what is wrong with them."""

# ruff: noqa: DTZ001 - names have no time zone

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec.fields import TYPE_KEYS, FieldValue, Tile, field_schema

from .declare import field, mistakes
from .test_every_kind import KINDS

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    # (declaration, key, part of the message)
    ({"type": "str", "pattern": "[a-z]+", "case": "upper"}, "case", "no text that the pattern"),
    ({"type": "str", "choices": ["a", "B"], "case": "upper"}, "choices", '"a" is not in upper'),
    ({"type": "str", "choices": ["x" * 256]}, "choices", "longer than 255 bytes"),
    ({"type": "str", "exclusions": [str(i) for i in range(10_001)]}, "exclusions", "more than"),
    ({"type": "str", "pattern": "[A-Z]*[a-z]", "case": "upper"}, "case", "no text"),
    ({"type": "str", "pattern": "(ab)+", "length": 3}, "length", "no text that the pattern"),
    ({"type": "str", "pattern": "a{2,9}", "length": 10}, "length", "no text that the pattern"),
    ({"type": "str", "pattern": "a{2}b+", "length": {"max": 2}}, "length", "no text"),
    ({"type": "int", "max": -1}, "max", "no number"),
    ({"type": "int", "min": 10**15}, "min", "must be from"),
    ({"type": "int", "pad": 13}, "pad", "must be from 1 to 12"),
    ({"type": "frame", "max": -1}, "max", "no number"),
    ({"type": "frame", "subframes": 7}, "subframes", "must be from 1 to 6"),
    ({"type": "frame", "subframes": True}, "subframes", "must be a whole number"),
    ({"type": "frame", "subframes": {}}, "subframes", "does not say how many"),
    ({"type": "frame", "subframes": {"digits": 0}}, "subframes/digits", "must be from 1 to 6"),
    ({"type": "frame", "subframes": 1, "max": -1}, "max", "no number"),
    ({"type": "version", "scheme": "v%04x"}, "scheme", "no version scheme"),
    ({"type": "version", "scheme": "a/%04d"}, "scheme", "no version scheme"),
    ({"type": "version", "scheme": "%03d%03d"}, "scheme", "no version scheme"),
    ({"type": "version", "scheme": "v%000d"}, "scheme", "pads to 0"),
    ({"type": "version", "scheme": "v%09999999d"}, "scheme", "no version scheme"),
    ({"type": "version", "scheme": "ULID"}, "scheme", "no version scheme"),
    ({"type": "udim", "style": "mari"}, "style", 'cannot be "mari"'),
    ({"type": "udim", "tiles": {"u": 11}}, "tiles/u", "must be from 1 to 10"),
    ({"type": "udim", "tiles": {"w": 1}}, "tiles/w", 'unknown name "w"'),
    ({"type": "udim", "tiles": 3}, "tiles", "must be an object"),
    ({"type": "udim", "style": "uv0", "tiles": {"v": 1001}}, "tiles/v", "must be from 1 to 1000"),
    ({"type": "view", "form": "tiny"}, "form", 'cannot be "tiny"'),
    ({"type": "view", "form": "short", "choices": ["main"]}, "choices", "has no short name"),
    ({"type": "view", "choices": {"a": {"short": "b"}, "b": ""}}, "choices", "two views"),
    ({"type": "view", "choices": {"a": {"short": "x"}, "b": {"short": "x"}}}, "choices", "two"),
    ({"type": "view", "choices": {"a": {"short": "x/y"}}}, "choices", "a slash"),
    ({"type": "view", "choices": {"a": {"short": 1}}}, "choices/a/short", "must be a string"),
    ({"type": "timestamp", "format": "%Y%b"}, "format", '"%b" is none of'),
    ({"type": "timestamp", "format": "%Y%"}, "format", '"%" is none of'),
    ({"type": "timestamp", "format": "%H%M"}, "format", "leaves a gap"),
    ({"type": "timestamp", "format": "%Y%m%S"}, "format", "leaves a gap"),
    ({"type": "timestamp", "format": "%Y%m%j"}, "format", "leaves a gap"),
    ({"type": "timestamp", "format": "now"}, "format", "leaves a gap"),
    ({"type": "timestamp", "format": "%Y%Y"}, "format", "stands there twice"),
    ({"type": "timestamp", "format": "%Y/%m"}, "format", "a slash"),
    ({"type": "timestamp", "format": "%Y" + "-" * 99}, "format", "longer than 100"),
    ({"type": "timestamp", "format": 3}, "format", "must be a string"),
    ({"type": "uuid", "form": "braces"}, "form", 'cannot be "braces"'),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "key", "message"), MISTAKES)
def test_key_that_cannot_be_is_a_mistake(declared: dict[str, Any], key: str, message: str) -> None:
    (problem,) = mistakes(**declared)
    assert problem.where == f"/fields/f/{key}"
    assert message in problem.message


ACCEPTED: list[tuple[dict[str, Any], FieldValue, str]] = [
    # (declaration, value, its text)
    ({"type": "str", "case": "upper"}, "AB_9", "AB_9"),
    ({"type": "str", "pattern": "(ab)+|c", "length": {"min": 2, "max": 3}}, "ab", "ab"),
    ({"type": "str", "pattern": "(a|bc)+", "length": 255}, "bc" * 127 + "a", "bc" * 127 + "a"),
    ({"type": "str", "pattern": "(a?b){2,3}c*", "length": 7}, "abababc", "abababc"),
    ({"type": "int", "pad": 3}, 7, "007"),
    ({"type": "int", "strict": False, "pad": 3}, 7, "007"),
    ({"type": "version", "scheme": "%04d"}, 12, "0012"),
    ({"type": "frame"}, 1001, "1001"),
    ({"type": "frame", "subframes": 3}, 1001, "1001"),
    ({"type": "frame", "subframes": 3}, Decimal("1001.250"), "1001.25"),
    ({"type": "udim"}, Tile(1, 2), "1022"),
    ({"type": "udim", "style": "uvtile"}, 1022, "u2_v3"),
    ({"type": "udim", "style": "uv0"}, Tile(1, 2), "u1_v2"),
    ({"type": "view"}, "left", "left"),
    ({"type": "view", "form": "short"}, "left", "l"),
    ({"type": "view", "form": "short"}, "l", "l"),
    ({"type": "timestamp"}, datetime(2026, 11, 21, 6, 5, 4), "20261121_060504"),
    ({"type": "timestamp", "format": "%Y-%j"}, datetime(2024, 12, 31), "2024-366"),
    ({"type": "timestamp", "format": "%y%m%d"}, datetime(2069, 1, 2), "690102"),
    ({"type": "uuid"}, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ({"type": "uuid", "form": "hex"}, UUID(int=1), "00000000000000000000000000000001"),
]


@pytest.mark.parametrize(("declared", "value", "text"), ACCEPTED)
def test_value_is_written_like_this(declared: dict[str, Any], value: FieldValue, text: str) -> None:
    assert field(**declared).format(value) == text


REFUSED: list[tuple[dict[str, Any], FieldValue, str]] = [
    # (declaration, value, part of the message)
    ({"type": "str"}, 3, "cannot be 3: it is not text"),
    ({"type": "str", "exclusions": ["tmp"]}, "tmp", "cannot be 'tmp': it is excluded"),
    ({"type": "str", "pattern": "a+", "length": {"min": 2}}, "a", "shorter than 2"),
    ({"type": "str", "pattern": "a+", "length": 2}, "aaa", "longer than 2"),
    ({"type": "str", "case": "lower"}, "A", "not one of its texts"),
    ({"type": "enum", "choices": ["a"]}, "b", "not one of its texts"),
    ({"type": "int"}, Decimal("1.5"), "no whole number"),
    ({"type": "int", "max": 3}, 4, "cannot be 4"),
    ({"type": "int"}, True, "true or false"),
    ({"type": "version"}, "v1", "not one of its texts"),
    ({"type": "version", "scheme": "ulid"}, 1, "are no numbers"),
    ({"type": "frame", "subframes": 2}, Decimal("Infinity"), "no finite number"),
    ({"type": "frame", "subframes": 2, "max": 9}, Decimal("9.5"), "it is over 9"),
    ({"type": "udim"}, Tile(10, 0), "no UDIM number"),
    ({"type": "udim"}, 1000, "go from 1001 to 9999"),
    ({"type": "udim", "tiles": {"u": 3}}, 1004, "not one of its texts"),
    ({"type": "udim", "tiles": {"u": 3, "v": 2}}, 1021, "not one of its texts"),
    ({"type": "udim", "tiles": {"v": 2}}, 1021, "not one of its texts"),
    ({"type": "udim"}, Tile(-1, 1), "no UDIM number"),
    ({"type": "udim"}, Tile(1, -1), "no UDIM number"),
    ({"type": "udim", "style": "uv0"}, 1000, "go from 1001 to 9999"),
    ({"type": "udim", "style": "uv0"}, Decimal(1), "it is no tile"),
    ({"type": "view"}, "middle", "not one of its texts"),
    ({"type": "timestamp"}, "20260230_000000", "is no day of the calendar"),
    ({"type": "timestamp"}, "20250229_000000", "is no day of the calendar"),
    ({"type": "timestamp", "format": "%Y%j"}, "2025366", "is no day of the calendar"),
    ({"type": "timestamp", "format": "%Y%j"}, "9999366", "is no day of the calendar"),
    ({"type": "timestamp"}, "20261321_000000", "not one of its texts"),
    ({"type": "timestamp"}, "00000101_000000", "not one of its texts"),
    ({"type": "timestamp"}, "20261121_235960", "not one of its texts"),
    ({"type": "timestamp"}, datetime(2026, 1, 1, 0, 0, 0, 1), "more exact than the format"),
    ({"type": "timestamp"}, datetime(2026, 1, 1, tzinfo=UTC), "has a time zone"),
    ({"type": "timestamp", "format": "%y"}, datetime(1999, 1, 1), "cannot write"),
    ({"type": "timestamp"}, 3, "it is no time"),
    ({"type": "uuid"}, "00000000-0000-0000-0000-00000000000A", "not one of its texts"),
    ({"type": "uuid"}, 3, "it is no UUID"),
    ({"type": "tree"}, "a//b", "it is empty"),
    ({"type": "tree"}, "a/../b", "is no name"),
    ({"type": "compound", "format": "{a}_"}, "a/b", "a slash"),
]


@pytest.mark.parametrize(("declared", "value", "message"), REFUSED)
def test_value_that_the_field_does_not_have_is_refused(
    declared: dict[str, Any], value: FieldValue, message: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        field(**declared).format(value)
    assert caught.value.message.startswith('field "f" cannot be ')
    assert message in caught.value.message
    assert caught.value.fix == f"give {field(**declared).wants}"


@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024, 2100])
def test_calendar_is_that_of_python(year: int) -> None:
    made = field("timestamp", format="%Y%m%d")
    for month in range(1, 13):
        for day in range(1, 32):
            try:
                expected: datetime | None = datetime(year, month, day)
            except ValueError:
                expected = None
            text = f"{year}{month:02d}{day:02d}"
            assert (made.problem(text) is None) == (expected is not None)
            if expected is not None:
                assert made.parse(text) == expected


def test_case_of_unicode_is_that_of_python() -> None:
    made = field("str", pattern="[^.]{1,3}", case="lower")
    for code in (*range(1, 0x3000), *range(0xA000, 0xD800), *range(0xF900, 0x2_0100)):
        character = chr(code)
        if character not in "/.":
            assert (made.problem(character) is None) == (character == character.lower())


def test_nothing_beyond_the_table_of_cases_has_a_case() -> None:
    beyond = "".join(map(chr, range(0x2_0000, 0x11_0000)))
    assert beyond.lower() == beyond == beyond.upper()


@pytest.mark.timeout(10)
def test_lengths_of_a_hostile_pattern_are_found_quickly() -> None:
    pattern = "(a{1,250}(b{3})*)?" * 190 + "z"
    (problem,) = mistakes("str", pattern=pattern, length=255)
    assert problem.where == "/fields/f/pattern"


@given(
    st.sampled_from(["a", "(ab)+", "(a|bcd)+", "(ab?c){2,3}", "a*(bb)*c", "(a{3}|b{5}){2,}"]),
    st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_length_is_a_mistake_exactly_where_no_text_has_it(pattern: str, length: int) -> None:
    texts = ("".join(one) for one in itertools.product("abcd", repeat=length))
    some = any(re.fullmatch(pattern, text) for text in texts)
    assert (mistakes("str", pattern=pattern, length=length) == []) == some


def test_flags_for_the_proofs() -> None:
    approximate = [
        {"type": "timestamp"},
        {"type": "timestamp", "format": "%Y%j"},
        {"type": "frame", "subframes": 1, "max": 3},
    ]
    exact = [
        {"type": "timestamp", "format": "%Y%m"},
        {"type": "frame", "subframes": 1, "min": 3},
        {"type": "int", "min": 3, "max": 7},
        {"type": "str", "exclusions": ["a"], "length": 3, "pattern": "[a-z]+"},
    ]
    assert [field(**one).approximate for one in approximate] == [True] * 3
    assert [field(**one).approximate for one in exact] == [False] * 4
    last = field(**exact[-1])
    assert last.excluded == {"a"}
    assert last.length == (3, 3)


def valid(declared: Any) -> bool:
    schema = field_schema(declared["type"])
    return bool(jsonschema.Draft202012Validator(schema).is_valid(declared))


def test_schema_takes_what_the_reader_takes() -> None:
    for kind in TYPE_KEYS:
        jsonschema.Draft202012Validator.check_schema(field_schema(kind))
    declared = [one for one, _ in KINDS] + [one for one, _, _ in ACCEPTED]
    assert [one for one in declared if not valid(one)] == []
    aliases = {"latest": {"usage": "U", "moves": "on-publish"}, "approved": {}}
    assert valid({"type": "version", "aliases": aliases})
    assert valid({"type": "version", "aliases": list(aliases)})


def test_schema_refuses_what_can_be_seen_without_thinking() -> None:
    seen = [one for one, _, message in MISTAKES if "must be" in message or "unknown" in message]
    assert len(seen) > 8
    # How many columns there may be depends on the style, which the schema does not look at.
    passed = [json.dumps(one) for one in seen if valid(one)]
    assert passed == ['{"type": "udim", "tiles": {"u": 11}}']
