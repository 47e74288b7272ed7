"""The tier contract: what every place where content lives can be asked.

A tier covers one root (a URL prefix); keys are relative to it, POSIX style, without a leading
slash, and never contain ``.``, ``..`` or empty parts. Every tier passes the suite in
`tests/contract`. Behaviour that crosses tiers (retries, limits, tracing) is added by wrapping.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

from shotfs.digest import Buffer, Checksums
from shotfs.tiers.sessions import Token, UploadSession

KEY_BYTES_MAX = 1024
"""The longest object key in UTF-8 bytes; the limit that GCS and S3 share."""


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range ``[start, stop)`` of bytes."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a span: [{self.start}, {self.stop})")

    @property
    def length_bytes(self) -> int:
        """How many bytes the span covers."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Revision:
    """What a tier says an object is right now.

    Two revisions with the same `identity` have the same bytes.

    Attributes:
        tier: the tier's `name`.
        key: relative to the tier's root.
        size_bytes: length of the content.
        version: GCS generation, ETag, or for plain files inode, mtime and size; opaque.
        mtime_ns: modification time, nanoseconds since the epoch: the recorded one where the
            tier's listings carry it, else the store's own. stat and list give the same.
        checksums: what the tier says of the bytes. Not part of equality.
        pin: what a request must name to get this version when it is not the newest one (S3's
            version id); None where `version` is enough. Neither part of equality nor of the
            identity: bytes that are known by their version stay known when it gets old.
    """

    tier: str
    key: str
    size_bytes: int
    version: str
    mtime_ns: int
    checksums: Checksums = field(default=Checksums(), compare=False)
    pin: str | None = field(default=None, compare=False)

    @property
    def identity(self) -> str:
        """Text that is the same for the same bytes of the same object, on every node."""
        return identity_text(self.tier, self.key, self.version, self.size_bytes)


def identity_text(tier: str, key: str, version: str, size_bytes: int) -> str:
    """Return `Revision.identity` of what these say."""
    return f"{tier}\n{key}\n{version}\n{size_bytes}"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a listing of the direct children of a prefix.

    Attributes:
        objects: revisions of objects directly below the prefix, in key order. A marker object
            (``prefix/`` itself, or keys that end in ``/``) is never among them.
        prefixes: names of sub-directories, one path element each, without a slash.
    """

    objects: tuple[Revision, ...]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TierProperties:
    """What a tier can do, so that callers never test for its type.

    Attributes:
        writable: `put` and `delete` work at all.
        preconditions: `put` decides create-only and replace atomically at the store.
        listable: `list` works (a plain HTTP server may have no index pages).
        lists_checksums: revisions from `list` carry all checksums that `stat` gives.
        lists_one_by_one: `list` has to ask for each object (the index page of a plain HTTP server
            has names only): for a few of many files, `stat` costs less.
        lists_trees: it is a `TreeLister`.
        history: `stat_at` and `list_at` work, for what the root has kept (`keeps_versions`).
        needs_pin: a revision that is not the newest any more is read by its `pin`, which only
            `stat_at` and `list_at` give.
    """

    writable: bool
    preconditions: bool
    listable: bool
    lists_checksums: bool = True
    lists_one_by_one: bool = False
    lists_trees: bool = False
    history: bool = False
    needs_pin: bool = False


@runtime_checkable
class Tier(Protocol):
    """A place where content lives. Slower tiers are larger and more durable.

    Every method may raise, besides what it names:

        BucketNotFound: the root does not exist.
        AccessDenied: the credentials are wrong or lack a permission.
        TierUnavailable, TierTimeout: transient; `retryable` is True.

    Cancelling a call leaves nothing behind, except that a `put` may or may not have happened.
    """

    @property
    def name(self) -> str:
        """The normalised root URL, without credentials; unique within a process."""
        ...

    @property
    def properties(self) -> TierProperties:
        """What this tier can do."""
        ...

    async def stat(self, key: str) -> Revision:
        """Return the newest revision of *key*.

        Raises:
            ObjectNotFound: there is none. A prefix of other keys alone is not an object.
        """
        ...

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """Yield the direct children of *prefix* ("" is the root), a page at a time.

        A prefix that nothing lies below yields no entries and does not raise. Pages are
        disjoint; a prefix name is yielded once. Who stops early closes the generator
        (`contextlib.aclosing`), because trio does not do it for him.
        """
        ...

    async def keeps_versions(self) -> bool:
        """Whether the root keeps what is replaced or deleted, so that a past moment can be seen.

        Nobody can say since when: what was replaced or deleted before versions were kept is lost,
        and is missing from the answers of `stat_at` and `list_at`.

        Raises:
            AccessDenied: the credentials may not ask. Objects may be readable all the same.
        """
        ...

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """Return the revision of *key* that was the newest one at a time.

        Reading it gives its bytes, also when it was replaced or deleted since, as long as the
        root keeps it.

        Args:
            key: as of `stat`.
            at_ns: nanoseconds since the epoch, by the store's clock; stores tell times in whole
                milliseconds or seconds, and what happened within *at_ns*'s counts as done.

        Raises:
            ObjectNotFound: there was none: not made yet, or deleted.
            Unsupported: the store has no such question.
        """
        ...

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """Yield the direct children that *prefix* had at a time, a page at a time.

        As `list`, except that a sub-directory costs a request of its own: only looking below it
        tells whether something was there then. A page may come without entries, and an object
        that was replaced at that very moment may come twice: the later one counts.

        Raises:
            Unsupported: at once; the store has no such question.
        """
        ...

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """Return what whoever stored *revision* recorded with it, by name; a look-up.

        That is the `metadata` of `put`, and as text the digest (``shotfs-xxh128``) and the
        mtime (``shotfs-mtime-ns``) where they are kept so. Claims, for people to read: none of it
        is proven. Empty where nothing was recorded, or the store has no place for it.

        Raises:
            ObjectNotFound: the object is gone.
            RevisionChanged: *revision* is not the newest one any more.
        """
        ...

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """Return exactly the bytes of *span* of *revision*, be it the newest one or not.

        Raises:
            ObjectNotFound: the object is gone.
            RevisionChanged: it was replaced since it was looked up, and is not kept.
            ValueError: the span reaches beyond the revision's size.
        """
        ...

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """Write the bytes of *span* to *descriptor* at the same offsets as in the object.

        The bulk path: bytes move from the network to the file in a thread that does not hold
        the GIL. Raises as `read`, and OSError when the local write fails (ENOSPC).
        """
        ...

    async def put(
        self,
        key: str,
        source: bytes | str,
        *,
        expect: Revision | None,
        checksums: Checksums,
        mtime_ns: int,
        metadata: Mapping[str, str],
        session: UploadSession | None = None,
    ) -> Revision:
        """Store *source* under *key*, whole or not at all.

        A large one may go in parts. With a *session*, what arrived of it stays at the store when
        this is cancelled or fails, and the next put of the same content with that session goes on
        from there; without, nothing stays. Small ones go in one request either way.

        Args:
            key: at most `KEY_BYTES_MAX` bytes in UTF-8.
            source: the bytes themselves, or the path of a file that does not change meanwhile.
            expect: None creates and never replaces; a revision replaces exactly that one.
            checksums: of the source; `xxh128` is kept as object metadata, the others are sent
                along where the store verifies them.
            mtime_ns: recorded where the tier's listings can carry it.
            metadata: provenance, small ASCII strings; kept where the store has metadata.
            session: keeps what is known of the upload; its token is None when the put returned,
                and when it lost.

        Returns:
            The revision that was made.

        Raises:
            PreconditionFailed: the object exists (expect None) or is another revision.
            TierReadOnly: this tier cannot be written.
            OSError: the source cannot be read.
            ShotfsError: what the session raises.
        """
        ...

    async def give_up(self, key: str, token: Token) -> None:
        """Have the store forget an upload of *key* that a put began and nobody goes on with.

        One that ended meanwhile, or that the store does not know any more, is no error.

        Args:
            key: as the put had it.
            token: as the put saved it. If it was saved before the store had a name for the
                upload, all uploads of exactly this key that were begun since are given up: whoever
                else is sending it has to begin again.
        """
        ...

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """Delete *key*; with *expect*, only if it still is that revision.

        Raises:
            ObjectNotFound: there is nothing to delete.
            PreconditionFailed: it is another revision.
        """
        ...

    async def check(self) -> None:
        """Return if the root can be reached and read with our credentials; else raise."""
        ...

    async def aclose(self) -> None:
        """Close connections. The tier is not used afterwards."""
        ...


class SmallReader(Protocol):
    """A tier that reads several small objects for hardly more than the price of one."""

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        """Return the whole contents of the first of *revisions*, in their order.

        They are read one after the other, for a fraction of a second, and no more of them once
        somebody is blocked on one (`arrival.is_waited_for`): at least the first, maybe all. None,
        at the end, stands for one that could not be read: nothing is tried again here, and
        `Tier.read` says what is wrong with it.

        Args:
            revisions: none of them empty; their contents are in memory together.

        Raises:
            TierError: already the first one failed.
        """
        ...


def small_reader(tier: Tier) -> SmallReader | None:
    """Return *tier* as a reader of small objects; None: it has no better way than `Tier.read`."""
    # Not isinstance: on a protocol it costs as much as a system call, and this is asked for each
    # file.
    return cast(SmallReader, tier) if hasattr(tier, "read_small") else None


class TreeLister(Protocol):
    """A tier that has its keys in order, so that a page may tell of objects of many directories."""

    async def list_from(self, start: str) -> ListPage:
        """Return the first objects whose keys are *start* or come after it, at any depth.

        In the order of their keys as UTF-8, as many as one request brings: what is not among them
        and not after the last one did not exist. A few before *start* may be among them.

        Raises:
            TierError: as of `Tier`.
        """
        ...


def tree_lister(tier: Tier) -> TreeLister | None:
    """Return *tier* as one that lists whole trees; None: it cannot."""
    return cast(TreeLister, tier) if tier.properties.lists_trees else None
