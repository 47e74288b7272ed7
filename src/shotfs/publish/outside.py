"""The spool as another process sees it: which outputs wait there while no service runs."""

from __future__ import annotations

import json
import os
import sqlite3
from urllib.parse import quote

from shotfs.errors import SpoolBroken
from shotfs.publish.entry import Kind
from shotfs.publish.states import State

_DONE = (State.PUBLISHED, State.QUARANTINED)


def unpublished_paths(directory: str) -> list[str]:
    """Return the mount-relative paths of outputs that are not in the origin, sorted. Blocks.

    Args:
        directory: of the spool; one that does not exist holds nothing.

    Raises:
        SpoolBroken: its journal cannot be read.
    """
    path = os.path.join(directory, "journal.sqlite")
    if not os.path.exists(path):
        return []
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT path, kind, state, terms FROM entries").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise SpoolBroken(
            f"{path}: cannot be read: {exc}", fix="run it as the service user"
        ) from exc
    return sorted(
        path
        for path, kind, state, terms in rows
        if kind == Kind.FILE and state not in _DONE and _publishable(terms)
    )


def _publishable(terms: str | None) -> bool:
    return terms is not None and not json.loads(terms).get("scratch", False)
