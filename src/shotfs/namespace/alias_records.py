"""What this node remembers of aliases over a restart: where each pointed, and where they lie.

Worth something only while an origin is away. Nothing here is the truth: what is lost costs a
question. The aliases of a directory are known whole or not at all. One event loop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

import trio

from shotfs.namespace.alias_known import Known, dump, restore
from shotfs.namespace.records import Records
from shotfs.pathspec import AliasMatch

log = logging.getLogger(__name__)

Names = Mapping[str, Sequence[str]]
"""Names of aliases by the root URL of their origin, of every origin that was asked."""


class AliasRecords:
    """The records of the aliases of one view.

    Args:
        records: where they are; shared with records of other kinds.
        view: part of each name, so that what is kept of one view answers for no other.
    """

    def __init__(self, records: Records, view: str) -> None:
        self._records = records
        self._view = view
        self._names_lock = trio.Lock()

    async def recall(self, match: AliasMatch) -> Known | None:
        """Return what was learned of an alias by an earlier run, as of long ago."""
        data = await self._records.read(self._pointer(match))
        return None if data is None else restore(data)

    async def keep(self, path: str, match: AliasMatch, known: Known, before: Known | None) -> None:
        """Keep what is *known* of the alias *path* instead of what was known *before*."""
        if known.damaged is not None or (before and before.revision == known.revision):
            return
        if known.move is not None and known.revision is not None:
            await self._records.write(self._pointer(match), dump(known))
        elif before is not None:
            log.info("alias is gone", extra={"path": path})
            await self._records.forget(self._pointer(match))

    async def names(self, path: str) -> Names | None:
        """Return the aliases that the directory *path* held when it was listed last."""
        data = await self._records.read(self._directory(path))
        return None if data is None else _decoded(data)

    async def keep_names(self, path: str, names: Names) -> None:
        """Keep which aliases the directory *path* holds; nothing is written if that is known."""
        async with self._names_lock:
            if await self.names(path) != names:
                await self._records.write(self._directory(path), json.dumps(names).encode())

    async def add_name(self, path: str, origin: str) -> None:
        """Note that the alias *path* was made on this node; not in a directory never listed."""
        directory, _, name = path.rpartition("/")
        async with self._names_lock:
            names = await self.names(directory)
            if names is None or origin not in names or name in names[origin]:
                return
            added = {**names, origin: sorted((*names[origin], name))}
            await self._records.write(self._directory(directory), json.dumps(added).encode())

    def _pointer(self, match: AliasMatch) -> str:
        return f"alias {self._view} {match.origin} {match.key}"

    def _directory(self, path: str) -> str:
        return f"aliases {self._view} {path}"


def _decoded(data: bytes) -> Names | None:
    """Return what `keep_names` wrote; None for what another version of shotfs may have written."""
    try:
        return {
            str(origin): [str(one) for one in names] for origin, names in json.loads(data).items()
        }
    except (ValueError, TypeError, AttributeError):
        return None
