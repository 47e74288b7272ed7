"""Cuts: what a disk holds when the power goes at some record of its log.

A write that came before the last flush is there. Of each later one any 512-byte sectors are: a disk
with a volatile cache writes in any order and tears everything but a sector.
"""

from __future__ import annotations

import bisect
import errno
import mmap
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.faults.power.recorder import RECORD, WRITE

SECTOR_BYTES = 512


class Loss(StrEnum):
    """What becomes of writes that no flush followed."""

    ALL = "all"
    """None of them is there."""
    NOTHING = "nothing"
    """All of them are there, as after a kill of the machine whose disk has power still."""
    TORN = "torn"
    """Any sectors of them are there."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log.

    Attributes:
        time_ns: when the disk got it, before it answered.
        write: False for a flush.
        offset: on the disk, bytes.
        length: bytes.
        position: of its bytes in the log.
    """

    time_ns: int
    write: bool
    offset: int
    length: int
    position: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The moment at which the power goes: when *count* records had come and the next had not.

    Attributes:
        count: of the records that came.
        flushed: of these, how many came before the last flush.
        time_ns: just before the next record.
        loss: of what came after the last flush.
        seed: of what is torn.
    """

    count: int
    flushed: int
    time_ns: int
    loss: Loss
    seed: int


class Log:
    """The log of a `RecordedDisk`, read when nothing more is written to it.

    Args:
        path: of the log.
        until_ns: what came later does not count.
    """

    def __init__(self, path: Path, until_ns: int) -> None:
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.records: list[Record] = []
        self._flushes: list[int] = []
        self._until_ns = until_ns
        position = 0
        while position < len(self._bytes):
            time_ns, kind, offset, length = RECORD.unpack_from(self._bytes, position)
            if time_ns >= until_ns:
                break
            position += RECORD.size
            if kind != WRITE:
                self._flushes.append(len(self.records))
            self.records.append(Record(time_ns, kind == WRITE, offset, length, position))
            position += length

    @property
    def flushes(self) -> int:
        """How many flushes were logged."""
        return len(self._flushes)

    def cut_at(self, count: int, loss: Loss, seed: int) -> Cut:
        """Return the cut after the first *count* records."""
        index = bisect.bisect_left(self._flushes, count)
        flushed = self._flushes[index - 1] if index else 0
        after = self.records[count].time_ns if count < len(self.records) else self._until_ns
        return Cut(count, flushed, after, loss, seed)

    def count_at(self, time_ns: int) -> int:
        """Return how many records had come at *time_ns*."""
        return bisect.bisect_left(self.records, time_ns, key=lambda record: record.time_ns)

    def data(self, record: Record) -> memoryview:
        """Return the bytes of a write."""
        return memoryview(self._bytes)[record.position : record.position + record.length]

    def surviving(self, cut: Cut) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of what the disk keeps of the writes after the last flush."""
        if cut.loss is Loss.ALL:
            return
        chance = random.Random(cut.seed)
        share = chance.choice((0.1, 0.5, 0.9))
        for record in self.records[cut.flushed : cut.count]:
            if not record.write:
                continue
            data = self.data(record)
            if cut.loss is Loss.NOTHING or chance.random() < 0.25:  # and some come whole
                yield record.offset, data
                continue
            for start in range(0, record.length, SECTOR_BYTES):
                if chance.random() < share:
                    yield record.offset + start, data[start : start + SECTOR_BYTES]


class Images:
    """Makes the image of one cut after another, in the order of their records.

    Args:
        log: of the writes.
        base: image of the disk before the first of them.
        directory: for the images; fast, and with room for some hundred MiB.
    """

    def __init__(self, log: Log, base: Path, directory: Path) -> None:
        self._log = log
        self._durable = directory / "durable.img"
        self._cut = directory / "cut.img"
        self._applied = 0
        _copy_sparse(base, self._durable)

    @contextmanager
    def image(self, cut: Cut) -> Iterator[Path]:
        """Give the path of the image of *cut* for the block. No earlier cut may follow."""
        assert cut.flushed >= self._applied, "cuts come in the order of their records"
        descriptor = os.open(self._durable, os.O_WRONLY)
        try:
            for record in self._log.records[self._applied : cut.flushed]:
                if record.write:
                    _write(descriptor, record.offset, self._log.data(record))
        finally:
            os.close(descriptor)
        self._applied = cut.flushed
        _copy_sparse(self._durable, self._cut)
        descriptor = os.open(self._cut, os.O_WRONLY)
        try:
            for offset, data in self._log.surviving(cut):
                _write(descriptor, offset, data)
        finally:
            os.close(descriptor)
        try:
            yield self._cut
        finally:
            self._cut.unlink()


def _write(descriptor: int, offset: int, data: memoryview) -> None:
    assert os.pwrite(descriptor, data, offset) == len(data)


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy the parts of *source* that are no holes."""
    with open(source, "rb", buffering=0) as old, open(target, "wb", buffering=0) as new:
        size_bytes = os.fstat(old.fileno()).st_size
        new.truncate(size_bytes)
        stop = 0
        while stop < size_bytes:
            try:
                start = os.lseek(old.fileno(), stop, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole follows
                    return
                raise
            stop = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            new.seek(start)
            old.seek(start)
            left = stop - start
            while left:
                left -= os.sendfile(new.fileno(), old.fileno(), None, left)
