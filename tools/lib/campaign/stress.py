"""tools/campaign/stress: everything at once on one mount, in each mode of the kernel."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.fuse import stress
from tests.fuse.modes import MODES

console = Console(highlight=False, stderr=True)


def main() -> int:
    """Stress each mode that was asked for; 0: nothing was wrong."""
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="shotfs-stress-"))
    names = options.mode or list(MODES)
    report: dict[str, Any] = {"seed": options.seed}
    for name in names:
        console.print(f"[bold]{name}[/]")
        try:
            report[name] = stress.run(
                options.minutes * 60 / len(names),
                options.seed,
                place / name,
                MODES[name],
                lambda text: console.print(f"  {text}"),
                remount_every_s=options.remount_every_s,
            )
        except AssertionError as error:
            console.print(f"[bold red]wrong[/] in mode {name} (files are kept in {place}): {error}")
            return 1
    shutil.rmtree(place)
    text = json.dumps(report, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/stress", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="all modes together")
    parser.add_argument("--mode", action="append", choices=list(MODES), help="this one; may repeat")
    parser.add_argument("--remount-every-s", type=float, default=15.0, help="seconds")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
