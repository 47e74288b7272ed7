"""How sure a median is, and what a figure with an interval is held against."""

from __future__ import annotations

import random

from bench.intervals import interval_of
from bench.results import Results
from rich.console import Console


def test_an_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(100):
        found = interval_of([chance.gauss(3.0, 5.0) for _ in range(40)], resamples=300)
        assert found.low <= found.median <= found.high
        held += found.low <= 3.0 <= found.high
    assert 88 <= held <= 100


def test_the_same_measurements_give_the_same_interval() -> None:
    values = [1.0, 4.0, 2.0, 8.0, 5.0]
    assert interval_of(values, resamples=100) == interval_of(values, resamples=100)
    assert interval_of([2.5], resamples=10) == (2.5, 2.5, 2.5)


def test_a_target_is_met_only_by_the_whole_interval() -> None:
    results = Results()
    for name, values in (("sure", [1.0, 2.0, 3.0]), ("unsure", [1.0, 2.0, 30.0])):
        results.add_interval(name, values, interval_of(values), "<= 5")
    console = Console(record=True, width=100)
    results.show(console)
    lines = {line.split()[1]: line for line in console.export_text().splitlines() if "<= 5" in line}
    assert "met" in lines["sure"]
    assert "missed" in lines["unsure"]
    assert results.as_json()["ratios"]["sure"]["interval"] == [1.0, 3.0]
