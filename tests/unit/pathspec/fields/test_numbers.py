"""Ranges of numbers are in the shape: compared with counting, text by text."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import Matcher
from shotfs.pathspec.fields.numbers import number_shape

from .declare import field

DIGITS = ["".join(one) for width in range(5) for one in itertools.product("0189", repeat=width)]
NUMBERS = {f"{sign}{one}": int(f"{sign}{one}") for one in DIGITS if one for sign in ("", "-")
           if not (sign and int(one) == 0)}  # fmt: skip
NUMBERS |= {str(number): number for number in range(-1500, 2500)}
NO_NUMBERS = ["", "-", "-0", "-00", "-000", "--1", "+1", " 1", "1 ", "1\n", "1.", "٣", "1e1", "0x1"]
LIMIT = st.integers(-10_050, 10_050) | st.integers(-30, 130)


@given(
    st.integers(1, 4), st.booleans(), st.booleans(), st.lists(LIMIT, min_size=2, max_size=2),
    st.sampled_from(["", "least", "most", "both"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_shape_matches_exactly_the_numbers_of_the_range(
    pad: int, strict: bool, negative: bool, limits: list[int], open_at: str
) -> None:
    low, high = sorted(limits)
    least = None if open_at in ("least", "both") else low
    most = None if open_at in ("most", "both") else high
    shape = number_shape(pad, strict=strict, negative=negative, least=least, most=most)
    matches = (lambda text: False) if shape is None else Matcher(shape)

    def right(text: str, number: int) -> bool:
        return (
            (not strict or f"{number:0{pad}d}" == text)
            and (negative or number >= 0)
            and (least is None or number >= least)
            and (most is None or number <= most)
        )

    wrong = [text for text, value in NUMBERS.items() if matches(text) != right(text, value)]
    assert wrong == []
    assert [text for text in NO_NUMBERS if matches(text)] == []


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**16), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_wide_range_is_decided_at_its_ends(one: int, other: int, inside: int, pad: int) -> None:
    least, most = sorted((one, other))
    shape = number_shape(pad, strict=True, negative=False, least=least, most=most)
    assert shape is not None
    for number in (least - 1, least, least + 1, inside, most - 1, most, most + 1):
        if number >= 0:
            found = Matcher(shape)(f"{number:0{pad}d}")
            assert found == (least <= number <= most)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_shape_of_a_range_stays_small(one: int, other: int, pad: int) -> None:
    least, most = sorted((one, other))
    shape = number_shape(pad, strict=True, negative=False, least=least, most=most)
    assert shape is not None
    assert len(regex.render(shape)) < 8000


def test_range_without_a_number_is_a_mistake() -> None:
    assert number_shape(3, strict=True, negative=False, least=None, most=-1) is None


def test_sign_counts_towards_the_padding_as_in_printf() -> None:
    made = field("frame", negative=True)
    assert [made.format(value) for value in (-10, -1000, 0, 10)] == [
        "-010",
        "-1000",
        "0000",
        "0010",
    ]
    assert made.format(-10) == "%04d" % -10  # noqa: UP031 - it is what is promised
    for wrong in ("-0010", "-10", "-000", "-0000"):
        assert made.problem(wrong) is not None


SUBFRAMES = [
    ({"subframes": 2}, "1001.25", "1001.25"),
    ({"subframes": 2}, "1001.5", "1001.5"),
    ({"subframes": 2}, "1001", "1001"),
    ({"subframes": 2}, "1001.00", "1001"),
    ({"subframes": {"digits": 2, "fixed": True}}, "1001", "1001.00"),
    ({"subframes": {"digits": 2, "fixed": True}}, "7.5", "0007.50"),
    ({"subframes": 2, "negative": True}, "-0.5", "-000.5"),
    ({"subframes": 2, "negative": True, "pad": 1}, "-0.5", "-0.5"),
]


@pytest.mark.parametrize(("keys", "value", "text"), SUBFRAMES)
def test_each_sub_frame_has_one_text(keys: dict[str, object], value: str, text: str) -> None:
    made = field("frame", **keys)
    assert made.format(Decimal(value)) == text
    assert made.parse(text) == Decimal(value)
    number = Decimal(value)
    parts = (("", "-"), ("0", "000", "0007", "1001", "7", "0000"), ("", "."),
             ("", "0", "00", "5", "50", "25", "250"))  # fmt: skip
    texts = ["".join(one) for one in itertools.product(*parts)]
    same = [one for one in texts if made.problem(one) is None and made.parse(one) == number]
    assert same == [text]


@given(st.decimals(-1100, 1100, places=2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_range_of_sub_frames_is_checked_at_both_ends(value: Decimal, fixed: bool) -> None:
    made = field(
        "frame", subframes={"digits": 2, "fixed": fixed}, negative=True, min=-1000, max=1010
    )
    assert made.approximate
    if -1000 <= value <= 1010:
        assert made.parse(made.format(value)) == value
    else:
        with pytest.raises(InvalidArgument, match=r"is below -1000|is over 1010|not one of"):
            made.format(value)


def test_range_of_sub_frames_without_an_upper_end_is_in_the_shape() -> None:
    made = field("frame", subframes=2, min=1001)
    assert not made.approximate
    assert made.problem("1000.99") is not None
    assert made.problem("1001") is None


@pytest.mark.parametrize("value", [Decimal("1001.125"), Decimal("NaN"), 1.5, "1001.125"])
def test_sub_frame_that_would_be_rounded_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match='field "f" cannot be'):
        field("frame", subframes=2).format(value)  # type: ignore[arg-type]  # as a caller might
