"""Codec: what was recorded of one subject as the bytes of a manifest, and back. Blocks."""

from __future__ import annotations

import io
from collections.abc import Mapping

from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.head import new_head
from shotfs.prewarm.manifest.reading import decode as decode_manifest
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.manifest.writing import write_lines

BYTES_MAX = 64 * 1024 * 1024
"""The largest recording that is read."""


def encode(subject: Subject, entries: Mapping[str, Entry], node: str) -> bytes:
    """Return the manifest of *entries*, by path."""
    stream = io.BytesIO()
    head = new_head(subject, created_by=node)
    write_lines(stream, "a recording", head, (entries[path] for path in sorted(entries)))
    return stream.getvalue()


def decode(data: bytes, where: str) -> dict[str, Entry]:
    """Return the entries of the recording *where*, by path.

    Raises:
        ManifestInvalid: it is no whole manifest of ours.
    """
    _, entries = decode_manifest(data, where)
    return {entry.path: entry for entry in entries}
