"""What a report on a path means, in sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shotfs.cache import NOBODY, Asker
from shotfs.cache.inspect import LimitReport, RangeReport, RequestReport, StreamReport
from shotfs.cache.scheduling import EgressUse
from shotfs.tiers.breaker import Reachability
from shotfs.vfs.path_reasons import reasons
from shotfs.vfs.path_reports import Meaning, PathReport
from shotfs.vfs.waiting import Waiting

MIB = 1024 * 1024
WAIT = RangeReport(0, 131_072, "demand", 12.5, Asker(7, "maya"))
UNDER_WAY = RangeReport(0, 8 * MIB, "demand", 12.4)
QUEUED = RequestReport("gs://b", "demand", "k", 8 * MIB, 3.0, 2, 14, NOBODY)
STREAM = StreamReport(
    origin="gs://b", key="k", phase="streaming", size_bytes=40 * MIB, bytes_present=0,
    bytes_per_s=0.0, rest_s=None, readers=(Asker(7, "maya"),), fetch_class="demand",
    waits=(WAIT,), under_way=(), queued=(), error=None,
)  # fmt: skip


def report(kind: str = "file", **values: Any) -> PathReport:
    return PathReport("ant/x", kind, Meaning(), **values)


def streaming(**changes: Any) -> PathReport:
    return report(state="partial", stream=replace(STREAM, **changes))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (report(state="remote"), "it is not here: the first read fetches it"),
        (report(state="partial"), "the next read goes on from what is here"),
        (report(state="cached"), "it is here, whole and verified"),
        (report("impossible"), "no template of the specification can produce it"),
        (report("missing"), "its origin has no such object"),
        (report("alias"), "ask for the version"),
        (report("directory"), "it is a directory"),
        (report("spool", state="open"), "this node wrote it"),
        (report("unknown", problem="it did not say"), "it did not say"),
        (streaming(phase="preparing"), "waits for room in the cache"),
        (streaming(phase="verifying"), "is being hashed"),
        (streaming(phase="unkept"), "no room to keep it"),
        (streaming(error="object is gone", phase="failed"), "object is gone"),
        (streaming(), "bytes 0 to 131072 are waited for since 12.5 s"),
        (streaming(under_way=(UNDER_WAY,)), "its origin has sent nothing that is whole yet"),
        (streaming(under_way=(UNDER_WAY,), bytes_per_s=5.0), "are being fetched for 12.4 s"),
        (streaming(queued=(QUEUED,)), "wait for a turn at the origin, behind 14 requests"),
        (streaming(waits=(), under_way=(UNDER_WAY,)), "the rest comes in the background"),
        (streaming(waits=()), "what is read is fetched when it is read"),
        (streaming(waits=(), readers=()), "nobody has it open"),
    ],
)  # fmt: skip
def test_the_first_reason_is_what_matters(found: PathReport, text: str) -> None:
    assert text in reasons(found)[0]


def test_a_look_up_that_waits_is_told() -> None:
    waiting = (Waiting("lookup", "ant/x", NOBODY, None, None, 3.0),)
    assert reasons(report(waiting=waiting)) == ["1 wait for its origin to say what it is"]
    assert "to list it" in reasons(report("directory", waiting=waiting))[0]


def test_a_file_that_is_read_without_keeping_is_told() -> None:
    waiting = (Waiting("read", "ant/x", NOBODY, 0, 5, 3.0),)
    assert "it is not kept" in reasons(report(waiting=waiting))[0]


def test_an_origin_that_is_gone_comes_before_everything() -> None:
    gone = Reachability(reachable=False, since_s=1.7e9, last_error="no route", outages=1)
    found = reasons(replace(streaming(), reachability=gone))
    assert found[0].startswith("its origin cannot be reached since")
    assert found[0].endswith(": no route")
    assert len(found) == 2


@pytest.mark.parametrize(("state", "text"), [("spent", "is spent"), ("warning", "nearly spent")])
def test_limits_that_hold_a_file_up_are_told(state: str, text: str) -> None:
    use = EgressUse("gs://b", 900 * MIB, 1000 * MIB, state, "", 0, None)
    found = reasons(replace(streaming(), limits=LimitReport(5 * MIB, use)))
    assert "limited to 5.0 MiB/s at this time of day" in found[1]
    assert text in found[2]


def test_a_spent_budget_is_told_of_what_is_not_open() -> None:
    use = EgressUse("gs://b", 1000 * MIB, 1000 * MIB, "spent", "", 0, None)
    found = reasons(report(state="remote", limits=LimitReport(None, use)))
    assert "the first read fetches it" in found[0]
    assert "is spent" in found[1]


def test_the_next_in_line_is_not_behind_anything() -> None:
    assert "next in line" in reasons(streaming(queued=(replace(QUEUED, ahead=0),)))[0]


def test_limits_that_hold_nothing_up_are_not_told() -> None:
    use = EgressUse("gs://b", 0, 1000 * MIB, "ok", "", 0, None)
    assert len(reasons(replace(streaming(), limits=LimitReport(None, use)))) == 1
    cached = report(state="cached", limits=LimitReport(5 * MIB, None))
    assert len(reasons(cached)) == 1
