"""How fast a stream comes, as `shotfs why` tells it."""

from __future__ import annotations

import pytest

from shotfs.cache.rate import QUIET_S, WINDOW_S, RateMeter


def test_what_comes_steadily_has_the_rate_at_which_it_comes() -> None:
    meter = RateMeter()
    assert meter.bytes_per_s(0.0) == 0.0
    for second in range(20):
        meter.add(float(second), 1000)
    assert meter.bytes_per_s(19.5) == pytest.approx(1000.0)


def test_a_stream_that_stalls_gets_slower_and_has_no_rate_after_a_few_seconds() -> None:
    meter = RateMeter()
    for second in range(20):
        meter.add(float(second), 1000)
    rates = [meter.bytes_per_s(19.5 + late_s) for late_s in (0.0, 1.0, 2.0, QUIET_S)]
    assert rates == sorted(rates, reverse=True)
    assert 0.0 < rates[2] < rates[0]
    assert rates[3] == 0.0
    meter.add(60.0, 5000)
    assert meter.bytes_per_s(60.0) == pytest.approx(5000 / WINDOW_S)
