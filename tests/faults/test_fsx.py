"""Random reads of many files, by read(2) and mmap, compared byte for byte, as fsx does.

Between them the cache evicts, the service restarts or is killed, and files are opened anew; what is
open is read on. Files and steps come from one seed.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20
SIZES = (
    0, 1, 511, 4095, 4096, 4097, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 12_345, 6 * MIB + 1,
)  # fmt: skip
STEPS = 160
BETWEEN = {40: "evict", 80: "restart", 120: "kill"}
OPEN_MAX = 12


@pytest.fixture
def node(new_gcs_node: NewGcsNode) -> ShotfsNode:
    """A node whose cache has no room for all."""
    return new_gcs_node(
        "[cache]\nbytes_max = 9437184\nfiles_max = 9\n[network]\nrange_bytes = 1048576\n"
    ).mount()


MAPPER = """
import mmap, sys
for line in sys.stdin:
    path, start, stop = line.rstrip("\\n").split("\\t")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        data = mapped[int(start):int(stop)]
    sys.stdout.buffer.write(len(data).to_bytes(8, "big") + data)
    sys.stdout.buffer.flush()
"""
"""Reads ranges through mmap. A page fault holds Python's lock: in the process of the GCS server,
the fault would wait for a server that waits for the lock."""


class _Fsx:
    """Open files, and the contents that they must have."""

    def __init__(
        self,
        directory: Path,
        contents: dict[str, bytes],
        chance: random.Random,
        mapper: subprocess.Popen[bytes],
    ) -> None:
        self._directory = directory
        self._mapper = mapper
        self._contents = contents
        self._random = chance
        self._open: list[tuple[int, str]] = []
        self.compared_bytes = 0

    def step(self) -> None:
        """Open, close, read or map something."""
        if not self._open or (len(self._open) < OPEN_MAX and self._random.random() < 0.2):
            name = self._random.choice(sorted(self._contents))
            self._open.append((os.open(self._directory / name, os.O_RDONLY), name))
        index = self._random.randrange(len(self._open))
        descriptor, name = self._open[index]
        content = self._contents[name]
        start, stop = self._range(len(content))
        if self._random.random() < 0.3:
            self._forget(descriptor)
        if self._random.random() < 0.35 and content:
            self._compare(name, start, stop, self._mapped(name, start, stop))
        else:
            self._compare(name, start, stop, self._read(descriptor, start, stop))
        if self._random.random() < 0.1:
            os.close(self._open.pop(index)[0])

    def close(self, *, dead: bool = False) -> None:
        """Close everything; *dead*: of a service that was killed, which the kernel may tell."""
        for descriptor, _ in self._open:
            try:
                os.close(descriptor)
            except OSError:
                assert dead
        self._open.clear()

    def _range(self, size: int) -> tuple[int, int]:
        """Mostly short, sometimes long, sometimes beyond the end."""
        start = self._random.randrange(size + 2)
        length = self._random.choice((1, 17, 4096, 100_000, 2 * MIB))
        return start, start + self._random.randrange(1, length + 1)

    def _forget(self, descriptor: int) -> None:
        """Have the kernel ask for the bytes again."""
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _read(self, descriptor: int, start: int, stop: int) -> bytes:
        parts = []
        while start < stop and (part := os.pread(descriptor, stop - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _mapped(self, name: str, start: int, stop: int) -> bytes:
        assert self._mapper.stdin is not None
        assert self._mapper.stdout is not None
        self._mapper.stdin.write(f"{self._directory / name}\t{start}\t{stop}\n".encode())
        self._mapper.stdin.flush()
        length = int.from_bytes(self._mapper.stdout.read(8))
        return self._mapper.stdout.read(length)

    def _compare(self, name: str, start: int, stop: int, found: bytes) -> None:
        assert found == self._contents[name][start:stop], f"{name} [{start}, {stop})"
        self.compared_bytes += len(found)


@pytest.fixture
def mapper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that maps files."""
    with subprocess.Popen(
        [sys.executable, "-c", MAPPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def chance() -> random.Random:
    """What is random, and the same each time."""
    return random.Random(4)


def test_s06_random_reads_and_maps_are_right_through_evictions_restarts_and_kills(
    node: ShotfsNode,
    gcs: GcsBucket,
    chance: random.Random,
    mapper: subprocess.Popen[bytes],
) -> None:
    contents = {f"file{number}.bin": chance.randbytes(size) for number, size in enumerate(SIZES)}
    for name, content in contents.items():
        gcs.put(f"ant/library/{name}", content)
    fsx = _Fsx(node.show / "library", contents, chance, mapper)
    for step in range(STEPS):
        fsx.step()
        between = BETWEEN.get(step)
        if between == "evict":
            node.command("cache", "evict", "--all")
        elif between == "restart":
            fsx.close()
            node.remount()
        elif between == "kill":
            node.kill()
            fsx.close(dead=True)
            node.mount()
    fsx.close()
    assert fsx.compared_bytes > 4 * MIB
    assert node.command("cache", "verify").returncode == 0
