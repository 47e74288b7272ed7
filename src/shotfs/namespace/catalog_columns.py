"""Rows of the catalog as columns: what is known of a thousand files, without an object for each.

Pure. Knows how `catalog` writes a row; one that is older or damaged is left to `Catalog.get`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from shotfs.namespace.catalog_store import Row
from shotfs.tiers.columns import RevisionColumns

_SUMS = 3
_NUMBERS = {int, float}


@dataclass(frozen=True, slots=True)
class CatalogColumns:
    """What the catalog knows of some files of one tier; see `catalog.Entry`.

    Attributes:
        revisions: what the tier said.
        checked_s: when it said so.
        settled: nobody could replace it any more.
    """

    revisions: RevisionColumns
    checked_s: Sequence[float]
    settled: Sequence[bool]

    def only(self, wanted: Sequence[bool]) -> CatalogColumns:
        """Return those for which *wanted* is true."""
        one = self.revisions
        revisions = RevisionColumns(
            one.tier,
            tuple(compress(one.keys, wanted)),
            tuple(compress(one.sizes_bytes, wanted)),
            tuple(compress(one.versions, wanted)),
            tuple(compress(one.sums, wanted)),
        )
        return CatalogColumns(
            revisions,
            tuple(compress(self.checked_s, wanted)),
            tuple(compress(self.settled, wanted)),
        )


def columns_of(rows: Sequence[Row], tier: str) -> CatalogColumns | None:
    """Return *rows* as columns; None: there are none, or one is not whole or not of *tier*."""
    if not _all(rows, {list}):
        return None
    lists: Sequence[Any] = rows
    try:
        tiers, keys, sizes, versions, _, sums, checked_s, _, _, settled = zip(*lists, strict=True)
    except ValueError:
        return None  # rows of before 2026-11-21 are shorter
    if not (
        tiers.count(tier) == len(tiers)
        and _all(keys, {str})
        and _all(sizes, {int})
        and _all(versions, {str})
        and _all(sums, {list})
        and set(map(len, sums)) == {_SUMS}
        and _all(checked_s, _NUMBERS)
        and _all(settled, {bool})
    ):
        return None
    return CatalogColumns(RevisionColumns(tier, keys, sizes, versions, sums), checked_s, settled)


def _all(column: Sequence[object], types: set[type]) -> bool:
    """Whether *column* has values, of these *types* only."""
    return bool(column) and set(map(type, column)) <= types
