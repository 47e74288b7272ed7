"""tools/bench/spec: proving, loading and resolving 10,000 templates, and their memory.

Each measurement runs in a process of its own (`spec_tasks`), so that none profits from another.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench", "spec")
PEERS = os.path.join(ROOT, ".bench", "peers")
RE2 = "google-re2==1.1.20251105"
TASK_TIMEOUT_S = 600.0
TEMPLATES = 10_000
console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: of everything but the first load and the peers.
        paths: unique paths that each round resolves.
        first_loads: how often the documents are proven.
    """

    rounds: int
    paths: int
    first_loads: int


FULL = Scale(rounds=5, paths=200_000, first_loads=3)
QUICK = Scale(rounds=3, paths=50_000, first_loads=1)


def main() -> int:
    """Measure, print the tables, write the JSON file where one is asked for."""
    parser = argparse.ArgumentParser(prog="tools/bench/spec")
    parser.add_argument("--quick", action="store_true", help="half a minute instead of some")
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    results = Results()
    try:
        _measure(results, scale)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(results: Results, scale: Scale) -> None:
    many = f"{TEMPLATES:,} templates"
    console.print(f"{many}: first load")
    for _ in range(scale.first_loads):
        measured = _task("first", str(TEMPLATES))
        results.add(f"{many}: proven and compiled", "shotfs", measured["seconds"], "s")
        results.add(f"{many}: memory after that", "shotfs", measured["rss_mb"], "MB")
    console.print(f"{many}: load from the compiled form, resolve")
    for index in range(scale.rounds):
        measured = _task("restore", str(TEMPLATES), str(scale.paths), str(index))
        results.add(f"{many}: loaded from the compiled form", "shotfs", measured["load_s"], "s")
        results.add(f"{many}: memory, all expressions in use", "shotfs", measured["rss_mb"], "MB")
        for name, key in (
            ("first path of each template", "first_per_s"),
            ("unique paths", "unique_per_s"),
            ("impossible paths", "impossible_per_s"),
        ):
            results.add(f"{many}: resolve, {name}", "shotfs", measured[key], "paths/s")
        dna = _task("dna", str(scale.paths), str(index))
        results.add("example of the documentation: resolve", "shotfs", dna["per_s"], "paths/s")
    console.print("peers")
    _peers(results, many)
    results.notes.append(f"the compiled form has {measured['size_mb']:.1f} MB")
    for name, workload, target in (
        ("first_load_s", f"{many}: proven and compiled", "<= 30"),
        ("load_s_10k_templates", f"{many}: loaded from the compiled form", "<= 1"),
        ("resolve_per_s", f"{many}: resolve, unique paths", ">= 100000"),
        ("rss_mb", f"{many}: memory, all expressions in use", "<= 150"),
    ):
        results.add_value(name, results.runs[workload, "shotfs"], target)


def _peers(results: Results, many: str) -> None:
    """Measure what else could resolve: one expression for each variant of each template."""
    workload = f"{many}: resolve, unique paths"
    tried = _task("re", str(TEMPLATES))
    results.add(workload, "re, in order", tried["per_s"], "paths/s")
    results.add(f"{many}: proven and compiled", "re, in order", tried["compile_s"], "s")
    if not os.path.isdir(PEERS):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", PEERS, RE2]
        if subprocess.run(pip, check=False).returncode != 0:
            shutil.rmtree(PEERS, ignore_errors=True)
            results.notes.append(f"{RE2} could not be installed: no figures of it")
            return
    found = _task("re2", str(TEMPLATES))
    if "per_s" not in found:
        results.notes.append(f"google-re2 Set: {found['failed']}")
        return
    results.add(workload, "google-re2 Set", found["per_s"], "paths/s")
    results.add(f"{many}: proven and compiled", "google-re2 Set", found["compile_s"], "s")
    results.notes.append("the peers prove nothing; the Set gives the template without its fields")


def _task(name: str, *arguments: str) -> dict[str, Any]:
    """Run one task of `spec_tasks` in a process of its own and return what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.spec_tasks", name, PLACE, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        timeout=TASK_TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{PEERS}"},
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    sys.exit(main())
