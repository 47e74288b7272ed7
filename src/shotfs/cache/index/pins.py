"""Rows of pins: which revisions must stay, who says so and until when. Inside a change.

A pin may come before its content. It learns its digest with the revision, and while it has one, the
blob of that digest is marked and in none of the indexes that eviction walks.
"""

from __future__ import annotations

from shotfs.cache.index.schema import Rows
from shotfs.cache.index.values import Pin, PinsFull

PINS_MAX = 200_000
"""Pins of all owners: a long shot's textures for some dozen owners, 60 MB of rows."""

EXPIRED_BATCH = 256


class PinRows:
    """The table of pins in *rows*."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def add(self, pin: Pin) -> None:
        """Record *pin*; the same owner's earlier pin of the revision is replaced.

        Raises:
            PinsFull: there are `PINS_MAX`.
        """
        totals, identity = self._rows.totals, bytes.fromhex(pin.identity)
        execute = self._rows.connection.execute
        owners = [
            row[0] for row in execute("SELECT owner FROM pin WHERE identity = ?", (identity,))
        ]
        if pin.owner not in owners:
            if totals.pins >= PINS_MAX:
                raise PinsFull(
                    f"there are {PINS_MAX} pins, which is as many as the cache remembers",
                    fix="unpin what is not needed any more: shotfs cache unpin",
                )
            totals.pins += 1
        if not owners:
            totals.pins_bytes += pin.size_bytes
        known = execute("SELECT digest FROM revision WHERE identity = ?", (identity,)).fetchone()
        digest = None if known is None else known[0]
        execute(
            "INSERT OR REPLACE INTO pin VALUES (?, ?, ?, ?, ?, ?, ?)",
            (identity, pin.owner, digest, pin.tier, pin.key, pin.size_bytes, pin.until_s),
        )
        if digest is not None:
            self.mark(digest)

    def remove(self, identity: str, owner: str) -> bool:
        """Remove a pin; False: there is none."""
        key = (bytes.fromhex(identity), owner)
        found = self._rows.connection.execute(
            "SELECT digest, size_bytes FROM pin WHERE identity = ? AND owner = ?", key
        ).fetchone()
        if found is None:
            return False
        self._remove(*key, *found)
        return True

    def expire(self, now_s: float) -> int:
        """Remove pins whose time is over, `EXPIRED_BATCH` at most; return how many these were."""
        found = self._rows.connection.execute(
            "SELECT identity, owner, digest, size_bytes FROM pin WHERE until_s <= ? LIMIT ?",
            (now_s, EXPIRED_BATCH),
        ).fetchall()
        for row in found:
            self._remove(*row)
        return len(found)

    def learned(self, identity: bytes, digest: bytes) -> None:
        """Tell the pins of a revision which digest it has."""
        if not self._rows.totals.pins:
            return
        execute = self._rows.connection.execute
        found = execute("SELECT digest FROM pin WHERE identity = ? LIMIT 1", (identity,)).fetchone()
        if found is None:
            return
        execute("UPDATE pin SET digest = ? WHERE identity = ?", (digest, identity))
        if found[0] is not None and found[0] != digest:
            self.mark(found[0])
        self.mark(digest)

    def mark(self, digest: bytes) -> None:
        """Bring the mark of a blob in line with the pins; nothing if it is not here."""
        execute = self._rows.connection.execute
        pinned = execute("SELECT 1 FROM pin WHERE digest = ? LIMIT 1", (digest,)).fetchone()
        wanted = int(pinned is not None)
        row = execute(
            "UPDATE blob SET pinned = ? WHERE digest = ? AND pinned != ? RETURNING size_bytes",
            (wanted, digest, wanted),
        ).fetchone()
        if row is not None:
            sign = 1 if wanted else -1
            self._rows.totals.pinned_files += sign
            self._rows.totals.pinned_bytes += sign * row[0]

    def page(self, identity: str, owner: str, limit: int) -> list[Pin]:
        """Return at most *limit* pins behind the one of *identity* and *owner*, in that order."""
        found = self._rows.connection.execute(
            """SELECT p.identity, p.tier, p.key, p.size_bytes, p.owner, p.until_s,
                      b.digest IS NOT NULL
               FROM pin p LEFT JOIN blob b ON b.digest = p.digest
               WHERE (p.identity, p.owner) > (?, ?) ORDER BY p.identity, p.owner LIMIT ?""",
            (bytes.fromhex(identity), owner, limit),
        )
        return [
            Pin(name.hex(), tier, key, size_bytes, who, until_s, bool(cached))
            for name, tier, key, size_bytes, who, until_s, cached in found
        ]

    def _remove(self, identity: bytes, owner: str, digest: bytes | None, size_bytes: int) -> None:
        execute, totals = self._rows.connection.execute, self._rows.totals
        execute("DELETE FROM pin WHERE identity = ? AND owner = ?", (identity, owner))
        totals.pins -= 1
        if not execute("SELECT 1 FROM pin WHERE identity = ? LIMIT 1", (identity,)).fetchone():
            totals.pins_bytes -= size_bytes
        if digest is not None:
            self.mark(digest)
