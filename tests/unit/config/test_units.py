"""Sizes and durations: what people write, and that formatting and parsing undo each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.config.mistake import Mistake
from shotfs.config.units import (
    DURATION_S_MAX,
    SIZE_BYTES_MAX,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        (0, 0),
        (4096, 4096),
        (4096.0, 4096),
        ("4096", 4096),
        ("4_096 B", 4096),
        ("100 GiB", 100 * 2**30),
        ("8MiB", 8 * 2**20),
        ("1.5TB", 1_500_000_000_000),
        ("10 gb", 10_000_000_000),
        ("  1 KiB  ", 1024),
        ("0.5 kib", 512),
        ("1024 PiB", 2**60),
    ],
)
def test_a_size_is_read_as_people_write_it(written: object, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes


@pytest.mark.parametrize(
    ("written", "message", "fix"),
    [
        (True, "a size is expected", "100 GiB"),
        (None, "a size is expected", "100 GiB"),
        ([1], "a size is expected", "100 GiB"),
        (-1, "cannot be negative", "100 GiB"),
        ("-1 GiB", "cannot be negative", "100 GiB"),
        (1.5, "whole number of bytes", "100 GiB"),
        (float("nan"), "whole number of bytes", "100 GiB"),
        (float("inf"), "whole number of bytes", "100 GiB"),
        ("1.5 B", "not a whole number of bytes", "smaller unit"),
        ("10 gigs", "'gigs' is not a unit of size", "GiB"),
        ("lots", "'lots' is not understood", "100 GiB"),
        ("", "'' is not understood", "100 GiB"),
        ("1e9", "'1e9' is not understood", "100 GiB"),
        (2**61, "too large", "1024 PiB"),
        ("9" * 400, "too large", "1024 PiB"),
        ("1 " + "x" * 500, "...", "GiB"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused_with_what_to_write(
    written: object, message: str, fix: str
) -> None:
    with pytest.raises(Mistake) as caught:
        parse_size(written)
    assert message in caught.value.message
    assert fix in caught.value.fix
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
        ("30", 30.0),
        ("30 s", 30.0),
        ("200ms", 0.2),
        ("5 min", 300.0),
        ("5m", 300.0),
        ("1.5 h", 5400.0),
        ("1 d", 86400.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (False, "a duration is expected"),
        (None, "a duration is expected"),
        (-0.5, "cannot be negative"),
        ("-5 s", "cannot be negative"),
        (float("inf"), "finite"),
        (float("nan"), "finite"),
        (10**400, "finite"),
        ("5 minutes", "'minutes' is not a unit of time"),
        ("5 M", "'M' is not a unit of time"),
        ("soon", "not understood"),
        (1e12, "too long"),
        ("9999999 d", "too long"),
    ],
)
def test_a_duration_that_makes_no_sense_is_refused_with_what_to_write(
    written: object, message: str
) -> None:
    with pytest.raises(Mistake) as caught:
        parse_duration(written)
    assert message in caught.value.message
    assert caught.value.fix


@given(st.integers(0, SIZE_BYTES_MAX))
def test_a_formatted_size_reads_back_as_itself(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(st.floats(0, DURATION_S_MAX))
def test_a_formatted_duration_reads_back_as_itself(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_size_or_a_mistake_and_nothing_else(text: str) -> None:
    size = _value_or_mistake(parse_size, text)
    assert size.fix if isinstance(size, Mistake) else 0 <= size <= SIZE_BYTES_MAX


@given(st.text())
def test_any_text_is_a_duration_or_a_mistake_and_nothing_else(text: str) -> None:
    duration = _value_or_mistake(parse_duration, text)
    assert duration.fix if isinstance(duration, Mistake) else 0 <= duration <= DURATION_S_MAX


def _value_or_mistake(parse: Callable[[object], float], text: str) -> float | Mistake:
    try:
        return parse(text)
    except Mistake as mistake:
        return mistake
