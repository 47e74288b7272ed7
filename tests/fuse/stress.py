"""Stress: 16 threads that open, read, map, write and rename on one mount, with evictions between.

Threads work in a process of their own (`tests.fuse.stress_threads`): a page fault holds Python's
lock, and here it would wait for a server that waits for the lock. From here come what happens to
the mount: evictions through the control socket, remounts (all threads close their files first),
changes of mutable files. In the end everything is compared, and nothing may be left open.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shotfs.control.client import Client
from tests.fuse.modes import KernelMode
from tests.fuse.node import ShotfsNode, wait_until
from tests.fuse.stress_threads import SHOT, content_of, inputs
from tests.servers.gcs import GcsServer

THREADS = 16
BUCKET = "stress"
SETTINGS = """
[cache]
bytes_max = 33554432
files_max = 48
[network]
range_bytes = 1048576
[mount]
passthrough_files_max = 24
native_files_max = 20
[log]
level = "info"
[origins."gs://stress"]
endpoint_url = "{endpoint}"
anonymous = true
"""
"""Room for a third of what is read, fewer places than files: everything comes and goes."""


def run(
    seconds: float,
    seed: int,
    place: Path,
    mode: KernelMode,
    told: Callable[[str], None] = lambda _: None,
    *,
    remount_every_s: float = 5.0,
) -> dict[str, Any]:
    """Stress a mount in *mode*; return what was done.

    Args:
        seconds: how long.
        seed: of all that is random but the moment.
        place: does not exist yet.
        mode: of the kernel.
        told: called with what there is to tell, now and then.
        remount_every_s: seconds between remounts.

    Raises:
        AssertionError: something was wrong; its message names the seed.
    """
    with ExitStack() as stack:
        server = stack.enter_context(GcsServer())
        server.store.create_bucket(BUCKET)
        for name, size_bytes in inputs().items():
            server.store.put(BUCKET, f"ant/{name}", content_of(name, size_bytes))
        settings = SETTINGS.format(endpoint=server.endpoint)
        node = ShotfsNode(place, f"gs://{BUCKET}/ant", settings=settings, mode=mode)
        stack.callback(node.clear)
        node.mount()
        return _Stress(node, server, random.Random(seed), seed).run(seconds, told, remount_every_s)


class _Stress:
    def __init__(
        self, node: ShotfsNode, server: GcsServer, chance: random.Random, seed: int
    ) -> None:
        self._node = node
        self._server = server
        self._random = chance
        self._seed = seed
        self._remounts = 0
        self._evictions = 0
        self._busiest: dict[str, int] = {}

    def run(
        self, seconds: float, told: Callable[[str], None], remount_every_s: float
    ) -> dict[str, Any]:
        arguments = [str(self._node.show), str(self._seed), str(THREADS)]
        writes = ["--writes"] if self._node.mode.writable else []
        with subprocess.Popen(
            [sys.executable, "-m", "tests.fuse.stress_threads", *arguments, *writes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as threads:
            try:
                done = self._drive(threads, seconds, told, remount_every_s)
            finally:
                threads.kill()
        self._check(done)
        return {
            **{key: value for key, value in done.items() if key not in ("wrong", "published")},
            "published": len(done["published"]),
            "remounts": self._remounts,
            "evictions": self._evictions,
            "most_at_once": self._busiest,
        }

    def _drive(
        self,
        threads: subprocess.Popen[str],
        seconds: float,
        told: Callable[[str], None],
        remount_every_s: float,
    ) -> dict[str, Any]:
        end = time.monotonic() + seconds
        remount_at = time.monotonic() + remount_every_s
        while time.monotonic() < end:
            time.sleep(self._random.random() / 4)
            assert threads.poll() is None, f"seed {self._seed}: the threads ended by themselves"
            self._disturb()
            if time.monotonic() >= remount_at:
                self._ask(threads, "pause")
                self._idle()
                self._node.remount()
                self._remounts += 1
                self._ask(threads, "go")
                remount_at = time.monotonic() + remount_every_s
                told(f"{max(end - time.monotonic(), 0):.0f} s to go, {self._remounts} remounts")
        done = json.loads(self._ask(threads, "end"))
        assert not done["wrong"], f"seed {self._seed}: {done['wrong'][:10]}"
        return dict(done)

    def _ask(self, threads: subprocess.Popen[str], what: str) -> str:
        """Tell the threads something; return their answer, which they give once they obey."""
        assert threads.stdin is not None
        assert threads.stdout is not None
        threads.stdin.write(f"{what}\n")
        threads.stdin.flush()
        # The child itself counts the seconds, and names who is stuck and where.
        answer = threads.stdout.readline()
        assert answer, f"seed {self._seed}: the threads ended by themselves"
        assert not answer.startswith("stuck"), f"seed {self._seed}: {answer}{self._node.status()}"
        return answer

    def _disturb(self) -> None:
        """Evict some or all, or look how busy the mount is."""
        with Client(self._node.socket) as client:
            act = self._random.randrange(4)
            if act == 0:
                client.evict(None)
                self._evictions += 1
            elif act == 1:
                client.evict(self._random.randrange(1, 20) << 20)
                self._evictions += 1
            elif act == 2:
                name = self._random.choice(sorted(inputs()))
                client.evict_paths([f"ant/{name}"], limit=10)
                self._evictions += 1
            else:
                status = client.status()
                now = {
                    "open_files": status["kernel"]["open_files"],
                    "passthrough_files": status["kernel"]["passthrough_files"],
                    "lent": status["spool"]["lent"],
                    "streams": status["cache"]["streams"],
                }
                for name, value in now.items():
                    self._busiest[name] = max(self._busiest.get(name, 0), value)

    def _idle(self) -> None:
        """Wait until nothing is open, comes in or is read by the kernel any more."""
        found: dict[str, Any] = {}

        def idle() -> bool:
            with Client(self._node.socket) as client:
                client.evict(None)
                status, cache = client.status(), client.cache_stats()
            kernel = status["kernel"]
            found.update(
                open_files=kernel["open_files"],
                passthrough_files=kernel["passthrough_files"],
                kept=kernel["native"]["files"] if kernel["native"] else 0,
                lent=status["spool"]["lent"],
                streams=cache["streams"],
                open_blobs=cache["open_blobs"],
                bytes_in_flight=cache["bytes_in_flight"],
            )
            return not any(found.values())

        try:
            wait_until(idle)
        except AssertionError:
            raise AssertionError(f"seed {self._seed}: not back to zero: {found}") from None

    def _check(self, done: dict[str, Any]) -> None:
        """Compare what was published and what is still here, after one more remount."""
        self._idle()
        node = self._node
        frames = done["published"]
        names = {f"ant/{SHOT}/{name}" for name in frames}
        wait_until(lambda: not any(item["path"] in names for item in node.queue()), 60.0)
        for name, size_bytes in frames.items():
            stored = self._server.store.read(BUCKET, f"ant/{SHOT}/{name}")
            assert stored == content_of(name, size_bytes), f"seed {self._seed}: {name} in the store"
        node.remount()
        if frames:
            assert sorted(_names(node.show / SHOT)) == sorted(frames)
        for name, size_bytes in self._random.sample(sorted(frames.items()), min(20, len(frames))):
            found = (node.show / SHOT / name).read_bytes()
            assert found == content_of(name, size_bytes), f"seed {self._seed}: {name}"
        self._idle()
        verified = node.command("cache", "verify", "--json", check=False)
        assert verified.returncode == 0, f"seed {self._seed}: {verified.stdout}{verified.stderr}"
        for line in node.log_text().splitlines():
            assert "Traceback" not in line, f"seed {self._seed}: {line}"
            assert " ERROR " not in line, f"seed {self._seed}: {line}"
        node.unmount()


def _names(directory: Path) -> list[str]:
    """Return the names in *directory*."""
    return [entry.name for entry in directory.iterdir()]
