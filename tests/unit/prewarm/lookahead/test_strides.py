"""Strides: the step and direction of what comes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shotfs.prewarm.lookahead.shapes import Number
from shotfs.prewarm.lookahead.strides import Stride


def stride(*numbers: Number) -> Stride:
    made = Stride()
    for number in numbers:
        made.came(number)
    return made


@pytest.mark.parametrize(
    ("came", "learned", "told"),
    [
        ((), [], []),
        ((1001,), [], [1002, 1003]),
        ((1001, 1002), [1003, 1004], [1003, 1004]),
        ((1002, 1001), [1000, 999], [1000, 999]),
        ((1001, 1011), [], [1021, 1031]),
        ((1001, 1011, 1021), [1031, 1041], [1031, 1041]),
        ((1081, 1071, 1061), [1051, 1041], [1051, 1041]),
        # Four at once, in the order in which processes start.
        ((1001, 1003, 1002, 1004, 1006, 1005), [1007, 1008], [1007, 1008]),
        ((1001, 1044, 1013, 1090), [], []),
        # The same frames once more.
        ((*range(1070, 1087), 1001), [1002, 1003], [1002, 1003]),
        # Every tenth first, then those in between.
        ((*range(1001, 1087, 10), 1002), [1012, 1022], [1012, 1022]),
        ((Decimal("1001.5"), Decimal("1002.5")), [Decimal("1003.5"), Decimal("1004.5")], None),
    ],
)
def test_next_numbers(
    came: tuple[Number, ...], learned: list[Number], told: list[Number] | None
) -> None:
    assert stride(*came).next(2, told=False) == learned
    assert told is None or stride(*came).next(2, told=True) == told


def test_a_number_that_comes_again_changes_nothing() -> None:
    made = stride(1001, 1002)
    for _ in range(20):
        made.came(1002)
    assert (made.last, made.next(1, told=False)) == (1002, [1003])
