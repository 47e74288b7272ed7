"""Reasons: what a report on a path means, in sentences, the most important one first. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shotfs.cache.inspect import RangeReport, StreamReport
from shotfs.config.units import rounded_size

if TYPE_CHECKING:
    from shotfs.vfs.path_reports import PathReport

SLOW_S = 2.0
"""A request that has been under way for this long is worth a word."""


def reasons(report: PathReport) -> list[str]:
    """Return why *report* is what it is; never empty."""
    found = [*_of_origin(report), *_of_kind(report)]
    if found:
        return found
    if report.state == "partial":
        idle = "nobody has it open: the next read goes on from what is here"
    else:
        idle = "it is not here: the first read fetches it"
    return [idle, *_of_limits(report)]


def _of_origin(report: PathReport) -> Iterator[str]:
    reach = report.reachability
    if reach is not None and not reach.reachable:
        since = time.strftime("%H:%M:%S", time.localtime(reach.since_s))
        yield f"its origin cannot be reached since {since}: {reach.last_error}"
    elif report.problem is not None:
        yield report.problem


def _of_kind(report: PathReport) -> Iterator[str]:
    match report.kind:
        case "impossible":
            yield report.meaning.note or "no template of the specification can produce it"
        case "missing":
            if report.retracted is not None:
                yield f"its version was {report.retracted}"
            else:
                yield "the specification allows it, and its origin has no such object"
        case "alias":
            if report.retracted is not None:
                yield f"it points to a version that nobody sees: {report.retracted}"
            yield "it is a version alias: ask for the version that it points to"
        case "directory":
            if report.waiting:
                yield f"{len(report.waiting)} wait for its origin to list it"
            else:
                yield "it is a directory"
        case "spool":
            yield "this node wrote it, and its bytes are on this node's disk"
        case "file":
            yield from _of_file(report)


def _of_file(report: PathReport) -> Iterator[str]:
    if report.retracted is not None:
        yield f"its version was {report.retracted}; what this mount pins stays"
    if report.state == "cached":
        yield "it is here, whole and verified: reads do not wait for the network"
        return
    stream = report.stream
    if stream is None:
        waits = [one.operation for one in report.waiting if one.operation != "read"]
        if waits:
            yield f"{len(waits)} wait for its origin to say what it is"
        elif report.waiting:
            yield f"it is not kept: {len(report.waiting)} read it from its origin"
        return
    if stream.error is not None:
        yield stream.error
    yield from _of_phase(stream)
    yield from _of_limits(report)


def _of_limits(report: PathReport) -> Iterator[str]:
    limits = report.limits
    if limits is None:
        return
    if limits.bandwidth_bytes_per_s is not None:
        rate = rounded_size(limits.bandwidth_bytes_per_s)
        yield f"the bandwidth of its origin is limited to {rate}/s at this time of day"
    use = limits.egress
    if use is not None and use.state != "ok":
        spent = "is spent" if use.state == "spent" else "is nearly spent: prewarming has stopped"
        read = rounded_size(use.day_bytes)
        yield f"the egress budget of {use.account} {spent} ({read} read in 24 hours)"


def _of_phase(stream: StreamReport) -> Iterator[str]:
    match stream.phase:
        case "preparing":
            yield "it waits for room in the cache"
        case "verifying":
            yield "all of it is here and is being hashed"
        case "unkept":
            yield "the cache has no room to keep it: each read goes to its origin"
        case "streaming":
            yield from _of_streaming(stream)


def _of_streaming(stream: StreamReport) -> Iterator[str]:
    for wait in stream.waits[:1]:
        yield _of_wait(wait, stream)
    if not stream.waits:
        if stream.under_way or stream.queued:
            yield "nobody waits for it now; the rest comes in the background"
        elif stream.readers:
            yield "nobody waits for it now: what is read is fetched when it is read"
        else:
            yield "nobody has it open: what is missing is not being fetched"


def _of_wait(wait: RangeReport, stream: StreamReport) -> str:
    span = f"bytes {wait.start} to {wait.stop}"
    for one in stream.under_way:
        if one.start < wait.stop and wait.start < one.stop:
            text = f"{span} are being fetched for {one.since_s:.1f} s"
            if one.since_s >= SLOW_S and not stream.bytes_per_s:
                return f"{text}, and its origin has sent nothing that is whole yet"
            return text
    for request in stream.queued:
        behind = f"behind {request.ahead} requests" if request.ahead else "next in line"
        return (
            f"{span} wait for a turn at the origin, {behind}"
            f" ({request.fetch_class}, {rounded_size(request.length_bytes)})"
        )
    return f"{span} are waited for since {wait.since_s:.1f} s"
