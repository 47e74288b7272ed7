"""Pages of all blobs, in three orders, without reading more rows than a page has."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from shotfs.cache.index.schema import Rows
from shotfs.cache.index.values import Entry
from shotfs.digest import Digest, parse_digest

EntryOrder = Literal["digest", "size", "used"]

PAGE_ROWS_MAX = 10_000
"""Rows of one visit: some ten milliseconds, for which opens wait."""

NUMBER_DIGITS_MAX = 18

_QUERIES = {
    "digest": "SELECT digest, size_bytes, used, pinned, epoch FROM blob"
    " WHERE digest > ? ORDER BY digest LIMIT ?",
    "size": "SELECT digest, size_bytes, used, pinned, epoch FROM blob"
    " WHERE (size_bytes, digest) < (?, ?) ORDER BY size_bytes DESC, digest DESC LIMIT ?",
    "used": "SELECT digest, size_bytes, used, pinned, epoch FROM blob"
    " WHERE (used, digest) < (?, ?) ORDER BY used DESC, digest DESC LIMIT ?",
}
_LAST = (2**63 - 1, b"\xff" * 17)
"""Behind every row of the falling orders."""


def check_cursor(after: str, order: EntryOrder) -> None:
    """Raise ValueError if *after* is no cursor of *order*."""
    _position(after, order)


def page(
    rows: Rows, after: str, limit: int, order: EntryOrder, is_open: Container[Digest]
) -> list[Entry]:
    """Return the blobs behind the cursor *after*; see `Index.entries`.

    Raises:
        ValueError: *after* is no cursor of this order.
    """
    limit = max(1, min(limit, PAGE_ROWS_MAX))
    found = rows.connection.execute(_QUERIES[order], (*_position(after, order), limit))
    valid = (-1, rows.totals.epoch)
    entries = []
    for digest_bytes, size_bytes, used, pinned, epoch in found:
        digest = Digest(digest_bytes.hex())
        cursor = {"digest": digest, "size": f"{size_bytes}-{digest}", "used": f"{used}-{digest}"}
        entries.append(
            Entry(
                digest, size_bytes, used, bool(pinned), digest in is_open, epoch in valid,
                cursor[order],
            )
        )  # fmt: skip
    return entries


def _position(after: str, order: EntryOrder) -> tuple[object, ...]:
    if order == "digest":
        return (bytes.fromhex(parse_digest(after)) if after else b"",)
    if not after:
        return _LAST
    number, _, digest = after.partition("-")
    if not number.isdecimal() or len(number) > NUMBER_DIGITS_MAX:
        raise ValueError(f"it does not begin with a number: {number!r}")
    return int(number), bytes.fromhex(parse_digest(digest))
