"""Access patterns: what continues is fetched ahead of its reader, what does not is left alone."""

from __future__ import annotations

import random

import pytest

from shotfs.cache.access import CHUNK_BYTES, STRIDES_AHEAD_MAX, AccessPattern
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import KIB, MIB

GIB = 1024 * MIB
STEP = 128 * KIB
WINDOW = 64 * MIB


def _read(pattern: AccessPattern, start: int, length: int = STEP) -> tuple[Span, ...]:
    return pattern.observe(Span(start, start + length), WINDOW)


def test_one_read_promises_nothing() -> None:
    assert _read(AccessPattern(40 * GIB), 0) == ()
    assert _read(AccessPattern(40 * GIB), 39 * GIB) == ()


def test_a_forward_reader_is_led_by_a_window_that_grows_to_its_limit() -> None:
    pattern = AccessPattern(40 * GIB)
    here = ahead = 0
    leads = []
    for number in range(4000):
        here = number * STEP + STEP
        for span in _read(pattern, number * STEP):
            assert span.start == max(ahead, here)  # each byte is promised once, without holes
            ahead = span.stop
        leads.append(ahead - here)
    assert max(leads[:8]) <= 2 * 8 * STEP
    assert max(leads) <= WINDOW
    # Once he is known, he always has half a window before him.
    assert min(leads[1000:]) >= WINDOW // 2


def test_a_backward_reader_is_led_downwards_nearest_first() -> None:
    pattern = AccessPattern(GIB)
    ahead = GIB
    for number in range(1, 200):
        for span in _read(pattern, GIB - number * STEP):
            assert span.stop <= ahead
            assert span.length_bytes <= CHUNK_BYTES
            ahead = span.start
    assert ahead < GIB - 2 * 100 * STEP


def test_equal_distances_are_followed_and_no_more_than_that() -> None:
    pattern = AccessPattern(GIB)
    promised: set[int] = set()
    for number in range(64):
        start = number * 5 * MIB
        if number > 8:
            assert start in promised
        for span in _read(pattern, start, 4 * KIB):
            assert span.start % (5 * MIB) == 0
            assert span.length_bytes == 4 * KIB
            assert span.start not in promised
            promised.add(span.start)
    assert max(promised) <= (64 + STRIDES_AHEAD_MAX) * 5 * MIB


def test_interleaved_readers_of_one_handle_are_each_led() -> None:
    pattern = AccessPattern(40 * GIB)
    places = [0, 5 * GIB, 11 * GIB, 39 * GIB]
    ahead = dict.fromkeys(places, 0)
    for number in range(64):
        for place in places:
            for span in _read(pattern, place + number * STEP):
                ahead[place] = span.stop - place
    assert all(far >= 96 * STEP for far in ahead.values())


def test_reads_that_arrive_in_any_order_are_one_sequence() -> None:
    shuffled = random.Random(3)
    pattern = AccessPattern(GIB)
    ahead = 0
    for first in range(0, 512, 2):
        pair = [first, first + 1]
        shuffled.shuffle(pair)
        for number in pair:
            for span in _read(pattern, number * STEP):
                ahead = max(ahead, span.stop)
    assert ahead >= 512 * STEP + WINDOW // 2


def test_the_same_read_seen_twice_changes_nothing() -> None:
    pattern, once = AccessPattern(GIB), AccessPattern(GIB)
    for number in range(100):
        found = _read(pattern, number * STEP)
        assert _read(pattern, number * STEP) == ()
        assert found == _read(once, number * STEP)
    assert pattern.sequential_bytes == once.sequential_bytes == 100 * STEP


def test_a_million_random_reads_of_a_huge_file_promise_next_to_nothing() -> None:
    chance, size = random.Random(1), 40 * GIB
    pattern = AccessPattern(size)
    promised = 0
    blocks = size // STEP
    for _ in range(1_000_000):
        start = chance.randrange(blocks) * STEP
        for span in pattern.observe(Span(start, start + 32 * KIB), WINDOW):
            promised += span.length_bytes
    assert not pattern.wants_whole(0)
    assert promised < 1_000_000 * 32 * KIB // 100


@pytest.mark.parametrize(
    ("size", "sequential", "present", "whole"),
    [
        (40 * GIB, 64 * MIB, 64 * MIB, False),  # a chunk of an archive
        (40 * GIB, 3 * GIB, 3 * GIB, True),
        (40 * GIB, 0, 11 * GIB, True),  # a quarter was touched
        (100 * MIB, 8 * MIB, 8 * MIB, False),
        (100 * MIB, 17 * MIB, 17 * MIB, True),
    ],
)
def test_a_large_file_is_wanted_whole_when_a_good_part_was_read(
    size: int, sequential: int, present: int, whole: bool
) -> None:
    pattern = AccessPattern(size)
    for start in range(0, sequential, MIB):
        _read(pattern, start, MIB)
    assert pattern.wants_whole(present) is whole


def test_nothing_is_promised_beyond_the_ends_of_the_file() -> None:
    chance = random.Random(5)
    for _ in range(200):
        size = chance.randrange(1, 20 * MIB)
        pattern = AccessPattern(size)
        place = 0
        for _ in range(60):
            step = chance.choice((STEP, -STEP, 3 * MIB, chance.randrange(size)))
            place = min(max(place + step, 0), size - 1)
            stop = min(place + chance.randrange(1, MIB), size)
            for span in pattern.observe(Span(place, stop), WINDOW):
                assert 0 <= span.start < span.stop <= size
