"""Outputs under kill -9: rounds without a mount, rounds with one, and one verdict of both."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash import mounts, plans
from tests.crash.judge import KINDS
from tests.crash.mounts import MountPlan
from tests.crash.plans import Plan
from tests.crash.rounds import Rounds
from tests.crash.tally import Tally

TOLD_EVERY = 50


def run(options: argparse.Namespace, place: Path, print_line: Callable[[str], None]) -> Tally:
    """Run all rounds that were asked for.

    Args:
        options: seed, workers, output_rounds, output_mounts; only: a number, "m" and a number, or
            None.
        place: an empty directory; what went wrong is left in it.
        print_line: told how far it is.
    """
    tally = Tally()
    started_s = time.monotonic()
    mounted = _mount_plans(options)
    processes = _plans(options)

    def said(plan: Plan | MountPlan, found: Tally) -> None:
        for problem in (*(one.text() for one in found.verdicts.values()), *found.failures):
            name = f"m{plan.number}" if isinstance(plan, MountPlan) else str(plan.number)
            print_line(f"round {name} is wrong: {problem}")
            print_line(f"again: tools/campaign/crash --seed {options.seed} --only {name}")
        done = plan.number + 1
        if isinstance(plan, MountPlan) or done % TOLD_EVERY == 0:
            kind = "mounts" if isinstance(plan, MountPlan) else "outputs"
            total = len(mounted if isinstance(plan, MountPlan) else processes)
            print_line(f"{kind}: {done} of {total} rounds, {time.monotonic() - started_s:.0f} s")

    if processes:
        (place / "processes").mkdir(parents=True)
        with Rounds(options.seed, place / "processes", workers=options.workers) as rounds:
            tally.add(rounds.run(processes, said))
    if mounted:
        (place / "mounts").mkdir(parents=True)
        tally.add(mounts.run(mounted, options.seed, place / "mounts", said))
    return tally


def problems(tally: Tally, *, points: bool) -> list[str]:
    """Return what makes the campaign fail; [] if nothing does.

    Args:
        tally: of all rounds.
        points: whether every named point was to be hit.
    """
    counts = tally.as_json()
    found = [f"{kind}: {counts[kind]}" for kind in KINDS if counts[kind]]
    found.extend(tally.failures)
    if tally.kills_mid_upload < tally.planned_mid_upload:
        found.append(
            f"{tally.kills_mid_upload} kills hit an upload in flight, planned were"
            f" {tally.planned_mid_upload}"
        )
    if points:
        wanted = {kill.name for plan in plans.fixed() for kill in plan.kills}
        wanted.update(plan.kill.name for plan in mounts.fixed() if plan.kill is not None)
        found.extend(f"never hit: {name}" for name in sorted(wanted - set(tally.hit)))
    return found


def as_json(tally: Tally, wrong: list[str], seconds: float) -> dict[str, Any]:
    """Return what the campaign reports: the counts of the rounds, and what was planned."""
    return {
        **tally.as_json(),
        "kills_mid_upload_planned": tally.planned_mid_upload,
        "problems": wrong,
        "seconds": round(seconds, 1),
    }


def _plans(options: argparse.Namespace) -> list[Plan]:
    if options.only is None:
        return list(plans.all_of(options.seed, options.output_rounds))
    if options.only.startswith("m"):
        return []
    return [plans.plan_of(options.seed, int(options.only))]


def _mount_plans(options: argparse.Namespace) -> list[MountPlan]:
    if options.only is None:
        return [mounts.plan_of(options.seed, number) for number in range(options.output_mounts)]
    if not options.only.startswith("m"):
        return []
    return [mounts.plan_of(options.seed, int(options.only[1:]))]
