"""tools/bench/scanners: precision and recall against what POV-Ray opens, and speed.

A file counts as read when POV-Ray opened it for reading, and never for writing. Scenes that POV-Ray
cannot render, or not within their time, say nothing and are left out.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

from rich.console import Console

from bench.results import Results
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Scope
from shotfs.prewarm.scanners.closure import close_over
from shotfs.prewarm.scanners.local_files import LocalFiles

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench", "scanners")
EXAMPLES = "/usr/share/doc/povray/examples"
LIBRARY = "/usr/share/povray-3.7/include"
SCENES_QUICK = 40
SCENE_TIMEOUT_S = 10.0
LIKELY = 0.5
"""What a claim must count to be prewarmed first."""

_OPENED = re.compile(r'openat\(AT_FDCWD, "((?:[^"\\]|\\.)*)", ([A-Z_|]+)[^)]*\)\s+= [0-9]')
_NUMBERS = "0 1 -2.5e-3 4.25 "
console = Console(highlight=False)


@dataclass(slots=True)
class Tally:
    """Files of all scenes together.

    Attributes:
        read: that POV-Ray opened.
        claimed: that the scan names; *likely* those of them that count `LIKELY` and more.
        right: claimed, and read; *likely_right* likewise.
    """

    scenes: int = 0
    read: int = 0
    claimed: int = 0
    likely: int = 0
    right: int = 0
    likely_right: int = 0
    unresolved: int = 0


def main() -> int:
    """Measure, print the tables, write the JSON file where one is asked for."""
    parser = argparse.ArgumentParser(prog="tools/bench/scanners")
    parser.add_argument("--quick", action="store_true", help=f"{SCENES_QUICK} scenes only")
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    parser.add_argument("--verbose", action="store_true", help="name what is missed or too much")
    arguments = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    results = Results()
    try:
        _truth(results, quick=arguments.quick, verbose=arguments.verbose)
        _speed(results, megabytes=2 if arguments.quick else 16)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _truth(results: Results, *, quick: bool, verbose: bool) -> None:
    lacking = [name for name in ("povray", "strace") if shutil.which(name) is None]
    if lacking or not os.path.isdir(EXAMPLES):
        results.notes.append("no truth: apt-get install povray povray-examples strace")
        return
    copy = os.path.join(PLACE, "examples")
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("previews"))
    scenes = [
        os.path.join(directory, name)
        for directory, _, names in sorted(os.walk(copy))
        for name in sorted(names)
        if name.endswith(".pov")
    ]
    # Of the many like each other in templates/, quick takes every seventh or so.
    chosen = scenes[:: max(len(scenes) // SCENES_QUICK, 1)][:SCENES_QUICK] if quick else scenes
    tally = Tally()
    for scene in chosen:
        _one(scene, tally, verbose=verbose)
    if not tally.read or not tally.claimed:
        results.notes.append("no truth: POV-Ray rendered none of the scenes")
        return
    results.notes.append(
        f"{tally.scenes} scenes of {len(chosen)} rendered; {tally.read} files read, "
        f"{tally.claimed} claimed, {tally.unresolved} names unresolved"
    )
    results.add("scenes that rendered", "povray", tally.scenes, "scenes")
    results.add("recall", "povray", tally.right / tally.read, "")
    results.add("precision", "povray", tally.right / tally.claimed, "")
    results.add("recall of likely claims", "povray", tally.likely_right / tally.read, "")
    results.add("precision of likely claims", "povray", tally.likely_right / tally.likely, "")


def _one(scene: str, tally: Tally, *, verbose: bool) -> None:
    """Render *scene*, scan it, and add both to *tally*."""
    scope = Scope(search_paths=(LIBRARY,))
    # Scanned first: some scenes write what they then read.
    closure = close_over([scene], LocalFiles(), root="/", scope=scope)
    read = _rendered(scene)
    if read is None:
        return
    claims = {f"/{entry.path}": entry.confidence for entry in closure.entries}
    likely = {path for path, confidence in claims.items() if confidence >= LIKELY}
    tally.scenes += 1
    tally.read += len(read)
    tally.claimed += len(claims)
    tally.likely += len(likely)
    tally.right += len(read & claims.keys())
    tally.likely_right += len(read & likely)
    tally.unresolved += len(closure.unresolved)
    if verbose:
        for path in sorted(read - likely):
            console.print(
                f"missed: {path} ({claims.get(path, 0.0)}) of {os.path.relpath(scene, PLACE)}"
            )
        for path in sorted(likely - read):
            console.print(f"not read: {path} of {os.path.relpath(scene, PLACE)}")


def _rendered(scene: str) -> set[str] | None:
    """Return what POV-Ray opens of the examples and its library; None: it could not render."""
    logs = os.path.join(PLACE, "opened")
    shutil.rmtree(logs, ignore_errors=True)
    os.mkdir(logs)
    directory = os.path.dirname(scene)
    render = ["povray", f"+I{os.path.basename(scene)}", "+W8", "+H6", "-D", "-A", "-O/dev/null"]
    # A file for each thread (-ff): in one, calls of several threads are cut in two lines.
    trace = ["strace", "-ff", "-qq", "-e", "trace=openat", "-o", os.path.join(logs, "thread")]
    command = [*trace, *render]
    with subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            code = process.wait(SCENE_TIMEOUT_S)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(exc, subprocess.TimeoutExpired):
                return None
            raise
    if code:
        return None
    read: set[str] = set()
    written: set[str] = set()
    for log in os.listdir(logs):
        with open(os.path.join(logs, log), encoding="utf-8", errors="replace") as file:
            for name, flags in _OPENED.findall(file.read()):
                path = os.path.normpath(os.path.join(directory, name))
                (read if flags.startswith("O_RDONLY") else written).add(path)
    # What the scene writes itself, and POV-Ray's settings and fonts of its own, are no inputs.
    return {path for path in read - written if path.startswith((f"{PLACE}/", f"{LIBRARY}/"))}


def _speed(results: Results, *, megabytes: int) -> None:
    """Measure how many bytes of a scene full of numbers each scanner reads in a second of CPU."""
    numbers = _NUMBERS * (megabytes * 1_000_000 // len(_NUMBERS))
    scenes = {
        "nuke": ("a.nk", f"Roto {{\n curves {{{{{numbers}}}}}\n}}\n"),
        "maya": ("a.ma", f'createNode mesh -n "m";\n\tsetAttr ".vt[0:9]" {numbers};\n'),
        "arnold": ("a.ass", f"polymesh\n{{\n vlist 9 1 VECTOR\n {numbers}\n}}\n"),
        "rib": ("a.rib", f'PointsPolygons [4] [0 1 2 3] "P" [{numbers}]\n'),
        "povray": ("a.pov", f"mesh2 {{ vertex_vectors {{ 9, {numbers} }} }}\n"),
        "quoted": ("a.txt", numbers),
    }
    for name, (file, text) in scenes.items():
        path = os.path.join(PLACE, file)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        for _ in range(3):
            before = time.process_time()
            for _edge in registry.usable(name).scan(path, Scope()):
                pass
            took_s = time.process_time() - before
            results.add("numbers passed over", name, len(text) / 1e6 / took_s, "MB/s of CPU")


if __name__ == "__main__":
    raise SystemExit(main())
