"""A recording: a service whose disk is recorded, mounted and written to, killed in between."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.power.cuts import Log
from tests.faults.power.disk import RecordedDisk
from tests.faults.power.history import History
from tests.faults.power.workload import DIRECTORIES, SPEC, Application
from tests.fuse.modes import KernelMode
from tests.fuse.node import ShotfsNode
from tests.servers.gcs import Fault, GcsServer
from tests.servers.gcs.model import StoredObject

BUCKET = "power"
PREFIX = "ant/"
APPLICATIONS = 4
ACTS_MIN = 40
"""In each life; a busy machine takes longer than a second or two for as many."""
PATIENCE_S = 60.0
UPLOADING = ("POST", "PUT")
SOURCE = Path(__file__).with_name("nosync.c")


@dataclass(frozen=True, slots=True)
class Recording:
    """What is left of a run.

    Attributes:
        log: of the disk.
        base: image of the disk before.
        history: of the applications.
        versions: all objects that the origin ever had.
        lent: whether the kernel wrote outputs by itself.
    """

    log: Log
    base: Path
    history: History
    versions: list[StoredObject]
    lent: bool

    def origin_at(self, time_ns: int) -> list[StoredObject]:
        """Return what the origin held at that time."""
        return [
            one
            for one in self.versions
            if _ns(one.created_at.timestamp()) < time_ns
            and (one.deleted_at is None or _ns(one.deleted_at.timestamp()) >= time_ns)
        ]


def _ns(seconds: float) -> int:
    return int(seconds * 1e6) * 1000  # the store counts in microseconds


def settings(cache_directory: Path, endpoint: str) -> str:
    """Return the configuration of a node whose cache and spool are in *cache_directory*."""
    return f"""
[cache]
directory = "{cache_directory}"
[mount]
request_deadline_s = 5
[network]
backoff_s = 0.05
backoff_s_max = 0.2
[origins."gs://{BUCKET}"]
endpoint_url = "{endpoint}"
anonymous = true
"""


def record(
    place: Path,
    server: GcsServer,
    seconds: float,
    seed: int,
    *,
    mode: KernelMode,
    lives: int = 2,
    nosync: str = "",
) -> Recording:
    """Let applications write, and return what reached the disk.

    Args:
        place: an empty directory for everything of the run.
        server: the origin; its bucket is made anew.
        seconds: how long they write in each life of the service.
        seed: of what the applications do.
        mode: how the kernel works with the mount.
        lives: of the service. All but the last one end by kill -9, so that the log has the writes
            of a recovery, too.
        nosync: see `nosync.c`; "" for a service whose fsyncs are none of our business.

    Raises:
        AssertionError: an application failed.
        subprocess.CalledProcessError, FileNotFoundError: this machine cannot record a disk.
    """
    server.store.create_bucket(BUCKET, versioning=True)
    if nosync:
        mode = _forgetful(mode, place, nosync)
    history = History()
    with ExitStack() as stack:
        stack.callback(server.store.delete_bucket, BUCKET, force=True)
        disk = stack.enter_context(RecordedDisk(place))
        node = ShotfsNode(
            place / "node",
            f"gs://{BUCKET}/{PREFIX.rstrip('/')}",
            spec=SPEC,
            settings=settings(disk.path / "cache", server.endpoint),
            mode=mode,
        )
        stack.callback(node.clear)
        lent = False
        for life in range(lives):
            node.mount()
            status = node.status()
            lent = not (
                status["kernel"]["passthrough_problem"] or status["spool"]["lending_problem"]
            )
            for name in DIRECTORIES:
                (node.show / name).mkdir(exist_ok=True)
            applications = [
                Application(node.show, history, f"a{life}{index}", f"{seed}/{life}/{index}")
                for index in range(APPLICATIONS)
            ]
            stack.callback(_close, applications)
            chance = random.Random(f"{seed}/{life}")
            enough = len(history.told()) + ACTS_MIN
            with _running(applications, node):
                end = time.monotonic() + seconds
                while time.monotonic() < end or len(history.told()) < enough:
                    assert time.monotonic() < end + PATIENCE_S, "too few acts were answered"
                    _busy(server, chance)
                if life < lives - 1:
                    node.kill()
        until_ns = time.time_ns()
        log = Log(disk.log, until_ns)
        node.kill()
        with server.store.lock:
            objects = server.store.bucket(BUCKET).objects.values()
            versions = [one for versions in objects for one in versions]
    return Recording(log, disk.base, history, versions, lent)


@contextmanager
def _running(applications: list[Application], node: ShotfsNode) -> Iterator[None]:
    """Run *applications*, each in a thread of its own, for the block."""
    ended = threading.Event()
    threads = [threading.Thread(target=one.run, args=(ended,)) for one in applications]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for one in applications:
        if one.error is not None:
            raise AssertionError(f"{one.error!r}\n{node.log_text()[-4000:]}") from one.error


def _busy(server: GcsServer, chance: random.Random) -> None:
    """Let the store say "slow down" to uploads for a moment, so that there is a queue.

    An upload that is held up instead is stored after its file was removed, and no power loss is
    to blame for that.
    """
    faults = [
        server.fault(Fault("status", method=one, times=None, status=429)) for one in UPLOADING
    ]
    time.sleep(chance.uniform(0.1, 0.4))
    for fault in faults:
        fault.release()
    time.sleep(chance.uniform(0.1, 0.4))


def _close(applications: list[Application]) -> None:
    for one in applications:
        one.close()


def _forgetful(mode: KernelMode, place: Path, nosync: str) -> KernelMode:
    library = place / "nosync.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE]
    subprocess.run(command, check=True, capture_output=True)
    environment = {"LD_PRELOAD": os.fspath(library), "SHOTFS_TEST_NOSYNC": nosync}
    return KernelMode(
        f"{mode.name}, without fsync",
        settings=mode.settings,
        environment={**mode.environment, **environment},
        options=mode.options,
        says=mode.says,
    )
