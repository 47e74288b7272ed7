"""From a revision back to the paths that show it: what a cached blob is, said as users know it.

A key is the path within its show, so this asks the specifications only. Pure; threads may call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shotfs.namespace.shows import Show
from shotfs.namespace.tier_pool import tier_name
from shotfs.pathspec import Resolution
from shotfs.tiers.base import Revision


def paths_of(shows: Iterable[Show], revision: Revision) -> Iterator[tuple[str, Resolution]]:
    """Yield the mount-relative paths whose template puts them where *revision* is."""
    for show in shows:
        resolution = show.spec.resolve(revision.key)
        if resolution is None or resolution.scratch or resolution.key != revision.key:
            continue
        if tier_name(resolution.template.policy.origin) == revision.tier:
            yield f"{show.name}/{revision.key}", resolution
