"""Answers of a service that is busy, as its control socket gives them; a test changes its copy."""

from __future__ import annotations

import copy
from typing import Any

MAYA = {"pid": 4711, "name": "maya", "job": "job-7"}
PATH = "ant/render/xy_010_v005/beauty.0101.exr"
KEY = PATH.removeprefix("ant/")

_STREAM: dict[str, Any] = {
    "origin": "gs://b/ant",
    "key": KEY,
    "phase": "streaming",
    "size_bytes": 40 * 2**30,
    "bytes_present": 10 * 2**30,
    "bytes_per_s": 100.0 * 2**20,
    "rest_s": 307.2,
    "readers": [MAYA, {"pid": 5, "name": "nuke", "job": ""}],
    "fetch_class": "demand",
    "waits": [
        {"start": 0, "stop": 131072, "fetch_class": "demand", "since_s": 12.5, "asker": MAYA},
        {
            "start": 0, "stop": 2**30, "fetch_class": "prewarm", "since_s": 60.0,
            "asker": {"pid": 0, "name": "prewarm", "job": "shot-9"},
        },
    ],
    "under_way": [
        {"start": 0, "stop": 8 * 2**20, "fetch_class": "demand", "since_s": 12.4, "asker": None}
    ],
    "queued": [
        {
            "origin": "gs://b/ant", "fetch_class": "lookahead", "key": KEY,
            "length_bytes": 8 * 2**20, "since_s": 3.0, "position": 2, "ahead": 14, "asker": MAYA,
        }
    ],
    "error": None,
}  # fmt: skip

_WAIT = {
    "operation": "read", "path": PATH, "asker": MAYA, "start": 0, "stop": 131072,
    "since_s": 12.5, "caller": None,
}  # fmt: skip

_WHY: dict[str, Any] = {
    "path": PATH,
    "kind": "file",
    "meaning": {
        "template": "frames",
        "pattern": "render/{shot}_{version}/{name}.{frame}.exr",
        "source": "gs://specs/ant.json",
        "line": 12,
        "fields": {"frame": "0101"},
        "tiers": ["gs://b/ant"],
        "flow": "out",
        "immutable": "on-close",
        "ttl_s": 3600.0,
        "note": None,
        "nearest": [],
    },
    "state": "partial",
    "origin": f"gs://b/ant/{KEY}",
    "tier": "gs://b/ant",
    "version": "17000001",
    "mtime_ns": 1_700_000_000_000_000_000,
    "size_bytes": 40 * 2**30,
    "bytes_present": 10 * 2**30,
    "digest": "0123456789abcdef0123456789abcdef",
    "digest_proven": False,
    "problem": None,
    "waiting": [_WAIT],
    "stream": _STREAM,
    "readers": _STREAM["readers"],
    "reachability": {"reachable": True, "since_s": 1.7e9, "last_error": "", "outages": 0},
    "limits": {"bandwidth_bytes_per_s": None, "egress": None},
    "pins": [{"owner": "lighting", "until_s": None}],
    "reasons": ["bytes 0 to 131072 are being fetched for 12.4 s"],
}

_TOP: dict[str, Any] = {
    "state": "serving",
    "pid": 1,
    "node": "render-0042",
    "mountpoint": "/shows",
    "uptime_s": 3725.0,
    "origins": {
        "gs://b/ant": {
            "opened": True,
            "reachable": True,
            "since": None,
            "last_error": None,
            "bandwidth_bytes_per_s": 20 * 2**20,
            "egress": {
                "account": "gs://b",
                "state": "warning",
                "day_bytes": 90 * 2**30,
                "day_bytes_max": 100 * 2**30,
                "job_bytes": 3 * 2**30,
                "job_bytes_max": 5 * 2**30,
            },
        },
        "s3://c/ant": {
            "opened": True,
            "reachable": False,
            "since": "2026-11-21T10:00:00Z",
            "last_error": "connection refused",
        },
    },
    "window_s": 10.0,
    "throughput": [{"origin": "gs://b/ant", "class": "demand", "bytes_per_s": 100.0 * 2**20}],
    "hits": 90,
    "misses": 10,
    "hit_ratio": 0.9,
    "hit_ratio_total": 0.5,
    "opens_per_s": 10.0,
    "evictions": 3,
    "loop_lag_p99_s": 0.002,
    "loop_lag_p999_s": 0.005,
    "waiting": {"read": 1, "open": 12},
    "waits": [_WAIT],
    "stream_count": 31,
    "streams": [{"path": PATH, **_STREAM}],
    "queue": [
        {
            "origin": "gs://b/ant", "fetch_class": "prewarm", "waiting": 400,
            "waiting_bytes": 2**30, "oldest_s": 4.0, "under_way": 2, "under_way_bytes": 2**24,
        }
    ],
    "lookahead": {
        "enabled": True, "useful_share": 0.97, "useful_files": 970, "useful_bytes": 2**31,
        "wasted_files": 30, "wasted_bytes": 2**26, "waiting_files": 12, "waiting_bytes": 2**30,
        "bytes_max": 2**34, "suspended": 1,
    },
    "cache": {"bytes": 2**40, "bytes_max": 2**41, "files": 1_000_000, "unkept": 2},
    "prewarms": {
        "3": {
            "state": "running",
            "mode": "fetch",
            "seconds": 12.5,
            "files": 5000,
            "done_files": 4321,
            "bytes": 10**9,
            "done_bytes": 9 * 10**8,
            "failed_files": 0,
        }
    },
    "crawlers": [
        {
            "asker": {"pid": 9, "name": "find", "job": ""}, "uid": 1000, "path": "ant/library",
            "listings": 5000, "per_s": 40.0, "waiting": 1, "waited_s": 3.0, "since_s": 9.0,
        }
    ],
}  # fmt: skip


def why_report(**changes: Any) -> dict[str, Any]:
    """Return what the service says of a file that is coming in, with *changes*."""
    return {**copy.deepcopy(_WHY), **changes}


def top_report(**changes: Any) -> dict[str, Any]:
    """Return what a busy service is doing, with *changes*."""
    return {**copy.deepcopy(_TOP), **changes}


ENTRIES = 2_500
"""How many blobs the fake cache has."""


def entry_page(after: str, limit: int) -> dict[str, Any]:
    """Return a page of a cache of `ENTRIES` blobs; its cursors are numbers."""
    first = int(after or 0)
    last = min(first + limit, ENTRIES)
    rows = [
        {
            "digest": f"{number:032x}", "size_bytes": 1024 * number, "pinned": number == 1,
            "open": number == 2, "proven": number != 3,
            "paths": _paths_of(number),
        }
        for number in range(first, last)
    ]  # fmt: skip
    return {"entries": rows, "after": None if last == ENTRIES else str(last)}


def _paths_of(number: int) -> list[str]:
    if number == 4:
        return []
    return [f"ant/library/{number}.png", *(["ant/other"] if number == 5 else [])]


def pin_page(after: str) -> dict[str, Any]:
    """Return the first or the second page of pins."""
    row = {
        "tier": "gs://b", "size_bytes": 1024, "cached": not after, "key": "k",
        "path": None if after else "ant/library/oak.png", "owner": "xy_010",
        "until_s": None if after else 1.7e9,
    }  # fmt: skip
    return {"pins": [row], "after": None if after else "more"}
