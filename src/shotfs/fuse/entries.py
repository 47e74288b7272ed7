"""Entries: attributes in the form that the kernel is told of them."""

from __future__ import annotations

from pyfuse3 import EntryAttributes, InodeT, ModeT

from shotfs.vfs import Attributes, Kind, Missing
from shotfs.vfs.filesystem import BLOCK_BYTES


def entry_of(attributes: Attributes, number: InodeT) -> EntryAttributes:
    """Return *attributes* as those of inode *number*."""
    # A new one has generation 0, one link, and blocks of `BLOCK_BYTES`: not set again.
    entry = EntryAttributes()
    entry.st_ino = number
    entry.entry_timeout = entry.attr_timeout = attributes.ttl_s
    kind = attributes.kind
    entry.st_mode = ModeT(kind + attributes.mode)
    if kind is Kind.DIRECTORY:
        entry.st_nlink = 2
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    size_bytes = attributes.size_bytes
    entry.st_size = size_bytes
    entry.st_blksize = BLOCK_BYTES
    entry.st_blocks = (size_bytes + 511) // 512
    entry.st_atime_ns = entry.st_mtime_ns = attributes.mtime_ns
    entry.st_ctime_ns = attributes.ctime_ns
    return entry


def missing_entry(missing: Missing) -> EntryAttributes:
    """Return the entry of nothing: with inode 0 the kernel remembers it, ENOENT it would not."""
    entry = EntryAttributes()
    entry.st_ino = InodeT(0)
    entry.entry_timeout = missing.ttl_s
    return entry
