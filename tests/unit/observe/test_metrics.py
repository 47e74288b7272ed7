"""The metric table: names, labels, bound children, both ways to read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shotfs.observe import Metrics
from shotfs.observe import bound as bound_module


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_snapshot_is_flat_and_carries_the_labels(metrics: Metrics) -> None:
    metrics.upcalls["read"].inc()
    metrics.upcalls["read"].inc(2)
    metrics.upcall_errors["open", "EIO"].inc()
    metrics.cache_bytes.set(5e9)
    metrics.spool_files["sealed"].set(3)
    metrics.tier_requests["gs://b", "stat", "ok"].inc()
    snapshot = metrics.snapshot()
    assert snapshot["shotfs_upcalls_total{op=read}"] == 3
    assert snapshot["shotfs_upcall_errors_total{op=open,errno=EIO}"] == 1
    assert snapshot["shotfs_cache_bytes"] == 5e9
    assert snapshot["shotfs_spool_files{state=sealed}"] == 3
    assert snapshot["shotfs_tier_requests_total{origin=gs://b,op=stat,outcome=ok}"] == 1
    assert snapshot["shotfs_cache_hits_total"] == 0


def test_a_histogram_gives_count_sum_and_buckets(metrics: Metrics) -> None:
    metrics.upcall_seconds["read"].observe(0.003)
    snapshot = metrics.snapshot()
    assert snapshot["shotfs_upcall_seconds_count{op=read}"] == 1
    assert snapshot["shotfs_upcall_seconds_sum{op=read}"] == pytest.approx(0.003)
    assert snapshot["shotfs_upcall_seconds_bucket{op=read,le=0.002}"] == 0
    assert snapshot["shotfs_upcall_seconds_bucket{op=read,le=0.005}"] == 1


def test_the_text_is_what_prometheus_reads_and_says_the_same(metrics: Metrics) -> None:
    metrics.opens["cold"].inc()
    metrics.published["conflict"].inc(4)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }
    assert samples["shotfs_opens_total", "cold"] == 1
    assert samples["shotfs_published_total", "conflict"] == 4
    assert not [key for key in samples if key[0].endswith("_created")]


def test_every_metric_of_the_table_exists_and_has_our_prefix(metrics: Metrics) -> None:
    promised = {
        "upcalls", "upcall_errors", "upcall_seconds", "opens", "tier_requests", "tier_seconds",
        "tier_bytes_read", "tier_bytes_written", "tier_retries", "cache_hits", "cache_misses",
        "cache_bytes", "cache_files", "cache_evictions", "cache_verify_failures", "spool_bytes",
        "spool_files", "published", "negative_hits", "loop_lag_seconds",
    }  # fmt: skip
    assert promised <= set(vars(metrics))
    assert all(family.name.startswith("shotfs_") for family in metrics.registry.collect())
    assert all(family.documentation.endswith(".") for family in metrics.registry.collect())


def test_the_process_is_measured_too(metrics: Metrics) -> None:
    assert metrics.snapshot()["shotfs_process_resident_memory_bytes"] > 0


def test_two_tables_do_not_share_numbers(metrics: Metrics) -> None:
    metrics.cache_hits.inc()
    assert Metrics().snapshot()["shotfs_cache_hits_total"] == 0


def test_a_child_is_made_once(metrics: Metrics) -> None:
    assert metrics.upcalls["read"] is metrics.upcalls["read"]
    assert metrics.upcalls.labels("read") is metrics.upcalls["read"]
    assert metrics.upcalls.labels(op="read") is metrics.upcalls["read"]
    pair = metrics.upcall_errors["open", "EIO"]
    assert metrics.upcall_errors.labels(errno="EIO", op="open") is pair
    assert metrics.upcall_errors.labels("open", "EIO") is pair
    assert len(metrics.upcalls) == 1


def test_labels_that_the_metric_does_not_have_are_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="the labels are op"):
        metrics.upcalls["read", "EIO"]
    with pytest.raises(ValueError, match="the labels are op, errno"):
        metrics.upcall_errors["read"]
    with pytest.raises(ValueError, match="the labels are op"):
        metrics.upcalls.labels(operation="read")


def test_an_unbounded_label_does_not_fill_the_memory(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_module, "CHILDREN_MAX", 3)
    for number in range(10):
        metrics.tier_retries[f"gs://{number}"].inc()
    snapshot = metrics.snapshot()
    assert snapshot["shotfs_tier_retries_total{origin=(other)}"] == 7
    assert len([name for name in snapshot if name.startswith("shotfs_tier_retries")]) == 4


def test_operations_md_has_every_metric(metrics: Metrics) -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    named = set(re.findall(r"`(shotfs_[a-z_]+)", page))
    ours = {
        family.name
        for family in metrics.registry.collect()
        if not family.name.startswith("shotfs_process_")
    }
    assert ours - named == set()
    assert {name for name in named if not name.startswith("shotfs_process")} - ours == set()
