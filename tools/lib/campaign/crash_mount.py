"""kill -9 of a mounted service that is read, written and evicted; then everything is compared.

As root the kernel writes the outputs by itself, also while the service is dead: some writers close
one of two descriptors and write through the other one after the kill.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.fuse.node import ShotfsNode
from tests.servers.gcs import GcsServer

MIB = 1 << 20
SETTINGS = """
[cache]
bytes_max = 25165824
files_max = 60
[network]
range_bytes = 1048576
[mount]
request_deadline_s = 20
[origins."gs://crash"]
endpoint_url = "{endpoint}"
anonymous = true
"""
SHOT = "render/xy_1_100_030_00_v005"
READERS = 4


def run(
    rounds: int, seed: int, place: Path, told: Callable[[int], None] = lambda _: None
) -> dict[str, int | str | None]:
    """Kill a service so many times; return what was checked.

    `outputs_not_lent` says why the kernel did not write the outputs; None: it did.

    Args:
        rounds: how many kills.
        seed: of all that is random but the moment.
        place: does not exist yet.
        told: called with the number of each round that ended.

    Raises:
        AssertionError: something was wrong; its message names the seed.
    """
    if not rounds:
        return {"kills": 0, "files_read": 0, "outputs_published": 0, "written_on": 0}
    with ExitStack() as stack:
        server = stack.enter_context(GcsServer())
        server.store.create_bucket("crash")
        node = ShotfsNode(
            place, "gs://crash/ant", settings=SETTINGS.format(endpoint=server.endpoint)
        )
        stack.callback(node.clear)
        campaign = _Campaign(node, server, seed)
        node.mount()
        for number in range(rounds):
            campaign.one(number)
            told(number)
        campaign.check()
        # Outputs that a kill cut before their first close are never published: they stay.
        done = node.command("unmount", "--force", str(node.mountpoint), check=False)
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    return {
        "kills": rounds,
        "files_read": campaign.files_read,
        "outputs_published": len(campaign.written),
        "written_on": len(campaign.written_on),
        "passthrough_opens": campaign.passthrough_opens,
        "outputs_not_lent": campaign.not_lent,
    }


class _Campaign:
    """One mount, its origin, and what both must say."""

    def __init__(self, node: ShotfsNode, server: GcsServer, seed: int) -> None:
        self._node = node
        self._server = server
        self._seed = seed
        self._random = random.Random(seed)
        self._contents: dict[str, bytes] = {}
        self.written: dict[str, bytes] = {}
        self.written_on: dict[str, bytes] = {}
        self.files_read = 0
        self.passthrough_opens = 0
        self.not_lent: str | None = None
        self._wrong: list[str] = []
        for index in range(40):
            self._put(f"library/small{index}.png", self._random.randrange(200_000))
        for index in range(4):
            self._put(f"library/large{index}.mov", 2 * MIB + self._random.randrange(3 * MIB))

    def one(self, number: int) -> None:
        """Work, kill, mount again, check."""
        ended = threading.Event()
        threads = [
            threading.Thread(target=self._read, args=(ended, random.Random(f"{number}/{index}")))
            for index in range(READERS)
        ]
        threads.append(threading.Thread(target=self._write, args=(ended, number)))
        for thread in threads:
            thread.start()
        with suppress(Exception):  # the service may be slow; it is killed anyway
            self._node.command("cache", "evict", "10MiB", check=False)
        time.sleep(self._random.random())
        status = self._node.status()
        self.passthrough_opens += status["kernel"]["passthrough_opens"]
        self.not_lent = (
            status["kernel"]["passthrough_problem"] or status["spool"]["lending_problem"]
        )
        self._node.kill()
        ended.set()
        for thread in threads:
            thread.join()
        self._node.mount()
        self.check(sample=12)

    def check(self, *, sample: int | None = None) -> None:
        """Compare files with what they must be, and the blobs with their names."""
        self._node.wait_outputs_published()
        expected = {**self._contents, **self.written}
        names = sorted(expected)
        for name in (
            names if sample is None else self._random.sample(names, min(sample, len(names)))
        ):
            found = (self._node.show / name).read_bytes()
            assert found == expected[name], f"seed {self._seed}: {name} reads wrong after a kill"
            self.files_read += 1
        for name, content in self.written.items():
            stored = self._server.store.read("crash", f"ant/{name}")
            assert stored == content, f"seed {self._seed}: {name} was published wrong"
        there = set(self._server.store.names("crash"))
        for name, content in self.written_on.items():  # published as it was closed, or not at all
            if f"ant/{name}" in there:
                stored = self._server.store.read("crash", f"ant/{name}")
                assert stored == content, f"seed {self._seed}: {name} was published spoilt"
        verified = self._node.command("cache", "verify", "--json", check=False)
        assert verified.returncode == 0, f"seed {self._seed}: {verified.stdout}{verified.stderr}"
        status = self._node.status()["cache"]
        assert status["bytes"] <= 24 * MIB, f"seed {self._seed}: {status}"
        assert status["files"] <= 60, f"seed {self._seed}: {status}"
        assert not self._wrong, f"seed {self._seed}: {self._wrong}"

    def _put(self, name: str, size_bytes: int) -> None:
        self._contents[name] = self._random.randbytes(size_bytes)
        self._server.store.put("crash", f"ant/{name}", self._contents[name])

    def _read(self, ended: threading.Event, chance: random.Random) -> None:
        names = sorted(self._contents)
        while not ended.is_set():
            name = chance.choice(names)
            content = self._contents[name]
            with suppress(OSError):  # of a service that was killed
                descriptor = os.open(self._node.show / name, os.O_RDONLY)
                try:
                    start = chance.randrange(len(content) + 1)
                    found = os.pread(descriptor, MIB, start)
                    if found != content[start : start + len(found)]:
                        self._wrong.append(f"{name} at {start} read wrong before the kill")
                finally:
                    os.close(descriptor)

    def _write(self, ended: threading.Event, number: int) -> None:
        directory = self._node.show / SHOT
        others: list[int] = []
        for index in range(1000):
            if ended.is_set():
                break
            name = f"{SHOT}/beauty{number}.{index:04}.exr"
            content = os.urandom(random.Random(f"{number}/{index}").randrange(1, 300_000))
            with suppress(OSError):
                directory.mkdir(exist_ok=True, parents=True)
                descriptor = os.open(self._node.show / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                try:
                    os.write(descriptor, content)
                    if index % 8 == 0:
                        others.append(os.dup(descriptor))
                        self.written_on[name] = content
                finally:
                    os.close(descriptor)
                # Closed without an error: it must never be lost.
                if name not in self.written_on:
                    self.written[name] = content
            time.sleep(0.02)
        for other in others:
            with suppress(OSError):
                os.pwrite(other, b"spoilt", 0)
            with suppress(OSError):
                os.close(other)
