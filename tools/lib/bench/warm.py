"""tools/bench/warm: what is cached already, beside a native directory, bindfs, rclone and s3fs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
from running import interrupts, processes, service

from bench import warm_chart, warm_report, warm_site, warm_systems
from bench.results import Results
from bench.warm_site import ROOT, Scale, Site, console
from bench.warm_workloads import GROUPS, WORKLOADS

ROUNDS = 3
QUICK_ROUNDS = 1
ROUNDS_MAX = 100
PAGE = os.path.join(ROOT, "docs", "performance.md")
CHART = os.path.join(ROOT, "docs", "performance.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    wanted = parse(arguments)
    try:
        if wanted.source:
            document = _read(wanted.source)
        else:
            _check_written(wanted)
            document = _run(wanted)
            warm_report.show(document, console)
        _write(wanted, document)
    except interrupts.Interrupted as interrupted:
        console.print(f"{interrupted}: unmounted and stopped everything")
        return interrupted.exit_code
    except (
        service.ServiceFailed, processes.StartFailed, subprocess.SubprocessError, httpx.HTTPError,
        warm_report.BadPage, OSError, ValueError,
    ) as failure:  # fmt: skip
        console.print(f"tools/bench/warm failed: {failure}", style="red", markup=False)
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; ends the program with an explanation where they make no sense."""
    parser = argparse.ArgumentParser(prog="tools/bench/warm", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: smaller data, one round"
    )
    parser.add_argument(
        "--rounds", metavar="N", type=int, default=None, help=f"paired runs (default {ROUNDS})"
    )
    parser.add_argument(
        "--only", metavar="GROUP", nargs="+", choices=GROUPS, default=list(GROUPS),
        help=f"some of the workloads: {', '.join(GROUPS)}",
    )  # fmt: skip
    parser.add_argument(
        "--systems", metavar="NAME", nargs="+", choices=warm_systems.SYSTEMS,
        default=list(warm_systems.SYSTEMS),
        help=f"some of the systems: {', '.join(warm_systems.SYSTEMS)}",
    )  # fmt: skip
    parser.add_argument("--place", metavar="DIR", help="work below DIR, on its disk")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--chart", metavar="FILE", help="draw a chart (PNG)")
    parser.add_argument(
        "--doc", action="store_true", help="write tables and chart into docs/performance.md"
    )
    parser.add_argument(
        "--from", dest="source", metavar="FILE",
        help="measure nothing: take the figures that --json wrote",
    )  # fmt: skip
    wanted = parser.parse_args(arguments)
    if wanted.rounds is not None and not 1 <= wanted.rounds <= ROUNDS_MAX:
        parser.error(f"--rounds {wanted.rounds}: give 1 to {ROUNDS_MAX}")
    if wanted.place is not None and not os.path.isdir(wanted.place):
        parser.error(f"--place {wanted.place}: there is no such directory; make it first")
    part = wanted.quick or len(set(wanted.only)) < len(GROUPS)
    part = part or len(set(wanted.systems)) < len(warm_systems.SYSTEMS)
    if wanted.doc and part and not wanted.source:
        parser.error("--doc shows a whole run: leave --quick, --only and --systems out")
    if wanted.doc and not wanted.source and not warm_site.is_root():
        parser.error("--doc shows a privileged mount too: run it as root")
    if wanted.source and (part or wanted.rounds is not None or wanted.json):
        parser.error("--from measures nothing: use it with --doc or --chart only")
    if wanted.source and not (wanted.doc or wanted.chart):
        parser.error("--from needs --doc or --chart, to say what to make")
    if wanted.chart and not {warm_systems.NATIVE} < set(wanted.systems):
        parser.error("--chart compares with native: name it and another one in --systems")
    wanted.rounds = wanted.rounds or (QUICK_ROUNDS if wanted.quick else ROUNDS)
    return wanted


def _run(wanted: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the document of figures."""
    interrupts.install()
    results = Results()
    scale = warm_site.QUICK if wanted.quick else warm_site.FULL
    systems, notes = warm_systems.usable([one for one in warm_systems.SYSTEMS
                                          if one in wanted.systems])  # fmt: skip
    place = os.path.realpath(wanted.place) if wanted.place else None
    with ExitStack() as stack:
        try:
            reads = set(wanted.only) != {"outputs"}
            with_s3 = warm_systems.S3FS in systems
            site = warm_site.build(stack, scale, results, place, with_inputs=reads, with_s3=with_s3)
            if reads:
                _fill(site, systems)
            _measure(site, systems, wanted.only, wanted.rounds)
            file_system = _file_system(site.place)
        finally:
            interrupts.ignore_from_now_on()
    titles = {key: one.named(scale) for key, one in WORKLOADS.items()}
    warm_report.add_ratios(results, titles)
    results.notes += notes + _notes(scale, wanted.rounds)
    document = results.as_json()
    document["machine"] |= {"file_system": file_system, "versions": _versions(systems)}
    return document | {
        "scale": scale.name,
        "date": datetime.now(UTC).date().isoformat(),
        "systems": systems,
        "workloads": [title + end for title in titles.values() for end in ("", warm_report.CPU)],
    }


def _fill(site: Site, systems: Sequence[str]) -> None:
    """Let each system read everything once; those that share a cache, once together."""
    filled: set[str] = set()
    for system in systems:
        cache = warm_systems.cache_of(site, system) or system
        if cache in filled:
            continue
        filled.add(cache)
        console.print(f"everything is read once: {system}")
        names = warm_site.names_in(site.names(system))
        with warm_systems.opened(site, system) as one:
            paths = [f"{one.directory}/{path}" for path in warm_site.input_paths(names)]
            lists = [] if system == warm_systems.S3FS else [f"{one.directory}/listed"]
            done = site.run("fill", one.pid, paths=paths, listings=lists)
            if system in warm_systems.OURS:
                warm_systems.wait_kept(site, system, int(done["first"]["bytes"]))


def _measure(site: Site, systems: Sequence[str], only: Sequence[str], rounds: int) -> None:
    """Measure each group in each round, of all systems; each round begins with another one."""
    for name, group in GROUPS.items():
        if name not in only:
            continue
        console.print(f"{name}: {' '.join((group.__doc__ or '').split())}")
        for index in range(rounds):
            start = index * len(systems) // rounds
            for system in [*systems[start:], *systems[:start]]:
                started = time.monotonic()
                group(site, system)
                took_s = time.monotonic() - started
                console.print(f"  round {index + 1} of {rounds}: {system}, {took_s:.1f} s")


def _notes(scale: Scale, rounds: int) -> list[str]:
    rounds_text = "1 round" if rounds == 1 else f"{rounds} rounds; each begins with another system"
    return [
        f"{rounds_text}; ratios are of the same round",
        "each system is mounted afresh for each group of workloads, and alone",
        "first touch: the mount is new; what it reads is cached on its disk, and in the page cache",
        "native: in the page cache, too, with all its names and attributes",
        "readers and writers are one unprivileged user, and the program is the same for all",
        f"a first touch ends after {scale.limit_s:g} s, finished or not",
        f"in sequence after {scale.sequential_limit_s:g} s, frames after {scale.write_limit_s:g} s",
        f"again goes on for {scale.loop_s:g} s, large files to the end; of what was touched first",
        "origins: the native directory for rclone and shotfs, an S3 server (moto) for s3fs",
        f"s3fs has {scale.s3_files} of the small files, and is not asked for the large directory",
        "frames: native and bindfs with fsync before close; shotfs makes them durable in close",
        "frames: speed and CPU until the last close; shotfs, too, would upload later (grace)",
        "frames: s3fs uploads in close; rclone does not, and has no fsync; it uploads after 5 s",
        f"random reads: {scale.reads:,} in a pass, which opens the file, and maps it, anew",
    ]


def _versions(systems: Sequence[str]) -> dict[str, str]:
    """Return the versions of the peers that were measured."""
    found = {}
    for name in systems:
        if name not in (warm_systems.BINDFS, warm_systems.RCLONE, warm_systems.S3FS):
            continue
        done = subprocess.run([name, "--version"], check=False, capture_output=True, text=True)
        words = (done.stdout or done.stderr).split()
        found[name] = next((one for one in words if one.lstrip("vV")[:1].isdigit()), "?")
    return {"glibc": platform.libc_ver()[1], **found}


def _file_system(directory: str) -> str:
    """Return the type of the file system of *directory*."""
    command = ["findmnt", "--noheadings", "--output=FSTYPE", f"--target={directory}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _check_written(wanted: argparse.Namespace) -> None:
    """Raise before minutes are spent, rather than after."""
    for path in (wanted.json, wanted.chart):
        if path and (os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK)):
            raise warm_report.BadPage(
                f"{path} cannot be written: name a file in a directory of yours"
            )
    if wanted.doc:
        with open(PAGE, encoding="utf-8") as page:
            warm_report.with_figures(page.read(), "", PAGE)


def _read(path: str) -> Mapping[str, Any]:
    with open(path, encoding="utf-8") as file:
        return warm_report.check(json.load(file), path)


def _write(wanted: argparse.Namespace, document: Mapping[str, Any]) -> None:
    if wanted.json:
        with open(wanted.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    if wanted.chart:
        warm_chart.draw(wanted.chart, document)
    if wanted.doc:
        warm_report.check_whole(document)
        warm_chart.draw(CHART, document)
        warm_report.write_page(PAGE, document)
        console.print(f"wrote {PAGE} and {CHART}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
