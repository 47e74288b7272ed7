"""The file system against a dictionary: files, directories, links, publishing and restarts.

The machine drives a whole node (real cache, spool, catalog and publisher) over an origin in memory.
Two directories are used: ``notes``, mutable and published only when told to, and ``compared``,
immutable and published at once. The clock stands still unless a rule moves it, so that everything
that the node remembers stays remembered.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shotfs.errors import ShotfsError
from shotfs.vfs import Kind, Missing
from tests.unit.namespace.origin import Origin
from tests.unit.vfs.world import ARTIST, Site, World

T = TypeVar("T")

ROOT = "ant/notes"
DIRECTORIES = [f"{ROOT}/d", f"{ROOT}/e", f"{ROOT}/d/f"]
NOTES = [
    *(f"{ROOT}/{name}" for name in ("a", "b", "c.tmp")),
    *(f"{ROOT}/{name}" for name in ("d/a", "d/c.tmp", "e/a", "d/f/a")),
]
"""Few, so that rules meet."""

FRAMES = ["ant/compared/x.exr", "ant/compared/y.exr"]
FRAME_SCRATCH = ["ant/compared/x.exr.tmp"]
FILES = [*NOTES, *FRAMES, *FRAME_SCRATCH]

CONTENT = st.sampled_from([b"", b"one", b"two, longer"])


@dataclass(frozen=True)
class File:
    """What the model knows of one file.

    Attributes:
        content: what reads give; a link's target.
        published: the origin has exactly this, and the spool nothing.
        link: it is a symbolic link.
    """

    content: bytes
    published: bool = False
    link: bool = False


def is_scratch(path: str) -> bool:
    return path.endswith(".tmp")


def is_frame(path: str) -> bool:
    return path in FRAMES


def key_of(path: str) -> str:
    return path.removeprefix("ant/")


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]


class Running:
    """A node whose event loop runs in a thread of its own."""

    def __init__(self, site: Site) -> None:
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(site,))
        self._thread.start()
        self._ready.wait()
        if self._problem is not None:
            raise self._problem

    def _run(self, site: Site) -> None:
        try:
            trio.run(self._serve, site)
        except BaseException as problem:  # noqa: BLE001 - raised where the machine runs
            self._problem = problem
        finally:
            self._ready.set()

    async def _serve(self, site: Site) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with site.open() as self.world:
            self._ready.set()
            await self._end.wait()

    def run(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        return trio.from_thread.run(call, *arguments, trio_token=self._token)

    def end(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join()
        if self._problem is not None:
            raise self._problem


class FileSystemMachine(RuleBasedStateMachine):
    """Each rule does the same to the node and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="vfs-model-"))
        self.site = Site(self.root)
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr("shotfs.namespace.tier_pool.open_tier", self._open_tier)
        self.files: dict[str, File] = {}
        self.made: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.running = Running(self.site)

    async def _open_tier(self, url: str, *_: Any) -> Origin:
        return {one.name: one for one in (self.site.origin, self.site.second)}[url]

    @property
    def world(self) -> World:
        return self.running.world

    def attempt(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> int:
        """Return 0, or the errno of what was refused."""
        try:
            self.running.run(call, *arguments)
        except ShotfsError as error:
            return error.errno
        return 0

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.made

    def has_place(self, path: str) -> bool:
        return parent_of(path) in (ROOT, "ant/compared") or parent_of(path) in self.made

    # --- files -----------------------------------------------------------------------------------

    @rule(path=st.sampled_from(FILES), content=CONTENT)
    def write(self, path: str, content: bytes) -> None:
        known = self.files.get(path)
        if not self.has_place(path) or (known is not None and known.link):
            return
        refused = self.attempt(self.world.write, path, content)
        if is_frame(path) and known is not None:
            assert refused == errno.EEXIST
            return
        assert not refused
        self.files[path] = File(content)
        if is_frame(path):
            self._becomes_published(path)

    @rule(path=st.sampled_from(NOTES), content=CONTENT)
    def append(self, path: str, content: bytes) -> None:
        known = self.files.get(path)
        if known is None or known.link:
            return
        self.running.run(self._append, path, content)
        if content:
            self.files[path] = File(known.content + content)
        # Else a copy that nobody changed is dropped, and the published file shows again.

    async def _append(self, path: str, content: bytes) -> None:
        handle = await self.world.open(path, os.O_WRONLY)
        try:
            if content:
                await handle.write(handle.attributes().size_bytes, content)
            await handle.flush()
        finally:
            await handle.close()

    @rule(path=st.sampled_from(FILES), size_bytes=st.integers(0, 5))
    def truncate(self, path: str, size_bytes: int) -> None:
        known = self.files.get(path)
        if known is None or known.link:
            return
        refused = self.attempt(self.world.truncate, path, size_bytes)
        if is_frame(path):
            assert refused == (0 if size_bytes == len(known.content) else errno.EPERM)
            return
        assert not refused
        if known.published and size_bytes == len(known.content):
            return
        content = known.content[:size_bytes].ljust(size_bytes, b"\0")
        self.files[path] = File(content)

    @rule(path=st.sampled_from(FILES))
    def unlink(self, path: str) -> None:
        refused = self.attempt(self.world.fs.unlink, path)
        if path not in self.files:
            assert refused == errno.ENOENT
        elif is_frame(path):
            assert refused == errno.EPERM
        else:
            assert not refused
            del self.files[path]
            self.objects.pop(key_of(path), None)

    @rule(path=st.sampled_from(NOTES))
    def symlink(self, path: str) -> None:
        if not self.has_place(path):
            return
        refused = self.attempt(self.world.fs.make_symlink, path, "target", ARTIST)
        assert refused == (errno.EEXIST if self.exists(path) else 0)
        if not refused:
            self.files[path] = File(b"target", link=True)

    # --- renames ---------------------------------------------------------------------------------

    @rule(old=st.sampled_from(FILES), new=st.sampled_from(FILES))
    def rename(self, old: str, new: str) -> None:
        if old == new or not self.has_place(new):
            return
        source, target = self.files.get(old), self.files.get(new)
        refused = self.attempt(self._rename, old, new)
        expected = self._rename_errno(old, new, source, target)
        assert refused == expected, f"{errno.errorcode.get(refused)} for {source} onto {target}"
        if refused:
            if source is not None and not source.link and target is not None and is_frame(new):
                self._compared(old, new)
            return
        assert source is not None
        if target is not None and is_frame(new):
            # The same bytes were published before: the source is simply gone.
            del self.files[old]
            self.objects.pop(key_of(old), None)
            return
        self._renamed(old, new)

    async def _rename(self, old: str, new: str) -> None:
        await self.world.fs.rename(old, new)

    def _rename_errno(self, old: str, new: str, source: File | None, target: File | None) -> int:
        if source is None:
            return errno.ENOENT
        if is_frame(old):
            return errno.EPERM
        if source.link:
            return errno.EPERM if is_frame(new) and target is not None else 0
        if is_frame(new) and target is not None:
            same = target.content == source.content
            return 0 if same and not source.published else errno.EEXIST
        if source.published and is_scratch(new):
            return errno.EXDEV
        return 0

    def _compared(self, old: str, new: str) -> None:
        """A rename onto a published frame was refused: other bytes go to quarantine."""
        source = self.files[old]
        if not source.published and source.content != self.files[new].content:
            del self.files[old]

    def _renamed(self, old: str, new: str) -> None:
        source = self.files.pop(old)
        if source.link:
            self.objects.pop(key_of(new), None)
        self.objects.pop(key_of(old), None)
        self.files[new] = source
        if source.published:
            self.objects[key_of(new)] = source.content
        elif is_frame(new) and not source.link:
            self._becomes_published(new)

    def _becomes_published(self, path: str) -> None:
        self.running.run(self.world.published, path)
        self.files[path] = File(self.files[path].content, published=True)
        self.objects[key_of(path)] = self.files[path].content

    # --- directories -----------------------------------------------------------------------------

    @rule(path=st.sampled_from(DIRECTORIES))
    def mkdir(self, path: str) -> None:
        if not self.has_place(path):
            return
        refused = self.attempt(self.world.mkdir, path)
        assert refused == (errno.EEXIST if path in self.made else 0)
        self.made.add(path)

    @rule(path=st.sampled_from(DIRECTORIES))
    def rmdir(self, path: str) -> None:
        refused = self.attempt(self.world.fs.remove_directory, path)
        if path not in self.made:
            assert refused == errno.ENOENT
        elif self._below(path):
            assert refused == errno.ENOTEMPTY
        else:
            assert not refused
            self.made.remove(path)

    @rule(old=st.sampled_from(DIRECTORIES), new=st.sampled_from(DIRECTORIES))
    def rename_directory(self, old: str, new: str) -> None:
        if old == new or old not in self.made or not self.has_place(new):
            return
        refused = self.attempt(self._rename, old, new)
        if new.startswith(f"{old}/"):
            assert refused == errno.EINVAL
        elif any(key.startswith(f"{key_of(old)}/") for key in self.objects):
            assert refused == errno.EPERM
        elif new in self.made and self._below(new):
            assert refused == errno.ENOTEMPTY
        else:
            assert not refused
            self._move_directory(old, new)

    def _move_directory(self, old: str, new: str) -> None:
        def moved(path: str) -> str:
            return new + path[len(old) :] if path == old or path.startswith(f"{old}/") else path

        self.files = {moved(path): file for path, file in self.files.items()}
        self.made = {moved(path) for path in self.made}

    def _below(self, directory: str) -> set[str]:
        return {
            path.rpartition("/")[2]
            for path in (*self.files, *self.made)
            if parent_of(path) == directory
        }

    # --- the rest of the world -------------------------------------------------------------------

    @rule()
    def publish(self) -> None:
        self.running.run(self._publish)
        for path, file in self.files.items():
            if not file.link and not is_scratch(path):
                self.files[path] = File(file.content, published=True)
                self.objects[key_of(path)] = file.content

    async def _publish(self) -> None:
        await self.world.node.publisher.drain(30)
        outputs = [entry for entry in self.world.node.spool.entries() if entry.publishable]
        await self.world.published(*(entry.path for entry in outputs))

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def time_passes(self, seconds: int) -> None:
        self.site.clock.advance(seconds)

    @rule(path=st.sampled_from([path for path in NOTES if not is_scratch(path)]), content=CONTENT)
    def another_node_writes(self, path: str, content: bytes) -> None:
        """Only where it is no conflict; and this node sees it when what it knows is old."""
        known = self.files.get(path)
        if parent_of(path) != ROOT or (known is not None and not known.published):
            return
        self.site.origin.add(key_of(path), content)
        self.site.clock.advance(1000)
        self.objects[key_of(path)] = content
        self.files[path] = File(content, published=True)

    @rule()
    def remount(self) -> None:
        self.running.end()
        self.running = Running(self.site)

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def everything_agrees(self) -> None:
        self.running.run(self._agree)

    async def _agree(self) -> None:
        for directory in (ROOT, "ant/compared", *sorted(self.made)):
            listed = dict(await self.world.entries(directory))
            assert set(listed) == self._below(directory), directory
            for name, shown in listed.items():
                assert await self.world.fs.attributes(f"{directory}/{name}") == shown
        for path in FILES:
            await self._agree_about(path)
        stored = {key: content for key, (_, content) in self.world.origin.objects.items()}
        assert stored == self.objects

    async def _agree_about(self, path: str) -> None:
        found = await self.world.fs.lookup(path)
        file = self.files.get(path)
        if file is None:
            assert isinstance(found, Missing), path
            return
        assert not isinstance(found, Missing), path
        assert found.size_bytes == len(file.content)
        assert found.kind is (Kind.SYMLINK if file.link else Kind.FILE)
        if file.link:
            assert await self.world.fs.read_link(path) == "target"
        else:
            assert await self.world.read(path) == file.content

    def teardown(self) -> None:
        self.running.end()
        self.patches.undo()
        shutil.rmtree(self.root)


TestFileSystemModel = FileSystemMachine.TestCase
TestFileSystemModel.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
