"""Removing objects: those of names that are removed here, and those under earlier names.

Only what this node knows to be its file's is removed: a revision, or a content that it tried to
store. Whatever else lies there is somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from shotfs.errors import (
    ObjectNotFound,
    PreconditionFailed,
    PublishedImmutable,
    RevisionChanged,
    TierUnavailable,
    VersionSealing,
)
from shotfs.namespace.versions import SealState
from shotfs.publish.compare import same_content
from shotfs.publish.core import Core
from shotfs.publish.entry import OriginObject, SpoolEntry
from shotfs.publish.upload import SealOf, Tiers
from shotfs.tiers.base import Revision, Tier

log = logging.getLogger(__name__)

Removed = Callable[[str], None]
"""Told of the mount-relative path under which there is no object of ours any more."""


class Remover:
    """Removes objects for a spool.

    Args:
        core: of the spool.
        tiers: opens or finds the tier of an origin.
        removed: told of each path; may be told more than once.
        seal_of: says whether a version that is published as a whole still changes.
    """

    def __init__(self, core: Core, tiers: Tiers, removed: Removed, seal_of: SealOf) -> None:
        self._core = core
        self._tiers = tiers
        self._removed = removed
        self._seal_of = seal_of

    async def remove_all(self, entry: SpoolEntry) -> None:
        """Remove what the origin has of *entry*, under its name and under earlier ones.

        The caller holds its lock and its path, and no upload runs.

        Raises:
            PublishedImmutable: it lies in a version that is published by now.
            TierError: some of it is there still. Not for what may not be there at all: that an
                origin is away must not forbid removing what never got there.
        """
        objects = (entry.origin_object, *entry.delete_after)
        for one in filter(None, objects):
            try:
                if one.path == entry.path:
                    if await self._seal(one) is not SealState.OPEN:
                        raise PublishedImmutable(
                            f"{one.path}: its version is published; nothing in it is removed"
                        )
                    await self._remove(one)
                else:
                    await self._remove_old(entry, one)
            except TierUnavailable as error:
                if one.revision is not None:
                    raise
                log.warning("%s: may still be in the origin: %s", one.path, error.message)

    async def remove_old(self, entry: SpoolEntry) -> None:
        """Remove the objects under earlier names of *entry*.

        Raises:
            TierError, VersionSealing: some are there still.
        """
        for one in entry.delete_after:
            await self._remove_old(entry, one)
            self._core.forget_objects(entry, one.path)

    async def _remove_old(self, entry: SpoolEntry, one: OriginObject) -> None:
        """Remove one, unless a file that was made under its name since will replace it."""
        if self._is_replaced(one):
            return  # asked without the claim: whoever removes that file may be waiting for us
        async with self._core.claims.hold(one.path):
            if one in entry.delete_after and not self._is_replaced(one):
                seal = await self._seal(one)
                if seal is SealState.SEALING:
                    raise VersionSealing(f"{one.path}: its version is being published")
                if seal is SealState.SEALED:
                    log.warning("%s: stays: its version was published with it", one.path)
                else:
                    await self._remove(one)
                # Within the claim: somebody who waited for it must not remove it again.
                self._core.forget_objects(entry, one.path)

    async def _seal(self, one: OriginObject) -> SealState:
        if not one.version:
            return SealState.OPEN
        return (await self._seal_of(one.origin, one.version)).state

    def _is_replaced(self, one: OriginObject) -> bool:
        there = self._core.table.get(one.path)
        return there is not None and there.publishable

    async def _remove(self, one: OriginObject) -> None:
        tier = await self._tiers(one.origin)
        try:
            revision = await self._ours(tier, one)
            if revision is not None:
                await tier.delete(one.key, expect=revision)
        except (ObjectNotFound, PreconditionFailed, RevisionChanged):
            log.info("%s: was removed or replaced by somebody else", one.path)
        self._removed(one.path)

    async def _ours(self, tier: Tier, one: OriginObject) -> Revision | None:
        if not one.tried:
            return one.revision
        revision = await tier.stat(one.key)
        if revision == one.revision:
            return revision
        for content in one.tried:
            if await same_content(tier, revision, content, self._core.hashing):
                return revision
        return None
