"""The spool's memory: which names exist, by path and by directory, and what they weigh.

Pure and synchronous; used by the event loop only. Bounded by the spool itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import trio

from shotfs.observe.metrics import Metrics
from shotfs.publish.entry import Kind, OriginObject, SpoolEntry
from shotfs.publish.states import Event, State, transition


def parent_of(path: str) -> str:
    """Return the directory that *path* is in; "" for a top-level name."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the last element of *path*."""
    return path.rpartition("/")[2]


class Table:
    """Entries by path, by directory and, for those kept aside, by serial.

    Attributes:
        used_bytes: sum of the sizes of all files, those kept aside and unlinked-but-open included.
        changed: entries that the publisher should look at, oldest change first.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._by_path: dict[str, SpoolEntry] = {}
        self._by_directory: dict[str, dict[str, SpoolEntry]] = {}
        self._renamed: dict[str, dict[SpoolEntry, OriginObject]] = {}
        self._aside: dict[int, SpoolEntry] = {}
        self._changed: deque[SpoolEntry] = deque()
        self._wakeup = trio.Event()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._by_path)

    def get(self, path: str) -> SpoolEntry | None:
        """Return what stands under *path*."""
        return self._by_path.get(path)

    def children(self, directory: str) -> dict[str, SpoolEntry]:
        """Return name to entry of what stands directly in *directory*; a new dictionary."""
        return dict(self._by_directory.get(directory, {}))

    def has_children(self, directory: str) -> bool:
        """Whether anything made here stands in *directory*."""
        return bool(self._by_directory.get(directory))

    def below(self, directory: str) -> Iterator[SpoolEntry]:
        """Yield everything below *directory*, a parent before its children."""
        for entry in self.children(directory).values():
            yield entry
            yield from self.below(entry.path)

    def entries(self) -> Iterable[SpoolEntry]:
        """Return everything that has a name, in no order."""
        return self._by_path.values()

    def aside(self) -> Iterable[SpoolEntry]:
        """Return what is kept without a name: quarantined, partial, without a record."""
        return self._aside.values()

    def add(self, entry: SpoolEntry) -> None:
        """Give *entry* its name, which must be free."""
        assert entry.path not in self._by_path
        self._by_path[entry.path] = entry
        self._by_directory.setdefault(parent_of(entry.path), {})[name_of(entry.path)] = entry
        self._note_renamed(entry)
        self._count(entry, 1)

    def discard(self, entry: SpoolEntry) -> None:
        """Take the name of *entry* away."""
        assert self._by_path.pop(entry.path) is entry
        directory = parent_of(entry.path)
        names = self._by_directory[directory]
        del names[name_of(entry.path)]
        if not names:
            del self._by_directory[directory]
        self._forget_renamed(entry)
        self._count(entry, -1)

    def set_delete_after(self, entry: SpoolEntry, objects: tuple[OriginObject, ...]) -> None:
        """Set what goes after *entry*."""
        named = self._by_path.get(entry.path) is entry
        if named:
            self._forget_renamed(entry)
        entry.delete_after = objects
        if named:
            self._note_renamed(entry)

    @property
    def has_renamed(self) -> bool:
        """Whether `renamed_away` says anything of any path."""
        return bool(self._renamed)

    def renamed_away(self, path: str) -> Mapping[SpoolEntry, OriginObject]:
        """Return who was renamed from *path*, and which object is still to go there for that."""
        return self._renamed.get(path, {})

    def _note_renamed(self, entry: SpoolEntry) -> None:
        for one in entry.delete_after:
            self._renamed.setdefault(one.path, {})[entry] = one

    def _forget_renamed(self, entry: SpoolEntry) -> None:
        for one in entry.delete_after:
            renamed = self._renamed.get(one.path, {})
            renamed.pop(entry, None)
            if not renamed:
                self._renamed.pop(one.path, None)

    def is_aside(self, entry: SpoolEntry) -> bool:
        """Whether *entry* is kept by its serial."""
        return self._aside.get(entry.serial) is entry

    def set_aside(self, entry: SpoolEntry) -> None:
        """Keep *entry* by its serial; it has no name (any more)."""
        self._aside[entry.serial] = entry
        self._count(entry, 1)

    def discard_aside(self, entry: SpoolEntry) -> None:
        """Do not keep *entry* any longer."""
        del self._aside[entry.serial]
        self._count(entry, -1)

    def apply(self, entry: SpoolEntry, event: Event) -> None:
        """Let *event* happen to *entry*; counts states."""
        self.restore(entry, transition(entry.state, event))

    def restore(self, entry: SpoolEntry, state: State) -> None:
        """Set the state without an event: what `apply` did could not be journalled."""
        known = self._by_path.get(entry.path) is entry or entry.serial in self._aside
        if known:
            self._count(entry, -1)
        entry.state = state
        if known:
            self._count(entry, 1)

    def charge(self, byte_count: int) -> None:
        """Add *byte_count*, which may be negative, to what the spool holds."""
        self.used_bytes += byte_count
        self._metrics.spool_bytes.set(self.used_bytes)

    def notify(self, entry: SpoolEntry) -> None:
        """Tell the publisher to look at *entry*."""
        self._changed.append(entry)
        self._wakeup.set()

    def take_changed(self) -> list[SpoolEntry]:
        """Return and clear what `notify` collected."""
        changed = list(dict.fromkeys(self._changed))
        self._changed.clear()
        self._wakeup = trio.Event()
        return changed

    async def wait_changed(self) -> None:
        """Return when there is something for `take_changed`."""
        await self._wakeup.wait()

    def _count(self, entry: SpoolEntry, step: int) -> None:
        if entry.kind is Kind.FILE:
            self._metrics.spool_files[entry.state].inc(step)


def unpublished(entry: SpoolEntry) -> bool:
    """Whether *entry* is an output that is not in the origin, or still under an old name too."""
    done = entry.state is State.PUBLISHED and not entry.delete_after
    return entry.publishable and not done
