"""tools/bench/write: outputs through close, published, and many small ones."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from running import place, service
from running.service import Mounted

from bench import program, usage
from bench.results import Results
from bench.write_systems import (
    BUCKET,
    CONNECTIONS,
    NATIVE,
    OURS,
    ROOT,
    SYSTEMS,
    Site,
    gcs_server,
    opened,
    run,
)
from shotfs.control.client import Client

ROUNDS_MAX = 100
DRAIN_S = 300.0
RAW = "obstore, raw upload"
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: paired runs of each workload.
        frames: that are written.
        published: frames that are published.
        frame_bytes: of each.
        limit_s: after which a slow system begins no further frame.
        writers: of small files at once.
        small_bytes: of each.
        small_s: how long they write.
    """

    rounds: int
    frames: int
    published: int
    frame_bytes: int
    limit_s: float
    writers: int
    small_bytes: int
    small_s: float


FULL = Scale(3, 200, 50, 10_000_000, 30.0, 16, 4096, 10.0)
QUICK = Scale(1, 6, 4, 10_000_000, 2.0, 16, 4096, 1.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    wanted = _parse(arguments)
    results = Results()
    scale = QUICK if wanted.quick else FULL
    rounds = wanted.rounds or scale.rounds
    code = program.run(
        "tools/bench/write",
        console,
        lambda stack: _measure(stack, wanted, scale, rounds, results),
    )
    if code:
        return code
    _add_ratios(results)
    _add_notes(results, scale, rounds)
    results.show(console)
    if wanted.json:
        results.write(wanted.json)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench/write", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, one round")
    parser.add_argument("--rounds", metavar="N", type=int, help="paired runs (default 3)")
    parser.add_argument(
        "--only", metavar="WORKLOAD", nargs="+", choices=WORKLOADS, default=list(WORKLOADS),
        help=f"some of the workloads: {', '.join(WORKLOADS)}",
    )  # fmt: skip
    parser.add_argument(
        "--systems", metavar="NAME", nargs="+", choices=SYSTEMS, default=list(SYSTEMS),
        help=f"some of the systems that write frames: {', '.join(map(repr, SYSTEMS))}",
    )  # fmt: skip
    parser.add_argument("--place", metavar="DIR", help="work below DIR, on its disk")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    wanted = parser.parse_args(arguments)
    if wanted.rounds is not None and not 1 <= wanted.rounds <= ROUNDS_MAX:
        parser.error(f"--rounds {wanted.rounds}: give 1 to {ROUNDS_MAX}")
    if wanted.place is not None and not os.path.isdir(wanted.place):
        parser.error(f"--place {wanted.place}: there is no such directory; make it first")
    if wanted.json and not os.path.isdir(os.path.dirname(wanted.json) or "."):
        parser.error(f"--json {wanted.json}: there is no such directory; make it first")
    return wanted


def _measure(
    stack: ExitStack, wanted: argparse.Namespace, scale: Scale, rounds: int, results: Results
) -> None:
    # Everything is on loopback and without TLS; rclone 1.60 cannot start with a bundle of its own.
    os.environ.pop("AWS_CA_BUNDLE", None)
    above = os.path.realpath(wanted.place) if wanted.place else ROOT
    directory = f"{above}/.bench-write"
    lock = f"{ROOT}/tools/bench/write" if above == ROOT else above
    site = Site(results, directory, place.take(stack, directory, lock, keep=False))
    for name in wanted.only:
        work, systems = WORKLOADS[name]
        systems = [one for one in systems if one in wanted.systems or one not in SYSTEMS]
        console.print(f"{name}: {' '.join((work.__doc__ or '').split())}")
        for index in range(rounds):
            for system in systems if index % 2 == 0 else reversed(systems):
                started = time.monotonic()
                work(site, scale, system)
                took_s = time.monotonic() - started
                console.print(f"  round {index + 1} of {rounds}: {system}, {took_s:.1f} s")


def _frames(site: Site, scale: Scale, system: str) -> None:
    """Frames one after another, through close."""
    with opened(site, system) as one:
        done = _write(one.directory, scale, scale.frames, fsync=one.fsync)
    title = _title(scale)
    closes = sorted(done["close_s"])
    site.results.add(title, system, done["bytes"] / done["seconds"] / 1e6, "MB/s")
    site.results.add(f"{title}, close p50", system, 1e3 * statistics.median(closes), "ms")
    p99 = closes[min(len(closes) - 1, len(closes) * 99 // 100)]
    site.results.add(f"{title}, close p99", system, 1e3 * p99, "ms")


def _publish(site: Site, scale: Scale, system: str) -> None:
    """Closed frames that wait, until all are in the origin."""
    title = f"{scale.published} frames of {scale.frame_bytes // 1_000_000} MB into a bucket"
    count, size_bytes = scale.published, scale.published * scale.frame_bytes
    with ExitStack() as stack:
        server = stack.enter_context(site.scratch())
        endpoint = stack.enter_context(gcs_server(f"{server}/gcs"))
        if system == RAW:
            one = stack.enter_context(opened(site, NATIVE))
            _write(one.directory, scale, count, fsync=True)
            done = run("obstore_upload.py", endpoint, BUCKET, one.directory, str(CONNECTIONS))
            seconds, cpu_s = float(str(done["seconds"])), float(str(done["cpu_s"]))
        else:
            one = stack.enter_context(opened(site, system, "drained", endpoint))
            _write(one.directory, scale, count, fsync=False)
            assert one.node is not None
            before_s = usage.cpu_s(one.pid)
            seconds = _drain(one.node)
            cpu_s = usage.cpu_s(one.pid) - before_s
    site.results.add(title, system, size_bytes / seconds / 1e6, "MB/s")
    site.results.add(f"{title}, CPU", system, cpu_s / size_bytes * 1e9, "s/GB")


def _small(site: Site, scale: Scale, system: str) -> None:
    """Small files of many writers at once, through close, while they are sealed and published."""
    title = f"{scale.writers} writers of {scale.small_bytes // 1024} KiB files"
    with opened(site, system, "small") as one:
        os.makedirs(one.directory, exist_ok=True)
        wish = {
            "directory": one.directory, "writers": scale.writers,
            "size_bytes": scale.small_bytes, "seconds": scale.small_s,
        }  # fmt: skip
        before_s = usage.cpu_s(one.pid)
        done: Mapping[str, Any] = run("write_loops.py", "small", stdin=json.dumps(wish))
        assert one.node is not None
        cpu_s = usage.cpu_s(one.pid) - before_s
        states = _states(one.node)
        seconds = time.monotonic() - float(done["started"])  # a bit more than the writers took
    closed = int(done["count"])
    unsealed, waiting = states["open"], states["sealed"] + states["uploading"]
    site.results.add(f"{title}: closed", system, closed / float(done["seconds"]), "files/s")
    site.results.add(f"{title}: sealed", system, (closed - unsealed) / seconds, "files/s")
    site.results.add(f"{title}: CPU", system, cpu_s / closed * 1e3, "ms/file")
    published = closed - unsealed - waiting
    site.results.add(f"{title}: published", system, published / seconds, "files/s")


WORKLOADS: Mapping[str, tuple[Callable[[Site, Scale, str], None], Sequence[str]]] = {
    "frames": (_frames, SYSTEMS),
    "publish": (_publish, (OURS, RAW)),
    "small": (_small, (OURS,)),
}


def _write(directory: str, scale: Scale, count: int, *, fsync: bool) -> Mapping[str, Any]:
    os.makedirs(directory, exist_ok=True)
    wish = {
        "directory": directory, "count": count, "size_bytes": scale.frame_bytes,
        "fsync": fsync, "limit_s": scale.limit_s,
    }  # fmt: skip
    return run("write_loops.py", "frames", stdin=json.dumps(wish))


def _drain(node: Mounted) -> float:
    """Publish everything now; return how long that took.

    Raises:
        ServiceFailed: something is left.
    """
    os.sync()
    started = time.perf_counter()
    with Client(node.socket) as client:
        left = client.drain(DRAIN_S)
    seconds = time.perf_counter() - started
    if left["count"]:
        raise service.ServiceFailed(f"{left['count']} frames were not published: {left}"[:2000])
    return seconds


def _states(node: Mounted) -> dict[str, int]:
    counters = node.counters()
    names = ("open", "sealed", "uploading")
    return {one: int(counters.total("shotfs_spool_files", f'state="{one}"')) for one in names}


def _title(scale: Scale) -> str:
    return f"{scale.frames} frames of {scale.frame_bytes // 1_000_000} MB"


def _add_ratios(results: Results) -> None:
    """Note the figures that have targets, as far as they were measured."""
    runs = results.runs
    for workload, system in list(runs):
        if (workload, NATIVE) in runs and system == OURS and results.units[workload] == "MB/s":
            results.add_ratio("close_vs_native_fsync", workload, OURS, NATIVE, ">= 0.7")
        if (workload, RAW) in runs and system == OURS and results.units[workload] == "MB/s":
            results.add_ratio("publish_vs_obstore", workload, OURS, RAW, ">= 0.8")
        if workload.endswith(": sealed"):
            results.add_value("small_sealed_per_s", runs[workload, system], ">= 1000")


def _add_notes(results: Results, scale: Scale, rounds: int) -> None:
    results.notes += [
        f"{rounds} rounds, every other one in the opposite order; ratios are of the same round",
        "each system is mounted afresh, alone and empty; the disk is synced before each run",
        "frames: written in pieces of 1 MiB; time until the last close; shotfs publishes later",
        "frames: shotfs is durable at close, native needs fsync; rclone is not durable at close",
        f"frames: s3fs uploads at close, to moto; a system stops after {scale.limit_s:g} s",
        "publish: from `drain` on: hashing, upload, the store's checksums compared",
        f"publish: {CONNECTIONS} at once, to the strict GCS server of the tests",
        "publish: JSON API for shotfs; XML for obstore, which hashes nothing",
        "CPU: of shotfs, or of obstore's process; not that of the server",
        f"small: for {scale.small_s:g} s; published to a directory of the same disk meanwhile",
    ]


if __name__ == "__main__":
    sys.exit(main())
