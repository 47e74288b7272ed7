"""What the spool knows of one name: plain data, no I/O.

An entry is shared by everything that runs in the event loop and is never handed to a thread.
Fields are changed by the spool and the publisher only; everybody else reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any

import trio

from shotfs.digest import Checksums, Digest
from shotfs.errors import ShotfsError
from shotfs.pathspec.model import SealOn
from shotfs.publish.states import State
from shotfs.tiers.base import Revision, Span

if TYPE_CHECKING:
    from shotfs.publish.attempts import Attempt, Failure
    from shotfs.publish.begun import Begun
    from shotfs.publish.rival import Rival

TRIED_MAX = 16
"""So many contents of one file are remembered whose uploads gave no answer, one after another."""


class Kind(StrEnum):
    """What stands under a name."""

    FILE = auto()
    SYMLINK = auto()
    DIRECTORY = auto()


@dataclass(frozen=True, slots=True)
class PublishTerms:
    """Under which terms a file leaves the spool; decided by the policy of its template.

    Attributes:
        template: name of the template that produces the path.
        origin: root URL of the tier of record.
        key: object key below that root.
        scratch: stays here, is never sealed or published.
        immutable: create-only; once sealed nothing changes it.
        rewrite_compare: a finished file renamed onto a published one is compared, not refused.
        durability_origin: close answers when the object is in the origin.
        grace_s: seconds between the last release and the seal.
        seal: what else it waits for (`sealing`).
        renamed: it got its name by a rename, or stands for what is published under it.
        job: the render job of whoever created it or opened it for writing last; "": in no job;
            None: that could not be told.
        uid: that user; None where nobody is known.
        released: its job has ended, it does not wait for that any more.
        base: the revision that a mutable file was opened from; the upload replaces exactly that
            one. None creates.
        metadata: provenance for the object, small ASCII strings.
        version: path below *origin* of the version directory that it lies in, where that is
            published as a whole; "" elsewhere. Once that is sealed nothing is uploaded any more.
        priority: of outputs that wait, the higher goes first.
    """

    template: str
    origin: str
    key: str
    scratch: bool = False
    immutable: bool = True
    rewrite_compare: bool = False
    durability_origin: bool = False
    grace_s: float = 0.0
    seal: SealOn = SealOn.CLOSE
    renamed: bool = False
    job: str | None = None
    uid: int | None = None
    released: bool = False
    base: Revision | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes by their size and checksums: what was sealed, or what an upload tried to store."""

    size_bytes: int
    checksums: Checksums


@dataclass(frozen=True, slots=True)
class OriginObject:
    """An object that goes when a name goes.

    Attributes:
        path: mount-relative name under which it shows.
        origin: root URL of its tier.
        key: below that root.
        revision: what it is as far as we know; None where no answer told us.
        tried: what it may be instead: contents whose uploads gave no answer.
        version: as of `PublishTerms`: in a sealed version nothing is removed.
    """

    path: str
    origin: str
    key: str
    revision: Revision | None
    tried: tuple[Content, ...] = ()
    version: str = ""

    def may_be(self, revision: Revision) -> bool:
        """Whether *revision* is, or by its size could be, this object."""
        sizes = [content.size_bytes for content in self.tried]
        return revision == self.revision or revision.size_bytes in sizes


@dataclass(frozen=True, slots=True)
class EmergencyCopy:
    """A copy that was made, or begun, because this node had to go (`publish.emergency`).

    Attributes:
        url: root URL of the emergency place.
        key: of the data below it; the record's is the same and ``.json``.
        path: of the output when it was copied.
        done: the record is there, so the copy is whole; else some of it may be there.
    """

    url: str
    key: str
    path: str
    done: bool


@dataclass(slots=True, eq=False)
class Upload:
    """An upload that is running now.

    Attributes:
        scope: cancel it to stop the upload; the put may or may not have happened.
        done: set when nothing of it runs any more.
        rival: what the origin had in our place, when that ended it.
    """

    scope: trio.CancelScope
    done: trio.Event
    rival: Rival | None = None


@dataclass(slots=True, eq=False, repr=False)
class SpoolEntry:
    """One file, symlink or directory that was made here.

    Attributes:
        serial: unique for ever in this spool; data files and inode numbers are named by it.
        path: mount-relative, ``<show>/<path>``. For a file of a dead process that no record
            names: the path under which it was created, or "" where that is unknown.
        kind: file, symlink or directory.
        mode: permission bits, without the file type.
        uid: owner.
        gid: group.
        mtime_ns: last change of the content, nanoseconds since the epoch.
        ctime_ns: last change of anything.
        atime_ns: what utime set; reads do not move it.
        state: see `State`.
        size_bytes: length of the content (0 for directories; of the target for symlinks).
        target: what a symlink says; None for others. Undecodable bytes are surrogate escapes.
        terms: how a file is published; None for symlinks and directories.
        content: size and checksums of the sealed content; None before the seal.
        tried: contents that earlier uploads may have stored in the origin, oldest first.
        revision: the object that the content became; None before it is published.
        delete_after: objects under its earlier names, which go after it is published under this
            one (at once, if it never will be). Changed by `Table.set_delete_after` only.
        emergency: copies of it in emergency places; they go when it is published.
        error: why it is quarantined or failed, or why the last upload did not succeed.
        rival: what the origin has in its place, if it is quarantined for that.
        begun: a large upload of it that the store may know of; the next attempt goes on with it.
        arrived_bytes: how much of it the store has, as far as this process was told.
        attempts: uploads begun since the seal or the start.
        history: how uploads of it ended since the start, oldest first; bounded.
        told: the failure that somebody outside was told of last.
        open_handles: handles of all kinds.
        writers: handles that may write.
        lent: handles through which the kernel reads and writes without us (`lending`).
        lent_stamp: size in bytes and mtime of the data file when it was measured last; None if
            the kernel never wrote it by itself.
        inherited: from an earlier service, and nobody changed it through this one.
        journalled: the journal has a row for it.
        clean: that row says: closed, nothing written since. The next write changes it first.
        closed_once: that row said so at some time: somebody was told that it is safe.
        dirty: written since the last fsync.
        written: written since the last flush, whether it was synced since or not.
        damaged: hull of the bytes that a failed write did not store; None when all is well.
        problem: the error of the first of those writes.
        pristine: a copy of a published file that nobody has changed; goes with its last writer.
        abandoned: a writer was cut off before it closed (`SpoolFile.abandon`).
        sealing: the hash is being computed.
        finished_handles: handles with a lower epoch may not write any more (S4, origin).
        aside: kept without a name, in `aside/`, listed and never published.
        announced: everybody who has to know of `revision` was told.
        leaving: published, closed, and on its way into the cache.
        unlinked: no name leads here; the data goes with the last handle.
        closed_at: trio time of the last close of a writer.
        retry_at: trio time of the next upload attempt; None: no retry is due.
        upload: the upload that is running.
        lock: held by whoever changes content or state.
    """

    serial: int
    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    atime_ns: int
    state: State = State.OPEN
    size_bytes: int = 0
    target: str | None = None
    terms: PublishTerms | None = None
    content: Content | None = None
    tried: tuple[Content, ...] = ()
    revision: Revision | None = None
    delete_after: tuple[OriginObject, ...] = ()
    emergency: tuple[EmergencyCopy, ...] = ()
    error: str | None = None
    rival: Rival | None = None
    begun: Begun | None = None
    arrived_bytes: int = 0
    attempts: int = 0
    history: tuple[Attempt, ...] = ()
    told: Failure | None = None
    open_handles: int = 0
    writers: int = 0
    lent: int = 0
    lent_stamp: tuple[int, int] | None = None
    inherited: bool = False
    journalled: bool = False
    clean: bool = False
    closed_once: bool = False
    dirty: bool = False
    written: bool = False
    damaged: Span | None = None
    problem: ShotfsError | None = None
    pristine: bool = False
    abandoned: bool = False
    sealing: bool = False
    finished_handles: int = 0
    aside: bool = False
    announced: bool = False
    leaving: bool = False
    unlinked: bool = False
    closed_at: float = 0.0
    retry_at: float | None = None
    upload: Upload | None = None
    lock: trio.Lock = field(default_factory=trio.Lock)

    def __repr__(self) -> str:
        return f"<SpoolEntry {self.serial} {self.path!r} {self.kind} {self.state}>"

    @property
    def place(self) -> str:
        """In which directory of the spool the data file is, named by `serial`."""
        if self.state is State.QUARANTINED:
            return "quarantine"
        return "aside" if self.aside else "files"

    @property
    def digest(self) -> Digest | None:
        """Digest of the sealed content; None before the seal."""
        return None if self.content is None else self.content.checksums.xxh128

    @property
    def remaining_bytes(self) -> int:
        """How much an upload has to send until it is done, as far as is known here."""
        return max(0, self.size_bytes - self.arrived_bytes)

    @property
    def attempted(self) -> Content | None:
        """The newest content that an upload may have stored; None where none was tried."""
        return self.tried[-1] if self.tried else None

    def note_attempt(self, content: Content) -> None:
        """Remember that *content* may be in the origin, though no answer said so."""
        others = (one for one in self.tried if one != content)
        self.tried = (*others, content)[-TRIED_MAX:]

    @property
    def base(self) -> Revision | None:
        """The revision that a mutable file was opened from."""
        return None if self.terms is None else self.terms.base

    @property
    def origin_object(self) -> OriginObject | None:
        """What the origin has, or may have, under its own key; None: nothing of this file's."""
        revision = self.revision or self.base
        if self.terms is None or self.scratch or (revision is None and not self.tried):
            return None
        tried = () if self.revision is not None else self.tried
        terms = self.terms
        return OriginObject(self.path, terms.origin, terms.key, revision, tried, terms.version)

    @property
    def immutable(self) -> bool:
        """Whether its template forbids changes after the seal."""
        return self.terms is not None and self.terms.immutable

    @property
    def scratch(self) -> bool:
        """Whether it never leaves the spool."""
        return self.terms is not None and self.terms.scratch

    @property
    def publishable(self) -> bool:
        """A file that is on its way to the origin or should be."""
        return self.kind is Kind.FILE and self.terms is not None and not self.terms.scratch

    @property
    def half_written(self) -> bool:
        """Whether a writer was cut off and nobody has closed the content since: never sealed."""
        return self.abandoned and not self.clean

    @property
    def perhaps_in_origin(self) -> bool:
        """Whether an object with this content may exist under its key already."""
        return self.state in (State.UPLOADING, State.PUBLISHED) or bool(self.tried)


def dump_terms(terms: PublishTerms | None) -> str | None:
    """Return *terms* as JSON text; None stays None."""
    if terms is None:
        return None
    document = {name: getattr(terms, name) for name in PublishTerms.__slots__}
    document["base"] = None if terms.base is None else asdict(terms.base)
    document["metadata"] = dict(terms.metadata)
    return json.dumps(document)


def load_terms(text: str | None) -> PublishTerms | None:
    """Return the terms that `dump_terms` wrote."""
    if text is None:
        return None
    document = json.loads(text)
    document["base"] = _revision(document["base"])
    document["seal"] = SealOn(document.get("seal", SealOn.CLOSE))
    return PublishTerms(**document)


def dump_revision(revision: Revision | None) -> str | None:
    """Return *revision* as JSON text; None stays None."""
    return None if revision is None else json.dumps(asdict(revision))


def load_revision(text: str | None) -> Revision | None:
    """Return the revision that `dump_revision` wrote."""
    return None if text is None else _revision(json.loads(text))


def dump_content(content: Content | None) -> str | None:
    """Return *content* as JSON text; None stays None."""
    return None if content is None else json.dumps(asdict(content))


def dump_contents(contents: tuple[Content, ...]) -> str | None:
    """Return *contents* as JSON text; None where there are none."""
    return json.dumps([asdict(one) for one in contents]) if contents else None


def load_content(text: str | None) -> Content | None:
    """Return the content that `dump_content` wrote."""
    if text is None:
        return None
    return _content(json.loads(text))


def load_contents(text: str | None) -> tuple[Content, ...]:
    """Return the contents that `dump_contents` wrote."""
    documents = [] if text is None else json.loads(text)
    return tuple(map(_content, documents if isinstance(documents, list) else [documents]))


def dump_objects(objects: tuple[OriginObject, ...]) -> str | None:
    """Return *objects* as JSON text; None where there are none."""
    return json.dumps([asdict(one) for one in objects]) if objects else None


def load_objects(text: str | None) -> tuple[OriginObject, ...]:
    """Return the objects that `dump_objects` wrote."""
    documents = [] if text is None else json.loads(text)
    for document in documents:
        document["revision"] = _revision(document["revision"])
        document["tried"] = tuple(map(_content, document["tried"]))
    return tuple(OriginObject(**document) for document in documents)


def dump_copies(copies: tuple[EmergencyCopy, ...]) -> str | None:
    """Return *copies* as JSON text; None where there are none."""
    return json.dumps([asdict(one) for one in copies]) if copies else None


def load_copies(text: str | None) -> tuple[EmergencyCopy, ...]:
    """Return the copies that `dump_copies` wrote."""
    return tuple(EmergencyCopy(**one) for one in ([] if text is None else json.loads(text)))


def _content(document: dict[str, Any]) -> Content:
    return Content(document["size_bytes"], Checksums(**document["checksums"]))


def _revision(document: dict[str, object] | None) -> Revision | None:
    if document is None:
        return None
    checksums = document.pop("checksums")
    assert isinstance(checksums, dict)
    return Revision(**document, checksums=Checksums(**checksums))  # type: ignore[arg-type]  # JSON that dump_revision wrote
