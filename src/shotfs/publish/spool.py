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
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

import trio

from shotfs.digest import Digest
from shotfs.errors import (
    CrossDevice,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NameNotEncodable,
    NotADirectory,
    PathExists,
    PathNotFound,
    PublishedImmutable,
    Stale,
)
from shotfs.publish import rows
from shotfs.publish.claims import Claims
from shotfs.publish.core import Core, now_ns, translated
from shotfs.publish.data_files import create_data, open_data
from shotfs.publish.entry import Kind, PublishTerms, SpoolEntry
from shotfs.publish.spool_file import SpoolFile
from shotfs.publish.states import State

TermsOf = Callable[[str], PublishTerms | None]
"""From the new path of a file to the terms under which it is published there."""


class Spool:
    """The open spool; made by `open_spool`. Paths are mount-relative, ``<show>/<path>``."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._claims = Claims()

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
        _check_encodable(path)
        async with self._claims.hold(path):
            self._check_free(path)
            entry = self._new_entry(await self.core.new_serial(), path, Kind.FILE, mode, uid, gid)
            entry.terms = terms
            with trio.CancelScope(shield=True):
                descriptor = await self._in_disk_thread(
                    path, create_data, self.core.data_path(entry), path
                )
                entry.dirty = True
                self.core.table.add(entry)
                file = SpoolFile(self.core, entry, descriptor, writable=True)
        return file

    async def open(self, entry: SpoolEntry, *, writable: bool) -> SpoolFile:
        """Return a handle of a file.

        A writable handle of a sealed mutable file is fine: the first write reopens it.

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
        self._check_reopenable(entry)
        async with entry.lock:
            self._check_reopenable(entry)
            return await self._open_data(entry, writable=True)

    async def _open_data(self, entry: SpoolEntry, *, writable: bool) -> SpoolFile:
        if entry.unlinked:
            raise Stale(f"{entry.path}: is not in the spool any more; look it up again")
        entry.open_handles += 1  # so that the data cannot leave while the thread opens it
        try:
            with trio.CancelScope(shield=True):
                descriptor = await self._in_disk_thread(
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
        _check_encodable(path)
        async with self._claims.hold(path):
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

    async def unlink(self, path: str) -> None:
        """Remove a file or symlink; durable when it returns. Open handles keep the content.

        Raises:
            PathNotFound, IsADirectory.
            PublishedImmutable: immutable, and its object is or may be in the origin (EPERM).
            SpoolFull, SpoolBroken: the journal; the file is still there.
        """
        async with self._claims.hold(path):
            entry = self._existing(path)
            if entry.kind is Kind.DIRECTORY:
                raise IsADirectory(f"{path}: is a directory")
            async with entry.lock:
                await self._check_removable(entry)
                with trio.CancelScope(shield=True):
                    if entry.journalled:
                        await self.core.journal.commit(*rows.removed(entry.serial))
                    await self._drop(entry)

    async def rmdir(self, path: str) -> None:
        """Remove a directory made here; durable when it returns.

        Raises:
            PathNotFound, NotADirectory, SpoolFull, SpoolBroken.
            DirectoryNotEmpty: something made here is in it. What the origin has is the caller's.
        """
        async with self._claims.hold(path):
            entry = self._existing(path)
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
        await self._rename(old, new, lambda _path: terms)

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
        await self._rename(old, new, terms_of)

    async def _rename(self, old: str, new: str, terms_of: TermsOf) -> None:
        _check_encodable(new)
        if new.startswith(old + "/"):
            raise InvalidArgument(f"{old}: cannot become {new}, which is below it")
        async with self._claims.hold(old, new), AsyncExitStack() as locks:
            entry = self._existing(old)
            replaced = self.core.table.get(new)
            if entry is replaced:
                return
            self._check_kinds(entry, replaced, new)
            moving = [entry, *(self.core.table.below(old) if entry.kind is Kind.DIRECTORY else ())]
            held = moving if replaced is None else [*moving, replaced]
            # In the order of serials, as everybody who takes more than one.
            for one in sorted(held, key=lambda one: one.serial):
                await locks.enter_async_context(one.lock)
            for one in moving:
                await self._check_movable(one)
            if replaced is not None:
                await self._check_removable(replaced, errno.EEXIST)
                if entry.kind is Kind.FILE and entry.state is State.OPEN and not entry.damaged:
                    # Else a power loss could leave neither the old content nor the new.
                    await self.core.persist(entry, closing=False)
            plan = [
                (one, path, terms_of(path) if one.kind is Kind.FILE else None)
                for one in moving
                for path in (new + one.path[len(old) :],)
            ]
            await self._move(plan, replaced)

    async def _move(
        self, plan: list[tuple[SpoolEntry, str, PublishTerms | None]], replaced: SpoolEntry | None
    ) -> None:
        statements = [
            rows.moved(entry.serial, path, terms) for entry, path, terms in plan if entry.journalled
        ]
        if replaced is not None and replaced.journalled:
            statements[:0] = rows.removed(replaced.serial)
        with trio.CancelScope(shield=True):
            if statements:
                await self.core.journal.commit(*statements)
            if replaced is not None:
                await self._drop(replaced)
            for entry, _, _ in plan:
                self.core.table.discard(entry)
            for entry, path, terms in plan:
                entry.path, entry.terms, entry.attempted = path, terms, None
                entry.ctime_ns = now_ns()
                self.core.table.add(entry)
                self.core.table.notify(entry)

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
            PublishedImmutable: sealed under an immutable template (EPERM).
            SpoolFull, SpoolBroken: the journal; nothing changed.
        """
        async with entry.lock:
            if entry.immutable and entry.state not in (State.OPEN, State.FAILED):
                raise PublishedImmutable(f"{entry.path}: is sealed; its attributes are fixed")
            mode = entry.mode if mode is None else mode & 0o7777
            uid = entry.uid if uid is None else uid
            gid = entry.gid if gid is None else gid
            mtime_ns = entry.mtime_ns if mtime_ns is None else mtime_ns
            ctime_ns = now_ns()
            with trio.CancelScope(shield=True):
                if entry.journalled and not entry.unlinked:
                    await self.core.journal.commit(
                        rows.attributes_changed(
                            entry.serial,
                            mode=mode,
                            uid=uid,
                            gid=gid,
                            mtime_ns=mtime_ns,
                            ctime_ns=ctime_ns,
                        )
                    )
                entry.mode, entry.uid, entry.gid = mode, uid, gid
                entry.mtime_ns, entry.ctime_ns = mtime_ns, ctime_ns
                entry.atime_ns = entry.atime_ns if atime_ns is None else atime_ns

    async def forget(self, path: str) -> None:
        """Drop a published file that nobody has open, or a directory made here.

        For a directory: something was published in it, so the origin shows it now. Nothing
        happens when there is no such entry or when it is not ready to go.
        """
        entry = self.core.table.get(path)
        if entry is None:
            return
        async with entry.lock:
            if entry.unlinked or entry.open_handles:
                return
            if entry.kind is Kind.DIRECTORY:
                self.core.journal.post(rows.forgotten(entry.serial))
                self.core.table.discard(entry)
                entry.unlinked = True
            elif entry.state is State.PUBLISHED:
                with trio.CancelScope(shield=True):
                    await self.core.journal.commit(*rows.removed(entry.serial))
                    await self._drop(entry)

    async def digest(self, entry: SpoolEntry) -> Digest:
        """Return the digest of what *entry* holds now; reads the whole file if it is not sealed.

        Raises:
            SpoolBroken: the disk.
        """
        async with entry.lock:
            content = entry.content or await self.core.hash_content(entry)
        assert content.checksums.xxh128 is not None
        return content.checksums.xxh128

    async def quarantine(self, entry: SpoolEntry, message: str) -> None:
        """Keep a file that may not be published; its name is free when this returns.

        Args:
            entry: an open, sealed or failed file; open handles keep working.
            message: why, for the queue.

        Raises:
            SpoolFull, SpoolBroken: the journal; the file is still there under its name.
        """
        async with self._claims.hold(entry.path), entry.lock:
            await self._check_removable(entry)
            await self.core.quarantine(entry, message)

    async def expire(self, before_ns: int) -> None:
        """Remove what nobody touched since *before_ns* and nobody wants.

        These are scratch files that are not open, and files of dead processes that are kept aside.

        Raises:
            SpoolFull, SpoolBroken: the journal.
        """
        for entry in list(self.entries()):
            touched_ns = max(entry.mtime_ns, entry.ctime_ns)
            if entry.scratch and entry.open_handles == 0 and touched_ns < before_ns:
                with contextlib.suppress(PathNotFound):  # somebody else was faster
                    await self.unlink(entry.path)
        for entry in list(self.aside()):
            if entry.state is State.FAILED and entry.ctime_ns < before_ns:
                with trio.CancelScope(shield=True):
                    await self.core.journal.commit(*rows.removed(entry.serial))
                    self.core.table.discard_aside(entry)
                    await self.core.remove_data(entry)

    # --- rules -----------------------------------------------------------------------------------

    async def _drop(self, entry: SpoolEntry) -> None:
        """Take the name away; the data goes now, or with the last handle."""
        self.core.table.discard(entry)
        entry.unlinked = True
        entry.ctime_ns = now_ns()
        if entry.kind is Kind.FILE and entry.open_handles == 0:
            await self.core.remove_data(entry)

    def _existing(self, path: str) -> SpoolEntry:
        entry = self.core.table.get(path)
        if entry is None:
            raise PathNotFound(f"{path}: nothing was made here under this name")
        return entry

    def _check_free(self, path: str) -> None:
        if self.core.table.get(path) is not None:
            raise PathExists(f"{path}: exists")

    def _check_reopenable(self, entry: SpoolEntry) -> None:
        sealed = entry.sealing or entry.content is not None
        if sealed and entry.immutable:
            raise PublishedImmutable(
                f"{entry.path}: is finished and immutable; write a new version", errno=errno.EEXIST
            )

    async def _check_removable(self, entry: SpoolEntry, error_number: int = errno.EPERM) -> None:
        """Refuse for immutable ones that may be in the origin; stop the upload of mutable ones."""
        if entry.immutable and entry.perhaps_in_origin:
            raise PublishedImmutable(
                f"{entry.path}: is, or may be, in the origin already", errno=error_number
            )
        if entry.upload is not None:
            entry.upload.scope.cancel()
            await entry.upload.done.wait()

    async def _check_movable(self, entry: SpoolEntry) -> None:
        await self._check_removable(entry)
        if entry.state is State.PUBLISHED:
            raise CrossDevice(f"{entry.path}: is in the origin; copy it and delete it")

    def _check_kinds(self, entry: SpoolEntry, replaced: SpoolEntry | None, new: str) -> None:
        if replaced is None:
            return
        if entry.kind is Kind.DIRECTORY and replaced.kind is not Kind.DIRECTORY:
            raise NotADirectory(f"{new}: is not a directory")
        if entry.kind is not Kind.DIRECTORY and replaced.kind is Kind.DIRECTORY:
            raise IsADirectory(f"{new}: is a directory")
        if replaced.kind is Kind.DIRECTORY and self.core.table.has_children(new):
            raise DirectoryNotEmpty(f"{new}: is not empty")

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

    async def _in_disk_thread(self, path: str, call: Callable[..., int], *arguments: object) -> int:
        try:
            return await trio.to_thread.run_sync(call, *arguments, limiter=self.core.disk)
        except OSError as error:
            raise translated(path, error) from error


def _check_encodable(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise NameNotEncodable(f"{path!a}: is not UTF-8, no object can have this name") from error
