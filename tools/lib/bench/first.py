"""tools/bench/first: cold bulk reads, small files again, stat again, memory of the daemon."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from running import place, processes, service
from running.service import Mounted

from bench import peers, program
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench")
HERE = os.path.dirname(os.path.realpath(__file__))
console = Console(highlight=False)

SMALL_BYTES = 32 * 1024
PATHS_PER_DIRECTORY = 1000
LOOP_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: paired runs of each workload.
        loop_s: how long a repeating loop goes on at least, seconds.
    """

    big_bytes: int
    small_files: int
    paths: int
    rounds: int
    loop_s: float


FULL = Scale(big_bytes=1 << 30, small_files=2000, paths=100_000, rounds=5, loop_s=1.0)
QUICK = Scale(big_bytes=256 << 20, small_files=500, paths=100_000, rounds=3, loop_s=0.3)

SPECIFICATION = """\
{{
  "spec": "shotfs-path/1",
  "show": "bench",
  "roots": {{"data": "{origin}"}},
  "defaults": {{"origin": "data", "flow": "in", "immutable": "on-close"}},
  "fields": {{
    "group": {{"type": "str", "pattern": "[a-z0-9]+"}},
    "name": {{"type": "str", "pattern": "[a-z0-9]+"}}
  }},
  "templates": {{"file": {{"path": "{{group}}/{{name}}.bin"}}}}
}}
"""

CONFIGURATION = """\
[cache]
directory = "{directory}/cache"
bytes_max = "8 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.bench]
spec = "bench.json"
"""


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/first", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, smaller data")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    results = Results()
    code = program.run(
        "tools/bench/first",
        console,
        lambda stack: _measure(stack, QUICK if arguments.quick else FULL, results),
    )
    if code:
        return code
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


def _measure(stack: ExitStack, scale: Scale, results: Results) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/first", keep=False)
    data = f"{PLACE}/data"
    console.print(f"making the data below {PLACE}")
    _make_data(data, scale)
    url = peers.start_nginx(stack, data, PLACE)
    ours = _mount(stack, "shotfs", url, sockets)
    mounts = {
        "native": data,
        "bindfs": peers.mount_bindfs(stack, data, PLACE).mountpoint,
        "rclone": peers.mount_rclone(stack, peers.rclone_http(url), PLACE).mountpoint,
        "shotfs": f"{ours.mountpoint}/bench",
    }
    _cold_sequential(results, scale, mounts, url, ours)
    _small_again(results, scale, mounts)
    _stat_again(results, scale, mounts)
    service.unmount(ours)
    _memory(stack, results, scale, sockets)
    results.notes += [
        "what the origin serves is in this machine's page cache before every run",
        "each cold read is of a path that nobody opened before; our cache is emptied in between",
        "the files of the *_again workloads were read once before, so all systems have them cached",
        "obstore downloads ranges of 8 MiB in four threads to a file, without fsync",
        f"{scale.rounds} rounds, systems in turn within each; sync before every run",
    ]


def _make_data(data: str, scale: Scale) -> None:
    """Make one big file with a name for each cold read, and the small files."""
    os.makedirs(f"{data}/big")
    os.makedirs(f"{data}/small")
    first = f"{data}/big/{_big(0)}"
    with open(first, "wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(scale.big_bytes // (1 << 20)))
    # Hard links: each is an object of its own to whoever asks by name, and costs no room.
    for index in range(1, scale.rounds):
        os.link(first, f"{data}/big/{_big(index)}")
    names = [f"s{index:05d}.bin" for index in range(scale.small_files)]
    for name in names:
        with open(f"{data}/small/{name}", "wb") as file:
            file.write(os.urandom(SMALL_BYTES))
    with open(f"{PLACE}/names", "w", encoding="utf-8") as file:
        file.write("\n".join(names))
    os.environ["BENCH_NAMES"] = f"{PLACE}/names"


def _big(index: int) -> str:
    return f"b{index}.bin"


def _mount(stack: ExitStack, name: str, origin: str, sockets: str) -> Mounted:
    """Mount shotfs over *origin* with a cache of its own."""
    directory = f"{PLACE}/{name}"
    os.makedirs(directory)
    node = Mounted(name, f"{directory}/shotfs.toml", f"{directory}/shows", f"{sockets}/{name}.sock")
    with open(f"{directory}/bench.json", "w", encoding="utf-8") as file:
        file.write(SPECIFICATION.format(origin=origin))
    with open(node.config, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(directory=directory, socket=node.socket))
    service.mount(stack, node)
    return node


def _loop(*arguments: str, script: str = "loops.py") -> dict[str, float]:
    """Run a measuring loop in a process of its own; return what it printed."""
    os.sync()  # what an earlier run wrote does not get in the way of this one
    done = subprocess.run(
        [sys.executable, f"{HERE}/{script}", *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=LOOP_TIMEOUT_S,
        start_new_session=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _rounds(
    scale: Scale, title: str, systems: Sequence[str], run: Callable[[int, str], None]
) -> None:
    """Run each system once a round; every other round in the opposite order."""
    console.print(title)
    for index in range(scale.rounds):
        for system in systems if index % 2 == 0 else reversed(systems):
            run(index, system)


def _cold_sequential(
    results: Results, scale: Scale, mounts: dict[str, str], url: str, ours: Mounted
) -> None:
    workload = f"{scale.big_bytes >> 20} MiB, first read"
    for index in range(scale.rounds):
        _loop("read", f"{mounts['native']}/big/{_big(index)}")  # into the page cache

    def run(index: int, system: str) -> None:
        if system == "obstore":
            target = f"{PLACE}/download"
            measured = _loop(url, f"big/{_big(index)}", target, script="obstore_download.py")
            os.unlink(target)
        else:
            measured = _loop("read", f"{mounts[system]}/big/{_big(index)}")
        if system == "shotfs":
            ours.evict_all()
        assert measured["bytes"] == scale.big_bytes, f"{system} read {measured['bytes']} bytes"
        results.add(workload, system, measured["bytes"] / measured["seconds"] / 1e6, "MB/s")

    _rounds(scale, workload, ["native", "bindfs", "rclone", "obstore", "shotfs"], run)
    results.add_ratio("cold_seq_vs_obstore", workload, "shotfs", "obstore", ">= 0.4")


def _small_again(results: Results, scale: Scale, mounts: dict[str, str]) -> None:
    first = f"{scale.small_files} files of 32 KiB, first time"
    again = f"{scale.small_files} files of 32 KiB, again"
    console.print(first)
    for system, mounted in mounts.items():
        measured = _loop("small", f"{mounted}/small", "0")
        results.add(first, system, measured["count"] / measured["seconds"], "files/s")

    def run(_: int, system: str) -> None:
        measured = _loop("small", f"{mounts[system]}/small", f"{scale.loop_s}")
        assert measured["bytes"] == measured["count"] * SMALL_BYTES, f"{system} read too little"
        results.add(again, system, measured["count"] / measured["seconds"], "files/s")

    _rounds(scale, again, list(mounts), run)
    results.add_ratio("small_again_vs_rclone", again, "shotfs", "rclone", ">= 15")
    results.add_ratio("small_again_vs_bindfs", again, "shotfs", "bindfs", ">= 0.25")


def _stat_again(results: Results, scale: Scale, mounts: dict[str, str]) -> None:
    workload = f"stat of {scale.small_files} files, again"

    def run(_: int, system: str) -> None:
        measured = _loop("stat", f"{mounts[system]}/small", f"{scale.loop_s}")
        results.add(workload, system, measured["count"] / measured["seconds"], "stat/s")

    _rounds(scale, workload, list(mounts), run)
    results.add_ratio("stat_again_vs_native", workload, "shotfs", "native", ">= 0.8")


def _memory(stack: ExitStack, results: Results, scale: Scale, sockets: str) -> None:
    """Walk a tree of many paths through a mount over file://, and weigh the daemon."""
    workload = f"resident memory, {scale.paths:,} paths known"
    console.print(workload)
    tree = f"{PLACE}/paths"
    for group in range(scale.paths // PATHS_PER_DIRECTORY):
        os.makedirs(f"{tree}/d{group:04d}")
        for index in range(PATHS_PER_DIRECTORY):
            os.close(os.open(f"{tree}/d{group:04d}/f{index:04d}.bin", os.O_CREAT | os.O_WRONLY))
    node = _mount(stack, "memory", f"file://{tree}", sockets)
    pid = int(node.status()["pid"])
    results.add("resident memory, just mounted", "shotfs", _resident_mb(pid), "MB")
    started = time.monotonic()
    measured = _loop("walk", f"{node.mountpoint}/bench")
    walked_s = time.monotonic() - started
    known = measured["count"] - scale.paths // PATHS_PER_DIRECTORY
    assert known == scale.paths, f"the walk found {known:,} files"
    resident_mb = _resident_mb(pid)
    results.add(workload, "shotfs", resident_mb, "MB")
    results.add("paths listed and looked up", "shotfs", measured["count"] / walked_s, "paths/s")
    results.add_value("rss_mb_100k_paths", [resident_mb], "<= 200")
    service.unmount(node)


def _resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise processes.StartFailed(f"process {pid} has ended")


if __name__ == "__main__":
    sys.exit(main())
