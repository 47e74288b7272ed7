"""The object that says that a published version was taken back, by whom and why.

``.shotfs/retracted/<path of the version directory>.json`` below the root of its origin; see
`docs/design/versions.md`. Pure. Who can write an origin can write these, so what is read is
checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from shotfs.errors import RecordInvalid
from shotfs.namespace.alias_document import BYTES_MAX, parse_time
from shotfs.pathspec import RESERVED

FORMAT = "shotfs-retraction/1"

HISTORY_MAX = 1_000
"""Lines that are kept; the oldest go first."""

DIRECTORY = f"{RESERVED}/retracted"


class Standing(StrEnum):
    """What became of a published version."""

    RETRACTED = "retracted"
    """It was taken back: nobody sees it, and it can be restored."""
    RESTORED = "restored"
    """It was taken back once, and counts again."""
    DELETING = "deleting"
    """It was taken back, and its objects are being deleted: there is no way back."""
    DELETED = "deleted"
    """As DELETING, and over."""


@dataclass(frozen=True, slots=True)
class Retraction:
    """One line of the history of a version that was taken back.

    Attributes:
        standing: of the version from then on.
        at: when, like ``2026-11-21T06:00:00.123456Z``.
        by: who, like ``anna@node17``.
        why: in the words of whoever did it.
    """

    standing: Standing
    at: str
    by: str
    why: str

    @property
    def hides(self) -> bool:
        """Whether the version is not shown while this is the last line."""
        return self.standing is not Standing.RESTORED

    @property
    def final(self) -> bool:
        """Whether objects of the version are gone, or may be."""
        return self.standing in (Standing.DELETING, Standing.DELETED)

    def __str__(self) -> str:
        verb = "restored" if self.standing is Standing.RESTORED else "taken back"
        return f"{verb} by {self.by}, {self.at}" + (f": {self.why}" if self.why else "")


def key_of(version: str) -> str:
    """Return the key of the retraction of the version directory *version*."""
    return f"{DIRECTORY}/{version}.json"


def encode(version: str, history: Sequence[Retraction]) -> bytes:
    """Return the object of *version*, with the newest `HISTORY_MAX` lines.

    With fewer if it would be larger than what is read (`BYTES_MAX`).
    """
    lines = [_row(line) for line in history[-HISTORY_MAX:]]
    while True:
        document = {"retraction": FORMAT, "path": version, "history": lines}
        text = json.dumps(document, ensure_ascii=False, indent=1)
        # Half a character, as a name that is no UTF-8 has it, becomes an escape of JSON.
        data = text.encode(errors="backslashreplace")
        if len(data) <= BYTES_MAX or len(lines) <= 1:
            return data
        del lines[: len(lines) // 10 + 1]


def _row(line: Retraction) -> dict[str, Any]:
    row = asdict(line)
    return {"state": str(row.pop("standing")), **row}


def decode(data: bytes, where: str, version: str) -> tuple[Retraction, ...]:
    """Return the history that the object *where* holds, oldest first.

    Raises:
        RecordInvalid: it is not what `encode` writes, or of another version than *version*.
    """
    try:
        return _history(json.loads(data), version)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise RecordInvalid(
            f"{where}: does not say whether the version was taken back: {exc}",
            fix="restore an older generation of it, or delete it: then the version counts again",
        ) from exc


def _history(document: Mapping[str, Any], version: str) -> tuple[Retraction, ...]:
    if document["retraction"] != FORMAT:
        raise ValueError(f"its form is {document['retraction']!r}, this shotfs knows {FORMAT!r}")
    if document["path"] != version:
        raise ValueError(f"it is of {str(document['path'])[:200]!r}, not of {version!r}")
    history = tuple(line_of(row) for row in document["history"])
    if not history:
        raise ValueError("its history is empty")
    return history


def line_of(row: Mapping[str, Any]) -> Retraction:
    """Return the line that *row* is.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    at, by, why = row["at"], row["by"], row.get("why", "")
    if not all(isinstance(text, str) for text in (at, by, why)):
        raise ValueError("at, by and why must be text")
    parse_time(at)
    return Retraction(Standing(row["state"]), at, by, why)


def dump(line: Retraction) -> dict[str, Any]:
    """Return *line* as `line_of` reads it."""
    return _row(line)
