"""What `shotfs doctor` says of published versions that were taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shotfs.control.checks import Finding, Verdict


def retracted_of(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Say what the service knows of versions that were taken back; nothing where it knows none."""
    known = status.get("retracted") or {}
    unfinished = known.get("unfinished")
    if unfinished:
        yield Finding(
            "versions",
            Verdict.WRONG,
            f"taken back, and deleted only in part: {', '.join(unfinished)}",
            "shotfs version retract PATH --delete --reason TEXT carries on",
        )
    elif known.get("versions"):
        text = f"{known['versions']} that this node knows of were taken back, and are not shown"
        yield Finding("versions", Verdict.NOTE, text, "shotfs version history PATH says why")
