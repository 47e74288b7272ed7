"""What holds for every field type: values and texts belong together, one to one."""

# ruff: noqa: DTZ001 - names have no time zone

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec import regex
from shotfs.pathspec.backtracking import attempts
from shotfs.pathspec.fields import TYPE_KEYS, Field, FieldValue, Tile, restore_field
from shotfs.pathspec.fields.numbers import VALUE_MAX
from tests.unit.pathspec.documents import spec

from .declare import field, read

SECONDS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda time: time.replace(microsecond=0)
)
ULIDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=25, max_size=25).map(
    lambda text: "7" + text
)


def decimals(least: int, most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(least, most, places=places, allow_nan=False)


KINDS: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
    ({"type": "str"}, st.text("abXY09_-", min_size=1, max_size=255)),
    ({"type": "str", "case": "lower", "length": 3}, st.text("ab09_-", min_size=3, max_size=3)),
    ({"type": "str", "pattern": "[^.]+"}, st.text("aé漢 {}%'\"\\\n", min_size=1, max_size=40)),
    ({"type": "str", "pattern": "[a-z]+", "length": {"min": 2, "max": 4}, "exclusions": ["tmp"]},
     st.text("abc", min_size=2, max_size=4)),
    ({"type": "str", "pattern": "([A-Z]|[a-z]x)+", "case": "upper"}, st.text("ABC", min_size=1)),
    ({"type": "str", "choices": ["a", "ab", "b.c"], "exclusions": ["ab"]},
     st.sampled_from(["a", "b.c"])),
    ({"type": "enum", "choices": {"beauty": "All", "matte": ""}},
     st.sampled_from(["beauty", "matte"])),
    ({"type": "int"}, st.integers(0, 10**200)),
    ({"type": "int", "pad": 12, "min": 0}, st.integers(0, 10**13)),
    ({"type": "int", "pad": 3, "min": 8, "max": 12_345}, st.integers(8, 12_345)),
    ({"type": "int", "pad": 3, "strict": False, "max": 2000}, st.integers(0, 2000)),
    ({"type": "version"}, st.integers(0, 10**9)),
    ({"type": "version", "scheme": "%04d"}, st.integers(0, 10**9)),
    ({"type": "version", "scheme": "été-%01d"}, st.integers(0, 10**9)),
    ({"type": "version", "scheme": "ulid"}, ULIDS),
    ({"type": "version", "scheme": "site-ulid"}, ULIDS.map(lambda text: "lon-" + text)),
    ({"type": "frame"}, st.integers(0, 10**9)),
    ({"type": "frame", "negative": True}, st.integers(-(10**6), 10**6)),
    ({"type": "frame", "negative": True, "pad": 1, "min": -12, "max": 7}, st.integers(-12, 7)),
    ({"type": "frame", "negative": True, "strict": False}, st.integers(-(10**6), 10**6)),
    ({"type": "frame", "subframes": 3}, decimals(0, 10**6, 3)),
    ({"type": "frame", "subframes": 2, "negative": True}, decimals(-1200, 1200, 2)),
    ({"type": "frame", "subframes": {"digits": 2, "fixed": True}, "negative": True},
     decimals(-1200, 1200, 2)),
    ({"type": "frame", "subframes": 1, "negative": True, "min": -3, "max": 20},
     decimals(-3, 20, 1)),
    ({"type": "frame", "subframes": 6, "negative": True, "strict": False},
     decimals(-1200, 1200, 6)),
    ({"type": "udim"}, st.integers(1001, 9999)),
    ({"type": "udim", "tiles": {"u": 4, "v": 3}},
     st.builds(lambda u, v: 1001 + u + 10 * v, st.integers(0, 3), st.integers(0, 2))),
    ({"type": "udim", "tiles": {"u": 10, "v": 899}}, st.integers(1001, 9990)),
    ({"type": "udim", "style": "uvtile"}, st.builds(Tile, st.integers(0, 9), st.integers(0, 898))),
    ({"type": "udim", "style": "uv0", "tiles": {"u": 1000, "v": 1}},
     st.builds(Tile, st.integers(0, 999), st.just(0))),
    ({"type": "view"}, st.sampled_from(["left", "right"])),
    ({"type": "view", "form": "short"}, st.sampled_from(["left", "right"])),
    ({"type": "view", "form": "short", "choices": {"main": {"short": "c"}, "left": "Eye"}},
     st.sampled_from(["main", "left"])),
    ({"type": "timestamp"}, SECONDS),
    ({"type": "timestamp", "format": "%d.%m.%Y %%"},
     st.datetimes().map(lambda time: datetime(time.year, time.month, time.day))),
    ({"type": "timestamp", "format": "%Y%j-%H"},
     st.datetimes().map(lambda time: datetime(time.year, time.month, time.day, time.hour))),
    ({"type": "timestamp", "format": "%y%m%dT%H%M%S%f"},
     st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31))),
    ({"type": "timestamp", "format": "%Y"}, st.integers(1, 9999).map(lambda y: datetime(y, 1, 1))),
    ({"type": "uuid"}, st.uuids()),
    ({"type": "uuid", "form": "hex"}, st.uuids()),
    ({"type": "tree"}, st.text("ab.", min_size=1).filter(lambda text: text not in (".", ".."))),
    ({"type": "compound", "format": "{a}_{b}"}, st.text("ab_", min_size=1)),
]  # fmt: skip
SHAPED = [one for one, _ in KINDS if one["type"] not in ("tree", "compound")]


def canonical(made: Field, declared: dict[str, Any]) -> bool:
    return declared.get("strict") is not False


def test_every_type_is_tested() -> None:
    assert {declared["type"] for declared, _ in KINDS} == set(TYPE_KEYS)


@pytest.mark.parametrize(("declared", "values"), KINDS)
def test_value_reads_back_as_it_was_written(
    declared: dict[str, Any], values: st.SearchStrategy[Any]
) -> None:
    made = field(**declared)

    @given(values)
    @settings(max_examples=60, deadline=None)
    def check(value: FieldValue) -> None:
        text = made.format(value)
        assert made.problem(text) is None
        assert made.parse(text) == value
        assert type(made.parse(text)) is type(value)
        assert made.format(text) == text

    check()


@pytest.mark.parametrize(("declared", "values"), [one for one in KINDS if one[0] in SHAPED])
def test_value_reads_back_through_a_whole_path(
    declared: dict[str, Any], values: st.SearchStrategy[Any]
) -> None:
    made = spec({"t": "d/{f}/pre,{f}.post"}, {"f": declared})

    @given(values)
    @settings(max_examples=20, deadline=None)
    def check(value: FieldValue) -> None:
        text = made.fields["f"].format(value)
        assume(len(text.encode()) < 240)
        path = made.format("t", {"f": value})
        assert path == f"d/{text}/pre,{text}.post"
        assert made.parse(path).fields == {"f": text}

    check()


@pytest.mark.parametrize("declared", SHAPED)
def test_text_of_the_shape_is_the_fields_but_for_what_stands_beside_it(
    declared: dict[str, Any],
) -> None:
    made = field(**declared)
    assert made.shape is not None

    @given(st.from_regex(re.compile(regex.render(made.shape), re.ASCII), fullmatch=True))
    @settings(max_examples=60, deadline=None)
    def check(text: str) -> None:
        least, most = made.length
        fits = least <= len(text) and (most is None or len(text) <= most)
        wrong = made.problem(text)
        if text in made.excluded or not fits or len(text.encode()) > 255:
            assert wrong is not None
        elif not made.approximate:
            assert wrong is None
        if wrong is not None:
            with pytest.raises(InvalidArgument, match='field "f" cannot be'):
                made.parse(text)
        elif canonical(made, declared):
            assert made.format(made.parse(text)) == text
        else:
            assert made.parse(made.format(made.parse(text))) == made.parse(text)

    check()


@pytest.mark.parametrize("declared", SHAPED)
def test_matching_a_shape_leaves_nothing_to_try(declared: dict[str, Any]) -> None:
    made = field(**declared)
    assert made.shape is not None
    after = "." if made.kind == "str" else "_"
    assert attempts(regex.Sequence((made.shape, regex.literal(after)))) <= 14


@pytest.mark.parametrize(("declared", "values"), KINDS)
def test_field_is_restored_from_what_was_declared(
    declared: dict[str, Any], values: st.SearchStrategy[Any]
) -> None:
    made = field(**declared, usage='What "it" is for: é')
    again = restore_field(made.name, made.declared, 7)
    assert json.loads(made.declared) == {**declared, "usage": 'What "it" is for: é'}
    assert again.line == 7
    for name in ("kind", "usage", "wants", "shape", "codec", "excluded", "length", "approximate"):
        assert getattr(again, name) == getattr(made, name)
    for name in ("choices", "choice_usages", "tokens", "aliases", "declared"):
        assert getattr(again, name) == getattr(made, name)
    assert (again.check is None) == (made.check is None)


STRANGE: list[Any] = [
    True, False, -1, 10**255, 10**5000, -(10**5000), Tile(-1, 0), Tile(10**6, 0), Tile(0, -3),
    Tile(10, 0), Decimal("NaN"), Decimal("Infinity"), Decimal("1e-999999"), Decimal("1E+999999"),
    Decimal("0E+99999999"), Decimal("-0"), Decimal("1001.1234567"), datetime(1, 1, 1, 1, 1, 1, 1),
    "", ".", "..", "/", "a/b", "\0", "\ud800", "\n", "1001\n", "é" * 128, "x" * 256, "9" * 5000,
    "٠١٢٣", "１００１", "0x10", "1e3", " 1", "1_000", "-0", "-0000", "-000", "+1001", "1001.", ".5",
    "1001.0", "1001.50", "u01_v1", "u0_v0", "U1_v1", "u1_v1 ", "20260230_000000", "LEFT",
    "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01arz3ndektsv4rrffq69g5fav", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "LON-01ARZ3NDEKTSV4RRFFQ69G5FAV", "00000000-0000-0000-0000-00000000000G",
    "{00000000-0000-0000-0000-000000000000}", "urn:uuid:00000000-0000-0000-0000-000000000000",
    "latest", "v001", "v1", "V001", "vv001",
]  # fmt: skip


@pytest.mark.parametrize("declared", [one for one, _ in KINDS])
def test_strange_value_is_written_so_that_it_reads_back_or_is_refused(
    declared: dict[str, Any],
) -> None:
    made = field(**declared)
    for value in STRANGE:
        try:
            text = made.format(value)
        except InvalidArgument as refused:
            told = str(refused)
            assert told.startswith('field "f" cannot be ')
            assert "fix: give " in told
            assert len(told) < 700
            continue
        assert made.problem(text) is None
        assert made.parse(text) == value or isinstance(value, (str, Tile, int))
        assert made.format(made.parse(text)) == text or not canonical(made, declared)


@pytest.mark.parametrize("declared", [one for one, _ in KINDS])
@given(st.text(max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_text_is_parsed_or_refused(declared: dict[str, Any], text: str) -> None:
    made = field(**declared)
    try:
        value = made.parse(text)
    except InvalidArgument:
        assert made.problem(text) is not None
    else:
        assert made.problem(made.format(value)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6) | st.sampled_from(["v%03d", "%Y", "[a-z]+", "left", "udim", "hex"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["min", "max", "digits", "u", "v", "short", "left"]), inner),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(sorted(TYPE_KEYS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_declaration_makes_a_field_or_says_what_is_wrong(
    kind: str, data: st.DataObject
) -> None:
    keys = {key: data.draw(JSON) for key in TYPE_KEYS[kind] if data.draw(st.booleans())}
    made, problems = read(json.dumps({"type": kind, **keys}))
    assert (made is not None) or problems
    assert all(one.line == 1 for one in problems)


def test_limit_of_numbers_is_what_a_name_holds() -> None:
    assert VALUE_MAX == 10**255
    assert len(field("int").format(VALUE_MAX - 1)) == 255
