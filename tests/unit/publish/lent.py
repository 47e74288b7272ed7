"""Lent files for tests: applications whose writes go past the spool.

The kernel's part is played by a descriptor of the data file that writes without asking the spool,
which is all that FUSE passthrough is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shotfs.publish.data_files import (
    lending_obstacle,
)
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.spool import Spool
from shotfs.publish.spool_file import SpoolFile
from tests.unit.publish.fakes import make

PATH = "show/a.exr"


def require_lending(tmp_path: Path) -> None:
    """Skip where nothing is ever lent: an old kernel, or a simple file system."""
    if obstacle := lending_obstacle(str(tmp_path)):
        pytest.skip(obstacle)


def data_path(spool: Spool, entry: SpoolEntry) -> str:
    return spool.core.data_path(entry)


def data_serials(spool: Spool) -> set[int]:
    """Serials of the data files that are there."""
    return {int(name) for name in os.listdir(os.path.join(spool.directory, "files"))}


class Kernel:
    """Writes a data file by itself, for as long as it has it open."""

    def __init__(self, spool: Spool, file: SpoolFile) -> None:
        self.descriptor = os.open(data_path(spool, file.entry), os.O_RDWR)

    def write(self, content: bytes, offset: int = 0) -> None:
        assert os.pwrite(self.descriptor, content, offset) == len(content)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


@contextmanager
def kernel_of(spool: Spool, file: SpoolFile) -> Iterator[Kernel]:
    kernel = Kernel(spool, file)
    try:
        yield kernel
    finally:
        kernel.close()


async def make_lent(spool: Spool, path: str = PATH, **changes: object) -> SpoolFile:
    """Create a file as an application does whose writes the kernel keeps to itself."""
    file = await make(spool, path, **changes)
    assert file.lendable()
    file.lend()
    return file


async def write_lent(
    spool: Spool, content: bytes, path: str = PATH, **changes: object
) -> SpoolEntry:
    """Create, write past the spool, flush, close."""
    file = await make_lent(spool, path, **changes)
    with kernel_of(spool, file) as kernel:
        kernel.write(content)
        await file.flush()
    await file.close()
    return file.entry
