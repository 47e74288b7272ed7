"""What tools/bench/cold measures on: data, origins, mounts of ours, and the loops that use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from running import interrupts, place, processes, service
from running.service import Mounted

from bench import peers, usage
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-cold")
HERE = os.path.dirname(os.path.realpath(__file__))
console = Console(highlight=False)

SMALL_BYTES = 32 * 1024
HUGE_BYTES = 10_000_000_000
MEMORY_BYTES = 3 * 1024**3
"""A file of 1 GiB is in the page cache twice, and on its way."""

LINK_BYTES_PER_S = 100e6
LINK_ROUND_TRIP_S = 0.020
LOOP_TIMEOUT_S = 300.0
KEPT_TIMEOUT_S = 60.0
BUCKET = "bench"

SPECIFICATION = """\
{{
  "spec": "shotfs-path/1",
  "show": "{show}",
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
bytes_max = "16 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[origins."s3://{bucket}"]
endpoint_url = "{s3}"
access_key_env = "BENCH_S3_KEY"
secret_key_env = "BENCH_S3_KEY"
region = "{region}"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: paired runs of each workload.
        big_bytes: a file that is read in sequence, from nginx.
        capped_bytes: one that is read over the slow link.
        crowd_bytes: one that 64 readers read.
        load_bytes: one of those that stream in while something else is measured.
        small_files: from nginx.
        s3_bytes: a file that is read in sequence, from S3.
        s3_small_files: from S3.
        first_bytes: first bytes measured in each round.
        warm_reads: stat, open and read measured in each round under load.
        blobs: that are cached when the index is mounted.
    """

    rounds: int
    big_bytes: int
    capped_bytes: int
    crowd_bytes: int
    load_bytes: int
    small_files: int
    s3_bytes: int
    s3_small_files: int
    first_bytes: int
    warm_reads: int
    blobs: int


MIB = 1 << 20
FULL = Scale(
    rounds=3, big_bytes=1024 * MIB, capped_bytes=1024 * MIB, crowd_bytes=256 * MIB,
    load_bytes=256 * MIB, small_files=2000, s3_bytes=64 * MIB, s3_small_files=400,
    first_bytes=15, warm_reads=400, blobs=1_000_000,
)  # fmt: skip
QUICK = Scale(
    rounds=3, big_bytes=256 * MIB, capped_bytes=96 * MIB, crowd_bytes=64 * MIB,
    load_bytes=128 * MIB, small_files=500, s3_bytes=16 * MIB, s3_small_files=100,
    first_bytes=5, warm_reads=150, blobs=20_000,
)  # fmt: skip


@dataclass(slots=True)
class Site:
    """Everything that runs while it is measured.

    Attributes:
        url: nginx over the data.
        counted_url: another nginx over the same data that writes `sent_log`.
        slow_url: nginx behind the link.
        s3_url: the S3 server, with the same names in `BUCKET`.
        ours: a mount of the shows http, counted, slow and s3.
    """

    stack: ExitStack
    scale: Scale
    results: Results
    sockets: str
    url: str
    counted_url: str
    slow_url: str
    s3_url: str
    ours: Mounted = field(init=False)
    pid: int = field(init=False)

    @property
    def sent_log(self) -> str:
        """A line for each answer of `counted_url`."""
        return f"{PLACE}/counted/sent.log"

    def path(self, show: str, name: str) -> str:
        """Return the path of *name* in the mount of ours."""
        return f"{self.ours.mountpoint}/{show}/{name}"

    def rounds(self, title: str, systems: Sequence[str], run: Callable[[int, str], None]) -> None:
        """Run each system once a round; every other round in the opposite order."""
        console.print(title)
        for index in range(self.scale.rounds):
            for system in systems if index % 2 == 0 else reversed(systems):
                run(index, system)

    def add_speed(self, workload: str, system: str, size_bytes: float, cost: usage.Cost) -> None:
        """Note how fast bytes came, and what they cost."""
        self.results.add(workload, system, size_bytes / cost.seconds / 1e6, "MB/s")
        self.results.add(f"{workload}, CPU", system, cost.cpu_s / size_bytes * 1e9, "s/GB")

    def read(self, path: str, pid: int, settle: Callable[[], None] | None = None) -> usage.Cost:
        """Read *path* from start to end through a mount that the process *pid* serves.

        Args:
            path: the file.
            pid: its CPU time counts, together with the reader's.
            settle: waits for what goes on when the last byte is read; the CPU of that counts.
        """
        before_s = usage.cpu_s(pid)
        measured = loop("read", path)
        if settle is not None:
            settle()
        cpu_s = measured["cpu_s"] + usage.cpu_s(pid) - before_s
        return usage.Cost(measured["seconds"], cpu_s)

    def wait_kept(self, size_bytes: int) -> None:
        """Return when what was read is in our cache, verified.

        Raises:
            ServiceFailed: it is not.
        """
        deadline = time.monotonic() + KEPT_TIMEOUT_S
        while (cache := self.ours.status()["cache"])["streams"]:
            if time.monotonic() > deadline:
                raise service.ServiceFailed(f"the cache still streams: {cache}")
            time.sleep(0.02)
        if cache["bytes"] < size_bytes:
            raise service.ServiceFailed(f"{size_bytes} bytes were read and not kept: {cache}")


def settle(memory_bytes: int = MEMORY_BYTES) -> None:
    """Let each run begin alike: nothing is left to be written, and memory is at hand.

    A virtual machine may have given its free pages back to the host, and who touches them first
    pays a multiple of what a copy costs.
    """
    os.sync()
    number = os.memfd_create("memory at hand")
    try:
        for _ in range(memory_bytes // MIB):
            os.write(number, bytes(MIB))
    finally:
        os.close(number)


def loop(*arguments: str, script: str = "loops.py") -> dict[str, Any]:
    """Run a measuring loop in a process of its own; return what it printed."""
    settle()
    done = subprocess.run(
        [sys.executable, f"{HERE}/{script}", *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=LOOP_TIMEOUT_S,
        start_new_session=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def build(stack: ExitStack, scale: Scale, results: Results) -> Site:
    """Make the data, start the origins, mount ours; *stack* ends and removes it all."""
    # Everything is on loopback and without TLS; rclone 1.60 cannot start with a bundle of its own.
    os.environ.pop("AWS_CA_BUNDLE", None)
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/cold", keep=False)
    data = f"{PLACE}/data"
    console.print(f"making the data below {PLACE}")
    make_data(data, scale)
    os.makedirs(f"{PLACE}/counted")
    url = peers.start_nginx(stack, data, PLACE)
    counted_url = peers.start_nginx(
        stack, data, f"{PLACE}/counted", access_log=f"{PLACE}/counted/sent.log"
    )
    s3_url = peers.start_moto(stack, PLACE)
    fill_bucket(s3_url, scale)
    site = Site(stack, scale, results, sockets, url, counted_url, start_link(stack, url), s3_url)
    shows = {
        "http": url,
        "counted": counted_url,
        "slow": site.slow_url,
        "s3": f"s3://{BUCKET}",
    }
    site.ours = configure(site, "shotfs", shows)
    service.mount(stack, site.ours)
    site.pid = int(site.ours.status()["pid"])
    return site


def configure(site: Site, name: str, shows: dict[str, str]) -> Mounted:
    """Write the configuration of a node of ours; *shows* are their names and origins."""
    os.environ["BENCH_S3_KEY"] = peers.S3_KEY
    directory = f"{PLACE}/{name}"
    os.makedirs(f"{directory}/mount")
    for show, origin in shows.items():
        with open(f"{directory}/{show}.json", "w", encoding="utf-8") as file:
            file.write(SPECIFICATION.format(show=show, origin=origin))
    node = Mounted(
        name, f"{directory}/shotfs.toml", f"{directory}/mount", f"{site.sockets}/{name}.sock"
    )
    with open(node.config, "w", encoding="utf-8") as file:
        file.write(
            CONFIGURATION.format(
                directory=directory, socket=node.socket, bucket=BUCKET, s3=site.s3_url,
                region=peers.S3_REGION,
            )
        )  # fmt: skip
        file.writelines(f'\n[shows.{show}]\nspec = "{show}.json"\n' for show in shows)
    return node


def start_link(stack: ExitStack, url: str) -> str:
    """Put the slow link before *url*; return the URL at its end."""
    return start_link_to(
        stack, url, PLACE, bytes_per_s=LINK_BYTES_PER_S, round_trip_s=LINK_ROUND_TRIP_S
    )


def start_link_to(
    stack: ExitStack, url: str, directory: str, *, bytes_per_s: float, round_trip_s: float
) -> str:
    """Put a link before *url*, its log into *directory*; return the URL at its end."""
    port = processes.free_port()
    log = f"{directory}/link.log"
    target = url.rpartition(":")[2]
    rate, round_trip = f"{bytes_per_s}", f"{round_trip_s}"
    process = processes.start(
        stack, [sys.executable, "-m", "bench.link", str(port), target, rate, round_trip], log=log
    )
    processes.wait_for_port(process, port, name="the link", log=log)
    return f"http://127.0.0.1:{port}"


# --- data ----------------------------------------------------------------------------------------


def make_data(data: str, scale: Scale) -> None:
    """Make all files. A name for each cold read: hard links are objects of their own to clients."""
    for group in ("big", "capped", "crowd", "load", "huge", "warm"):
        os.makedirs(f"{data}/{group}")
    for group, size_bytes in (
        ("big", scale.big_bytes),
        ("capped", scale.capped_bytes),
        ("crowd", scale.crowd_bytes),
    ):
        _random_file(f"{data}/{group}/r0.bin", size_bytes)
        for index in range(1, scale.rounds):
            os.link(f"{data}/{group}/r0.bin", f"{data}/{group}/r{index}.bin")
    for index in range(3):
        _random_file(f"{data}/load/l{index}.bin", scale.load_bytes)
    for index in range(3 * scale.rounds * scale.first_bytes):
        path = f"{data}/huge/h{index}.bin"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        os.truncate(path, HUGE_BYTES)
    _random_file(f"{data}/warm/w.bin", SMALL_BYTES)
    # A set for each round. Nothing is deleted between them: for a minute, ext4 avoids inodes that
    # were freed, and looks at each of them when a file is made (2,000 cost 2 ms a file).
    for index in range(scale.rounds):
        _make_small(f"{data}/small{index}", scale.small_files, f"{PLACE}/names")
    with open(f"{PLACE}/s3-names", "w", encoding="utf-8") as file:
        file.write("\n".join(names_in(f"{PLACE}/names")[: scale.s3_small_files]))


def fill_bucket(s3_url: str, scale: Scale) -> None:
    """Put the objects of the S3 workloads into the bucket."""
    credential = f"AWS4-HMAC-SHA256 Credential={peers.S3_KEY}/20260101/{peers.S3_REGION}/s3"
    with httpx.Client(
        base_url=s3_url, headers={"Authorization": credential}, trust_env=False
    ) as client:
        client.put(f"/{BUCKET}").raise_for_status()
        content = os.urandom(scale.s3_bytes)
        for index in range(scale.rounds):
            client.put(f"/{BUCKET}/big/r{index}.bin", content=content).raise_for_status()
            for name in names_in(f"{PLACE}/s3-names"):
                key = f"/{BUCKET}/small{index}/{name}"
                client.put(key, content=os.urandom(SMALL_BYTES)).raise_for_status()


def names_in(path: str) -> list[str]:
    """Return the names that the file *path* lists."""
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def _make_small(directory: str, count: int, names_file: str) -> None:
    os.makedirs(directory)
    names = [f"s{index:05d}.bin" for index in range(count)]
    for name in names:
        _random_file(f"{directory}/{name}", SMALL_BYTES)
    with open(names_file, "w", encoding="utf-8") as file:
        file.write("\n".join(names))


def _random_file(path: str, size_bytes: int) -> None:
    with open(path, "wb") as file:
        file.writelines(
            os.urandom(min(MIB, size_bytes - start)) for start in range(0, size_bytes, MIB)
        )


# --- a node that can be told to prewarm ----------------------------------------------------------


class ToldNode:
    """`bench.node` in a process of its own; *site*'s stack ends it.

    Attributes:
        mountpoint: where it is mounted; the shows are http and s3.
        pid: of the process.
    """

    def __init__(self, site: Site, name: str) -> None:
        shows = {"http": site.url, "s3": f"s3://{BUCKET}"}
        node = configure(site, name, shows)
        self.mountpoint = node.mountpoint
        log = f"{PLACE}/{name}.log"
        with interrupts.held(), open(log, "ab") as errors:
            site.stack.callback(processes.unmount, node.mountpoint)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.node", node.config, node.mountpoint],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            site.stack.callback(processes.end, self._process)
        self._log = log
        self.pid = int(self._answer()["pid"])

    def tell(self, **wish: Any) -> dict[str, Any]:
        """Say what to do and return the answer.

        Raises:
            StartFailed: it ended instead.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let it unmount and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(LOOP_TIMEOUT_S)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            with open(self._log, encoding="utf-8") as log:
                raise processes.StartFailed(
                    f"bench.node ended: {log.read()[-usage.SAID_CHARACTERS :]}"
                )
        answer: dict[str, Any] = json.loads(line)
        return answer
