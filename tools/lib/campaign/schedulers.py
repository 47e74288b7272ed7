"""tools/campaign/schedulers: our scripts in a real Slurm and a real Grid Engine.

In namespaces of its own, which the script of that name made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from running import interrupts
from running.interrupts import Interrupted
from running.processes import StartFailed

from campaign.schedulers_checks import CHECKS, SLOW, Bench, Check
from campaign.schedulers_gridengine import GridEngine, own_host
from campaign.schedulers_jobs import Scheduler
from campaign.schedulers_site import Site
from campaign.schedulers_slurm import Slurm

console = Console(highlight=False, soft_wrap=True)
SCHEDULERS = {one.name: one for one in (Slurm, GridEngine)}


def main() -> int:
    """Run the checks that were asked for; 0: nothing was wrong."""
    options = _options()
    interrupts.install()
    place = Path(tempfile.mkdtemp(prefix="shotfs-farm-"))
    report: dict[str, dict[str, str]] = {}
    try:
        with ExitStack() as stack:
            stack.callback(interrupts.ignore_from_now_on)
            own_host(place)
            site = Site(stack, place)
            for name in options.only or list(SCHEDULERS):
                with ExitStack() as daemons:
                    scheduler = SCHEDULERS[name](daemons, place / name, site.scripts)
                    report[name] = _run(Bench(site, scheduler), scheduler, _chosen(options))
    except Interrupted as interrupted:
        shutil.rmtree(place, ignore_errors=True)
        return interrupted.exit_code
    except (StartFailed, AssertionError, RuntimeError) as error:
        console.print(f"[bold red]cannot go on[/]: {error}\n  what daemons said is in {place}")
        return 1
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    wrong = sum(text.startswith("WRONG") for one in report.values() for text in one.values())
    if wrong:
        console.print(f"[bold red]{wrong} wrong[/]; what daemons said is in {place}")
        return 1
    if not options.keep:
        shutil.rmtree(place)
    return 0


def _chosen(options: argparse.Namespace) -> list[Check]:
    if options.check:
        return [one for one in (*CHECKS, *SLOW) if one.__name__ in options.check]
    return [*CHECKS, *(SLOW if options.slow else ())]


def _run(bench: Bench, scheduler: Scheduler, checks: list[Check]) -> dict[str, str]:
    found = {"version": scheduler.version()}
    console.print(f"[bold]{found['version']}[/]")
    for check in checks:
        name = check.__name__
        bench.begin()
        began_s = time.monotonic()
        try:
            found[name] = check(bench)
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            found[name] = f"WRONG: {type(error).__name__}: {error}"
        took_s = time.monotonic() - began_s
        console.print(f"  {name.replace('_', ' ')}: {found[name]} ({took_s:.0f} s)", markup=False)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/schedulers", description=__doc__)
    names = [check.__name__ for check in (*CHECKS, *SLOW)]
    parser.add_argument(
        "--only", action="append", choices=list(SCHEDULERS), help="this one; may repeat"
    )
    parser.add_argument(
        "--check", action="append", choices=names, default=[], help="this; may repeat"
    )
    parser.add_argument("--slow", action="store_true", help="and what takes minutes")
    parser.add_argument("--keep", action="store_true", help="keep what daemons and jobs wrote")
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
