"""tools/campaign/crash: kill -9 at random points, and the speed of a rebuilt index."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from tests.model import crash_rounds

from campaign import crash_mount, rebuild

console = Console(highlight=False, stderr=True)


def main() -> int:
    """Run the parts that were asked for; 0: nothing was wrong."""
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="shotfs-crash-"))
    report: dict[str, Any] = {"seed": options.seed}
    try:
        # First: it forks, and must not do that with threads.
        report["cache"] = _cache_rounds(options, place / "cache")
        report["mount"] = _mount_rounds(options, place / "mount")
        report["rebuild"] = trio.run(rebuild.measure, place / "rebuild", options.blobs)
    except AssertionError as error:
        console.print(f"[bold red]wrong[/] (files are kept in {place}): {error}")
        return 1
    shutil.rmtree(place)
    text = json.dumps(report, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400, help="kills of a cache")
    parser.add_argument("--mount-rounds", type=int, default=60, help="kills of a mounted service")
    parser.add_argument("--blobs", type=int, default=100_000, help="files of the index to rebuild")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--quick", action="store_true", help="60 kills, 5 kills, 5,000 files")
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.mount_rounds, options.blobs = 60, 5, 5_000
    return options


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
