"""Safety: the answer to "is my frame safe?" for any path.

Safe means: the origin has it, and said so just now. Anything else is told as what it is. Asks the
origin of a file once, for a short time. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import trio

from shotfs.cache import Cache
from shotfs.errors import ObjectNotFound, ShotfsError
from shotfs.namespace import TierPool
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool, SpoolEntry, State
from shotfs.publish.sealing import awaited
from shotfs.publish.table import unpublished
from shotfs.tiers.base import Revision
from shotfs.vfs.conflicts import wanted_path
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Alias, Directory, Missing, Published, Spooled
from shotfs.vfs.path_reports import PathReports, Permission

ASK_S = 5.0
"""How long the origin may take to say that it has a file."""


@dataclass(frozen=True, slots=True)
class Safety:
    """Whether a file is safe, and where it is on its way.

    Attributes:
        path: mount-relative.
        safe: the origin has it, and said so just now.
        state: published; quarantined, failed, partial; uploading, sealed, closed, open, unfinished,
            scratch; local (symbolic links); directory, alias, missing, impossible; unknown where
            the origin does not answer.
        says: the same in a sentence.
        serial: of the output in this node's spool; None: there is none.
        size_bytes: None where there is nothing.
        digest: None where it is not known, or not to be told.
        verified: its bytes were hashed on this node.
        mtime_ns: of the content, nanoseconds since the epoch.
        origin: URL of the object, there or to be.
        version: generation or ETag of the object that the origin has.
        sent_bytes: how much of it the origin has of an upload that is not done.
        recorded: provenance, as whoever wrote it recorded it.
        emergency: where a copy lies that was made because this node had to go.
        error: why it is not there.
        aside: serials of outputs of this path that are kept aside here: conflicts, partial ones.
    """

    path: str
    safe: bool
    state: str
    says: str
    serial: int | None = None
    size_bytes: int | None = None
    digest: str | None = None
    verified: bool = False
    mtime_ns: int | None = None
    origin: str | None = None
    version: str | None = None
    sent_bytes: int | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)
    emergency: str | None = None
    error: str | None = None
    aside: tuple[int, ...] = ()


class SafetyReports:
    """Says whether files are safe.

    Args:
        finder: what lies under a path.
        reports: knows who may ask.
        cache: knows which bytes were hashed here.
        spool: outputs of this node.
        tiers: the origins.
    """

    def __init__(
        self,
        finder: NodeFinder,
        reports: PathReports,
        *,
        cache: Cache,
        spool: Spool,
        tiers: TierPool,
    ) -> None:
        self._finder = finder
        self._reports = reports
        self._cache = cache
        self._spool = spool
        self._tiers = tiers

    def has_lost(self, path: str) -> bool:
        """Whether an output of this node lost the race for *path*, and is kept in quarantine."""
        return any(
            entry.state is State.QUARANTINED and wanted_path(entry) == path
            for entry in self._spool.aside()
        )

    async def of(self, path: str, *, may_search: Permission, may_read: Permission) -> Safety:
        """Return whether what lies under *path* is safe.

        Args:
            path: mount-relative.
            may_search: whether who asks may look names up in a directory.
            may_read: whether he may read a file: only then he is told its digest and who wrote it.

        Raises:
            NotPermitted: who asks may not search a directory above it.
        """
        self._reports.check_way(path, may_search)
        aside = [entry for entry in self._spool.aside() if wanted_path(entry) == path]
        found = await self._found(path, may_read)
        return _with_aside(found, sorted(aside, key=lambda entry: entry.serial))

    async def _found(self, path: str, may_read: Permission) -> Safety:
        problem = f"its origin did not answer within {ASK_S:g} s"
        try:
            with trio.move_on_after(ASK_S):
                node = await self._finder.find(path)
                if isinstance(node, Spooled):
                    readable = may_read(self._finder.spooled_attributes(node.entry))
                    return _spooled(node.entry, readable=readable)
                if isinstance(node, Published):
                    return await self._published(node, may_read)
                if isinstance(node, Directory):
                    return self._directory(path)
                if isinstance(node, Alias):
                    target = node.pointer.target
                    return Safety(path, True, "alias", f"a version alias that points to {target}")
                return _missing(node)
        except ShotfsError as error:
            problem = error.message
        return Safety(path, False, "unknown", f"nobody can tell now: {problem}", error=problem)

    async def _published(self, node: Published, may_read: Permission) -> Safety:
        tier = await self._tiers.get(node.resolution.template.policy.origin)
        known = node.entry.revision
        try:
            now = await tier.stat(known.key)
        except ObjectNotFound:
            return Safety(
                node.path, False, "missing", "the origin had it, and has it no more",
                size_bytes=known.size_bytes, version=known.version,
            )  # fmt: skip
        told = Safety(
            node.path, True, "published", "in the origin",
            size_bytes=now.size_bytes, mtime_ns=now.mtime_ns,
            origin=f"{tier.name}/{now.key}", version=now.version,
        )  # fmt: skip
        if node.immutable and now.version != known.version:
            changed = "in the origin, but it was replaced there behind everybody's back"
            told = replace(told, safe=False, state="changed", says=changed)
        if may_read(self._finder.published_attributes(node)):
            digest = await self._cache.digest_of(now)
            told = replace(
                told,
                digest=digest or now.checksums.xxh128,
                verified=digest is not None,
                recorded=await tier.recorded(now),
            )
        return told

    def _directory(self, path: str) -> Safety:
        """Answer for everything below that this node wrote: what others wrote it cannot know."""
        below = [
            entry
            for entry in (*self._spool.entries(), *self._spool.aside())
            if _is_below(wanted_path(entry), path)
            and (unpublished(entry) or entry.place != "files")
        ]
        if not below:
            says = "a directory; everything that this node wrote below it is in the origin"
            return Safety(path, True, "directory", says)
        size = sum(entry.size_bytes for entry in below)
        verb = "output below it is" if len(below) == 1 else "outputs below it are"
        says = f"a directory; {len(below)} {verb} not in the origin"
        return Safety(path, False, "directory", says, size_bytes=size)


def _spooled(entry: SpoolEntry, *, readable: bool) -> Safety:
    state, says = state_of(entry)
    url = None
    if entry.publishable and entry.terms is not None:
        url = f"{entry.terms.origin.rstrip('/')}/{entry.terms.key}"
    revision: Revision | None = entry.revision
    copies = [f"{one.url}/{one.key}" for one in entry.emergency if one.done]
    return Safety(
        entry.path,
        state == "published",
        state,
        says,
        serial=entry.serial,
        size_bytes=entry.size_bytes,
        digest=entry.digest if readable else None,
        verified=readable and entry.digest is not None,
        mtime_ns=entry.mtime_ns,
        origin=url,
        version=None if revision is None else revision.version,
        sent_bytes=entry.size_bytes - entry.remaining_bytes if entry.upload is not None else None,
        recorded=dict(entry.terms.metadata) if readable and entry.terms is not None else {},
        emergency=copies[0] if copies else None,
        error=entry.error,
    )


def state_of(entry: SpoolEntry) -> tuple[str, str]:
    """Return a word and a sentence for how far *entry* is."""
    if entry.kind is not EntryKind.FILE:
        return "local", f"a {entry.kind} of this node; objects have none"
    if entry.scratch:
        return "scratch", "a scratch file: it stays on this node and is never published"
    if entry.pristine:
        return "published", "in the origin; somebody has it open for writing and changed nothing"
    if entry.state is State.OPEN:
        return _open_state(entry)
    sent = entry.size_bytes - entry.remaining_bytes
    percent = f"{100 * sent // entry.size_bytes} % of it is there" if sent > 0 else "just begun"
    sentences = {
        State.SEALED: "finished and hashed on this node; it waits for its upload",
        State.UPLOADING: f"on its way to the origin: {percent}",
        State.PUBLISHED: "in the origin, verified",
        State.QUARANTINED: "the origin has other bytes under this path; these are kept here",
        State.FAILED: "not published before somebody does something",
    }
    return entry.state.value, sentences[entry.state]


def _open_state(entry: SpoolEntry) -> tuple[str, str]:
    if entry.writers:
        who = "a process has" if entry.writers == 1 else f"{entry.writers} openings have"
        return "open", f"{who} it open for writing; only what was closed is on this node's disk"
    if entry.damaged is not None:
        return "failed", "a write was not stored, so it is not whole"
    if entry.half_written:
        return "unfinished", "written on and never closed since; it is not published like that"
    wait = awaited(entry)
    what = "the seal after its grace" if wait is None else str(wait)
    return "closed", f"closed and on this node's disk only; it waits for {what}"


def _missing(node: Missing) -> Safety:
    if node.possible:
        return Safety(node.path, False, "missing", "there is no such file, here or in the origin")
    return Safety(node.path, False, "impossible", "no template can produce this path")


def _with_aside(found: Safety, aside: list[SpoolEntry]) -> Safety:
    """Let outputs of the same path that are kept aside have their say."""
    if not aside:
        return found
    found = replace(found, aside=tuple(entry.serial for entry in aside))
    lost = [entry for entry in aside if entry.state is State.QUARANTINED]
    if lost:
        ours, others = lost[-1], "; the origin has other bytes" if found.safe else ""
        says = f"what this node wrote lost a race and is kept in quarantine here{others}"
        return replace(
            found, safe=False, state="quarantined", says=says, serial=ours.serial,
            size_bytes=ours.size_bytes, digest=None, verified=False, mtime_ns=ours.mtime_ns,
            version=None, recorded={}, error=ours.error,
        )  # fmt: skip
    if found.state != "missing":
        return found  # written again since
    newest = aside[-1]
    return replace(
        found, state="partial", says="its writer died before it closed it; what there is, is kept",
        serial=newest.serial, size_bytes=newest.size_bytes, error=newest.error,
    )  # fmt: skip


def _is_below(path: str, directory: str) -> bool:
    return not directory or path.startswith(f"{directory}/")
