"""The systems that tools/bench/write compares, each mounted afresh, alone, and with nothing in it.

A system ends with the ``with`` block, and what was written goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
from running import interrupts, processes, service
from running.processes import StartFailed
from running.service import Mounted

from bench import peers
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
HERE = os.path.dirname(os.path.realpath(__file__))
LOOP_TIMEOUT_S = 600.0
BUCKET = "bench"
CONNECTIONS = 16
"""Uploads at once, of ours in a drain and of obstore."""

NATIVE, UNSYNCED, OURS, THROUGH_US, RCLONE, S3FS = (
    "native, fsync", "native, no fsync", "shotfs", "shotfs, no passthrough", "rclone", "s3fs",
)  # fmt: skip
SYSTEMS = (NATIVE, UNSYNCED, OURS, THROUGH_US, RCLONE, S3FS)

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "defaults": {"flow": "out", "immutable": "on-close", "negative_ttl": "60s"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z0-9]+"},
        "writer": {"type": "str", "pattern": "[a-z0-9]+"},
        "frame": {"type": "frame", "pad": 4},
    },
    "templates": {
        "frames": {"path": "frames/{name}.{frame}.exr", "origin": "kept", "grace": "1h"},
        "drained": {"path": "drained/{name}.{frame}.exr", "origin": "bucket", "grace": "1h"},
        "small": {"path": "small/{writer}/{name}.bin", "origin": "kept", "grace": "0s"},
    },
}

CONFIGURATION = """\
[mount]
passthrough = "{passthrough}"

[cache]
directory = "{directory}/cache"
bytes_max = "32 GiB"
free_bytes_min = "256 MiB"

[network]
connections_max = {connections}

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.bench]
spec = "bench.json"

[origins."gs://{bucket}"]
endpoint_url = "{endpoint}"
anonymous = true
"""


@dataclass(slots=True)
class Site:
    """Where everything is measured.

    Attributes:
        place: a directory; all systems write below it.
        sockets: a directory with a short name.
    """

    results: Results
    place: str
    sockets: str
    turns: int = 0
    noted: set[str] = field(default_factory=set)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A new directory for one system; removed with all that it holds."""
        self.turns += 1
        directory = f"{self.place}/{self.turns}"
        os.makedirs(directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def note(self, text: str) -> None:
        """Say something of the figures, once."""
        if text not in self.results.notes:
            self.results.notes.append(text)


@dataclass(frozen=True, slots=True)
class Opened:
    """A system that can be written to.

    Attributes:
        directory: where.
        fsync: what is written needs one to be durable when close() returns, and gets it.
        node: the service, if it is ours.
        pid: of that service; 0 if it is not ours.
    """

    directory: str
    fsync: bool = False
    node: Mounted | None = None
    pid: int = 0


@contextmanager
def opened(site: Site, system: str, below: str = "frames", endpoint: str = "") -> Iterator[Opened]:
    """Mount *system*; *below* is the directory of ours, *endpoint* that of the bucket's server."""
    with ExitStack() as stack:
        scratch = stack.enter_context(site.scratch())
        if system in (NATIVE, UNSYNCED):
            os.mkdir(f"{scratch}/native")
            yield Opened(f"{scratch}/native", fsync=system == NATIVE)
        elif system == RCLONE:
            os.mkdir(f"{scratch}/remote")
            peer = peers.mount_rclone(stack, [f"{scratch}/remote"], scratch, writable=True)
            yield Opened(peer.mountpoint)
        elif system == S3FS:
            url = peers.start_moto(stack, scratch)
            make_bucket(url)
            yield Opened(peers.mount_s3fs(stack, url, BUCKET, scratch, writable=True).mountpoint)
        else:
            node = _node(site, scratch, endpoint, "off" if system == THROUGH_US else "auto")
            service.mount(stack, node)
            status = node.status()
            stack.callback(_abandon, int(status["pid"]), node.mountpoint)
            if system == OURS and not status["kernel"]["passthrough"]:
                site.note(f"no passthrough: {status['kernel']['passthrough_problem']}")
            directory = f"{node.mountpoint}/bench/{below}"
            yield Opened(directory, node=node, pid=int(status["pid"]))


def make_bucket(url: str) -> None:
    """Make the bucket of an S3 server."""
    credential = f"AWS4-HMAC-SHA256 Credential={peers.S3_KEY}/20260101/{peers.S3_REGION}/s3"
    with httpx.Client(trust_env=False, headers={"Authorization": credential}) as client:
        client.put(f"{url}/{BUCKET}").raise_for_status()


@contextmanager
def gcs_server(directory: str) -> Iterator[str]:
    """Run the strict GCS server of the tests with an empty bucket; return its endpoint."""
    os.mkdir(directory)
    with ExitStack() as stack, open(f"{directory}/log", "ab") as errors:
        with interrupts.held():
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.gcs", "--json-ready", "--bucket", BUCKET,
                 "--data-directory", directory],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                text=True, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
            stack.callback(processes.end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise StartFailed(f"the GCS server did not start; it said why in {directory}/log")
        yield str(json.loads(line)["endpoint"])


def run(script: str, *arguments: str, stdin: str = "") -> dict[str, object]:
    """Run a measuring program when the disk has nothing to do; return what it printed."""
    os.sync()
    done = subprocess.run(
        [sys.executable, f"{HERE}/{script}", *arguments],
        check=False,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LOOP_TIMEOUT_S,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise StartFailed(f"{script} {arguments} failed:\n{done.stderr[-2000:]}")
    measured: dict[str, object] = json.loads(done.stdout)
    return measured


def _node(site: Site, directory: str, endpoint: str, passthrough: str) -> Mounted:
    """Write the configuration of a node of ours."""
    node = Mounted(
        "write", f"{directory}/shotfs.toml", f"{directory}/mount", f"{site.sockets}/{site.turns}"
    )
    os.mkdir(f"{directory}/published")
    roots = {"kept": f"file://{directory}/published"}
    templates = dict(SPECIFICATION["templates"])  # type: ignore[call-overload]
    if endpoint:
        roots["bucket"] = f"gs://{BUCKET}/out"
    else:
        del templates["drained"]
    with open(f"{directory}/bench.json", "w", encoding="utf-8") as file:
        json.dump({**SPECIFICATION, "roots": roots, "templates": templates}, file)
    text = CONFIGURATION
    if not endpoint:
        text = text.partition("[origins.")[0]
    with open(node.config, "w", encoding="utf-8") as file:
        file.write(
            text.format(
                directory=directory, socket=node.socket, passthrough=passthrough,
                connections=CONNECTIONS, bucket=BUCKET, endpoint=endpoint,
            )
        )  # fmt: skip
    return node


def _abandon(pid: int, mountpoint: str) -> None:
    """End a mount whose outputs nobody wants: an unmount would publish them first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    processes.unmount(mountpoint)
