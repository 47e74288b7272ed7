"""Puts in threads: what a cancelled one may still do, and bytes that are not what was claimed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import trio
from fsspec.implementations.memory import MemoryFileSystem

from shotfs.config import Settings
from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, TierCorrupt
from shotfs.tiers.base import Span, Tier
from shotfs.tiers.cloud import directory
from shotfs.tiers.cloud.generic import GenericTier
from shotfs.tiers.cloud.local import LocalTier
from shotfs.tiers.registry import open_adapter

DATA = b"what was sealed " * 1000


class Gate:
    """Stops a thread in the function that it replaces, until it is let go."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.reached = threading.Event()
        self.open = threading.Event()
        self.left = threading.Event()

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.reached.set()
        assert self.open.wait(10)
        try:
            return self._real(*args, **options)
        finally:
            self.left.set()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def memory() -> Iterator[str]:
    store = fsspec.filesystem("memory")
    store.mkdir("/cancelled")
    yield "memory://cancelled"
    store.rm("/cancelled", recursive=True)


def local(root: Path) -> LocalTier:
    """A tier with one worker thread for bytes."""
    settings = Settings(network={"connections_max": 1})  # type: ignore[arg-type]  # pydantic parses it
    tier = open_adapter(f"file://{root}", settings)
    assert isinstance(tier, LocalTier)
    return tier


def rewrite(path: Path, content: bytes) -> None:
    """Write in place, as an application does that has the file open."""
    path.write_bytes(content)


async def put(tier: Tier, source: bytes | str, claimed: bytes = DATA) -> None:
    sums = Checksums(xxh128=digest_bytes(claimed))
    await tier.put("k", source, expect=None, checksums=sums, mtime_ns=1, metadata={})


async def reached(gate: Gate) -> None:
    assert await trio.to_thread.run_sync(gate.reached.wait, 10)


async def test_s04_a_put_that_was_cancelled_while_it_copied_makes_no_object(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = local(root)
    gate = Gate(os.fsync)
    monkeypatch.setattr(os, "fsync", gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, tier, str(source))
        await reached(gate)
        nursery.cancel_scope.cancel()
    # The caller may write its file again from now on, whatever the thread does.
    rewrite(source, b"torn")
    gate.open.set()
    async with tier._origin.bulk:  # the only place, which the thread gives back at its end
        assert os.listdir(root) == []


async def test_a_put_that_was_cancelled_stops_at_its_next_block(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = local(root)
    monkeypatch.setattr(directory, "_COPY_BYTES", 1000)
    gate = Gate(os.pwrite)
    monkeypatch.setattr(os, "pwrite", gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, tier, str(source))
        await reached(gate)
        nursery.cancel_scope.cancel()
    written: list[int] = []
    gate._real = lambda *_: written.append(1) or 1000
    gate.open.set()
    async with tier._origin.bulk:
        assert os.listdir(root) == []
    assert written == [1]


async def test_s04_cancelling_a_put_waits_for_an_object_that_is_being_linked(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = local(root)
    gate = Gate(os.link)
    monkeypatch.setattr(os, "link", gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, tier, str(source))
        await reached(gate)
        threading.Timer(0.05, gate.open.set).start()
        nursery.cancel_scope.cancel()
    assert gate.left.is_set()
    assert (root / "k").read_bytes() == DATA


async def test_s06_bytes_that_are_not_the_ones_claimed_are_not_stored(
    root: Path, source: Path
) -> None:
    tier = open_adapter(f"file://{root}", Settings())
    for given in (b"other bytes", str(source)):
        with pytest.raises(TierCorrupt, match="k"):
            await put(tier, given, claimed=b"sealed")
    assert os.listdir(root) == []


async def test_s06_a_source_that_grows_while_it_is_copied_is_refused(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = open_adapter(f"file://{root}", Settings())
    # After it was opened: the first block is as long as the file was.
    monkeypatch.setattr(directory, "_COPY_BYTES", len(DATA))
    real_write = os.pwrite

    def write(descriptor: int, data: bytes, offset: int) -> int:
        with source.open("ab") as file:
            file.write(b"more")
        monkeypatch.setattr(os, "pwrite", real_write)
        return real_write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(TierCorrupt):
        await tier.put(
            "k", str(source), expect=None, checksums=Checksums(), mtime_ns=1, metadata={}
        )
    assert os.listdir(root) == []


# --- what fsspec writes --------------------------------------------------------------------------


async def test_s04_a_generic_put_that_was_cancelled_before_its_turn_writes_nothing(
    memory: str, source: Path
) -> None:
    tier = open_adapter(memory, Settings())
    assert isinstance(tier, GenericTier)
    with tier._turn:
        with trio.move_on_after(0.05) as scope:
            await put(tier, str(source))
        assert scope.cancelled_caught
    await put(tier, b"a later one", claimed=b"a later one")
    revision = await tier.stat("k")
    assert bytes(await tier.read(revision, Span(0, revision.size_bytes))) == b"a later one"


async def test_s04_cancelling_a_generic_put_waits_for_what_is_being_written(
    memory: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(MemoryFileSystem.put_file)

    def put_file(*args: Any) -> Any:  # an instance is no method
        return gate(*args)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    tier = open_adapter(memory, Settings())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, tier, str(source))
        await reached(gate)
        threading.Timer(0.05, gate.open.set).start()
        nursery.cancel_scope.cancel()
    assert gate.left.is_set()
    assert (await tier.stat("k")).size_bytes == len(DATA)


async def test_s06_generic_bytes_that_are_not_the_ones_claimed_are_not_stored(
    memory: str, source: Path
) -> None:
    tier = open_adapter(memory, Settings())
    for given in (b"other bytes", str(source)):
        with pytest.raises(TierCorrupt, match="k"):
            await put(tier, given, claimed=b"sealed")
    with pytest.raises(ObjectNotFound):
        await tier.stat("k")


async def test_s06_a_source_that_changes_while_fsspec_reads_it_leaves_no_object(
    memory: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MemoryFileSystem.put_file

    def put_file(*args: Any) -> None:
        source.write_bytes(DATA[::-1])
        real(*args)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    tier = open_adapter(memory, Settings())
    with pytest.raises(TierCorrupt):
        await put(tier, str(source))
    with pytest.raises(ObjectNotFound):
        await tier.stat("k")
