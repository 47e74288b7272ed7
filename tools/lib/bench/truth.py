"""tools/bench/truth: precision and recall of scanners against recordings of real programs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from running import place, service
from running.service import SHOTFS, Mounted

from bench import program
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-truth")
EXAMPLES = Path("/usr/share/doc/povray/examples")
INCLUDES = Path("/usr/share/povray-3.7/include")
QUICK_SCENES = 6
SCENE_BYTES_MAX = 100_000
RENDER_S = 20
"""A scene that takes longer at 16 by 12 pixels is left out, and counted."""

NOTES_MAX = 20
"""Scenes of one scanner of which it is said what was missed or over-claimed."""

console = Console(highlight=False)

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "roots": {"data": f"file://{PLACE}/data"},
    "defaults": {"origin": "data", "immutable": "on-close"},
    "fields": {"rest": {"type": "tree"}},
    "templates": {"library": {"path": "library/{rest}"}},
}

CONFIGURATION = """\
[cache]
directory = "{directory}/cache"
free_bytes_min = 0

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.bench]
spec = "spec.json"
"""


@dataclass(slots=True)
class Sum:
    """The files of all scenes of one scanner."""

    scenes: int = 0
    claimed: int = 0
    read: int = 0
    right: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """A scene, and the command that renders it."""

    scanner: str
    shot: str
    scene: str
    command: tuple[str, ...]


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/truth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, a few scenes")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    results = Results()
    code = program.run(
        "tools/bench/truth", console, lambda stack: _measure(stack, results, quick=arguments.quick)
    )
    if code:
        return code
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(stack: ExitStack, results: Results, *, quick: bool) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/truth", keep=False)
    library = Path(PLACE, "data", "library")
    shutil.copytree(EXAMPLES, library / "povray")
    shutil.copytree(INCLUDES, library / "include")
    (library / "usd").mkdir()
    node = _node(f"{PLACE}/node", f"{sockets}/control")
    service.mount(stack, node)
    shown = f"{node.mountpoint}/bench/library"
    sums: dict[str, Sum] = {}
    for case in (*_povray(library, shown, quick=quick), _usd(library, shown)):
        _render(node, case, sums.setdefault(case.scanner, Sum()))
    for scanner, total in sums.items():
        results.add("scenes", scanner, total.scenes, "")
        results.add("files read", scanner, total.read, "")
        results.add("files claimed", scanner, total.claimed, "")
        if total.claimed and total.read:
            results.add_value(f"{scanner}_precision", [total.right / total.claimed], ">= 0.9")
            results.add_value(f"{scanner}_recall", [total.right / total.read], ">= 0.95")
        results.notes += total.notes[:NOTES_MAX]
        if total.failed:
            results.notes.append(f"{scanner}: {total.failed} scenes did not render: left out")


def _povray(library: Path, shown: str, *, quick: bool) -> Iterator[Case]:
    scenes = sorted((library / "povray/advanced").rglob("*.pov"))
    scenes = [one for one in scenes if one.stat().st_size <= SCENE_BYTES_MAX]
    for path in scenes[:QUICK_SCENES] if quick else scenes:
        scene = f"{shown}/{path.relative_to(library)}"
        command = (
            "povray", f"+I{scene}", f"+L{shown}/include", f"+L{os.path.dirname(scene)}",
            "+W16", "+H12", "-A", "-D", "-GA", "-O/dev/null",
        )  # fmt: skip
        yield Case("povray", f"povray-{path.stem}", scene, command)


def _usd(library: Path, shown: str) -> Case:
    from tests.scenes import usd_stage

    stage = usd_stage.build(str(library / "usd"))
    scene = f"{shown}/usd/{stage.scene}"
    render = Path(usd_stage.__file__).with_name("usd_render.py")
    frames = (str(usd_stage.FIRST), str(usd_stage.LAST))
    return Case("usd", "usd", scene, (sys.executable, str(render), scene, *frames))


def _render(node: Mounted, case: Case, total: Sum) -> None:
    environment = {**os.environ, "SHOTFS_CONFIG": node.config}
    command = (
        SHOTFS, "exec", "--require", "--job", case.shot, "--shot", case.shot, "--",
        "timeout", "--kill-after=1", str(RENDER_S), *case.command,
    )  # fmt: skip
    if _run(command, environment).returncode:
        total.failed += 1
        return
    compared = _run(
        (SHOTFS, "manifest", "diff", "--recorded", "--scanned", f"bench/{case.shot}",
         "--scene", case.scene, "--json"),
        environment,
    )  # fmt: skip
    if not compared.stdout:
        raise service.ServiceFailed(f"{case.shot}: {compared.stderr}")
    report = json.loads(compared.stdout)
    score = report["total"]
    total.scenes += 1
    total.claimed += score["claimed"]
    total.read += score["read"]
    total.right += score["right"]
    for what, files in (("missed", report["missed"]), ("over-claimed", report["over_claimed"])):
        if files:
            names = ", ".join(os.path.basename(one["path"]) for one in files[:5])
            total.notes.append(f"{case.shot}: {what} {len(files)}: {names}")


def _run(command: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=10 * RENDER_S,
        check=False,
    )


def _node(directory: str, socket: str) -> Mounted:
    os.makedirs(directory)
    node = Mounted("bench", f"{directory}/shotfs.toml", f"{directory}/shows", socket)
    Path(directory, "spec.json").write_text(json.dumps(SPECIFICATION), encoding="utf-8")
    text = CONFIGURATION.format(directory=directory, socket=socket)
    Path(node.config).write_text(text, encoding="utf-8")
    return node


if __name__ == "__main__":
    sys.exit(main())
