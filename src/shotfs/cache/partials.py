"""Partials: unfinished content that waits for its next reader, also over a restart.

Each is two files in ``partials/``: ``<n>``, sparse, of the full size, and ``<n>.map``, which says
of which revision it is and which of its blocks are here. A map is written after the bytes that it
names were, as a whole (write, rename), and carries a digest of itself. Killing the process loses
nothing that was written, so a map of this boot is true. A power cut does: a map of another boot is
true only if the last owner flushed the disk and said so, else the partial is dropped, because a
lost block reads as zeros and partials are served before the whole is verified.

Bounded in number and bytes; what waits is counted in `Room` by what it holds, not by what it will
become. Event loop; files are touched in disk threads.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import trio

from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.room import Room
from shotfs.digest import digest_bytes

log = logging.getLogger(__name__)

IDLE_MAX = 64
"""Partials that wait; looking at as many at start takes some milliseconds."""

IDLE_PARTS = 2
"""What waits may have this fraction of the cache; it goes before any blob when room is needed."""

FORMAT = 1
_SUFFIX = ".map"


@dataclass(slots=True, eq=False)
class Partial:
    """One unfinished file.

    Attributes:
        path: of the content; the map lies beside it.
        identity: of the only revision whose bytes it holds (`Revision.identity`).
        size_bytes: of the revision.
        blocks: which blocks are here, as `BlockMap.pack` gives them, when it was last saved.
        held_bytes: how much of it is on the disk.
        lock: held while its map is written or its files go.
        gone: its files went, or are a blob's.
    """

    path: str
    identity: str
    size_bytes: int
    blocks: bytes = b""
    held_bytes: int = 0
    lock: trio.Lock = field(default_factory=trio.Lock)
    gone: bool = False

    @property
    def map_path(self) -> str:
        """Where its map is, once it has one."""
        return self.path + _SUFFIX


class Partials:
    """The directory of partials, and those that wait, the longest unused first.

    Args:
        directory: 0700 and ours.
        room: where they are counted.
        disk: limits threads.
        boot: identity of this run of the kernel, "" if unknown.
    """

    def __init__(self, directory: str, room: Room, disk: trio.CapacityLimiter, boot: str) -> None:
        self.directory = directory
        self._room = room
        self._disk = disk
        self._boot = boot
        self._idle: OrderedDict[str, Partial] = OrderedDict()
        self._next = 0

    def __len__(self) -> int:
        return len(self._idle)

    @property
    def idle_bytes(self) -> int:
        """How much those that wait hold."""
        return sum(one.held_bytes for one in self._idle.values())

    @property
    def idle_bytes_max(self) -> int:
        """How much those that wait may hold together."""
        return self._room.bytes_max // IDLE_PARTS

    def held_bytes(self, identity: str) -> int | None:
        """Return how much of a revision waits here; None: there is no partial that waits."""
        found = self._idle.get(identity)
        return None if found is None else found.held_bytes

    async def start(self, *, was_clean: bool) -> None:
        """Take over what the last owner left, and remove what cannot be trusted.

        Args:
            was_clean: he flushed the disk at his end.
        """
        found, self._next = await trio.to_thread.run_sync(
            _load, self.directory, self._boot, was_clean, limiter=self._disk
        )
        for partial in found:
            self._add(partial)
        await self._shrink()
        while self._idle and not self._room.excess().none:
            await self._drop_oldest()

    def new_path(self) -> str:
        """Return a name for a file that was never used."""
        self._next += 1
        return f"{self.directory}/{self._next}"

    def take(self, identity: str) -> Partial | None:
        """Return what waits of a revision, for the caller to go on with; it waits no more.

        The caller has its room from then on: `held_bytes`, reserved and written.
        """
        return self._idle.pop(identity, None)

    async def keep(self, partial: Partial, blocks: bytes, held_bytes: int) -> None:
        """Let *partial* wait for the next reader of its revision.

        The caller has given back what room it had. What is over the limits goes, be it this one.
        """
        with trio.CancelScope(shield=True):
            if not held_bytes or held_bytes > self.idle_bytes_max:
                await self.discard(partial)
                return
            partial.held_bytes = held_bytes
            self._add(partial)
            await self.save(partial, blocks)
            await self._shrink()

    async def save(self, partial: Partial, blocks: bytes) -> None:
        """Bring the map to the file; every byte that it names has been written."""
        async with partial.lock:
            if partial.gone or blocks == partial.blocks:
                return
            text = _map_text(partial, blocks, self._boot)
            try:
                await trio.to_thread.run_sync(_replace, partial.map_path, text, limiter=self._disk)
            except OSError as error:
                log.warning("cannot save a partial", extra={"reason": str(error)})
                return
            partial.blocks = blocks

    async def discard(self, partial: Partial) -> None:
        """Remove its files; for one that does not wait."""
        with trio.CancelScope(shield=True):
            async with partial.lock:
                if not partial.gone:
                    partial.gone = True
                    await trio.to_thread.run_sync(_unlink, partial.path, limiter=self._disk)

    async def drop_for(self, size_bytes: int, *, files: int) -> None:
        """Drop what waits, the longest unused first, until *size_bytes* fit or none is left."""
        while self._idle and not self._room.shortage(size_bytes, files=files).none:
            await self._drop_oldest()

    async def drop_all(self) -> None:
        """Drop everything that waits."""
        while self._idle:
            await self._drop_oldest()

    def _add(self, partial: Partial) -> None:
        self._idle[partial.identity] = partial
        self._room.reserve(partial.held_bytes)
        self._room.wrote(partial.held_bytes)

    async def _shrink(self) -> None:
        while len(self._idle) > IDLE_MAX or self.idle_bytes > self.idle_bytes_max:
            await self._drop_oldest()

    async def _drop_oldest(self) -> None:
        _, partial = self._idle.popitem(last=False)
        self._room.release(partial.held_bytes, partial.held_bytes)
        await self.discard(partial)


# --- below: disk threads -----------------------------------------------------------------


def make_file(path: str, size_bytes: int) -> int:
    """Make a sparse file and return its descriptor.

    Raises:
        OSError: it cannot be made; nothing is left.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(number, size_bytes)
    except BaseException:
        os.close(number)
        os.unlink(path)
        raise
    return number


def open_file(path: str, size_bytes: int) -> int:
    """Return the descriptor of a partial's content.

    Raises:
        OSError: it is gone, or not as long as it was made.
    """
    number = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    if os.fstat(number).st_size != size_bytes:
        os.close(number)
        raise OSError(f"{path} has another size than its map says")
    return number


def _map_text(partial: Partial, blocks: bytes, boot: str) -> bytes:
    head = {
        "format": FORMAT,
        "identity": partial.identity,
        "size_bytes": partial.size_bytes,
        "block_bytes": BLOCK_BYTES,
        "boot": boot,
    }
    text = json.dumps(head, separators=(",", ":")).encode() + b"\n" + blocks
    return digest_bytes(text).encode() + b"\n" + text


def _replace(path: str, text: bytes) -> None:
    fresh = f"{path}.new"
    with open(fresh, "wb") as target:
        target.write(text)
    os.replace(fresh, path)


def _unlink(path: str) -> None:
    # The content first: a map without content is garbage, content without a map would be too.
    for name in (path, path + _SUFFIX):
        try:
            os.unlink(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("cannot unlink", extra={"path": name, "reason": str(error)})


def _load(directory: str, boot: str, was_clean: bool) -> tuple[list[Partial], int]:
    """Return what can be gone on with, the longest unused first, and the highest number in use."""
    names = {entry.name for entry in os.scandir(directory)}
    used = [int(stem) for name in names if (stem := name.partition(".")[0]).isdecimal()]
    found: dict[str, tuple[int, Partial]] = {}
    for name in sorted(names):
        path = f"{directory}/{name}"
        if not name.endswith(_SUFFIX) or name.removesuffix(_SUFFIX) not in names:
            continue
        partial = _read(path.removesuffix(_SUFFIX), boot, was_clean=was_clean)
        if partial is not None:
            saved_ns = os.stat(path).st_mtime_ns
            rival = found.get(partial.identity)
            if rival is None or rival[1].held_bytes < partial.held_bytes:
                found[partial.identity] = (saved_ns, partial)
    kept = [partial for _, partial in sorted(found.values(), key=lambda pair: pair[0])]
    if was_clean:
        _adopt(kept, boot)
    wanted = {os.path.basename(name) for one in kept for name in (one.path, one.map_path)}
    for name in names - wanted:
        _remove(f"{directory}/{name}")
    return kept, max(used, default=0)


def _adopt(partials: list[Partial], boot: str) -> None:
    """Give partials that are on the disk maps of this boot: they are as good as its own."""
    try:
        for one in partials:
            _replace(one.map_path, _map_text(one, one.blocks, boot))
    except OSError as error:  # the others can be gone on with, only not after a kill
        log.warning("cannot save a partial", extra={"reason": str(error)})


def _read(path: str, boot: str, *, was_clean: bool) -> Partial | None:
    """Return the partial at *path* if its map can be trusted."""
    try:
        with open(path + _SUFFIX, "rb") as source:
            digest, _, text = source.read().partition(b"\n")
        if digest_bytes(text).encode() != digest:
            return None
        head_text, _, blocks = text.partition(b"\n")
        head: dict[str, Any] = json.loads(head_text)
        if head["format"] != FORMAT or head["block_bytes"] != BLOCK_BYTES:
            return None
        if not was_clean and (not boot or head["boot"] != boot):
            return None
        size_bytes = int(head["size_bytes"])
        if os.lstat(path).st_size != size_bytes:
            return None
        held_bytes = min(sum(value.bit_count() for value in blocks) * BLOCK_BYTES, size_bytes)
        return Partial(path, str(head["identity"]), size_bytes, blocks, held_bytes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as error:
        log.warning("cannot remove what an earlier run left", extra={"reason": str(error)})
