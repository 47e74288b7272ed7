"""tools/campaign/crash: kill -9 at named points and at random, and the speed of a rebuilt index."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from tests.model import crash_rounds

from campaign import crash_mount, outputs, rebuild

console = Console(highlight=False, stderr=True)

PARTS = ("cache", "outputs", "mount", "rebuild")
"""In this order: the first one forks, and must not do that with threads."""


def main() -> int:
    """Run the parts that were asked for; 0: nothing was wrong."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as after ^C
    place = Path(tempfile.mkdtemp(prefix="shotfs-crash-"))
    report: dict[str, Any] = {"seed": options.seed}
    wrong: list[str] = []
    try:
        for part in PARTS:
            if part not in options.parts:
                continue
            if part == "cache":
                report["cache"] = _cache_rounds(options, place / "cache")
            elif part == "outputs":
                found, wrong = _outputs(options, place / "outputs")
                report |= found
            elif part == "mount":
                report["mount"] = _mount_rounds(options, place / "mount")
            else:
                report["rebuild"] = trio.run(rebuild.measure, place / "rebuild", options.blobs)
    except AssertionError as error:
        notes = " ".join(getattr(error, "__notes__", ()))
        wrong = [f"{error} {notes}"]
        report["problems"] = wrong
    text = json.dumps(report, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    if wrong:
        console.print(f"[bold red]wrong[/] (seed {options.seed}, files are kept in {place}):")
        console.print("\n".join(wrong), markup=False)
        return 1
    shutil.rmtree(place)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/crash", description=__doc__)
    parser.add_argument("--output-rounds", type=int, default=2_000, help="of outputs, no mount")
    parser.add_argument("--output-mounts", type=int, default=30, help="of outputs, with a mount")
    parser.add_argument("--workers", type=int, default=3, help="rounds of outputs at a time")
    parser.add_argument("--rounds", type=int, default=400, help="kills of a cache")
    parser.add_argument("--mount-rounds", type=int, default=60, help="kills of a mounted service")
    parser.add_argument("--blobs", type=int, default=100_000, help="files of the index to rebuild")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument(
        "--only", type=_round, help="one round of outputs: its number, with an m for mounts"
    )
    parser.add_argument(
        "--parts", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}; default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short form of everything, about a minute"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.mount_rounds, options.blobs = 20, 2, 5_000
        options.output_rounds, options.output_mounts = 50, 2
    if options.only is not None:
        options.parts = ("outputs",)
    return options


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {PARTS}")
    return parts


def _round(text: str) -> str:
    if not re.fullmatch(r"m?\d+", text):
        raise argparse.ArgumentTypeError(f"{text}: a number is wanted, as 12, or m3 for a mount")
    return text


def _outputs(options: argparse.Namespace, place: Path) -> tuple[dict[str, Any], list[str]]:
    start = time.monotonic()
    tally = outputs.run(options, place, lambda line: console.print(line, markup=False))
    wrong = outputs.problems(tally, points=options.only is None)
    return outputs.as_json(tally, wrong, time.monotonic() - start), wrong


def _cache_rounds(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    place.mkdir()
    start = time.monotonic()

    def told(number: int) -> None:
        if number % 25 == 0:
            console.print(f"cache: {number} of {options.rounds} kills")

    rounds = crash_rounds.run(options.rounds, options.seed, place, told)
    return {"kills": rounds, "wrong": 0, "seconds": round(time.monotonic() - start, 1)}


def _mount_rounds(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    start = time.monotonic()

    def told(number: int) -> None:
        console.print(f"mount: {number + 1} of {options.mount_rounds} kills")

    found = crash_mount.run(options.mount_rounds, options.seed, place, told)
    return {**found, "wrong": 0, "seconds": round(time.monotonic() - start, 1)}


if __name__ == "__main__":
    sys.exit(main())
