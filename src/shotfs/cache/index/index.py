"""The index: which revision has which digest, which blobs are here, how they are used and pinned.

Tables are in `schema`. One transaction a change. Synchronous, and always called from the one
database thread (`database`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice

from shotfs.cache.eviction import USES_MAX, Amount, Policy, Queue
from shotfs.cache.index import entries
from shotfs.cache.index.entries import EntryOrder
from shotfs.cache.index.pins import PinRows
from shotfs.cache.index.queues import IndexQueues
from shotfs.cache.index.schema import Rows
from shotfs.cache.index.values import Entry, NewRow, Pin, Row, Totals, Victim
from shotfs.digest import Checksums, Digest

_FOREVER = -1

HOLDS_ROWS = 1000
"""Revisions of one look-up: of more the statement itself would be no smaller part."""


class Index:
    """The index in *directory*, made if it is not there.

    Args:
        directory: 0700 and ours; whoever made the `Index` has checked.
        revisions_max: how many revisions are remembered, with or without their blobs.
        boot: identity of this run of the kernel.
        was_clean: the last owner flushed the disk and said so.

    Raises:
        IndexDamaged: what is there cannot be read.
        CacheError: its disk is full or fails.
    """

    def __init__(self, directory: str, *, revisions_max: int, boot: str, was_clean: bool) -> None:
        self._revisions_max = revisions_max
        self._rows = Rows(directory, lambda totals: _start_epoch(totals, boot, was_clean=was_clean))
        self._execute = self._rows.connection.execute
        self._pins = PinRows(self._rows)

    def current(self) -> Totals:
        """Return a copy of the running totals."""
        return replace(self._rows.totals)

    def close(self) -> None:
        """Close the database. Call it from the database thread."""
        self._rows.close()

    # --- looking up ------------------------------------------------------------------------------

    def find(self, identity: str, checksums: Checksums, size_bytes: int) -> Row | None:
        """Return the blob of a revision, None when it is not here.

        A revision that was never seen is the blob that its recorded digest names, if the store's
        own md5 proves it: a copy made by a publish into a new version costs no fetch. The recorded
        digest alone is a claim by whoever wrote the object, and settles nothing.
        """
        known = self._execute(
            """SELECT r.digest, b.size_bytes, b.epoch FROM revision r
               LEFT JOIN blob b ON b.digest = r.digest WHERE r.identity = ?""",
            (bytes.fromhex(identity),),
        ).fetchone()
        if known is not None:
            return None if known[1] is None else self._row(*known)
        blob = self._copy_of(checksums, size_bytes)
        if blob is None:
            return None
        with self._rows.change():
            self._remember(identity, blob[0])
        return replace(self._row(*blob), linked=True)

    def find_all(self, wanted: Sequence[tuple[str, Checksums, int]]) -> list[Row | None]:
        """Return what `find` returns for each of *wanted*, some hundred at most."""
        names = [bytes.fromhex(identity) for identity, _, _ in wanted]
        places = ", ".join("?" * len(names))
        query = f"""SELECT r.identity, r.digest, b.size_bytes, b.epoch FROM revision r
                    LEFT JOIN blob b ON b.digest = r.digest
                    WHERE r.identity IN ({places})"""  # noqa: S608  # question marks only
        known = {row[0]: row[1:] for row in self._execute(query, names)}
        found: list[Row | None] = []
        for name, one in zip(names, wanted, strict=True):
            row = known.get(name)
            if row is None:
                found.append(None if one[1].md5 is None else self.find(*one))
            else:
                found.append(None if row[1] is None else self._row(*row))
        return found

    def holds(
        self, names: Sequence[bytes], said: Callable[[int], tuple[Checksums, int]]
    ) -> list[bool]:
        """Return for each revision whether its blob is here and proven.

        Changes nothing: a revision that `find` would link to a blob is here, and not linked yet.

        Args:
            names: `name_of` the identity of each.
            said: what the tier says of the one at this place, checksums and size in bytes; asked
                for those only that were never seen.
        """
        answers: list[bool] = []
        for start in range(0, len(names), HOLDS_ROWS):
            page = names[start : start + HOLDS_ROWS]
            if self._holds_all(page):
                answers += [True] * len(page)
                continue
            proven, others = self._seen(page)
            answers += [
                name in proven or (name not in others and self._holds_copy(*said(place)))
                for place, name in enumerate(page, start)
            ]
        return answers

    # Each of both asks for one row: each row more would ask for the interpreter's lock twice.

    def _holds_all(self, page: Sequence[bytes]) -> bool:
        """Whether the blobs of all of *page* are here and proven: the rule, where a show is."""
        places = ", ".join("?" * len(page))
        query = f"""SELECT count(*) FROM revision r JOIN blob b ON b.digest = r.digest
                    WHERE r.identity IN ({places}) AND b.epoch IN (?, ?)"""  # noqa: S608  # question marks only
        (count,) = self._execute(query, (*page, _FOREVER, self._rows.totals.epoch)).fetchone()
        return bool(count == len(page))

    def _seen(self, page: Sequence[bytes]) -> tuple[set[bytes], set[bytes]]:
        """Return those of *page* whose blobs are here and proven, and those that were seen else."""
        places = ", ".join("?" * len(page))
        query = f"""SELECT group_concat(CASE WHEN epoch IN (?, ?) THEN hex(identity) END, ''),
                    group_concat(CASE WHEN epoch IN (?, ?) THEN NULL ELSE hex(identity) END, '')
                    FROM (SELECT r.identity AS identity, b.epoch AS epoch FROM revision r
                    LEFT JOIN blob b ON b.digest = r.digest
                    WHERE r.identity IN ({places}))"""  # noqa: S608  # question marks only
        epochs = (_FOREVER, self._rows.totals.epoch) * 2
        proven, others = self._execute(query, (*epochs, *page)).fetchone()
        return _names_in(proven), _names_in(others)

    def _holds_copy(self, checksums: Checksums, size_bytes: int) -> bool:
        blob = self._copy_of(checksums, size_bytes)
        return blob is not None and self._row(*blob).proven

    def _copy_of(self, checksums: Checksums, size_bytes: int) -> tuple[bytes, int, int] | None:
        """Return digest, size and epoch of the blob that *checksums* prove to be the content."""
        if checksums.xxh128 is None or checksums.md5 is None:
            return None
        digest = bytes.fromhex(checksums.xxh128)
        blob = self._execute(
            "SELECT size_bytes, epoch, md5, crc32c FROM blob WHERE digest = ?", (digest,)
        ).fetchone()
        if blob is None or blob[0] != size_bytes or blob[2] != checksums.md5:
            return None
        if checksums.crc32c not in (None, blob[3]):
            return None
        return digest, blob[0], blob[1]

    def digest_of(self, identity: str) -> Digest | None:
        """Return the digest that was seen for a revision, whether its blob is here or not."""
        known = self._execute(
            "SELECT digest FROM revision WHERE identity = ?", (bytes.fromhex(identity),)
        ).fetchone()
        return None if known is None else Digest(known[0].hex())

    def entries(
        self, after: str, limit: int, order: EntryOrder, is_open: Container[Digest]
    ) -> list[Entry]:
        """Return one page of all blobs.

        Args:
            after: `Entry.cursor` of the last blob that is known, "" to begin.
            limit: of the page; at most `entries.PAGE_ROWS_MAX`.
            order: by digest; by size, the largest first; or by use, the latest first.
            is_open: blobs that somebody has open.

        Raises:
            ValueError: *after* is no cursor of this order.
        """
        return entries.page(self._rows, after, limit, order, is_open)

    # --- what is here ----------------------------------------------------------------------------

    def together(self) -> AbstractContextManager[None]:
        """Return a context in which all changes are one transaction: all or none."""
        return self._rows.change()

    def admit(self, rows: Iterable[NewRow]) -> Totals:
        """Record blobs that are here, verified, and whose they are: all or none."""
        with self._rows.change():
            waiting = iter(rows)
            while page := list(islice(waiting, HOLDS_ROWS)):
                self._admit(page)
        return self.current()

    def _admit(self, rows: list[NewRow]) -> None:
        """Record some rows, in their order: what is new by one statement a table."""
        by_digest = {bytes.fromhex(row.digest): row for row in rows}
        here = self._which("SELECT digest FROM blob WHERE digest IN", by_digest)
        blobs = [
            (
                name,
                row.size_bytes,
                _FOREVER if row.sound else self._rows.totals.epoch,
                row.checksums,
            )
            for name, row in by_digest.items()
        ]
        self._insert_new([blob for blob in blobs if blob[0] not in here])
        for blob in blobs:
            if blob[0] in here:
                self._insert(*blob)
        named = {bytes.fromhex(row.identity): bytes.fromhex(row.digest) for row in rows}
        known = self._which("SELECT identity FROM revision WHERE identity IN", named)
        first = [one for one in named.items() if one[0] not in known]
        self._rows.connection.executemany(
            "INSERT INTO revision VALUES (?, ?, ?)",
            [(name, digest, self._rows.next_serial()) for name, digest in first],
        )
        self._rows.totals.revisions += len(first)
        for name, digest in first:
            self._pins.learned(name, digest)
            self._bound_revisions()
        for name, digest in named.items():
            if name in known:
                self._remember(name.hex(), digest)

    def _which(self, query: str, names: Collection[bytes]) -> set[bytes]:
        """Return those of *names* that *query*, up to its last word, finds."""
        places = ", ".join("?" * len(names))
        return {row[0] for row in self._execute(f"{query} ({places})", tuple(names))}

    def _insert_new(self, made: Sequence[tuple[bytes, int, int, Checksums]]) -> None:
        """Record blobs that have no row: digest, size in bytes, epoch, checksums."""
        if not made:
            return
        totals = self._rows.totals
        names = [name for name, *_ in made]
        back = self._which("SELECT digest FROM ghost WHERE digest IN", names)
        if back:
            places = ", ".join("?" * len(back))
            query = f"DELETE FROM ghost WHERE digest IN ({places})"  # noqa: S608  # as in find_all
            self._execute(query, tuple(back))
            totals.ghosts -= len(back)
        values = []
        for name, size_bytes, epoch, checksums in made:
            serial = self._rows.next_serial()
            queue = Queue.MAIN if name in back else Queue.SMALL
            values.append(
                (name, size_bytes, epoch, serial, int(queue), serial,
                 checksums.md5, checksums.crc32c)
            )  # fmt: skip
            totals.bytes += size_bytes
            totals.files += 1
            if queue is Queue.SMALL:
                totals.small_bytes += size_bytes
                totals.small_files += 1
        self._rows.connection.executemany(
            "INSERT INTO blob VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?)", values
        )
        if totals.pins:
            for name in names:
                self._pins.mark(name)

    def adopt_found(
        self, digest: Digest, size_bytes: int, identities: Iterable[str], *, sound: bool
    ) -> bool:
        """Record a blob that a scan found, unless it is known; False: it was."""
        name = bytes.fromhex(digest)
        if self._has(name):
            return False
        with self._rows.change():
            epoch = _FOREVER if sound else self._rows.totals.epoch - 1
            self._insert(name, size_bytes, epoch, Checksums())
            for identity in identities:
                if self.digest_of(identity) is None:
                    self._remember(identity, name)
        return True

    def prove(self, digest: Digest) -> None:
        """Record that the bytes of a blob were hashed just now and are right."""
        with self._rows.change():
            self._execute(
                "UPDATE blob SET epoch = ? WHERE digest = ?",
                (self._rows.totals.epoch, bytes.fromhex(digest)),
            )

    def touch(self, uses: Iterable[tuple[Digest, int]]) -> None:
        """Record that these blobs were used, in this order, each so many times."""
        with self._rows.change():
            for digest, count in uses:
                self._use(bytes.fromhex(digest), count)

    def choose(
        self, policy: Policy, wanted: Amount, files_max: int, keep: Container[Digest]
    ) -> list[Victim]:
        """Return blobs that go next; their rows stay until they are condemned.

        Args:
            policy: decides.
            wanted: what must become free.
            files_max: victims at most.
            keep: blobs that must stay because they are open. Pinned ones stay anyway.
        """
        with self._rows.change():
            victims = policy.choose(IndexQueues(self._rows, keep), wanted, files_max)
        return [Victim(Digest(victim.name), victim.size_bytes) for victim in victims]

    def removable(self, digests: Iterable[Digest]) -> list[Victim]:
        """Return those of *digests* that are here and not pinned."""
        found = []
        for digest in digests:
            row = self._execute(
                "SELECT size_bytes FROM blob WHERE digest = ? AND pinned = 0",
                (bytes.fromhex(digest),),
            ).fetchone()
            if row is not None:
                found.append(Victim(digest, row[0]))
        return found

    def remove(self, digests: Iterable[Digest], *, evicted: bool = False) -> Totals:
        """Forget that these blobs are here; what their revisions' digests are stays known.

        Args:
            digests: any; those without a row change nothing.
            evicted: they went for want of room, which the eviction remembers.
        """
        with self._rows.change():
            for digest in digests:
                self._delete(bytes.fromhex(digest), evicted=evicted)
            self._bound_ghosts()
        return self.current()

    # --- pins ------------------------------------------------------------------------------------

    def pin(self, pin: Pin) -> Totals:
        """Record a pin; see `pins.PinRows.add`."""
        with self._rows.change():
            self._pins.add(pin)
        return self.current()

    def unpin(self, identity: str, owner: str) -> bool:
        """Remove a pin; False: there is none."""
        with self._rows.change():
            return self._pins.remove(identity, owner)

    def expire_pins(self, now_s: float) -> int:
        """Remove some pins whose time is over; 0: there are no more."""
        with self._rows.change():
            return self._pins.expire(now_s)

    def pins(self, identity: str, owner: str, limit: int) -> list[Pin]:
        """Return one page of pins; see `pins.PinRows.page`."""
        return self._pins.page(identity, owner, limit)

    # --- inside a change -------------------------------------------------------------------------

    def _has(self, digest: bytes) -> bool:
        found = self._execute("SELECT 1 FROM blob WHERE digest = ?", (digest,)).fetchone()
        return found is not None

    def _row(self, digest: bytes, size_bytes: int, epoch: int) -> Row:
        return Row(Digest(digest.hex()), size_bytes, epoch in (_FOREVER, self._rows.totals.epoch))

    def _use(self, digest: bytes, count: int) -> None:
        self._execute(
            "UPDATE blob SET used = ?, uses = min(uses + ?, ?) WHERE digest = ?",
            (self._rows.next_serial(), count, USES_MAX, digest),
        )

    def _insert(self, digest: bytes, size_bytes: int, epoch: int, checksums: Checksums) -> None:
        if self._has(digest):
            self._execute(
                """UPDATE blob SET epoch = ?, md5 = coalesce(?, md5), crc32c = coalesce(?, crc32c)
                   WHERE digest = ?""",
                (epoch, checksums.md5, checksums.crc32c, digest),
            )
            self._use(digest, 1)
            return
        self._insert_new([(digest, size_bytes, epoch, checksums)])

    def _delete(self, digest: bytes, *, evicted: bool) -> None:
        row = self._execute(
            "DELETE FROM blob WHERE digest = ? RETURNING size_bytes, queue, pinned", (digest,)
        ).fetchone()
        if row is None:
            return
        size_bytes, queue, pinned = row
        totals = self._rows.totals
        totals.bytes -= size_bytes
        totals.files -= 1
        if pinned:
            totals.pinned_bytes -= size_bytes
            totals.pinned_files -= 1
        if queue == Queue.SMALL:
            totals.small_bytes -= size_bytes
            totals.small_files -= 1
            if evicted:
                self._execute("INSERT INTO ghost VALUES (?, ?)", (digest, self._rows.next_serial()))
                totals.ghosts += 1

    def _bound_ghosts(self) -> None:
        totals = self._rows.totals
        excess = totals.ghosts - max(totals.files, 1)
        if excess > 0:
            self._execute(
                """DELETE FROM ghost WHERE digest IN
                   (SELECT digest FROM ghost ORDER BY place LIMIT ?)""",
                (excess,),
            )
            totals.ghosts -= excess

    def _remember(self, identity: str, digest: bytes) -> None:
        name, totals = bytes.fromhex(identity), self._rows.totals
        known = self._execute("SELECT digest FROM revision WHERE identity = ?", (name,)).fetchone()
        if known is not None and known[0] == digest:
            return
        self._execute(
            "INSERT OR REPLACE INTO revision VALUES (?, ?, ?)",
            (name, digest, self._rows.next_serial()),
        )
        totals.revisions += known is None
        self._pins.learned(name, digest)
        self._bound_revisions()

    def _bound_revisions(self) -> None:
        """Forget old revisions, after one more became known."""
        # Two for one: a long list shrinks although rows whose blobs are here only move.
        for _ in range(2):
            if self._rows.totals.revisions > self._revisions_max:
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        name, digest = self._execute(
            "SELECT identity, digest FROM revision ORDER BY place LIMIT 1"
        ).fetchone()
        if self._has(digest):
            self._execute(
                "UPDATE revision SET place = ? WHERE identity = ?",
                (self._rows.next_serial(), name),
            )
        else:
            self._execute("DELETE FROM revision WHERE identity = ?", (name,))
            self._rows.totals.revisions -= 1


def _names_in(text: str | None) -> set[bytes]:
    """Return the names that *text* has, 32 hexadecimal digits each."""
    raw = bytes.fromhex(text or "")
    return {raw[start : start + 16] for start in range(0, len(raw), 16)}


def _start_epoch(totals: Totals, boot: str, *, was_clean: bool) -> None:
    # Killing the process loses nothing that was written, the kernel still has it. Only
    # another run of the kernel without a flush before it leaves doubt.
    if not was_clean and (not boot or boot != totals.boot):
        totals.epoch += 1
    totals.boot = boot
