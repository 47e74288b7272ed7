"""Names: how entries are moved, dropped and handed over, and the rules for that.

Names change under a claim of their paths and the locks of their entries, in memory only after the
journal has them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import trio

from shotfs.errors import (
    CrossDevice,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NameNotEncodable,
    NotADirectory,
    PathNotFound,
    PublishedImmutable,
    Stale,
)
from shotfs.publish import provenance, rows
from shotfs.publish.begun import give_up
from shotfs.publish.core import Core, now_ns
from shotfs.publish.entry import Content, Kind, OriginObject, PublishTerms, SpoolEntry
from shotfs.publish.states import State

TermsOf = Callable[[str], PublishTerms | None]
"""From the new path of a file to the terms under which it is published there."""


async def rename(core: Core, old: str, new: str, terms_of: TermsOf) -> None:
    """Move *old* with what is below it to *new*; see `Spool.rename`."""
    check_encodable(new)
    if new.startswith(old + "/"):
        raise InvalidArgument(f"{old}: cannot become {new}, which is below it")
    async with core.claims.hold(old, new), AsyncExitStack() as locks:
        entry = existing(core, old)
        replaced = core.table.get(new)
        if entry is replaced:
            return
        _check_kinds(core, entry, replaced, new)
        moving = [entry, *(core.table.below(old) if entry.kind is Kind.DIRECTORY else ())]
        held = moving if replaced is None else [*moving, replaced]
        # In the order of serials, as everybody who takes more than one.
        for one in sorted(held, key=lambda one: one.serial):
            await locks.enter_async_context(one.lock)
        for one in held:
            still_named(one)
        for one in moving:
            await _check_movable(one)
            await core.end_pristine(one)
        if replaced is not None:
            await check_removable(replaced, errno.EEXIST)
            if entry.kind is Kind.FILE and entry.state is State.OPEN and not entry.damaged:
                # Else a power loss could leave neither the old content nor the new.
                await core.persist(entry, closing=False)
        plan = []
        for one in moving:
            path = new + one.path[len(old) :]
            terms = terms_of(path) if one.kind is Kind.FILE else None
            plan.append(_plan(core, one, path, terms, replaced if one is entry else None))
        await _move(core, plan, replaced)


@dataclass(slots=True)
class _Move:
    """What becomes of one entry: its new path, and under which terms it is published there."""

    entry: SpoolEntry
    path: str
    terms: PublishTerms | None
    tried: tuple[Content, ...]
    delete_after: tuple[OriginObject, ...]


def _plan(
    core: Core,
    entry: SpoolEntry,
    path: str,
    terms: PublishTerms | None,
    replaced: SpoolEntry | None,
) -> _Move:
    terms, tried = taken_over(core, path, terms, replaced)
    if terms is not None and entry.terms is not None:
        terms = provenance.moved(entry.terms, terms)
    objects = [*entry.delete_after, *(() if replaced is None else replaced.delete_after)]
    if entry.origin_object is not None:
        objects.append(entry.origin_object)
    return _Move(entry, path, terms, tried, tuple(one for one in objects if one.path != path))


def taken_over(
    core: Core, path: str, terms: PublishTerms | None, replaced: SpoolEntry | None = None
) -> tuple[PublishTerms | None, tuple[Content, ...]]:
    """Return *terms* with the object that the new file at *path* will replace, and what was tried.

    Only the spool can tell: the caller looked before the upload was stopped, and does not see
    an object that is to go because its file was renamed.
    """
    if terms is None or terms.immutable or terms.scratch:
        return terms, ()
    if replaced is not None and replaced.publishable:
        known = replaced.origin_object
    else:
        renamed = core.table.renamed_away(path)
        known = next(iter(renamed.values()), None)
        if known is None:
            return terms, ()
    base, tried = (None, ()) if known is None else (known.revision, known.tried)
    return replace(terms, base=base), tried


async def _move(core: Core, plan: list[_Move], replaced: SpoolEntry | None) -> None:
    statements = [
        rows.moved(one.entry.serial, one.path, one.terms, one.tried, one.delete_after)
        for one in plan
        if one.entry.journalled
    ]
    if replaced is not None and leaves_data(replaced):
        statements[:0] = rows.removed(replaced.serial)
    with trio.CancelScope(shield=True):
        if statements:
            await core.journal.commit(*statements)
        if replaced is not None:
            await drop(core, replaced)
        for one in plan:
            core.table.discard(one.entry)
        for one in plan:
            entry = one.entry
            entry.path, entry.terms, entry.tried = one.path, one.terms, one.tried
            if entry.begun is not None and not entry.begun.fits(one.terms):
                give_up(core, entry)
            core.table.set_delete_after(entry, one.delete_after)
            entry.ctime_ns = now_ns()
            core.table.add(entry)
            core.table.notify(entry)


async def _check_movable(entry: SpoolEntry) -> None:
    await check_removable(entry)
    if entry.state is State.PUBLISHED:
        raise CrossDevice(f"{entry.path}: is in the origin; copy it and delete it")


def _check_kinds(core: Core, entry: SpoolEntry, replaced: SpoolEntry | None, new: str) -> None:
    if replaced is None:
        return
    if entry.kind is Kind.DIRECTORY and replaced.kind is not Kind.DIRECTORY:
        raise NotADirectory(f"{new}: is not a directory")
    if entry.kind is not Kind.DIRECTORY and replaced.kind is Kind.DIRECTORY:
        raise IsADirectory(f"{new}: is a directory")
    if replaced.kind is Kind.DIRECTORY and core.table.has_children(new):
        raise DirectoryNotEmpty(f"{new}: is not empty")


async def check_removable(entry: SpoolEntry, error_number: int = errno.EPERM) -> None:
    """Refuse for immutable ones that may be in the origin; stop the upload of mutable ones."""
    if entry.immutable and entry.perhaps_in_origin:
        raise PublishedImmutable(
            f"{entry.path}: is, or may be, in the origin already", errno=error_number
        )
    if entry.upload is not None:
        entry.upload.scope.cancel()
        await entry.upload.done.wait()


def leaves_data(entry: SpoolEntry) -> bool:
    """Whether a crash after *entry* has lost its name would leave something of it to be found.

    The record, or the data of a file that somebody has open still: nobody's output any more.
    """
    return entry.journalled or (entry.kind is Kind.FILE and entry.open_handles > 0)


async def drop(core: Core, entry: SpoolEntry) -> None:
    """Take the name away, as the journal knows; the data goes now, or with the last handle."""
    entry.journalled = leaves_data(entry)
    core.take_name(entry)
    if entry.kind is Kind.FILE and entry.open_handles == 0:
        await core.remove_data(entry)


def hand_over(core: Core, entry: SpoolEntry, writer: provenance.Writer | None) -> None:
    """Let a file be the output of *writer* from now on; None: of nobody else. Needs its lock."""
    if writer is None or entry.terms is None:
        return
    terms = provenance.written_by(entry.terms, writer)
    if terms != entry.terms:
        entry.terms = terms
        if entry.journalled:
            core.journal.post(rows.terms_changed(entry))


def existing(core: Core, path: str) -> SpoolEntry:
    """Return what stands under *path*.

    Raises:
        PathNotFound: nothing does.
    """
    entry = core.table.get(path)
    if entry is None:
        raise PathNotFound(f"{path}: nothing was made here under this name")
    return entry


def check_encodable(path: str) -> None:
    """Return if an object can have *path* in its name.

    Raises:
        NameNotEncodable: it cannot.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise NameNotEncodable(f"{path!a}: is not UTF-8, no object can have this name") from error


def still_named(entry: SpoolEntry) -> None:
    """Return if *entry* did not lose its name while its lock was waited for.

    Raises:
        Stale: it was published and left, or nobody had changed it; look the path up again.
    """
    if entry.unlinked:
        raise Stale(f"{entry.path}: is not in the spool any more; look it up again")
