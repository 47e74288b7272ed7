"""tools/bench/eviction --record: a trace of what a node's cache is asked for by real applications.

Starts an S3 server on loopback with `record_data` in it, mounts a node that writes down each open
that reaches its cache engine (`recording_node`), runs `record_work` through the mount, and makes a
trace of the events. The cache has room for everything, so nothing of a policy is in the trace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
from running import interrupts, place, processes, service
from running.processes import StartFailed

from bench import opens, peers, record_data
from bench.record_work import IMAGES, Work

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / ".bench-eviction"
NAME = "studio-shift"
OPENIMAGEIO = "OpenImageIO==3.2.2.0"
PROGRAMS = ("povray", "fio", "sqlite3", "tar", "find")
INSTALL_TIMEOUT_S = 600.0
END_TIMEOUT_S = 90.0
BUCKET = "studio"

_SPECIFICATION = f"""\
{{
  "spec": "shotfs-path/1",
  "show": "studio",
  "roots": {{"data": "s3://{BUCKET}"}},
  "defaults": {{"origin": "data", "flow": "in", "immutable": "on-close"}},
  "fields": {{"rest": {{"type": "tree"}}}},
  "templates": {{"file": {{"path": "{{rest}}"}}}}
}}
"""

_CONFIGURATION = """\
[cache]
directory = "{directory}/cache"
bytes_max = "4 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{sockets}/control"

[mount]
listings_per_s = 1000

[shows.studio]
spec = "studio.json"

[origins."s3://{bucket}"]
endpoint_url = "{s3}"
access_key_env = "BENCH_S3_KEY"
secret_key_env = "BENCH_S3_KEY"
region = "{region}"
"""


def record(directory: Path) -> Path:
    """Record the trace into *directory*; return its file.

    Raises:
        StartFailed: a program is not installed, or something did not start.
        ProgramFailed: an application ended with an error.
        BadTrace: the events are not whole, or not only of the applications.
    """
    images_path = _prepare()
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            run = BASE / "run"
            sockets = place.take(stack, str(run), str(ROOT / "tools/bench/eviction"), keep=False)
            s3_url = _fill(stack, run, images_path)
            events = _shift(stack, run, sockets, s3_url, images_path)
        finally:
            interrupts.ignore_from_now_on()
        with events.open(encoding="utf-8") as lines:
            opened = opens.from_events(lines)
    if any(record_data.UNTOUCHED in one.name for one in opened):
        raise opens.BadTrace(
            "another program read what is in the mount, so the trace is not of the applications\n"
            f"  fix: record again, with no search or index running over {BASE}"
        )
    target = directory / f"{NAME}.trace.gz"
    opens.save(target, _title(), opened)
    read_mib = sum(one.read_bytes or 0 for one in opened) / 2**20
    files = {one.name: one.size_bytes for one in opened}
    print(
        f"{target}: {len(opened):,} opens of {len(files):,} files of"
        f" {sum(files.values()) / 2**20:,.0f} MiB together; {read_mib:,.0f} MiB read"
    )
    return target


def _prepare() -> Path:
    """Return where OpenImageIO is, after looking for all programs."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise StartFailed(
            f"not installed: {', '.join(missing)}\n  fix: as root, apt-get install"
            " --no-install-recommends povray fio sqlite3 tar findutils"
        )
    images_path = BASE / OPENIMAGEIO
    if not images_path.is_dir():
        print(f"installing {OPENIMAGEIO} with pip below {BASE.name}")
        part = images_path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        done = subprocess.run(
            [*command, "--target", str(part), OPENIMAGEIO], check=False, timeout=INSTALL_TIMEOUT_S
        )
        if done.returncode != 0:
            raise StartFailed(f"pip cannot install {OPENIMAGEIO}; is a package index reachable?")
        part.rename(images_path)
    return images_path


def _fill(stack: ExitStack, run: Path, images_path: Path) -> str:
    """Make the data, start the store with it; return the store's URL."""
    print("making the data and filling the store")
    data = run / "data"
    data.mkdir()
    record_data.make(data)
    subprocess.run(
        [sys.executable, str(IMAGES), "make", str(data)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(images_path)},
    )
    os.environ.pop("AWS_CA_BUNDLE", None)  # everything is on loopback and without TLS
    url = peers.start_moto(stack, str(run))
    credential = f"AWS4-HMAC-SHA256 Credential={peers.S3_KEY}/20260101/{peers.S3_REGION}/s3"
    headers = {"Authorization": credential}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
        client.put(f"/{BUCKET}").raise_for_status()
        for path in sorted(data.rglob("*")):
            if path.is_file():
                key = f"/{BUCKET}/{path.relative_to(data)}"
                client.put(key, content=path.read_bytes()).raise_for_status()
    return url


def _shift(stack: ExitStack, run: Path, sockets: str, s3_url: str, images_path: Path) -> Path:
    """Mount, run the applications, unmount; return the file of events."""
    os.environ["BENCH_S3_KEY"] = peers.S3_KEY
    mountpoint, output, events = run / "mount", run / "output", run / "events"
    mountpoint.mkdir()
    output.mkdir()
    (run / "studio.json").write_text(_SPECIFICATION, encoding="utf-8")
    configuration = run / "shotfs.toml"
    configuration.write_text(
        _CONFIGURATION.format(
            directory=run, sockets=sockets, bucket=BUCKET, s3=s3_url, region=peers.S3_REGION
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "bench.recording_node", configuration, mountpoint, events]
    log = run / "node.log"
    with interrupts.held(), log.open("ab") as errors:
        stack.callback(processes.unmount, str(mountpoint))
        node = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        stack.callback(processes.end, node)
    assert node.stdin is not None
    assert node.stdout is not None
    if not node.stdout.readline():
        raise StartFailed(f"the node did not mount: {log.read_text(errors='replace')[-2000:]}")
    print("running the applications through the mount")
    Work(mountpoint / "studio", output, images_path).shift()
    node.stdin.close()
    if node.wait(END_TIMEOUT_S) != 0:
        raise service.ServiceFailed(
            f"the node ended with {node.returncode}: {log.read_text(errors='replace')[-2000:]}"
        )
    return events


def _title() -> list[str]:
    return [
        "tools/bench/eviction --record: opens that reached the cache engine of a mounted node",
        f"of POV-Ray, {OPENIMAGEIO}, fio, sqlite3, find, tar; see tools/lib/bench/record_work.py",
        "NAME SIZE READ: number of the file, its bytes, bytes that this open read of the cache",
    ]
