"""The spool against a dictionary: create, write, rename, unlink, close, and crashes in between.

A crash is a copy of the directory taken between two operations, as a kill -9 leaves it; the new
spool is opened from the copy.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from shotfs.publish import Spool, SpoolFile
from shotfs.tiers.base import Span
from tests.model.lives import Life
from tests.unit.publish.fakes import key_of, make, spool_in, terms

PATHS = [f"show/{directory}{name}" for directory in ("", "d/") for name in ("a", "b", "c.tmp")]


def kind_of(path: str) -> dict[str, bool]:
    """Terms by name: a is immutable, b is not, c.tmp is scratch."""
    return {"scratch": path.endswith(".tmp"), "immutable": path.endswith("a")}


@dataclass(eq=False)
class ModelFile:
    """What a file must hold.

    Attributes:
        content: what reads give.
        journalled: a crash leaves a record of it.
        closed: the last flush covers the content, so a crash leaves the whole.
        closed_once: some flush did; a crash leaves a mutable file under its name.
    """

    content: bytearray = field(default_factory=bytearray)
    journalled: bool = False
    closed: bool = False
    closed_once: bool = False


class SpoolMachine(RuleBasedStateMachine):
    """Each rule does the same to the spool and to the model."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.lives = 0
        self.names: dict[str, ModelFile] = {}
        self.unlinked: dict[ModelFile, int] = {}
        self.aside_bytes = 0
        self.open: Life[Spool] = Life(spool_in(self._directory()))

    def _directory(self) -> Path:
        return self.root / str(self.lives)

    @property
    def spool(self) -> Spool:
        return self.open.value

    # --- rules -----------------------------------------------------------------------------------

    @rule(target=handles, path=st.sampled_from(PATHS))
    def create_or_open(self, path: str) -> tuple[SpoolFile, ModelFile, int]:
        if path in self.names:
            entry = self.spool.get(path)
            assert entry is not None
            file = self.open.run(self._open_writable, entry)
        else:
            self.names[path] = ModelFile()
            file = self.open.run(self._create, path)
        return file, self.names[path], self.lives

    async def _open_writable(self, entry: Any) -> SpoolFile:
        return await self.spool.open(entry, writable=True)

    async def _create(self, path: str) -> SpoolFile:
        return await make(self.spool, path, **kind_of(path))

    @rule(handle=handles, offset=st.integers(0, 20), data=st.binary(min_size=1, max_size=20))
    def write(self, handle: tuple[SpoolFile, ModelFile, int], offset: int, data: bytes) -> None:
        file, model, life = handle
        if life != self.lives:
            return
        assert self.open.run(file.write, offset, data) == len(data)
        model.content.extend(bytes(max(0, offset - len(model.content))))
        model.content[offset : offset + len(data)] = data
        model.closed = False

    @rule(handle=handles, size_bytes=st.integers(0, 30))
    def truncate(self, handle: tuple[SpoolFile, ModelFile, int], size_bytes: int) -> None:
        file, model, life = handle
        if life != self.lives:
            return
        self.open.run(file.truncate, size_bytes)
        del model.content[size_bytes:]
        model.content.extend(bytes(size_bytes - len(model.content)))
        model.closed = False

    @rule(handle=handles)
    def flush(self, handle: tuple[SpoolFile, ModelFile, int]) -> None:
        file, model, life = handle
        if life != self.lives:
            return
        self.open.run(file.flush)
        if model in self.names.values():
            model.journalled = model.closed = model.closed_once = True

    @rule(handle=consumes(handles))
    def close(self, handle: tuple[SpoolFile, ModelFile, int]) -> None:
        file, model, life = handle
        if life != self.lives:
            return
        self.open.run(file.flush)
        self.open.run(file.close)
        if model in self.names.values():
            model.journalled = model.closed = model.closed_once = True
        elif file.entry.open_handles == 0:
            del self.unlinked[model]

    @rule(old=st.sampled_from(PATHS), new=st.sampled_from(PATHS))
    def rename(self, old: str, new: str) -> None:
        if old not in self.names or old == new:
            return
        replaced = self.spool.get(new)
        self.open.run(self.spool.rename, old, new, terms(key_of(new), **kind_of(new)))
        model = self.names.pop(old)
        if new in self.names:
            assert replaced is not None
            self._drop(self.names[new], replaced.open_handles)
            model.journalled = True
        self.names[new] = model

    @rule(path=st.sampled_from(PATHS))
    def unlink(self, path: str) -> None:
        entry = self.spool.get(path)
        if entry is None:
            assert path not in self.names
            return
        handles = entry.open_handles
        self.open.run(self.spool.unlink, path)
        self._drop(self.names.pop(path), handles)

    def _drop(self, model: ModelFile, open_handles: int) -> None:
        if open_handles:
            self.unlinked[model] = len(model.content)

    @rule()
    def crash(self) -> None:
        before = self._directory()
        self.lives += 1
        shutil.copytree(before, self._directory())
        old, self.open = self.open, Life(spool_in(self._directory()))
        old.end()
        self.unlinked.clear()
        self.names = {
            path: model
            for path, model in self.names.items()
            if model.closed or (model.closed_once and not kind_of(path)["immutable"])
        }
        self.aside_bytes = sum(entry.size_bytes for entry in self.spool.aside())

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def names_and_contents_agree(self) -> None:
        assert {entry.path for entry in self.spool.entries()} == set(self.names)
        for path, model in self.names.items():
            assert self.open.run(self._read, path) == bytes(model.content), path
        for directory in ("show", "show/d"):
            depth = directory.count("/") + 1
            expected = {
                path.rpartition("/")[2]
                for path in self.names
                if path.startswith(f"{directory}/") and path.count("/") == depth
            }
            assert set(self.spool.children(directory)) == expected

    @invariant()
    def bytes_are_counted(self) -> None:
        named = sum(len(model.content) for model in self.names.values())
        unlinked = sum(len(model.content) for model in self.unlinked)
        assert self.spool.used_bytes == named + unlinked + self.aside_bytes

    async def _read(self, path: str) -> bytes:
        entry = self.spool.get(path)
        assert entry is not None
        file = await self.spool.open(entry, writable=False)
        try:
            return bytes(await file.read(Span(0, 1000)))
        finally:
            await file.close()

    def teardown(self) -> None:
        self.open.end()
        shutil.rmtree(self.root)


TestSpoolModel = SpoolMachine.TestCase
TestSpoolModel.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
