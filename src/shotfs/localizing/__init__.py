"""Localizing: a local copy of a show's file, for applications on hosts without a mount.

    import shotfs
    shotfs.localize("/shows/ant/plates/xy_010.####.exr", frames="1001-1010")

Standard library only, Python 3.9 and later, relative imports: applications have their own Python,
and `shotfs integrations install` copies this package beside their scripts. Nothing of shotfs is
imported here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from .failures import LocalizeFailed, NotOurs, NotThere, ServiceAway, TreeFull
from .localizer import Localized, Localizer

__all__ = [
    "LocalizeFailed",
    "Localized",
    "Localizer",
    "NotOurs",
    "NotThere",
    "ServiceAway",
    "TreeFull",
    "localize",
    "localize_many",
]

_localizers: dict[str | None, Localizer] = {}
_guard = threading.Lock()


def localize(path: str, frames: str = "", into: str | None = None) -> str:
    """Return a local path that has what *path* has; see `Localizer.fetch`.

    Args:
        path: ``/shows/ant/...``, or ``ant/...``; with tokens it is a whole sequence.
        frames: only these of a sequence, like ``1001-1010``; "" for all.
        into: the directory of localized files; None: as the environment says.

    Raises:
        LocalizeFailed: it cannot be brought here.
    """
    return _localizer(into).localize(path, frames)


def localize_many(
    paths: Iterable[str], frames: str = "", into: str | None = None
) -> dict[str, str]:
    """Return the local path of each of *paths*, as `localize` does.

    Raises:
        LocalizeFailed: one of them cannot be brought here; those before it are.
    """
    localizer = _localizer(into)
    return {path: localizer.localize(path, frames) for path in paths}


def _localizer(into: str | None) -> Localizer:
    """Return the one for *into*; it remembers what it has answered."""
    with _guard:
        found = _localizers.get(into)
        if found is None:
            found = _localizers[into] = Localizer(into=into)
        return found
