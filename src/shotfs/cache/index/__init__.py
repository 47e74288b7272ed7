"""The index of the cache: what is here, of which revisions, used when, pinned by whom."""

from shotfs.cache.index.entries import EntryOrder, check_cursor
from shotfs.cache.index.index import Index
from shotfs.cache.index.values import (
    FOREIGN_ERRORS,
    Entry,
    IndexDamaged,
    NewRow,
    Pin,
    PinsFull,
    Row,
    Totals,
    Victim,
    identity_of,
    name_of,
)

__all__ = [
    "FOREIGN_ERRORS",
    "Entry",
    "EntryOrder",
    "Index",
    "IndexDamaged",
    "NewRow",
    "Pin",
    "PinsFull",
    "Row",
    "Totals",
    "Victim",
    "check_cursor",
    "identity_of",
    "name_of",
]
