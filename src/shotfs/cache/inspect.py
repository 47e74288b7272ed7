"""What the cache is doing, as values for reports: files that come in, requests, who waits.

Looks at streams and the scheduler and changes nothing. Everything is of the moment and from
memory. Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from shotfs.cache.asker import Asker
from shotfs.cache.blobs import BlobStore
from shotfs.cache.index import identity_of
from shotfs.cache.scheduling import EgressUse, FetchScheduler, Queued
from shotfs.cache.stream import Stream
from shotfs.cache.streams import Streams
from shotfs.digest import Digest
from shotfs.tiers.base import Revision

LISTED_MAX = 100
"""The most ranges, requests and readers of one file that a report lists."""


@dataclass(frozen=True, slots=True)
class RangeReport:
    """A range of a file that somebody waits for, or that is being fetched.

    Attributes:
        start, stop: of the range, bytes.
        fetch_class: its label: demand, lookahead, prewarm.
        since_s: for how long, in seconds.
        asker: who waits; None of a request.
    """

    start: int
    stop: int
    fetch_class: str
    since_s: float
    asker: Asker | None = None


@dataclass(frozen=True, slots=True)
class RequestReport:
    """A request to an origin that waits for its turn.

    Attributes:
        origin: the tier's name.
        fetch_class: its label.
        key: of the object that it is about.
        length_bytes: the most that it fetches.
        since_s: how long it has waited, in seconds.
        position: how many of its class and origin go before it.
        ahead: how many of all classes of its origin wait before it.
        asker: for whom.
    """

    origin: str
    fetch_class: str
    key: str
    length_bytes: int
    since_s: float
    position: int
    ahead: int
    asker: Asker


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A file that comes in.

    Attributes:
        origin: the tier's name.
        key: of the object.
        phase: see `phase.Phase`.
        size_bytes: of the whole.
        bytes_present: how many are here.
        bytes_per_s: at which they come; 0 while none do.
        rest_s: estimate of when the rest is here, in seconds; None: nobody can say.
        readers: who has it open.
        fetch_class: label of the most urgent reason.
        waits: ranges that are waited for, the longest first.
        under_way: ranges that are being fetched, the oldest first.
        queued: requests that wait for their turn, the next first.
        error: why it failed; None: it has not.
    """

    origin: str
    key: str
    phase: str
    size_bytes: int
    bytes_present: int
    bytes_per_s: float
    rest_s: float | None
    readers: tuple[Asker, ...]
    fetch_class: str
    waits: tuple[RangeReport, ...]
    under_way: tuple[RangeReport, ...]
    queued: tuple[RequestReport, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class LimitReport:
    """What the configuration lets an origin do now.

    Attributes:
        bandwidth_bytes_per_s: of all its requests; None: there is no limit at this time of day.
        egress: how far its budget is used; None: it has none.
    """

    bandwidth_bytes_per_s: int | None
    egress: EgressUse | None


@dataclass(frozen=True, slots=True)
class LineReport:
    """What one origin has to do for one class.

    Attributes:
        origin: the tier's name.
        fetch_class: its label.
        waiting: requests that wait for their turn.
        waiting_bytes: of those.
        oldest_s: how long the first of them has waited; 0 where none waits.
        under_way: requests that are being answered.
        under_way_bytes: of those.
    """

    origin: str
    fetch_class: str
    waiting: int
    waiting_bytes: int
    oldest_s: float
    under_way: int
    under_way_bytes: int


class Inspector:
    """Reports on streams and requests.

    Args:
        streams: what is coming in.
        scheduler: what waits for its turn.
        readers: returns who has a revision open.
        blobs: what is here.
        disk: bounds threads that use the disk.
    """

    def __init__(
        self,
        streams: Streams,
        scheduler: FetchScheduler,
        readers: Callable[[Revision], Iterable[Asker]],
        blobs: BlobStore,
        disk: trio.CapacityLimiter,
    ) -> None:
        self._blobs = blobs
        self._disk = disk
        self._streams = streams
        self._scheduler = scheduler
        self._readers = readers

    async def origins(self, digests: Sequence[Digest]) -> list[tuple[Revision, ...]]:
        """Return the revisions that each blob says it is of; () of one that is gone."""
        return await trio.to_thread.run_sync(
            lambda: [self._blobs.origins(digest) for digest in digests], limiter=self._disk
        )

    def readers_of(self, revision: Revision) -> tuple[Asker, ...]:
        """Return who has *revision* open, at most `LISTED_MAX`, each once."""
        found = dict.fromkeys(self._readers(revision))
        return tuple(found)[:LISTED_MAX]

    def stream_of(self, revision: Revision) -> StreamReport | None:
        """Return the report on *revision* if it comes in, or failed just now."""
        stream = self._streams.get(identity_of(revision))
        return None if stream is None else self._report(stream, self._scheduler.queue())

    def streams(self, limit: int) -> list[tuple[Revision, StreamReport]]:
        """Return the *limit* files that come in of which most is missing, with their reports."""
        missing = sorted(self._streams.live(), key=_bytes_missing, reverse=True)
        queue = self._scheduler.queue() if missing else []
        return [(stream.revision, self._report(stream, queue)) for stream in missing[:limit]]

    def limits_of(self, origin: str) -> LimitReport:
        """Return what *origin* may do now."""
        scheduler = self._scheduler
        return LimitReport(scheduler.bandwidth_bytes_per_s(origin), scheduler.egress_of(origin))

    def lines(self) -> list[LineReport]:
        """Return what each origin has to do, by class; without those that have nothing to do."""
        waiting: dict[tuple[str, str], list[Queued]] = {}
        under_way: dict[tuple[str, str], list[Queued]] = {}
        for found, requests in (
            (waiting, self._scheduler.queue()),
            (under_way, self._scheduler.under_way()),
        ):
            for one in requests:
                found.setdefault((one.origin, one.fetch_class.label), []).append(one)
        return [
            LineReport(
                origin,
                label,
                waiting=len(waiting.get((origin, label), ())),
                waiting_bytes=sum(one.length_bytes for one in waiting.get((origin, label), ())),
                oldest_s=max((one.since_s for one in waiting.get((origin, label), ())), default=0),
                under_way=len(under_way.get((origin, label), ())),
                under_way_bytes=sum(one.length_bytes for one in under_way.get((origin, label), ())),
            )
            for origin, label in sorted({*waiting, *under_way})
        ]

    def _report(self, stream: Stream, queue: list[Queued]) -> StreamReport:
        revision, rate = stream.revision, stream.rate_bytes_per_s
        waits = sorted(stream.waits(), key=lambda wait: -wait.since_s)
        missing = _bytes_missing(stream)
        return StreamReport(
            origin=revision.tier,
            key=revision.key,
            phase=stream.phase.value,
            size_bytes=revision.size_bytes,
            bytes_present=stream.blocks.present_bytes,
            bytes_per_s=rate,
            rest_s=missing / rate if rate > 0 else None if missing else 0.0,
            readers=self.readers_of(revision),
            fetch_class=stream.fetch_class.label,
            waits=tuple(
                RangeReport(
                    one.span.start, one.span.stop, one.fetch_class.label, one.since_s, one.asker
                )
                for one in waits[:LISTED_MAX]
            ),
            under_way=tuple(
                RangeReport(one.span.start, one.span.stop, one.fetch_class.label, one.since_s)
                for one in stream.requests()[:LISTED_MAX]
            ),
            queued=_queued_of(revision, queue),
            error=None if stream.error is None else stream.error.message,
        )


def _bytes_missing(stream: Stream) -> int:
    return stream.revision.size_bytes - stream.blocks.present_bytes


def _queued_of(revision: Revision, queue: list[Queued]) -> tuple[RequestReport, ...]:
    """Return the requests for *revision* among those that wait."""
    reports: list[RequestReport] = []
    ahead = 0
    # The queue is in the order of origin, class and turn, so what stands before goes before.
    for one in queue:
        if one.origin != revision.tier:
            continue
        if one.what == revision.key and len(reports) < LISTED_MAX:
            reports.append(
                RequestReport(
                    one.origin,
                    one.fetch_class.label,
                    one.what,
                    one.length_bytes,
                    one.since_s,
                    one.position,
                    ahead,
                    one.asker,
                )
            )
        ahead += 1
    return tuple(reports)
