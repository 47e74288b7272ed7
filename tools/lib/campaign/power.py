"""tools/campaign/power: recorded block writes, cut at many points, and what shotfs makes of it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.faults.power.history import KINDS, Findings
from tests.faults.power.recording import record
from tests.faults.power.recovery import Recovery, choose_cuts
from tests.fuse.modes import PLAIN, SHIPPED
from tests.servers.gcs import GcsServer

console = Console(highlight=False, stderr=True)

SECONDS = 2.0
CUTS_A_RECORDING = 100
CONTROL_CUTS = 6
CONTROLS = ("all", "/files/", "journal.sqlite")
MESSAGES_MAX = 20


def main() -> int:
    """Record, cut, recover; 0: nothing was wrong, and the controls were."""
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="power-", dir=os.environ.get("TMPDIR")))
    logging.disable(logging.WARNING)  # partial files, at each of hundreds of starts
    try:
        total, report = _campaign(options, place)
    except KeyboardInterrupt:
        shutil.rmtree(place)
        return 130
    text = json.dumps(report, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    if total:
        console.print(f"{len(total.messages)} mistakes; the recordings are kept in {place}")
        return 1
    shutil.rmtree(place)
    return 0


def _campaign(options: argparse.Namespace, place: Path) -> tuple[Findings, dict[str, Any]]:
    """Return what was wrong, and the report."""
    began = time.monotonic()
    total, report = Findings(), _empty(options.seed)
    each = max(1, min(CUTS_A_RECORDING, options.cuts // 2))
    with GcsServer() as server:
        for number, start in enumerate(range(0, options.cuts, each)):
            count = min(each, options.cuts - start)
            # By itself, and by the service: the two ways to write a data file.
            mode = (SHIPPED, PLAIN)[number % 2]
            one = _recorded(place / str(number), server, options.seed + number, count, mode)
            for key in ("cuts", "checked", "recovered", "partial", "writes", "flushes"):
                report[key] += one[key]
            report["lent"] |= one["lent"]
            total.add(one["findings"], f"seed {options.seed + number}, {mode.name}")
        logging.disable(logging.ERROR)  # what is wrong is wanted
        for nosync in CONTROLS:
            name = nosync.strip("/").replace(".", "-")
            one = _recorded(
                place / name, server, options.seed, CONTROL_CUTS, SHIPPED, nosync=nosync
            )
            report["controls"][nosync] = _counts(one["findings"])
            if not one["findings"].lost:
                total.note("lost", f"without fsync ({nosync}) nothing was: the check finds nothing")
                console.print(total.messages[-1], markup=False)
    report |= _counts(total) | {"seconds": round(time.monotonic() - began, 1)}
    return total, report


def _empty(seed: int) -> dict[str, Any]:
    counts = dict.fromkeys(("cuts", "checked", "recovered", "partial", "writes", "flushes"), 0)
    return {"seed": seed, **counts, "lent": False, "controls": {}}


def _recorded(
    place: Path, server: GcsServer, seed: int, cuts: int, mode: Any, *, nosync: str = ""
) -> dict[str, Any]:
    """Make one recording and recover from so many cuts of it."""
    recorded, cut = place / "recorded", place / "recovered"
    recorded.mkdir(parents=True)
    cut.mkdir()
    recording = record(recorded, server, SECONDS, seed, mode=mode, nosync=nosync)
    what = f"{mode.name}{f', no fsync of {nosync}' if nosync else ''}"
    told = len(recording.history.told())
    flushes = recording.log.flushes
    writes = len(recording.log.records) - flushes
    console.print(f"{what}: {told} acts answered, {writes} writes and {flushes} flushes recorded")
    outcome, said = None, 0
    for outcome in Recovery(cut, recording, server).run(choose_cuts(recording, cuts, seed)):
        if not nosync:
            for message in outcome.findings.messages[said : said + MESSAGES_MAX]:
                console.print(f"wrong: {message}", markup=False)
            said = len(outcome.findings.messages)
        if outcome.cuts % 25 == 0 or outcome.cuts == cuts:
            wrong = len(outcome.findings.messages)
            console.print(f"{what}: {outcome.cuts} of {cuts} cuts, {wrong} wrong")
    assert outcome is not None
    if not outcome.findings or nosync:
        shutil.rmtree(place)
    return {
        "cuts": outcome.cuts,
        "checked": outcome.checked,
        "recovered": outcome.recovered,
        "partial": outcome.partial,
        "writes": writes,
        "flushes": flushes,
        "lent": recording.lent,
        "findings": outcome.findings,
    }


def _counts(findings: Findings) -> dict[str, int]:
    return {kind: getattr(findings, kind) for kind in KINDS}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="how often the power goes")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--quick", action="store_true", help="60 cuts")
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    if options.quick:
        options.cuts = 60
    if options.cuts < 1:
        parser.error("--cuts must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
