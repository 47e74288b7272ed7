"""Manifests: what a frame needs, or made."""

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.head import Head, merged_head, new_head
from shotfs.prewarm.manifest.merging import merged, merged_entry, merged_use
from shotfs.prewarm.manifest.reading import ManifestReader, decode, open_manifest
from shotfs.prewarm.manifest.sorting import in_order
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.manifest.writing import Written, encode, write_manifest

__all__ = [
    "Entry",
    "Head",
    "ManifestReader",
    "Source",
    "Subject",
    "Use",
    "Written",
    "decode",
    "encode",
    "in_order",
    "merged",
    "merged_entry",
    "merged_head",
    "merged_use",
    "new_head",
    "open_manifest",
    "write_manifest",
]
