"""Encoding: entries and heads as lines of JSON. Pure.

What is at its default is left out. Everything is ASCII: names that are no UTF-8 (lone surrogates)
survive as escapes.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from shotfs.prewarm.manifest.entry import Entry, Use
from shotfs.prewarm.manifest.head import FORMAT, Head

_text_of = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

FOOT = "end"
"""The one name in the foot line of a manifest in lines."""


def row_of(entry: Entry) -> dict[str, Any]:
    """Return *entry* as a value of JSON."""
    row: dict[str, Any] = {"path": entry.path}
    if entry.digest is not None:
        row["digest"] = entry.digest
    if entry.size_bytes is not None:
        row["size_bytes"] = entry.size_bytes
    if entry.mtime_ns is not None:
        row["mtime_ns"] = entry.mtime_ns
    if entry.frames:
        row["frames"] = entry.frames
    if entry.views:
        row["views"] = entry.views
    row["sources"] = entry.sources
    if entry.scanners:
        row["scanners"] = entry.scanners
    if entry.confidence != 1.0:
        row["confidence"] = entry.confidence
    if entry.use is not None:
        row["use"] = _use_row(entry.use)
    return row


def _use_row(use: Use) -> dict[str, Any]:
    row: dict[str, Any] = {"runs": use.runs}
    if use.cold:
        row["cold"] = use.cold
    if use.stall_s:
        row["stall_s"] = round(use.stall_s, 6)
    if use.first_s:
        row["first_s"] = round(use.first_s, 6)
    if use.ranges:
        row["ranges"] = use.ranges
    return row


def head_row(head: Head) -> dict[str, Any]:
    """Return *head* as a value of JSON."""
    row: dict[str, Any] = {"format": FORMAT}
    subject = {name: text for name, text in dataclasses.asdict(head.subject).items() if text}
    if subject:
        row["subject"] = subject
    for name in ("created_at", "created_by", "generator"):
        if getattr(head, name):
            row[name] = getattr(head, name)
    for name in ("count", "size_bytes"):
        if getattr(head, name) is not None:
            row[name] = getattr(head, name)
    return row


def entry_line(entry: Entry) -> str:
    """Return *entry* as one line, without its end."""
    return _text_of(row_of(entry))


def head_line(head: Head) -> str:
    """Return *head* as one line, without its end."""
    return _text_of(head_row(head))


def foot_line(count: int, size_bytes: int) -> str:
    """Return the last line: what a reader must have found until there."""
    return _text_of({FOOT: {"count": count, "size_bytes": size_bytes}})
