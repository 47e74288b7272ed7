"""The table of all metrics, on a registry of its own.

Owns names, labels and buckets: a metric that is not here does not exist, and its name never
changes without a line in the changelog. Knows nothing of what it counts. Thread-safe, as
prometheus_client is. `labels()` costs microseconds and an allocation, so hot paths use the
mappings below, which keep the bound children: ``metrics.upcalls["read"].inc()``.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from shotfs.observe.bound import Bound
from shotfs.observe.latencies import Latencies

UPCALL_SECONDS_BUCKETS = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""From a warm upcall (60-130 us, measured 2026-11) to the default deadline of 60 s."""

TIER_SECONDS_BUCKETS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
)  # fmt: skip

WAITS = ("read", "first byte")
"""What applications wait for: bytes that are fetched; after a cold open, the first of them."""

PUBLISH_SECONDS_BUCKETS = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0,
)  # fmt: skip
"""From a small file to 100 GB over a slow line."""

LOOP_LAG_SECONDS_BUCKETS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
)  # fmt: skip
"""Around the promise: p99.9 of the lag under 10 ms (architecture, concurrency rule 7)."""


class Metrics:
    """Every metric of one service. Make one, give it to the constructors.

    Metrics without labels are prometheus_client objects (`inc`, `set`, `observe`). Those with
    labels are mappings from a label value (a tuple of them where there are several, in the order
    of the table) to the bound child; a child is made when it is first asked for.
    """

    def __init__(self) -> None:
        # Creation times would double the number of series and nobody reads them. The switch is
        # global in prometheus_client, which no other part of this process uses.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(namespace="shotfs", registry=self.registry)
        self.upcalls = self._counters("shotfs_upcalls", "Requests of the kernel.", "op")
        self.upcall_errors = self._counters(
            "shotfs_upcall_errors", "Requests answered with an errno, by its name.", "op", "errno"
        )
        self.upcall_seconds = self._latencies(
            "shotfs_upcall_seconds", "Time to answer the kernel.", "op"
        )
        self.wait_seconds = self._latencies(
            "shotfs_wait_seconds",
            "How long applications waited: for a read that had to be fetched, and from a cold open"
            " to its first byte.",
            "what",
        )
        for what in WAITS:
            self.wait_seconds[what]  # so that they are served before the first of them
        self.opens = self._counters(
            "shotfs_opens", "Files opened: cold, warm, streaming, spool.", "temperature"
        )
        self.listings_slowed = self._counter(
            "shotfs_listings_slowed", "Listings that waited because their process lists too many."
        )
        self.listings_slowed_seconds = self._counter(
            "shotfs_listings_slowed_seconds", "How long these waited, all together."
        )
        self.spec_checks = self._counters(
            "shotfs_spec_checks",
            "Looks at the documents of a specification: unchanged, changed, refused, unreadable.",
            "show",
            "outcome",
        )
        self.spec_refused = self._gauges(
            "shotfs_spec_refused", "1 while a newer specification cannot come into force.", "show"
        )
        self._add_tiers()
        self._add_fetches()
        self._add_cache()
        self._add_outputs()
        self._add_recordings()
        self.loop_lag_seconds = Histogram(
            "shotfs_loop_lag_seconds",
            "How late the event loop woke up.",
            buckets=LOOP_LAG_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.log_records_dropped = self._counter(
            "shotfs_log_records_dropped", "Log records dropped because the writer was behind."
        )

    def _add_tiers(self) -> None:
        self.tier_requests = self._counters(
            "shotfs_tier_requests", "Requests to origins.", "origin", "op", "outcome"
        )
        self.tier_seconds = self._histograms(
            "shotfs_tier_seconds",
            "Time of one request to an origin.",
            TIER_SECONDS_BUCKETS,
            "origin",
            "op",
        )
        self.tier_bytes_read = self._counters(
            "shotfs_tier_read_bytes", "Bytes read from origins.", "origin"
        )
        self.tier_bytes_written = self._counters(
            "shotfs_tier_written_bytes", "Bytes written to origins.", "origin"
        )
        self.tier_retries = self._counters(
            "shotfs_tier_retries", "Requests to origins that were tried again.", "origin"
        )
        self.origin_up = self._gauges(
            "shotfs_origin_up", "0 while an origin cannot be reached and is not asked.", "origin"
        )
        self.origin_outages = self._counters(
            "shotfs_origin_outages", "How often an origin was found to be gone.", "origin"
        )
        self.origin_refused = self._counters(
            "shotfs_origin_refused",
            "Requests that failed at once because their origin was gone.",
            "origin",
        )
        self.near_tiers = self._counters(
            "shotfs_near_tier",
            "What faster tiers were good for: served, absent, differs, unproven, error, paused,"
            " wrong.",
            "tier",
            "outcome",
        )

    def _add_fetches(self) -> None:
        self.fetch_bytes = self._counters(
            "shotfs_fetch_bytes", "Bytes moved from and to origins.", "origin", "class"
        )
        self.fetch_queue = self._gauges(
            "shotfs_fetch_queue", "Requests that wait for their turn.", "class"
        )
        self.fetch_wait_seconds = self._histograms(
            "shotfs_fetch_wait_seconds",
            "How long requests waited for their turn.",
            TIER_SECONDS_BUCKETS,
            "class",
        )
        self.fetch_in_flight_bytes = self._gauge(
            "shotfs_fetch_in_flight_bytes", "Bytes of the requests that are under way."
        )
        self.hedges = self._counters(
            "shotfs_hedges", "Second requests for slow ones: sent, won.", "outcome"
        )
        self.lookahead_files = self._counters(
            "shotfs_lookahead_files",
            "Files that look-ahead fetched: useful, those that were opened later; wasted, those"
            " that left the cache unopened or that their job has gone past.",
            "outcome",
        )
        self.lookahead_bytes = self._counters(
            "shotfs_lookahead_bytes", "The same in bytes.", "outcome"
        )
        self.lookahead_waiting_bytes = self._gauge(
            "shotfs_lookahead_waiting_bytes", "Bytes fetched ahead that nobody has opened yet."
        )
        self.lookahead_refused = self._counters(
            "shotfs_lookahead_refused",
            "Files that were expected and not fetched: budget, cache, egress, suspended, failed,"
            " crowd.",
            "reason",
        )
        for outcome in ("useful", "wasted"):
            self.lookahead_files[outcome]
            self.lookahead_bytes[outcome]
        self.egress_bytes = self._gauges(
            "shotfs_egress_day_bytes", "Bytes read in 24 hours, where there is a budget.", "account"
        )
        self.egress_refused = self._counters(
            "shotfs_egress_refused", "Requests refused because a budget is spent.", "account"
        )

    def _add_cache(self) -> None:
        self.cache_hits = self._counter("shotfs_cache_hits", "Opens that the cache answered.")
        self.cache_misses = self._counter("shotfs_cache_misses", "Opens that needed an origin.")
        self.cache_bytes = self._gauge("shotfs_cache_bytes", "Bytes in the cache.")
        self.cache_files = self._gauge("shotfs_cache_files", "Files in the cache.")
        self.cache_unkept = self._gauge(
            "shotfs_cache_unkept_files", "Files since the start that were read without keeping."
        )
        self.cache_pinned_bytes = self._gauge(
            "shotfs_cache_pinned_bytes", "Bytes in the cache that are pinned."
        )
        self.cache_reserved_bytes = self._gauge(
            "shotfs_cache_reserved_bytes", "Room for what is coming in and for unfinished files."
        )
        self.cache_streams = self._gauge("shotfs_cache_streams", "Files that are coming in.")
        self.waiting = self._gauges(
            "shotfs_waiting", "Operations of applications that wait now.", "op"
        )
        self.cache_evictions = self._counter("shotfs_cache_evictions", "Files evicted.")
        self.cache_verify_failures = self._counter(
            "shotfs_cache_verify_failures", "Content that was not what was promised."
        )
        self.cache_checked_bytes = self._counter(
            "shotfs_cache_checked_bytes", "Bytes of blobs that verify and scrub read."
        )
        self.cache_corrupt_blobs = self._counters(
            "shotfs_cache_corrupt_blobs",
            "Blobs that were not what their name says, by what found them: verify, scrub.",
            "found_by",
        )
        self.cache_scrub_position = self._gauge(
            "shotfs_cache_scrub_position", "How far the scrub's pass is, from 0 to 1."
        )
        self.cache_scrub_passes = self._counter(
            "shotfs_cache_scrub_passes", "Passes over the cache that the scrub has ended."
        )
        self.negative_hits = self._counter(
            "shotfs_negative_hits", "Look-ups answered by a remembered absence."
        )

        self.stale_answers = self._counter(
            "shotfs_stale_answers",
            "Look-ups answered as of before an outage, as stale_if_error allows.",
        )

    def _add_outputs(self) -> None:
        self.spool_bytes = self._gauge("shotfs_spool_bytes", "Bytes of outputs in the spool.")
        self.spool_files = self._gauges("shotfs_spool_files", "Files in the spool.", "state")
        self.published = self._counters(
            "shotfs_published", "Outputs that left the queue.", "outcome"
        )
        self.publish_failures = self._counters(
            "shotfs_publish_failures",
            "Uploads that failed: permission, conflict, policy, unavailable, corrupt, full, disk,"
            " other.",
            "class",
        )
        self.publish_seconds = self._histograms(
            "shotfs_publish_seconds",
            "How long one output took: seal (hashing), upload (with verifying).",
            PUBLISH_SECONDS_BUCKETS,
            "step",
        )
        self.uploads_in_flight = self._gauge(
            "shotfs_uploads_in_flight", "Uploads of outputs that are under way."
        )
        self.upload_bytes = self._counter(
            "shotfs_upload_bytes", "Bytes of outputs that arrived in an origin."
        )
        self.queue_bytes = self._gauges(
            "shotfs_queue_bytes", "Bytes of outputs that are not in the origin.", "state"
        )
        self.queue_files = self._gauges(
            "shotfs_queue_files", "Outputs that are not in the origin.", "state"
        )
        self.queue_oldest_seconds = self._gauge(
            "shotfs_queue_oldest_seconds",
            "How long the oldest output has waited that somebody closed; 0 where none waits.",
        )
        self.hooks = self._counters(
            "shotfs_hooks", "Commands of [hooks]: ok, failed, timeout, dropped.", "event", "outcome"
        )
        self.retractions = self._counters(
            "shotfs_retractions",
            "Published versions that this node took back or let count again: retracted, restored,"
            " deleting, deleted.",
            "state",
        )

        self.draining = self._gauge("shotfs_draining", "1 while this node drains in order to end.")
        self.refused_work = self._counter(
            "shotfs_refused_work", "Creates and opens for writing refused because of that."
        )
        self.preemption_notices = self._counters(
            "shotfs_preemption_notices", "Notices that this node is taken away: gce, ec2.", "source"
        )
        self.emergency_copies = self._counters(
            "shotfs_emergency_copies",
            "Outputs copied to the emergency place: whole, partial, failed; removed, rescued.",
            "outcome",
        )
        self.emergency_bytes = self._counter(
            "shotfs_emergency_bytes", "Bytes copied to the emergency place."
        )

    def _add_recordings(self) -> None:
        self.recorded_runs = self._counters(
            "shotfs_recorded_runs",
            "Recorded runs that ended: learned, empty, unknown (no shot could be told).",
            "outcome",
        )
        self.recorded_files = self._counter(
            "shotfs_recorded_files", "Files of recorded runs that were learned."
        )
        self.recorded_missed = self._counter(
            "shotfs_recorded_missed", "Opens that were not recorded because there was no room."
        )
        self.recordings_published = self._counters(
            "shotfs_recordings_published",
            "Recordings on their way to their origin: published, unavailable, refused, failed.",
            "outcome",
        )
        self.recordings_active = self._gauge(
            "shotfs_recordings_active", "Runs that are recorded now."
        )

    def text(self) -> str:
        """Return everything in Prometheus' text exposition format."""
        return generate_latest(self.registry).decode()

    def snapshot(self) -> dict[str, float]:
        """Return every sample, flat: ``name`` or ``name{label=value,...}`` to its value.

        Labels are in the order of the table. Histograms give their buckets, sums and counts.
        """
        return dict(self._samples())

    def _samples(self) -> Iterator[tuple[str, float]]:
        for family in self.registry.collect():
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
                yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _counters(self, name: str, text: str, *labels: str) -> Bound[Counter]:
        return Bound(Counter(name, text, labels, registry=self.registry), labels)

    def _gauges(self, name: str, text: str, *labels: str) -> Bound[Gauge]:
        return Bound(Gauge(name, text, labels, registry=self.registry), labels)

    def _latencies(self, name: str, text: str, label: str) -> Latencies:
        return Latencies(name, text, UPCALL_SECONDS_BUCKETS, label, self.registry)

    def _histograms(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Bound[Histogram]:
        family = Histogram(name, text, labels, buckets=buckets, registry=self.registry)
        return Bound(family, labels)
