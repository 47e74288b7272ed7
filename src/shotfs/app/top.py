"""Top: what the node is doing now, in one answer, from memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from shotfs.app.node import Node
from shotfs.app.recent import Recent, upper_bound
from shotfs.cache.inspect import StreamReport
from shotfs.namespace.paths_of import paths_of
from shotfs.tiers.base import Revision

WAITS_MAX = 20
STREAMS_MAX = 20
CRAWLERS_MAX = 20
"""What one answer lists of each; how many there are is always told."""

_FETCHED, _LAG = "fetched/", "lag/"


class Top:
    """Says what the node is doing.

    Args:
        node: what is looked at.
        about: returns what the service is: ``pid``, ``node``, ``state``, ``mountpoint``,
            ``uptime_s``, ``origins`` and ``prewarms``.

    Attributes:
        recent: the running totals; somebody must run it.
    """

    def __init__(self, node: Node, about: Callable[[], Mapping[str, Any]]) -> None:
        self._node = node
        self._about = about
        self.recent = Recent(lambda: dict(self._totals()))

    async def report(self) -> dict[str, Any]:
        """Return everything, for who may know everything."""
        window_s, grown = self.recent.growth()
        inspector, filesystem = self._node.cache.inspector, self._node.filesystem
        waits = await filesystem.path_reports.longest_waits(WAITS_MAX)
        return {
            **self._about(),
            "window_s": round(window_s, 3),
            "throughput": list(_throughput(window_s, grown)),
            "hits": round(grown["hits"]),
            "misses": round(grown["misses"]),
            "hit_ratio": _ratio(grown["hits"], grown["misses"]),
            "hit_ratio_total": _ratio(*self._hits_and_misses()),
            "opens_per_s": (grown["hits"] + grown["misses"]) / window_s,
            "evictions": round(grown["evictions"]),
            "loop_lag_p99_s": _lag(grown, 0.99),
            "loop_lag_p999_s": _lag(grown, 0.999),
            "waiting": filesystem.waits.counts(),
            "waits": [asdict(one) for one in waits],
            "stream_count": self._node.cache.stats().streams,
            "streams": [self._stream(*one) for one in inspector.streams(STREAMS_MAX)],
            "queue": [asdict(one) for one in inspector.lines()],
            "cache": asdict(self._node.cache.stats()),
            "lookahead": asdict(self._node.lookahead.report()),
            "crawlers": [
                asdict(one) for one in self._node.filesystem.crawlers.report()[:CRAWLERS_MAX]
            ],
        }

    def _stream(self, revision: Revision, report: StreamReport) -> dict[str, Any]:
        found = next(paths_of(self._node.shows, revision), None)
        return {"path": None if found is None else found[0], **asdict(report)}

    def _hits_and_misses(self) -> tuple[int, int]:
        stats = self._node.cache.stats()
        return stats.hits, stats.misses

    def _totals(self) -> Iterator[tuple[str, float]]:
        cache = self._node.cache
        hits, misses = self._hits_and_misses()
        yield "hits", hits
        yield "misses", misses
        yield "evictions", cache.stats().evictions
        for (origin, fetch_class), moved_bytes in self._node.metrics.fetch_bytes.values():
            yield f"{_FETCHED}{fetch_class}/{origin}", moved_bytes
        for family in self._node.metrics.loop_lag_seconds.collect():
            for sample in family.samples:
                if "le" in sample.labels:
                    yield f"{_LAG}{sample.labels['le']}", sample.value


def _throughput(window_s: float, grown: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Yield what moved in the window, the most first."""
    moved = [name for name, amount in grown.items() if name.startswith(_FETCHED) and amount > 0]
    for name in sorted(moved, key=lambda one: -grown[one]):
        fetch_class, _, origin = name.removeprefix(_FETCHED).partition("/")
        yield {
            "origin": origin,
            "class": fetch_class,
            "bytes_per_s": grown[name] / window_s,
        }


def _ratio(hits: float, misses: float) -> float | None:
    opens = hits + misses
    return hits / opens if opens > 0 else None


def _lag(grown: Mapping[str, float], share: float) -> float | None:
    """Return how late the event loop was at most in *share* of its turns, in seconds."""
    buckets = {
        float(name.removeprefix(_LAG)): count
        for name, count in grown.items()
        if name.startswith(_LAG)
    }
    bound = upper_bound(buckets, share)
    if bound is None or not math.isinf(bound):
        return bound
    # Beyond the last bucket: JSON knows no infinity, so the largest finite bound stands for it.
    return max((one for one in buckets if not math.isinf(one)), default=None)
