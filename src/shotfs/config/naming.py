"""The nearest valid name for one that somebody mistyped. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SIMILARITY_MIN = 0.6
"""difflib's own default: `byte_max` finds `bytes_max`, `foo` finds nothing."""


def nearest(written: str, known: Iterable[str]) -> str | None:
    """Return the name among *known* that *written* most likely means; None if none is close."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    key = written.lower().replace("-", "_")
    if key in folded:
        return folded[key]
    close = difflib.get_close_matches(key, folded, n=1, cutoff=SIMILARITY_MIN)
    if close:
        return folded[close[0]]
    # "cache_size_max" is far from "bytes_max" by letters, but a whole word is a strong hint.
    within = [name for name in folded if len(key) > 3 and (name in key or key in name)]
    return folded[min(within, key=len)] if within else None
