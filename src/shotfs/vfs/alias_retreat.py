"""Where aliases that follow what is published go when a version is taken back, and back again.

Whoever takes a version back says so first and looks at its aliases then; whoever moves an alias to
a version moves it first and asks then whether it was taken back. So whatever the order, one of the
two finds the other, and the alias does not stay.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from shotfs.errors import AliasMoved
from shotfs.namespace import TierPool
from shotfs.namespace.alias_document import Move
from shotfs.namespace.retraction_document import Retraction
from shotfs.namespace.shows import Show
from shotfs.namespace.versions import SealState
from shotfs.pathspec import RESERVED, AliasMatch
from shotfs.vfs import paths
from shotfs.vfs.finder import NodeFinder

log = logging.getLogger(__name__)

SETTLE_ATTEMPTS = 10
"""How often an alias is looked at again because somebody else moved it meanwhile."""

CANDIDATES_MAX = 200
"""Versions that are asked about to find the newest one that an alias may point to."""


class AliasRetreat:
    """Moves aliases away from versions that were taken back.

    Args:
        finder: where aliases point, and what became of versions.
        tiers: the origins.
    """

    def __init__(self, finder: NodeFinder, tiers: TierPool) -> None:
        self._finder = finder
        self._tiers = tiers

    async def settle(
        self, show: Show, path: str, match: AliasMatch, *, by: str, to: str | None = None
    ) -> tuple[str | None, bool]:
        """Let an alias that points to a version that was taken back point to another one.

        To the one where it pointed before, the newest first, that is published and was not taken
        back; else to the one beside it that was published last; else nowhere.

        Args:
            show: of the alias.
            path: of the alias, mount-relative.
            match: what the specification says of it.
            by: who is told in its history.
            to: the version to choose; None: as above.

        Returns:
            Where it points, and whether it was moved.

        Raises:
            AliasMoved: others move it faster than this node can.
            TierError: the origin could not answer.
        """
        moved = False
        for _ in range(SETTLE_ATTEMPTS):
            history = await self._finder.aliases.history(match)
            version = history[-1].version if history else None
            line = None if version is None else await self.retracted(path, match, version)
            if version is None or line is None:
                return version, moved
            chosen = to if to is not None and to != version else None
            if chosen is None:
                chosen = await self.choose(show, path, match, history)
            try:
                await self._finder.aliases.move(
                    path, match, chosen, by=by, why=reason(version, line), expect=version
                )
            except AliasMoved:
                continue
            moved = True
        raise AliasMoved(f"{path}: others move it faster than this node can")

    async def retracted(self, path: str, match: AliasMatch, version: str) -> Retraction | None:
        """Return why *version* of the alias *path* is not to be seen, as of now; None: it is.

        Raises:
            TierError: the origin could not answer.
        """
        line = await self._finder.retractions.ask(match.origin, _sibling(path, match, version))
        return line if line is not None and line.hides else None

    async def is_published(self, path: str, match: AliasMatch, version: str) -> bool:
        """Whether *version* of the alias *path* is published, and was not taken back. Raises so."""
        sibling = _sibling(path, match, version)
        seal = await self._finder.versions.ask(match.origin, sibling)
        if seal.state is not SealState.SEALED:
            return False
        return await self.retracted(path, match, version) is None

    async def choose(
        self, show: Show, path: str, match: AliasMatch, history: tuple[Move, ...]
    ) -> str | None:
        """Return the version that *path* is to point to instead of the last one of *history*.

        Raises:
            TierError: the origin could not answer.
        """
        tried = {history[-1].version} if history else set()
        for move in reversed(history):
            if move.version in tried or len(tried) > CANDIDATES_MAX:
                continue
            tried.add(move.version)
            if move.version is not None and await self.is_published(path, match, move.version):
                return move.version
        async with aclosing(self._published_beside(show, path, match)) as others:
            async for version in others:
                if version in tried or len(tried) > CANDIDATES_MAX:
                    continue
                tried.add(version)
                if await self.is_published(path, match, version):
                    return version
        return None

    async def _published_beside(
        self, show: Show, path: str, match: AliasMatch
    ) -> AsyncGenerator[str, None]:
        """Yield the versions beside the alias that have manifests, the last that was put first."""
        directory = paths.parent(path.partition("/")[2])
        where = f"{RESERVED}/versions/{directory}".removesuffix("/")
        tier = await self._tiers.get(match.origin)
        if not tier.properties.listable:
            return
        found: list[tuple[int, str]] = []
        field = show.spec.fields[match.field]
        async with aclosing(tier.list(where)) as pages:
            async for page in pages:
                for one in page.objects:
                    name = paths.name(one.key).removesuffix(".json")
                    text = name.removeprefix(match.before).removesuffix(match.after)
                    if match.target(text) == name and field.problem(text) is None:
                        found.append((one.mtime_ns, text))
        for _, text in sorted(found, reverse=True):
            yield text

    async def come_back(
        self, path: str, match: AliasMatch, version: str, *, by: str, why: str
    ) -> tuple[str | None, bool]:
        """Let an alias point to *version* again, if it left it because that was taken back.

        Not if it was moved since. Returns as `settle`.

        Raises:
            TierError: the origin could not answer.
        """
        history = await self._finder.aliases.history(match)
        last = history[-1] if history else None
        if last is None or len(history) < 2 or history[-2].version != version:
            return (None if last is None else last.version), False
        if not last.why.startswith(_beginning(version)):
            return last.version, False
        try:
            move, new = await self._finder.aliases.move(
                path, match, version, by=by, why=why, expect=last.version
            )
        except AliasMoved:
            log.info("was moved meanwhile", extra={"path": path})
            return None, False
        return move.version, new


def reason(version: str, line: Retraction) -> str:
    """Return what the history of an alias says that left *version*."""
    return f"{_beginning(version)}{line.why}"


def _beginning(version: str) -> str:
    return f"{version} was taken back: "


def _sibling(path: str, match: AliasMatch, version: str) -> str:
    """Return the path, relative to the show, of the version that the alias *path* names so."""
    return paths.join(paths.parent(path.partition("/")[2]), match.target(version))
