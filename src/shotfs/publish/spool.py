"""Spool: the files, symlinks and directories that were made here and are not in the origin.

Owns the spool directory and its journal. Knows nothing of the kernel, of templates or of tiers:
the caller decides what is allowed, `publish.publisher` drains it. Names change in memory only
after the journal has them; entries that the journal does not know yet (created, never flushed)
change in memory alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Iterable

import trio

from shotfs.digest import Digest
from shotfs.errors import (
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    PathExists,
    PathNotFound,
    PublishedImmutable,
    Stale,
)
from shotfs.publish import rows
from shotfs.publish.attributes import Wanted, set_attributes
from shotfs.publish.core import Core, now_ns, translated
from shotfs.publish.data_files import create_copy_data, create_data, open_data
from shotfs.publish.entry import Kind, PublishTerms, SpoolEntry
from shotfs.publish.names import (
    TermsOf,
    check_encodable,
    check_removable,
    drop,
    existing,
    hand_over,
    leaves_data,
    rename,
    still_named,
    taken_over,
)
from shotfs.publish.provenance import Writer
from shotfs.publish.resolving import discard, release
from shotfs.publish.rival import Rival
from shotfs.publish.spool_file import SpoolFile
from shotfs.publish.states import State
from shotfs.tiers.base import Revision

Before = Callable[[SpoolEntry], Awaitable[None]]
"""Does what has to be done before an entry goes."""

Fill = Callable[[SpoolFile], Awaitable[None]]
"""Writes what a copy begins with."""


class Spool:
    """The open spool; made by `open_spool`. Paths are mount-relative, ``<show>/<path>``."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # --- looking, from memory --------------------------------------------------------------------

    def get(self, path: str) -> SpoolEntry | None:
        """Return what was made here under *path*; None where nothing was."""
        return self.core.table.get(path)

    def __len__(self) -> int:
        return len(self.core.table)

    def has_children(self, directory: str) -> bool:
        """Whether anything made here stands directly in *directory*."""
        return self.core.table.has_children(directory)

    def children(self, directory: str) -> dict[str, SpoolEntry]:
        """Return name to entry of what was made here directly in *directory*."""
        return self.core.table.children(directory)

    def entries(self) -> Iterable[SpoolEntry]:
        """Return everything that has a name here, in no order."""
        return self.core.table.entries()

    def aside(self) -> Iterable[SpoolEntry]:
        """Return what is kept without a name: quarantined, partial, without a record."""
        return self.core.table.aside()

    def hides(self, path: str, revision: Revision) -> bool:
        """Whether *revision* is not to be shown under *path* any more.

        It was renamed here, and goes from the origin when it is there under its new name.
        """
        renamed = self.core.table.renamed_away(path)
        return bool(renamed) and any(one.may_be(revision) for one in renamed.values())

    @property
    def hides_any(self) -> bool:
        """Whether `hides` may be true of any path."""
        return self.core.table.has_renamed

    @property
    def directory(self) -> str:
        """Where the spool lies."""
        return self.core.directory

    @property
    def identity(self) -> str:
        """Random text, made with the spool: with it a serial is unique among all spools."""
        return self.core.identity

    @property
    def used_bytes(self) -> int:
        """Sum of the sizes of all files in the spool."""
        return self.core.table.used_bytes

    def measure(self, entry: SpoolEntry) -> None:
        """Bring size and time of a file up to date that the kernel writes by itself."""
        if entry.lent:
            self.core.lending.measure(entry)

    async def watch_lent(self) -> None:
        """Watch files that the kernel writes by itself; for ever."""
        await self.core.lending.run(self.core.writing_again, self.core.damage)

    # --- files -----------------------------------------------------------------------------------

    async def create(
        self, path: str, *, mode: int, uid: int, gid: int, terms: PublishTerms
    ) -> SpoolFile:
        """Make an empty file and return a writable handle.

        Nothing is journalled before the first flush: a file of a process that dies before is
        nobody's output.

        Raises:
            PathExists: there is an entry under *path*.
            NameNotEncodable: *path* is not valid Unicode.
            SpoolFull, SpoolBroken: the disk.
        """
        check_encodable(path)
        async with self.core.claims.hold(path):
            self._check_free(path)
            entry = self._new_entry(await self.core.new_serial(), path, Kind.FILE, mode, uid, gid)
            entry.terms, entry.tried = taken_over(self.core, path, terms)
            with trio.CancelScope(shield=True):
                file = await self._create_data(entry, create_data)
                self.core.table.add(entry)
        return file

    async def create_copy(
        self, path: str, *, mode: int, uid: int, gid: int, terms: PublishTerms, fill: Fill | None
    ) -> SpoolFile:
        """Make a file that stands for the published *path*, and return a writable handle.

        It gets its name when *fill* has returned. While it is `pristine`, that is until somebody
        writes, truncates, renames it or sets attributes, nothing of it is journalled, and it is
        dropped without a trace when its last writer closes.

        Args:
            path: of the published file.
            mode: permission bits.
            uid: owner.
            gid: group.
            terms: with the revision that is copied as their `base`.
            fill: writes the content, then the time of the base is set; None leaves it empty.

        Raises:
            Stale: meanwhile something else was made under *path*; look it up again.
            NameNotEncodable, SpoolFull, SpoolBroken; what *fill* raises. Nothing remains.
        """
        check_encodable(path)
        entry = self._new_entry(await self.core.new_serial(), path, Kind.FILE, mode, uid, gid)
        entry.terms = terms
        entry.unlinked = True  # a file without a name goes with its last handle
        with trio.CancelScope(shield=True):
            file = await self._create_data(entry, create_copy_data)
        try:
            if fill is not None:
                await fill(file)
                self.core.raise_damage(entry)
                if terms.base is not None:
                    entry.mtime_ns = terms.base.mtime_ns
            await self._name_copy(entry)
        except BaseException:
            await file.close()
            raise
        return file

    async def _name_copy(self, entry: SpoolEntry) -> None:
        async with self.core.claims.hold(entry.path):
            if self.core.table.get(entry.path) is not None:
                raise Stale(f"{entry.path}: was made by somebody else meanwhile")
            entry.pristine, entry.unlinked, entry.written = True, False, False
            self.core.table.add(entry)

    async def _create_data(self, entry: SpoolEntry, create: Callable[[str, str], int]) -> SpoolFile:
        descriptor = await self._in_lane(entry.path, create, self.core.data_path(entry), entry.path)
        entry.dirty = True
        return SpoolFile(self.core, entry, descriptor, writable=True)

    async def open(
        self, entry: SpoolEntry, *, writable: bool, writer: Writer | None = None
    ) -> SpoolFile:
        """Return a handle of a file.

        A writable handle of a sealed mutable file is fine: the first write reopens it.

        Args:
            entry: of the file.
            writable: whether it may be written.
            writer: whose output it is from now on, if it is; None: whose it was.

        Raises:
            PublishedImmutable: writable, and sealed under an immutable template (EEXIST).
            Stale: it left the spool meanwhile; look the path up again.
            IsADirectory, InvalidArgument: not a file.
            SpoolBroken: the disk.
        """
        if entry.kind is not Kind.FILE:
            error = IsADirectory if entry.kind is Kind.DIRECTORY else InvalidArgument
            raise error(f"{entry.path}: is a {entry.kind}, not a file")
        if not writable:
            # Mostly without the lock: a reader does not wait for a hash, only for the cache.
            while entry.leaving and not entry.unlinked:
                await entry.lock.acquire()
                entry.lock.release()
            return await self._open_data(entry, writable=False)
        return await self._open_writable(entry, errno.EEXIST, writer)

    async def truncate(self, entry: SpoolEntry, size_bytes: int) -> None:
        """Cut or extend a file that the caller has not open; durable when it returns.

        Raises:
            PublishedImmutable: sealed under an immutable template (EPERM).
            Stale, SpoolFull, SpoolBroken: as `open` and `SpoolFile.truncate`.
        """
        file = await self._open_writable(entry, errno.EPERM)
        try:
            await file.truncate(size_bytes)
            await file.flush()
        finally:
            await file.close()

    async def _open_writable(
        self, entry: SpoolEntry, error_number: int, writer: Writer | None = None
    ) -> SpoolFile:
        self._check_reopenable(entry, error_number)
        async with entry.lock:
            self._check_reopenable(entry, error_number)
            if entry.lent:
                await self.core.begin_writing(entry)  # its writes will not come by here
            file = await self._open_data(entry, writable=True)
            hand_over(self.core, entry, writer)
            return file

    async def _open_data(self, entry: SpoolEntry, *, writable: bool) -> SpoolFile:
        if entry.unlinked:
            raise Stale(f"{entry.path}: is not in the spool any more; look it up again")
        entry.open_handles += 1  # so that the data cannot leave while the thread opens it
        try:
            with trio.CancelScope(shield=True):
                descriptor = await self._in_lane(
                    entry.path, open_data, self.core.data_path(entry), writable
                )
            return SpoolFile(self.core, entry, descriptor, writable=writable)
        finally:
            entry.open_handles -= 1

    # --- names -----------------------------------------------------------------------------------

    async def mkdir(self, path: str, *, mode: int, uid: int, gid: int) -> SpoolEntry:
        """Make a directory; durable when it returns.

        Raises:
            PathExists, NameNotEncodable, SpoolFull, SpoolBroken.
        """
        return await self._make(path, Kind.DIRECTORY, mode, uid, gid, None)

    async def symlink(self, path: str, target: str, *, uid: int, gid: int) -> SpoolEntry:
        """Make a symbolic link; durable when it returns. It is never published.

        Raises:
            PathExists, NameNotEncodable, SpoolFull, SpoolBroken.
        """
        return await self._make(path, Kind.SYMLINK, 0o777, uid, gid, target)

    async def _make(
        self, path: str, kind: Kind, mode: int, uid: int, gid: int, target: str | None
    ) -> SpoolEntry:
        check_encodable(path)
        async with self.core.claims.hold(path):
            self._check_free(path)
            entry = self._new_entry(await self.core.new_serial(), path, kind, mode, uid, gid)
            if target is not None:
                entry.target = target
                entry.size_bytes = len(os.fsencode(target))
            with trio.CancelScope(shield=True):
                await self.core.journal.commit(rows.flushed(entry, writing=False))
                entry.journalled = entry.clean = True
                self.core.table.add(entry)
            return entry

    async def unlink(self, path: str, before: Before | None = None) -> None:
        """Remove a file or symlink; durable when it returns. Open handles keep the content.

        Args:
            path: what to remove.
            before: awaited when the upload of the entry is stopped and nothing else can start;
                deletes in the origin what goes with the name (`Publisher.remove_objects`). If it
                raises, the entry stays as it is.

        Raises:
            PathNotFound, IsADirectory.
            PublishedImmutable: immutable, and its object is or may be in the origin (EPERM).
            SpoolFull, SpoolBroken: the journal; the file is still there.
        """
        async with self.core.claims.hold(path):
            entry = existing(self.core, path)
            if entry.kind is Kind.DIRECTORY:
                raise IsADirectory(f"{path}: is a directory")
            async with entry.lock:
                still_named(entry)
                await check_removable(entry)
                if before is not None:
                    await before(entry)
                with trio.CancelScope(shield=True):
                    if leaves_data(entry):
                        await self.core.journal.commit(*rows.removed(entry.serial))
                    await drop(self.core, entry)

    async def rmdir(self, path: str) -> None:
        """Remove a directory made here; durable when it returns.

        Raises:
            PathNotFound, NotADirectory, SpoolFull, SpoolBroken.
            DirectoryNotEmpty: something made here is in it. What the origin has is the caller's.
        """
        async with self.core.claims.hold(path):
            entry = existing(self.core, path)
            if entry.kind is not Kind.DIRECTORY:
                raise NotADirectory(f"{path}: is not a directory")
            if self.core.table.has_children(path):
                raise DirectoryNotEmpty(f"{path}: is not empty")
            with trio.CancelScope(shield=True):
                await self.core.journal.commit(rows.forgotten(entry.serial))
                self.core.table.discard(entry)
                entry.unlinked = True

    async def rename(self, old: str, new: str, terms: PublishTerms | None = None) -> None:
        """Move a file or symlink, replacing what stands at *new*; atomic and durable.

        Whether *new* may be replaced or produced at all is the caller's to decide.

        Args:
            old: what moves.
            new: where to.
            terms: of a file under its new name; None for a symlink.

        Raises:
            PathNotFound, IsADirectory, NameNotEncodable, SpoolFull, SpoolBroken.
            PublishedImmutable: *old* (EPERM) or *new* (EEXIST) is immutable and is, or may be, in
                the origin.
            CrossDevice: *old* is published and mutable: copy it, then delete it.
        """
        await rename(self.core, old, new, lambda _path: terms)

    async def rename_directory(self, old: str, new: str, terms_of: TermsOf) -> None:
        """Move a directory made here with everything below it; atomic and durable.

        Args:
            old: what moves.
            new: where to; an empty directory made here is replaced.
            terms_of: called with the new path of each file below.

        Raises:
            InvalidArgument: *new* is below *old*.
            NotADirectory, DirectoryNotEmpty: *new* is something else, or has entries.
            PathNotFound, NameNotEncodable, PublishedImmutable, CrossDevice, SpoolFull,
            SpoolBroken: as `rename`, for anything below.
        """
        await rename(self.core, old, new, terms_of)

    async def set_attributes(
        self,
        entry: SpoolEntry,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """chmod, chown, utime; None leaves as it is. Durable when it returns if the entry is.

        Raises:
            PublishedImmutable: immutable, its object is or may be in the origin, and something
                would change (EPERM).
            InvalidArgument: a time does not fit in 64 bits of nanoseconds (years 1677 to 2262).
            SpoolFull, SpoolBroken: the journal; nothing changed.
        """
        await set_attributes(self.core, entry, Wanted(mode, uid, gid, atime_ns, mtime_ns))

    async def digest(self, entry: SpoolEntry) -> Digest:
        """Return the digest of what *entry* holds now; reads the whole file if it is not sealed.

        Raises:
            SpoolBroken: the disk.
        """
        async with entry.lock:
            content = entry.content or await self.core.hash_content(entry)
        assert content.checksums.xxh128 is not None
        return content.checksums.xxh128

    async def quarantine(self, entry: SpoolEntry, message: str, rival: Rival | None = None) -> None:
        """Keep a file that may not be published; its name is free when this returns.

        Args:
            entry: an open, sealed or failed file; open handles keep working.
            message: why, for the queue.
            rival: what stands in its place.

        Raises:
            SpoolFull, SpoolBroken: the journal; the file is still there under its name.
        """
        async with self.core.claims.hold(entry.path), entry.lock:
            still_named(entry)
            await check_removable(entry)
            await self.core.quarantine(entry, message, rival)

    async def release(self, entry: SpoolEntry, path: str, terms: PublishTerms) -> None:
        """Publish a quarantined output under another name; see `resolving.release`."""
        await release(self.core, entry, path, terms)

    async def discard(self, entry: SpoolEntry) -> None:
        """Remove an output that is kept aside; see `resolving.discard`."""
        await discard(self.core, entry)

    async def expire(self, before_ns: int) -> None:
        """Remove what nobody touched since *before_ns* and nobody wants.

        These are scratch files that are not open, and files that were never closed.

        Raises:
            SpoolFull, SpoolBroken: the journal.
        """
        for entry in list(self.entries()):
            touched_ns = max(entry.mtime_ns, entry.ctime_ns)
            wanted = entry.open_handles > 0 or bool(entry.delete_after)
            if entry.scratch and not wanted and touched_ns < before_ns:
                with contextlib.suppress(PathNotFound):  # somebody else was faster
                    await self.unlink(entry.path)
        for entry in list(self.aside()):
            closed = entry.closed_once  # somebody was told that at least a part of it is safe
            if entry.state is State.FAILED and not closed and entry.ctime_ns < before_ns:
                with trio.CancelScope(shield=True):
                    await self.core.journal.commit(*rows.removed(entry.serial))
                    self.core.table.discard_aside(entry)
                    await self.core.remove_data(entry)

    # --- rules -----------------------------------------------------------------------------------

    def _check_free(self, path: str) -> None:
        if self.core.table.get(path) is not None:
            raise PathExists(f"{path}: exists")

    def _check_reopenable(self, entry: SpoolEntry, error_number: int) -> None:
        sealed = entry.sealing or entry.content is not None
        if sealed and entry.immutable:
            raise PublishedImmutable(
                f"{entry.path}: is finished and immutable; write a new version",
                errno=error_number,
            )

    def _new_entry(
        self, serial: int, path: str, kind: Kind, mode: int, uid: int, gid: int
    ) -> SpoolEntry:
        now = now_ns()
        return SpoolEntry(
            serial=serial,
            path=path,
            kind=kind,
            mode=mode & 0o7777,
            uid=uid,
            gid=gid,
            mtime_ns=now,
            ctime_ns=now,
            atime_ns=now,
        )

    async def _in_lane(self, path: str, call: Callable[..., int], *arguments: object) -> int:
        try:
            return await self.core.lane.run(call, *arguments)
        except OSError as error:
            raise translated(path, error) from error
