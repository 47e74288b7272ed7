"""Head: what a manifest says of itself, before its first entry. A value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from shotfs.prewarm.manifest.subject import Subject

FORMAT = "shotfs-manifest/1"
"""The first thing in every manifest. Another number is another format (ADR 0027)."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a manifest says of itself.

    Attributes:
        subject: the work that it is about.
        created_at: when it was written, RFC 3339 in UTC like ``2026-11-21T22:00:00Z``; "" unknown.
        created_by: the node that wrote it.
        generator: the program that wrote it, like ``shotfs 0.1.0``.
        count: entries in it; None where its writer did not know before he had written them.
        size_bytes: of all entries whose size is known, in all; None as `count`.
    """

    subject: Subject = field(default_factory=Subject)
    created_at: str = ""
    created_by: str = ""
    generator: str = ""
    count: int | None = None
    size_bytes: int | None = None


def new_head(subject: Subject | None = None, *, created_by: str = "") -> Head:
    """Return the head of a manifest that is made now, by this program."""
    from importlib.metadata import version

    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Head(subject or Subject(), now, created_by, f"shotfs {version('shotfs')}")


def merged_head(heads: list[Head]) -> Head:
    """Return the head of what is merged: of the subject what all of *heads* agree in."""
    subjects = [head.subject for head in heads]
    agreed = {
        name: getattr(subjects[0], name)
        for name in Subject.__slots__
        if len({getattr(subject, name) for subject in subjects}) == 1
    }
    return replace(new_head(Subject(**agreed)), created_by=_agreed([h.created_by for h in heads]))


def _agreed(names: list[str]) -> str:
    return names[0] if len(set(names)) == 1 else ""
