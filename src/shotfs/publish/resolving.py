"""What people do with outputs that are kept aside: publish them under another name, or drop them.

Nothing here replaces anything: a conflict ends because ours gets a name of its own, or goes.
"""

from __future__ import annotations

import os

import trio

from shotfs.errors import OutputBusy, PathExists, ShotfsError, SpoolBroken, Stale
from shotfs.publish import rows
from shotfs.publish.core import Core, translated
from shotfs.publish.data_files import keeps_writers
from shotfs.publish.entry import PublishTerms, SpoolEntry
from shotfs.publish.names import check_encodable
from shotfs.publish.states import Event, State


async def release(core: Core, entry: SpoolEntry, path: str, terms: PublishTerms) -> None:
    """Give a quarantined output the free name *path*, under which it is published like any other.

    It is hashed again first: what lay in quarantine must still be what its writer closed. Durable
    when it returns. Of a crash in between, recovery finds it in quarantine or under its new name.

    Raises:
        PathExists: something stands under *path*.
        Stale: it is not in quarantine any more.
        OutputBusy: somebody can still write it.
        SpoolBroken, SpoolFull: the disk; it stays in quarantine.
    """
    check_encodable(path)
    async with core.claims.hold(path), entry.lock:
        if entry.state is not State.QUARANTINED or not core.table.is_aside(entry):
            raise Stale(f"output {entry.serial}: is not in quarantine any more")
        if core.table.get(path) is not None:
            raise PathExists(f"{path}: exists")
        await _check_unwritten(core, entry)
        content = await core.hash_content(entry)
        if entry.content is not None and content != entry.content:
            raise SpoolBroken(
                f"output {entry.serial}: its data in quarantine is not what {entry.path} was:"
                f" digest {content.checksums.xxh128}, it was sealed with {entry.digest}",
                fix="look at the disk of the spool; `shotfs publish conflicts save` copies it out",
            )
        before = entry.path, entry.terms, entry.content, entry.tried, entry.error, entry.rival
        kept = core.data_path(entry)
        with trio.CancelScope(shield=True):
            core.table.apply(entry, Event.RELEASE)
            released = core.data_path(entry)
            moved = False
            try:
                # First the file, then the row: recovery puts the file of a quarantined row back.
                await _move(core, entry.path, kept, released)
                moved = True
                entry.path, entry.terms, entry.content = path, terms, content
                entry.tried, entry.error, entry.rival = (), None, None
                await core.journal.commit(
                    rows.moved(entry.serial, path, terms, (), ()), rows.state_changed(entry)
                )
            except ShotfsError:
                (
                    entry.path, entry.terms, entry.content, entry.tried, entry.error, entry.rival,
                ) = before  # fmt: skip
                core.table.restore(entry, State.QUARANTINED)
                if moved:
                    await _move(core, entry.path, released, kept)
                raise
            core.table.discard_aside(entry)
            entry.attempts = 0
            entry.retry_at = None
            core.table.add(entry)
            core.table.notify(entry)


async def _check_unwritten(core: Core, entry: SpoolEntry) -> None:
    busy = entry.writers > 0
    if not busy and entry.lent_stamp is not None:
        busy = await trio.to_thread.run_sync(
            keeps_writers, core.data_path(entry), limiter=core.disk
        )
    if busy:
        raise OutputBusy(f"output {entry.serial}: a process has it open or mapped for writing")


async def _move(core: Core, path: str, source: str, target: str) -> None:
    try:
        await trio.to_thread.run_sync(os.rename, source, target, limiter=core.disk)
    except OSError as error:
        raise translated(path, error) from error


async def discard(core: Core, entry: SpoolEntry) -> None:
    """Remove an output that is kept aside, for good; durable when it returns.

    Raises:
        Stale: it is not kept aside any more.
        SpoolFull, SpoolBroken: the journal; it is still there.
    """
    async with entry.lock:
        if not core.table.is_aside(entry):
            raise Stale(f"output {entry.serial}: is not kept aside any more")
        with trio.CancelScope(shield=True):
            await core.journal.commit(*rows.removed(entry.serial))
            core.table.discard_aside(entry)
            entry.unlinked = True
            if entry.open_handles == 0:
                await core.remove_data(entry)
