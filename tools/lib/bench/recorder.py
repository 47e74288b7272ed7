"""tools/bench/recorder: opens a second with and without somebody who watches them."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from running import place, service
from running.service import Mounted

from bench import program, usage
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-recorder")
LOOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "recorder_loop.py")
TIMEOUT_S = 300.0
FILE_BYTES = 32 * 1024
MOUNTS = (("cold",), ("cached on disk", "native thread", "native thread", "native thread"))
"""What the passes over the files meet, mount after mount; of several alike the median counts."""

NOBODY, RECORDER, BOTH = "nobody", "recorder", "recorder and look-ahead"
SYSTEMS = {
    NOBODY: '[record]\njobs = "off"\n[lookahead]\nenabled = false\n',
    RECORDER: "[lookahead]\nenabled = false\n",
    BOTH: "",
}
"""Who watches, and the configuration that says so."""

console = Console(highlight=False)

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "roots": {"data": f"file://{PLACE}/data"},
    "defaults": {"origin": "data", "immutable": "on-close"},
    "fields": {"name": {"type": "str", "pattern": "[a-z]+"}, "frame": {"type": "frame", "pad": 6}},
    "templates": {"file": {"path": "tex/{name}.{frame}.bin"}},
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

{watchers}
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    files: int
    rounds: int


FULL = Scale(files=4000, rounds=5)
QUICK = Scale(files=400, rounds=1)


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/recorder", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, fewer files")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    results = Results()
    scale = QUICK if arguments.quick else FULL
    code = program.run(
        "tools/bench/recorder", console, lambda stack: _measure(stack, scale, results)
    )
    if code:
        return code
    for workload in dict.fromkeys(itertools.chain(*MOUNTS)):
        for system in (RECORDER, BOTH):
            name = f"{'recorded' if system == RECORDER else 'watched'}_{workload.split()[0]}"
            results.add_ratio(name, workload, system, NOBODY, ">= 0.95")
    for workload, *_ in MOUNTS:
        # Steadier than the clock: what the service itself spends on an open.
        name = f"recorded_{workload.split()[0]}_cpu"
        results.add_ratio(name, f"{workload}, CPU", RECORDER, NOBODY, "<= 1.05")
    results.notes.append(
        f"{scale.files} files of {FILE_BYTES // 1024} KiB, opened, read and closed by one process"
        " of a job; each system in a mount of its own, by turns; CPU: of the service, for each open"
        " of a mount (`cached on disk`: with the three passes of the native thread)"
    )
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(stack: ExitStack, scale: Scale, results: Results) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/recorder", keep=False)
    os.makedirs(f"{PLACE}/data/tex")
    for index in range(scale.files):
        with open(f"{PLACE}/data/tex/wood.{index:06d}.bin", "wb") as file:
            file.write(os.urandom(FILE_BYTES))
    for index in range(scale.rounds):
        # Each has its turn as the first: the disk below is warmer for who comes later.
        names = list(SYSTEMS)
        for system in names[index % len(names) :] + names[: index % len(names)]:
            with ExitStack() as one_round:
                place_of_round = f"{PLACE}/{index}-{names.index(system)}"
                node = _node(place_of_round, f"{sockets}/{index}{names.index(system)}", system)
                for passes in MOUNTS:
                    service.mount(one_round, node)
                    pid = int(node.status()["pid"])
                    before_s = usage.cpu_s(pid)
                    _pass(results, system, f"{node.mountpoint}/bench/tex", index, passes)
                    us = (usage.cpu_s(pid) - before_s) * 1e6 / (scale.files * len(passes))
                    results.add(f"{passes[0]}, CPU", system, us, "us/open")
                    service.unmount(node)


def _pass(results: Results, system: str, directory: str, index: int, passes: Sequence[str]) -> None:
    environment = {**os.environ, "SHOTFS_JOB": f"bench{index}", "SHOTFS_FRAME": "1001"}
    done = subprocess.run(
        [sys.executable, LOOP, directory, str(len(passes))],
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        start_new_session=True,
    )
    rates = json.loads(done.stdout)
    for workload in dict.fromkeys(passes):
        alike = [rate for rate, one in zip(rates, passes, strict=True) if one == workload]
        results.add(workload, system, statistics.median(alike), "opens/s")


def _node(directory: str, socket: str, system: str) -> Mounted:
    os.makedirs(directory)
    node = Mounted(system, f"{directory}/shotfs.toml", f"{directory}/shows", socket)
    with open(f"{directory}/spec.json", "w", encoding="utf-8") as file:
        json.dump(SPECIFICATION, file)
    with open(node.config, "w", encoding="utf-8") as file:
        text = CONFIGURATION.format(directory=directory, socket=socket, watchers=SYSTEMS[system])
        file.write(text)
    return node


if __name__ == "__main__":
    sys.exit(main())
