"""The object that says where a version alias points, and where it pointed before.

``.shotfs/aliases/<path>.json`` below the root of its origin; see `docs/design/versions.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from shotfs.errors import RecordInvalid

FORMAT = "shotfs-alias/1"

HISTORY_MAX = 1_000
"""Moves that are kept; the oldest go first."""

BYTES_MAX = 4 * 1024 * 1024
"""The largest alias object that is read."""

TEXT_MAX = 1_000
"""Characters of a reason, or of a name, that are kept."""

NAME_BYTES_MAX = 255
"""The longest version, as of any name in a directory."""

_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{1,6})Z")


@dataclass(frozen=True, slots=True)
class Move:
    """One line of an alias's history.

    Attributes:
        version: text of the version that it points to from then on; None: it points nowhere.
        at: when, like ``2026-11-21T06:00:00.123456Z``.
        by: who, like ``anna@node17``.
        why: in the words of whoever moved it; may be empty.
    """

    version: str | None
    at: str
    by: str
    why: str


def encode(path: str, history: Sequence[Move]) -> bytes:
    """Return the object of the alias *path*, with the newest `HISTORY_MAX` moves.

    With fewer if it would be larger than what is read (`BYTES_MAX`).
    """
    moves = [asdict(move) for move in history[-HISTORY_MAX:]]
    while True:
        document = {"alias": FORMAT, "path": path, "history": moves}
        text = json.dumps(document, ensure_ascii=False, indent=1)
        # Half a character, as a name that is no UTF-8 has it, becomes an escape of JSON.
        data = text.encode(errors="backslashreplace")
        if len(data) <= BYTES_MAX or len(moves) <= 1:
            return data
        del moves[: len(moves) // 10 + 1]


def decode(data: bytes, where: str) -> tuple[Move, ...]:
    """Return the history that the object *where* holds, oldest first.

    Raises:
        RecordInvalid: it is not what `encode` writes.
    """
    try:
        return _history(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise RecordInvalid(
            f"{where}: not a version alias: {exc}",
            fix="restore an older generation of it, or delete it and set the alias again",
        ) from exc


def _history(document: Mapping[str, Any]) -> tuple[Move, ...]:
    if document["alias"] != FORMAT:
        raise ValueError(f"its form is {document['alias']!r}, this shotfs knows {FORMAT!r}")
    return tuple(_move(row) for row in document["history"])


def _move(row: Mapping[str, Any]) -> Move:
    version, at, by, why = row["version"], row["at"], row["by"], row.get("why", "")
    if version is not None and not is_name(version):
        raise ValueError(f"{version!r} cannot be a version")
    if not all(isinstance(text, str) for text in (at, by, why)):
        raise ValueError("at, by and why must be text")
    parse_time(at)
    return Move(version, at, by, why)


def is_name(text: object) -> bool:
    """Whether *text* can be part of one path element, so that no link leads out of a directory."""
    if not isinstance(text, str) or text == "" or not text.isprintable() or "/" in text:
        return False
    return len(text.encode()) <= NAME_BYTES_MAX


def time_text(time_s: float) -> str:
    """Return *time_s*, seconds since the epoch, as the documents write it."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """Return *text* in seconds since the epoch.

    Raises:
        ValueError: it is not a time as the documents write it.
    """
    found = _TIME.fullmatch(text)
    if found is None or text >= "9999":  # the last year: there must be a later time
        raise ValueError(f"not a time like 2026-11-21T06:00:00.123456Z: {text[:80]!r}")
    return datetime.fromisoformat(f"{found[1]}.{found[2]:0<6}+00:00").timestamp()
