"""tools/bench/recorder: what the recorder costs an open, in percent, with an interval.

One service is measured with itself: it records what somebody started (`record.jobs = "named"`), so
a recording that is started and stopped between two rounds is all that differs. Rounds come in
blocks of four, off on on off, so that what drifts falls out; a block gives one price, and the
median of the blocks has an interval. The service has one processor and the client another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from running import place, service
from running.service import Mounted

from bench import program, usage
from bench.intervals import interval_of
from bench.results import Results
from shotfs.control.client import Client
from shotfs.prewarm.manifest import Subject

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-recorder")
LOOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "recorder_loop.py")
FILE_BYTES = 16 * 1024
PERCENT_MAX = 5
SETTLE_S = 0.08
"""After the last open of a round its notes are still being taken in: that is of its price."""

PAUSE_S = 0.03
"""Before a round: what the start of a recording left to do is done."""

OFF, ON = "nobody", "recorder"
BLOCK = (OFF, ON, ON, OFF)
BLOCKS, QUICK_BLOCKS = 48, 6
ENDING = "end of a run, CPU"
"""What its files mean is worked out then, once for each; no open waits for it."""
KINDS = {"cpu": "processor time of the service", "wall": "wall time"}
JOB = "bench"

console = Console(highlight=False)

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "roots": {"data": f"file://{PLACE}/data"},
    "defaults": {"origin": "data", "immutable": "on-close"},
    "fields": {"name": {"type": "str", "pattern": "[a-z]+"}, "frame": {"type": "frame", "pad": 6}},
    "templates": {
        "file": {"path": "tex/{name}.{frame}.bin"},
        "cold": {"path": "cold/{name}.{frame}.bin"},
    },
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

[record]
jobs = "named"
publish = false

[lookahead]
enabled = false

[mount]
native_thread = "{native}"
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A way to open files.

    Attributes:
        name: for people.
        figure: begins the names of its figures.
        directory: of its files in the show.
        files: that one round opens.
        fresh: whether each round opens files that nobody opened before.
        native: whether the native thread may answer.
        passes: over the files before it is measured, so that they are where it wants them.
    """

    name: str
    figure: str
    directory: str
    files: int
    fresh: bool
    native: bool
    passes: int


WORKLOADS = (
    Workload("cold", "cold", "cold", 40, fresh=True, native=False, passes=0),
    Workload("cached, Python", "python", "tex", 500, fresh=False, native=False, passes=2),
    Workload("cached, native", "native", "tex", 3000, fresh=False, native=True, passes=3),
)


@dataclass(frozen=True, slots=True)
class Round:
    """What an open took, in microseconds: of the clock, and of the service's processor time."""

    wall: float
    cpu: float


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/recorder", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, wider intervals")
    parser.add_argument(
        "--only",
        action="append",
        choices=[one.figure for one in WORKLOADS],
        help="one way of opening; may be repeated",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    results = Results()
    blocks = QUICK_BLOCKS if arguments.quick else BLOCKS
    chosen = [one for one in WORKLOADS if arguments.only is None or one.figure in arguments.only]
    code = program.run(
        "tools/bench/recorder", console, lambda stack: _measure(stack, chosen, blocks, results)
    )
    if code:
        return code
    results.notes.append(
        f"files of {FILE_BYTES // 1024} KiB, opened, read and closed by one process of a job; CPU:"
        " of the service, with all that it does within"
        f" {SETTLE_S * 1000:.0f} ms after the last close; {blocks} blocks of {' '.join(BLOCK)};"
        " every round is a run of its own, so every open is the first of its file in it"
    )
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(stack: ExitStack, workloads: list[Workload], blocks: int, results: Results) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/recorder", keep=False)
    for workload in workloads:
        rounds = blocks * len(BLOCK) if workload.fresh else 1
        _make_files(f"{PLACE}/data/{workload.directory}", workload.files * rounds)
    for number, workload in enumerate(workloads):
        with ExitStack() as one_workload:
            node = _node(f"{PLACE}/{number}", f"{sockets}/{number}", workload)
            service.mount(one_workload, node)
            _measure_one(one_workload, node, workload, blocks, results)


def _measure_one(
    stack: ExitStack, node: Mounted, workload: Workload, blocks: int, results: Results
) -> None:
    pid = int(node.status()["pid"])
    loop = _client(stack, f"{node.mountpoint}/bench/{workload.directory}")
    _share_processors(pid, loop.pid)
    with Client(node.socket) as client:
        for _ in range(workload.passes):
            _round(loop, pid, 0, workload.files)
            # Files that were closed are told to the native thread a moment later.
            time.sleep(1.0)
        prices: dict[str, list[float]] = {"cpu": [], "wall": []}
        first = 0
        for _ in range(blocks):
            measured: dict[str, list[Round]] = {OFF: [], ON: []}
            for system in BLOCK:
                # Starting and stopping is work for the service, too: it is done before every round.
                number = client.record.start(Subject(job=JOB))
                if system == OFF:
                    client.record.stop(number)
                time.sleep(PAUSE_S)
                one = _round(loop, pid, first, first + workload.files)
                if system == ON:
                    before_s = usage.exact_cpu_s(pid)
                    client.record.stop(number)
                    used_us = (usage.exact_cpu_s(pid) - before_s) * 1e6
                    results.add(ENDING, workload.name, used_us / workload.files, "us/file")
                measured[system].append(one)
                first += workload.files if workload.fresh else 0
                results.add(f"{workload.name}, CPU", system, one.cpu, "us/open")
                results.add(f"{workload.name}, wall", system, one.wall, "us/open")
            for kind, percents in prices.items():
                on, off = (sum(getattr(one, kind) for one in measured[name]) for name in (ON, OFF))
                percents.append(100 * (on / off - 1))
    for kind, percents in prices.items():
        interval = interval_of(percents)
        name = f"{workload.figure}_{kind}_percent"
        results.add_interval(name, percents, interval, f"<= {PERCENT_MAX}")
        console.print(
            f"{workload.name}, {KINDS[kind]}: the recorder costs {interval.median:.1f} percent,"
            f" 95 percent interval {interval.low:.1f} .. {interval.high:.1f}",
            soft_wrap=True,
        )


def _round(loop: subprocess.Popen[str], pid: int, first: int, stop: int) -> Round:
    assert loop.stdin is not None
    assert loop.stdout is not None
    before_s = usage.exact_cpu_s(pid)
    loop.stdin.write(f"{first} {stop}\n")
    loop.stdin.flush()
    answer = loop.stdout.readline()
    if not answer:
        raise EOFError("the process that opens files ended")
    time.sleep(SETTLE_S)
    used_s = usage.exact_cpu_s(pid) - before_s
    count = stop - first
    return Round(float(answer) * 1e6 / count, used_s * 1e6 / count)


def _client(stack: ExitStack, directory: str) -> subprocess.Popen[str]:
    loop = subprocess.Popen(
        [sys.executable, LOOP, directory],
        env={**os.environ, "SHOTFS_JOB": JOB, "SHOTFS_FRAME": "1001"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stack.enter_context(loop)
    stack.callback(loop.kill)
    return loop


def _share_processors(pid: int, loop: int) -> None:
    """Give the service the first processor and the client the second, if there are two."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), processors[:1])
        os.sched_setaffinity(loop, processors[1:2])


def _make_files(directory: str, count: int) -> None:
    os.makedirs(directory, exist_ok=True)
    for index in range(count):
        with open(f"{directory}/wood.{index:06d}.bin", "wb") as file:
            file.write(os.urandom(FILE_BYTES))


def _node(directory: str, socket: str, workload: Workload) -> Mounted:
    os.makedirs(directory)
    node = Mounted(workload.name, f"{directory}/shotfs.toml", f"{directory}/shows", socket)
    with open(f"{directory}/spec.json", "w", encoding="utf-8") as file:
        json.dump(SPECIFICATION, file)
    with open(node.config, "w", encoding="utf-8") as file:
        native = "auto" if workload.native else "off"
        file.write(CONFIGURATION.format(directory=directory, socket=socket, native=native))
    return node


if __name__ == "__main__":
    sys.exit(main())
