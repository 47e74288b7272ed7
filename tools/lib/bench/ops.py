"""tools/bench/ops: microseconds of each request, in the handler, through a mount, and the floor."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from running import place, processes, service
from running.service import Mounted

from bench import program
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-ops")
HERE = os.path.dirname(os.path.realpath(__file__))
TIMEOUT_S = 300.0
SMALL_BYTES = 256 * 1024
"""More than the largest read."""
NOTE_OURS = (
    "handler: CPU of our coroutine alone; ours: what the mount's daemon takes more than the"
    " floor's, of all its threads"
)
NOTE_KEPT = (
    "the kernel keeps nothing here, so a look-up and an open have a getattr of the directory or the"
    " file before them; reads go past its pages (O_DIRECT)"
)
console = Console(highlight=False)

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "roots": {"data": "ORIGIN"},
    "defaults": {"origin": "data", "immutable": "on-close", "negative_ttl": "1h"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z0-9]+"},
        "directory": {"type": "enum", "choices": ["small", "many"]},
    },
    "templates": {
        "file": {"path": "{directory}/{name}.bin"},
        "output": {"path": "out/{name}.bin", "flow": "out", "grace": "1h"},
    },
}

CONFIGURATION = """\
[cache]
directory = "{directory}/cache"
free_bytes_min = 0

[spool]
free_bytes_min = 0

[mount]
attribute_ttl_s_max = 0.0
passthrough = "off"
native_thread = "off"

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.bench]
spec = "spec.json"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        calls: of each operation, in each round.
        entries: of the directory that is listed.
    """

    calls: int
    entries: int
    rounds: int


FULL = Scale(calls=5000, entries=20_000, rounds=3)
QUICK = Scale(calls=200, entries=1000, rounds=1)


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/ops", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds, fewer calls")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    results = Results()
    code = program.run(
        "tools/bench/ops",
        console,
        lambda stack: _measure(stack, QUICK if arguments.quick else FULL, results),
    )
    if code:
        return code
    _show(results)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(stack: ExitStack, scale: Scale, results: Results) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/ops", keep=False)
    _make_data(f"{PLACE}/data", scale)
    for index in range(scale.rounds):
        with ExitStack() as one_round:
            _measure_round(one_round, scale, results, sockets, f"{PLACE}/{index}")
    results.notes += [
        "without what makes requests rare: passthrough and the native thread are off",
        NOTE_OURS,
        NOTE_KEPT,
        "create has a look-up of the name before it; the floor writes and syncs nothing",
        "readdir: from opendir on; `first` asks the origin (a local directory), `again` may, too",
    ]


def _measure_round(
    stack: ExitStack, scale: Scale, results: Results, sockets: str, directory: str
) -> None:
    handlers = _node(f"{directory}/handlers", f"{sockets}/h.sock")
    arguments = [handlers.config, str(scale.calls), str(scale.entries)]
    for name, us in _run("-m", "bench.ops_handlers", *arguments).items():
        results.add(name, "handler, CPU", us, "us")
    ours = _node(f"{directory}/mounted", f"{sockets}/m.sock")
    service.mount(stack, ours)
    show = f"{ours.mountpoint}/bench"
    with open(f"{show}/small/s00000.bin", "rb") as file:
        file.read()
    _calls(results, "mount", show, int(ours.status()["pid"]), scale)
    service.unmount(ours)
    floor = f"{directory}/floor"
    os.makedirs(floor)
    command = [sys.executable, "-m", "bench.ops_floor", floor, f"{PLACE}/data/small/s00000.bin"]
    log = f"{directory}/floor.log"
    process = processes.start(stack, [*command, str(scale.entries)], log=log)
    _wait_mounted(process, floor, log)
    _calls(results, "floor", floor, process.pid, scale)
    processes.unmount(floor)


def _calls(results: Results, system: str, mounted: str, pid: int, scale: Scale) -> None:
    measured = _run(f"{HERE}/ops_calls.py", mounted, str(pid), str(scale.calls), str(scale.entries))
    for name, (wall_us, cpu_us) in measured.items():
        results.add(name, f"{system}, clock", wall_us, "us")
        results.add(name, f"{system}, daemon CPU", cpu_us, "us")


def _show(results: Results) -> None:
    """Print a row for each operation."""
    table = Table(title="microseconds per call, median of the rounds", padding=(0, 0))
    columns = {
        "handler": "handler, CPU",
        "mount": "mount, clock",
        "floor": "floor, clock",
        "mount CPU": "mount, daemon CPU",
        "floor CPU": "floor, daemon CPU",
    }
    table.add_column("operation", no_wrap=True)
    for heading in (*columns, "ours"):
        table.add_column(heading, justify="right", no_wrap=True, overflow="ignore")
    for operation in dict.fromkeys(workload for workload, _ in results.runs):
        runs = [results.runs.get((operation, column), []) for column in columns.values()]
        values = [statistics.median(run) if run else None for run in runs]
        mount_us, floor_us = values[3:]
        ours = None if mount_us is None or floor_us is None else mount_us - floor_us
        shown = ("" if value is None else f"{value:.1f}" for value in (*values, ours))
        table.add_row(operation, *shown)
    console.print(table)
    for note in results.notes:
        console.print(f"- {note}", style="dim")


def _make_data(data: str, scale: Scale) -> None:
    for name in ("small", "many", "out"):
        os.makedirs(f"{data}/{name}")
    with open(f"{data}/small/s00000.bin", "wb") as file:
        file.write(os.urandom(SMALL_BYTES))
    for index in range(scale.entries):
        os.close(os.open(f"{data}/many/e{index:06d}.bin", os.O_CREAT | os.O_WRONLY))


def _node(directory: str, socket: str) -> Mounted:
    os.makedirs(directory)
    node = Mounted("ops", f"{directory}/shotfs.toml", f"{directory}/shows", socket)
    with open(f"{directory}/spec.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(SPECIFICATION).replace("ORIGIN", f"file://{PLACE}/data"))
    with open(node.config, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(directory=directory, socket=socket))
    return node


def _run(*arguments: str) -> dict[str, float] | dict[str, tuple[float, float]]:
    """Run a measuring program; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        start_new_session=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _wait_mounted(process: subprocess.Popen[bytes], mountpoint: str, log: str) -> None:
    until_s = time.monotonic() + 20
    while mountpoint not in processes.mounts_below(os.path.dirname(mountpoint)):
        if process.poll() is not None or time.monotonic() > until_s:
            with open(log, encoding="utf-8", errors="replace") as said:
                raise processes.StartFailed(f"the floor is not mounted: {said.read()[-2000:]}")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
