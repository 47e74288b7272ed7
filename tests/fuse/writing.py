"""Random writes of one file through several handles, against a model of its bytes (as fsx does)."""

from __future__ import annotations

import mmap
import os
import random
from pathlib import Path

SIZE_MAX = 600_000


class Model:
    """A file, and the bytes that it must have.

    Args:
        path: of the file, which is empty.
        descriptor: of whoever made it; stays open.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.others: list[int] = []
        self.content = bytearray()

    def compare(self) -> None:
        """Fail unless the file is what the model says, whoever looks and however."""
        wanted = bytes(self.content)
        assert self.path.stat().st_size == len(wanted)
        assert self.path.read_bytes() == wanted
        for descriptor in (self.descriptor, *self.others):
            assert os.fstat(descriptor).st_size == len(wanted)
            assert os.pread(descriptor, SIZE_MAX * 2, 0) == wanted

    def close_others(self) -> None:
        """Close all but the first handle."""
        while self.others:
            os.close(self.others.pop())


def step(model: Model, chance: random.Random) -> None:
    """Do something to the file and to the model."""
    act = chance.choice((_write, _write, _write, _append, _truncate, _map, _open, _close, _look))
    act(model, chance)


def _handle(model: Model, chance: random.Random) -> int:
    return chance.choice((model.descriptor, *model.others))


def _put(model: Model, start: int, data: bytes) -> None:
    if start > len(model.content):
        model.content += bytes(start - len(model.content))
    model.content[start : start + len(data)] = data


def _write(model: Model, chance: random.Random) -> None:
    start = chance.randrange(SIZE_MAX)
    data = chance.randbytes(chance.choice((1, 511, 4096, 5000, 60_000)))
    assert os.pwrite(_handle(model, chance), data, start) == len(data)
    _put(model, start, data)


def _append(model: Model, chance: random.Random) -> None:
    if len(model.content) > SIZE_MAX:
        return
    data = chance.randbytes(chance.randrange(1, 9000))
    with open(model.path, "ab", buffering=0) as file:
        assert file.write(data) == len(data)
    model.content += data


def _truncate(model: Model, chance: random.Random) -> None:
    size = chance.randrange(SIZE_MAX)
    if chance.random() < 0.5:
        os.truncate(model.path, size)
    else:
        os.ftruncate(_handle(model, chance), size)
    del model.content[size:]
    model.content += bytes(size - len(model.content))


def _map(model: Model, chance: random.Random) -> None:
    if not model.content:
        return
    start = chance.randrange(len(model.content))
    data = chance.randbytes(min(len(model.content) - start, chance.randrange(1, 20_000)))
    with mmap.mmap(_handle(model, chance), 0) as mapped:
        assert mapped[:] == bytes(model.content)
        mapped[start : start + len(data)] = data
        mapped.flush()
    model.content[start : start + len(data)] = data


def _open(model: Model, chance: random.Random) -> None:
    if len(model.others) < 6:
        model.others.append(os.open(model.path, os.O_RDWR))


def _close(model: Model, chance: random.Random) -> None:
    if model.others:
        os.close(model.others.pop(chance.randrange(len(model.others))))


def _look(model: Model, chance: random.Random) -> None:
    start = chance.randrange(len(model.content) + 2)
    length = chance.randrange(1, 100_000)
    handle = _handle(model, chance)
    if chance.random() < 0.3:
        os.fsync(handle)
    assert os.pread(handle, length, start) == bytes(model.content[start : start + length])
    assert os.fstat(handle).st_size == model.path.stat().st_size == len(model.content)
