"""What tools/bench/prewarm measures on: data, nginx, moto, and a node that is told to prewarm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import xxhash
from rich.console import Console
from running import interrupts, place, processes

from bench import cold_site, peers, start_line, usage
from bench.results import Results

ROOT = cold_site.ROOT
PLACE = os.path.join(ROOT, ".bench-prewarm")
HERE = os.path.dirname(os.path.realpath(__file__))
DEADLINE = os.path.join(ROOT, ".venv-deadline", "bin", "python")
BUCKET = "bench"
LOOP_TIMEOUT_S = 300.0
MIB = 1 << 20
SMALL_BYTES = 32 * 1024
TEXTURE_BYTES = 4 * MIB
MEMORY_BYTES = 960 * MIB
"""What the large files of one run take, on their way and in the page cache. No more: of free pages
beyond 1 GiB a virtual machine may give back to the host at once what was just made ready, and a
gigabyte then costs one or two seconds of processor time more, whoever writes it."""

console = Console(highlight=False)

_FRONT = """\
daemon off;
{user}
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {place}/temp;
    proxy_temp_path {place}/temp;
    fastcgi_temp_path {place}/temp;
    uwsgi_temp_path {place}/temp;
    scgi_temp_path {place}/temp;
    keepalive_requests 1000000;
    proxy_cache_path {place}/cache keys_zone=moto:10m max_size=4g inactive=1h use_temp_path=off;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass {url};
            proxy_set_header Host $http_host;
            proxy_cache moto;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
            proxy_force_ranges on;
        }}
    }}
}}
"""
"""Moto takes 3 ms of Python for an answer, one after the other: what it answered is kept before it,
as S3 itself is no single process. Listings, too; they come from moto the first time."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: paired runs of each workload.
        small_files: from nginx, of `SMALL_BYTES`, in each run.
        large_files, large_bytes: from nginx, in each run.
        job_small, job_large: inputs of a job, of `SMALL_BYTES` and of `TEXTURE_BYTES`.
    """

    rounds: int
    small_files: int
    large_files: int
    large_bytes: int
    job_small: int
    job_large: int

    @property
    def job_files(self) -> int:
        """How many inputs a job has."""
        return self.job_small + self.job_large

    @property
    def job_bytes(self) -> int:
        """How large they are together."""
        return self.job_small * SMALL_BYTES + self.job_large * TEXTURE_BYTES


FULL = Scale(
    rounds=5, small_files=4000, large_files=3, large_bytes=256 * MIB, job_small=400, job_large=6
)
QUICK = Scale(
    rounds=3, small_files=1000, large_files=1, large_bytes=256 * MIB, job_small=80, job_large=2
)


@dataclass(slots=True)
class Site:
    """Everything that runs while it is measured.

    Attributes:
        url: nginx over the data.
        moto_url: the S3 server alone, and `moto_pid` its process.
        s3_url: the same behind an nginx that keeps what it answered; the node's show s3 is there.
        node: is told to prewarm; its shows are http and s3.
    """

    scale: Scale
    results: Results
    url: str
    moto_url: str
    moto_pid: int
    s3_url: str
    node: Told = field(init=False)
    _numbers: count[int] = field(default_factory=count)

    def rounds(self, title: str, systems: Sequence[str], run: Callable[[int, str], None]) -> None:
        """Run each system once a round; every other round in the opposite order."""
        console.print(title)
        for index in range(self.scale.rounds):
            for system in systems if index % 2 == 0 else reversed(systems):
                run(index, system)

    def new_directory(self) -> str:
        """Make an empty directory; kept to the end, because ext4 avoids inodes just freed."""
        directory = f"{PLACE}/download{next(self._numbers)}"
        os.makedirs(directory)
        return directory

    def prewarm(
        self, show: str, group: str, names: str, files: int, size_bytes: int
    ) -> tuple[usage.Cost, usage.Cost]:
        """Have the node look files up, and then bring them; return what each took.

        Raises:
            EOFError: not all came.
        """
        costs = []
        for fetch in (False, True):
            cold_site.settle(MEMORY_BYTES)
            told = self.node.tell(
                do="prewarm", names=f"{PLACE}/{names}", below=f"{show}/{group}", fetch=fetch
            )
            if told["found"] != files or (fetch and told["bytes"] != size_bytes):
                raise EOFError(f"a prewarm of {files} files brought {told}")
            costs.append(usage.Cost(told["seconds"], told["cpu_s"]))
        return costs[0], costs[1]


def loop(*arguments: str, script: str, python: str = sys.executable) -> dict[str, Any]:
    """Run a measuring program in a process of its own; return what it printed.

    The machine settles when the program has loaded everything: until then memory that was at hand
    may be gone again.

    Raises:
        StartFailed: it ended with an error, or said nothing.
        subprocess.TimeoutExpired: it took too long.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            [python, f"{HERE}/{script}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, start_line.VARIABLE: "1"},
            start_new_session=True,
        )
        stack.callback(processes.end, process)
        assert process.stdout is not None
        if process.stdout.readline().strip() != start_line.READY:
            raise processes.StartFailed(f"{script} ended before it began")
        cold_site.settle(MEMORY_BYTES)
        said, _ = process.communicate("\n", timeout=LOOP_TIMEOUT_S)
    if process.returncode:
        raise processes.StartFailed(f"{script} ended with {process.returncode}")
    measured: dict[str, Any] = json.loads(said)
    return measured


def build(stack: ExitStack, scale: Scale, results: Results) -> Site:
    """Make the data, start the servers and the node; *stack* ends and removes it all."""
    os.environ.pop("AWS_CA_BUNDLE", None)  # everything is on loopback and without TLS
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/prewarm", keep=False)
    data = f"{PLACE}/data"
    console.print(f"making the data below {PLACE}")
    os.makedirs(data)
    _make_data(data, scale)
    moto_url, moto_pid = peers.start_moto_process(stack, PLACE)
    s3_url = _start_front(stack, moto_url)
    _fill_bucket(moto_url, s3_url, scale)
    url = peers.start_nginx(stack, data, PLACE)
    site = Site(scale, results, url, moto_url, moto_pid, s3_url)
    site.node = Told(stack, _configure(site, sockets))
    return site


def _configure(site: Site, sockets: str) -> str:
    """Write the configuration of the node; return its path."""
    os.environ["BENCH_S3_KEY"] = peers.S3_KEY
    directory = f"{PLACE}/node"
    os.makedirs(directory)
    with open(f"{directory}/shotfs.toml", "w", encoding="utf-8") as file:
        file.write(
            cold_site.CONFIGURATION.format(
                directory=directory, socket=f"{sockets}/node.sock", bucket=BUCKET, s3=site.s3_url,
                region=peers.S3_REGION,
            )
        )  # fmt: skip
        for show, origin in (("http", site.url), ("s3", f"s3://{BUCKET}")):
            file.write(f'\n[shows.{show}]\nspec = "{show}.json"\n')
            with open(f"{directory}/{show}.json", "w", encoding="utf-8") as spec:
                spec.write(cold_site.SPECIFICATION.format(show=show, origin=origin))
    return f"{directory}/shotfs.toml"


def _start_front(stack: ExitStack, url: str) -> str:
    """Start an nginx before *url* that keeps its answers; *stack* ends it. Return its URL."""
    port, directory = processes.free_port(), f"{PLACE}/front"
    os.makedirs(directory)
    user = "user root;" if os.geteuid() == 0 else ""
    with open(f"{directory}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(_FRONT.format(user=user, place=directory, port=port, url=url))
    log = f"{directory}/nginx.log"
    command = ["nginx", "-p", directory, "-e", f"{directory}/nginx-error.log"]
    process = processes.start(stack, [*command, "-c", f"{directory}/nginx.conf"], log=log)
    processes.wait_for_port(process, port, name="nginx", log=log)
    return f"http://127.0.0.1:{port}"


# --- data ----------------------------------------------------------------------------------------


def _make_data(data: str, scale: Scale) -> None:
    """Make what nginx serves: a group of files for each round."""
    small = [f"s{index:05d}.bin" for index in range(scale.small_files)]
    large = [f"l{index}.bin" for index in range(scale.large_files)]
    _list(f"{PLACE}/small-names", small)
    _list(f"{PLACE}/large-names", large)
    for index in range(scale.rounds):
        os.makedirs(f"{data}/small{index}")
        os.makedirs(f"{data}/large{index}")
        for name in small:
            _write(f"{data}/small{index}/{name}", SMALL_BYTES)
        for name in large:
            if index:  # an object of its own to clients
                os.link(f"{data}/large0/{name}", f"{data}/large{index}/{name}")
            else:
                _write(f"{data}/large0/{name}", scale.large_bytes)


def _fill_bucket(moto_url: str, s3_url: str, scale: Scale) -> None:
    """Put the inputs of a job for each round: as plain objects, and by their digests.

    Each is read once through *s3_url*, which keeps it.
    """
    credential = f"AWS4-HMAC-SHA256 Credential={peers.S3_KEY}/20260101/{peers.S3_REGION}/s3"
    sizes = [SMALL_BYTES] * scale.job_small + [TEXTURE_BYTES] * scale.job_large
    with httpx.Client(headers={"Authorization": credential}, trust_env=False, timeout=60) as client:
        client.put(f"{moto_url}/{BUCKET}").raise_for_status()
        for index in range(scale.rounds):
            paths = []
            for number, size_bytes in enumerate(sizes):
                content, name = os.urandom(size_bytes), f"i{number:05d}.bin"
                digest = xxhash.xxh3_128_hexdigest(content)
                for key in (f"job{index}/{name}", f"deadline/Data/{digest}.xxh128"):
                    client.put(f"{moto_url}/{BUCKET}/{key}", content=content).raise_for_status()
                    client.get(f"{s3_url}/{BUCKET}/{key}").raise_for_status()
                paths.append(
                    {"hash": digest, "mtime": 1700000000000000, "path": name, "size": size_bytes}
                )
            _list(f"{PLACE}/job{index}-names", [str(one["path"]) for one in paths])
            manifest = {
                "hashAlg": "xxh128",
                "manifestVersion": "2023-03-03",
                "paths": paths,
                "totalSize": sum(sizes),
            }
            with open(f"{PLACE}/job{index}-manifest", "w", encoding="utf-8") as file:
                json.dump(manifest, file, sort_keys=True, separators=(",", ":"))


def _list(path: str, names: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(names))


def _write(path: str, size_bytes: int) -> None:
    with open(path, "wb") as file:
        file.writelines(
            os.urandom(min(MIB, size_bytes - start)) for start in range(0, size_bytes, MIB)
        )


# --- the node ------------------------------------------------------------------------------------


class Told:
    """`bench.prewarm_node` in a process of its own; *stack* ends it."""

    def __init__(self, stack: ExitStack, config: str) -> None:
        self._log = f"{PLACE}/node.log"
        with interrupts.held(), open(self._log, "ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.prewarm_node", config],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            stack.callback(processes.end, self._process)
        self._answer()

    def tell(self, **wish: Any) -> dict[str, Any]:
        """Say what to do and return the answer.

        Raises:
            StartFailed: it ended instead.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            with open(self._log, encoding="utf-8") as log:
                raise processes.StartFailed(
                    f"bench.prewarm_node ended: {log.read()[-usage.SAID_CHARACTERS :]}"
                )
        answer: dict[str, Any] = json.loads(line)
        return answer
