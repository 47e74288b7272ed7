"""Looking: what many paths are at once, for who compares a manifest with the shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shotfs.app.node import Node
from shotfs.app.permissions import READ, may, may_reach
from shotfs.control.access import Peer
from shotfs.prewarm.finding import Found


async def look(
    node: Node, paths: Sequence[str], *, peer: Peer, admin: bool
) -> list[Mapping[str, Any]]:
    """Return what each of *paths* is; see `control.cache_service.CacheService.look`."""
    finder = node.filesystem.prewarm_finder
    readable = may(peer, READ, admin=admin)
    visible = None if admin else may_reach(peer, finder.directory_attributes)
    answers = await finder.find_many(paths, visible)
    found = [one for one in answers if isinstance(one, Found)]
    here = dict(
        zip(
            (one.revision for one in found),
            await node.cache.known_many([one.revision for one in found]),
            strict=True,
        )
    )
    told: list[Mapping[str, Any]] = []
    for path, one in zip(paths, answers, strict=True):
        if not isinstance(one, Found):
            told.append({"path": path, "absence": one.absence.value, "reason": one.reason})
            continue
        # A digest tells of the bytes, so it is for those who may read them.
        digest = None
        if readable(finder.file_attributes(one)):
            digest = one.revision.checksums.xxh128 or await node.cache.digest_of(one.revision)
        told.append(
            {
                "path": path,
                "size_bytes": one.revision.size_bytes,
                "mtime_ns": one.revision.mtime_ns,
                "digest": digest,
                "local": here[one.revision],
            }
        )
    return told
