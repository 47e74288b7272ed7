"""tools/campaign/tools: real programs in each mode of the kernel, compared with a disk."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from tests.fuse import real_renderers, real_tools
from tests.fuse.modes import MODES, KernelMode
from tests.fuse.node import ShotfsNode

console = Console(highlight=False, stderr=True)
WRITING = (*real_tools.WRITING, *real_renderers.RENDERING)
CHECKS = {one.__name__: one for one in (*real_tools.READING, *WRITING)}


def main() -> int:
    """Run the checks that were asked for in each mode; 0: nothing was wrong."""
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="shotfs-tools-"))
    place.chmod(0o755)
    wrong = 0
    report: dict[str, dict[str, str]] = {}
    for name in options.mode or list(MODES):
        report[name] = _one_mode(MODES[name], place / name, options.only or list(CHECKS))
        wrong += sum(found != "ok" for found in report[name].values())
    text = json.dumps(report, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    if wrong:
        console.print(f"[bold red]{wrong} wrong[/]; files are kept in {place}")
        return 1
    shutil.rmtree(place)
    return 0


def _one_mode(mode: KernelMode, place: Path, names: list[str]) -> dict[str, str]:
    origin = place / "origin"
    origin.mkdir(parents=True)
    real_tools.make_library(origin)
    node = ShotfsNode(
        place / "node", f"file://{origin}", spec=real_renderers.RENDER_SPEC, mode=mode
    )
    found = {}
    try:
        node.mount()
        for name in names:
            if CHECKS[name] in WRITING and not mode.writable:
                continue
            began = time.monotonic()
            try:
                real_tools.check(CHECKS[name], node, origin, place / "native")
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                found[name] = f"{type(error).__name__}: {error}"
            else:
                found[name] = "ok"
            took_s = time.monotonic() - began
            console.print(f"{mode.name}: {name}: {found[name][:300]} ({took_s:.1f} s)")
        mode.check(node.status()["kernel"])
    finally:
        node.clear()
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/campaign/tools", description=__doc__)
    parser.add_argument("--mode", action="append", choices=list(MODES), help="this one; may repeat")
    parser.add_argument("--only", action="append", choices=list(CHECKS), help="this; may repeat")
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
