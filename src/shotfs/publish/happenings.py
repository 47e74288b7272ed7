"""Happenings: what becomes of outputs that somebody outside may want to hear of at once."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, auto

from shotfs.publish.entry import SpoolEntry


class Happening(StrEnum):
    """What happened to an output."""

    CONFLICT = auto()
    """It lost against other bytes and is in quarantine."""
    FAILED = auto()
    """It is not published before somebody does something: refused, damaged or partial."""
    PUBLISHED = auto()
    """It is in the origin, verified and recorded."""


Tell = Callable[[Happening, SpoolEntry], None]
"""Called when it has happened, under locks of the spool: it must return at once."""


def nobody(_happening: Happening, _entry: SpoolEntry) -> None:
    """Tell nobody."""
