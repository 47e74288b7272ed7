"""Mounting with a full cache: nothing looks at a million blobs before the mount answers."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench import index
from bench.cold_site import PLACE, Site, console


def mount_full(site: Site) -> None:
    """Mount with so many blobs cached, as tools/bench/index does."""
    blobs = site.scale.blobs
    console.print(f"mount with {blobs:,} cached blobs")
    runs = index.measure_all(Path(PLACE, "index"), site.scale.rounds, blobs)
    for name, unit, target in (("mount_s", "s", "<= 1"), ("rss_mb", "MB", "<= 150")):
        values = runs[f"index_1m_{name}"]
        site.results.add(f"{blobs:,} blobs: {name}", "shotfs", statistics.median(values), unit)
        # Fewer blobs prove nothing about a million.
        prefix = "index_1m" if blobs == index.BLOBS else f"index_{blobs // 1000}k"
        site.results.add_value(f"{prefix}_{name}", values, target)
