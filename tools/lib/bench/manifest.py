"""tools/bench/manifest: reading, checking and translating a manifest of 1,000,000 entries."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import manifest_check
from bench.results import Results
from shotfs.digest import Digest
from shotfs.prewarm.manifest import Entry, Source, Subject, Use, new_head, write_manifest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench", "manifest")
DEADLINE = os.path.join(ROOT, ".venv-deadline", "bin", "python")
ENTRIES = 1_000_000
CHECKS = 2
"""Rounds of the prewarm's check: to fill its node takes most of the time."""

SHOTFS = (sys.executable, "-m", "shotfs")
console = Console(highlight=False)

PAGES = """
import sys
from shotfs.prewarm.manifest import open_manifest
with open_manifest(sys.argv[1]) as manifest:
    for page in manifest.pages():
        pass
    assert manifest.count == int(sys.argv[2])
"""

JSON_ONLY = """
import json, sys
with open(sys.argv[1], "rb") as file:
    for line in file:
        json.loads(line)
"""

THEIRS = """
import sys
from deadline.job_attachments.asset_manifests.decode import decode_manifest
with open(sys.argv[1]) as file:
    assert len(decode_manifest(file.read()).paths) == int(sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: of reading and checking.
        others: rounds of everything else; 0 leaves the peers out.
    """

    rounds: int
    others: int


FULL = Scale(rounds=5, others=3)
QUICK = Scale(rounds=3, others=0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: by the clock, of processors, and its peak of resident memory."""

    seconds: float
    cpu_s: float
    rss_mb: float


def entries(count: int) -> Iterator[Entry]:
    """Yield entries as a show's delivery has them: half of them recorded, with ranges."""
    for index in range(count):
        number, frame = divmod(index, 86)
        yield Entry(
            path=f"ant/xy_1_100_030_00/light/v005/tex/wood_{number:06d}.{1001 + frame}.exr",
            digest=Digest(f"{index * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"),
            size_bytes=index * 7919 % 50_000_000,
            mtime_ns=1_700_000_000_123_456_000 + index * 1000,
            frames=str(1001 + frame),
            sources=(Source.RECORDED, Source.SCANNED) if index % 2 else (Source.SCANNED,),
            scanners=("usd",),
            confidence=0.9,
            use=Use(3, 1, 0.25, 1.5, ((0, 65536), (1 << 20, 2 << 20))) if index % 2 else None,
        )


def main() -> int:
    """Measure, print the tables, write the JSON file where one is asked for."""
    parser = argparse.ArgumentParser(prog="tools/bench/manifest")
    parser.add_argument("--quick", action="store_true", help="under a minute, without peers")
    parser.add_argument("--check", action="store_true", help="only `shotfs prewarm --check`")
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    arguments = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    results = Results()
    try:
        _measure(results, QUICK if arguments.quick else FULL, only_check=arguments.check)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(results: Results, scale: Scale, *, only_check: bool) -> None:
    path = os.path.join(PLACE, "million.jsonl")
    many = f"{ENTRIES:,} entries"
    console.print(f"{many}: write")
    began_s = time.perf_counter()
    write_manifest(path, new_head(Subject(show="ant")), entries(ENTRIES))
    results.add(f"{many}: write", "shotfs, library", time.perf_counter() - began_s, "s")
    results.notes.append(f"the file has {os.path.getsize(path) / 1e6:.0f} MB, one entry a line")
    if only_check:
        _prewarm_check(results, path, many)
        return
    console.print(f"{many}: read and check")
    for _ in range(scale.rounds):
        check = _run([*SHOTFS, "manifest", "verify", "--form", path])
        _add(results, f"{many}: read and check", "shotfs manifest verify --form", check)
        pages = _run([sys.executable, "-c", PAGES, path, str(ENTRIES)])
        _add(results, f"{many}: read and check", "shotfs, library, by pages", pages)
    for _ in range(max(1, scale.others)):
        _add(results, f"{many}: sum up", "shotfs manifest stats", _stats(path))
    if scale.others:
        _others(results, path, many, scale.others)
        _prewarm_check(results, path, many)
    _name_figures(results, many)


def _stats(path: str) -> Cost:
    return _run([*SHOTFS, "manifest", "stats", path])


def _others(results: Results, path: str, many: str, rounds: int) -> None:
    """Measure a bare JSON parser, and the deadline package with the same files."""
    asset = os.path.join(PLACE, "assets.json")
    for _ in range(rounds):
        bare = _run([sys.executable, "-c", JSON_ONLY, path])
        _add(results, f"{many}: read and check", "json.loads of each line, unchecked", bare)
        export = _run(
            [*SHOTFS, "manifest", "export", path, "-f", "deadline", "-o", asset, "--below", "ant"]
        )
        _add(results, f"{many}: to an asset manifest", "shotfs manifest export", export)
        theirs = _run([DEADLINE, "-c", THEIRS, asset, str(ENTRIES)])
        _add(results, f"{many}: read an asset manifest", "deadline package", theirs)
        target = os.path.join(PLACE, "back.jsonl")
        ours = _run(
            [*SHOTFS, "manifest", "import", asset, "-f", "deadline", "-o", target, "--below", "ant"]
        )
        _add(results, f"{many}: read an asset manifest", "shotfs manifest import, and write", ours)
        merge = _run([*SHOTFS, "manifest", "merge", path, target, "-o", f"{target}.gz"])
        _add(results, f"{many}: merge with another, packed", "shotfs manifest merge", merge)


def _prewarm_check(results: Results, path: str, many: str) -> None:
    """Measure how long a node takes to say that all of it is here."""
    console.print(f"{many}: fill a node, and check")
    place = Path(PLACE) / "node"
    manifest_check.prepare(place, entries(ENTRIES), ENTRIES)
    workload, system = f"{many}: all here?", "shotfs prewarm --check"
    with manifest_check.served(place) as service:
        before_mb = service.peak_mb()
        for _ in range(CHECKS):
            check = manifest_check.check(path, service, ENTRIES)
            results.add(workload, system, check.seconds, "s")
            results.add(f"{workload}: peak memory", system, check.client_mb, "MB")
        added_mb = service.peak_mb() - before_mb
    results.add(f"{workload}: added to the service's peak memory", system, added_mb, "MB")
    results.add_value("prewarm_check_1m_s", results.runs[workload, system], "<= 10")
    memory = results.runs[f"{workload}: peak memory", system]
    results.add_value("prewarm_check_1m_rss_mb", memory, "<= 300")


def _name_figures(results: Results, many: str) -> None:
    workload, system = f"{many}: read and check", "shotfs manifest verify --form"
    results.add_value("manifest_1m_check_s", results.runs[workload, system], "<= 10")
    memory = results.runs[f"{workload}: peak memory", system]
    results.add_value("manifest_1m_rss_mb", memory, "<= 300")


def _add(results: Results, workload: str, system: str, cost: Cost) -> None:
    results.add(workload, system, cost.seconds, "s")
    results.add(f"{workload}: CPU", system, cost.cpu_s, "s")
    results.add(f"{workload}: peak memory", system, cost.rss_mb, "MB")


def _run(command: Sequence[str]) -> Cost:
    """Run *command* to its end and return what it took."""
    began_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began_s
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command[:6])} ... ended with {process.returncode}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
