"""Proving: blobs that a power cut may have damaged are hashed before they are served.

One hash for a blob, however many wait for it; it goes on when all of them gave up. Event loop only;
`hashing` has the threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.evictor import Evictor
from shotfs.cache.failures import disk_stalled
from shotfs.cache.hashing import Hashing, Progress
from shotfs.cache.index import Index, Row
from shotfs.cache.landing import hash_path
from shotfs.cache.memory import HotRows, Leases
from shotfs.digest import Digest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProofParts:
    """What proving works with. `on_damaged` counts a blob that was wrong."""

    blobs: BlobStore
    database: Database
    evictor: Evictor
    hot: HotRows
    leases: Leases
    hashing: Hashing
    nursery: trio.Nursery
    on_damaged: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Proof:
    """One that is under way, and for which revisions."""

    progress: Progress = field(default_factory=Progress)
    ended: trio.Event = field(default_factory=trio.Event)
    identities: set[str] = field(default_factory=set)


class Proofs:
    """Those that are under way."""

    def __init__(self, parts: ProofParts) -> None:
        self._parts = parts
        self._under_way: dict[Digest, _Proof] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def prove(self, identity: str, row: Row) -> Row | None:
        """Return the row once the blob was hashed; None: it was bad and is gone.

        Args:
            identity: `identity_of` the revision that is opened.
            row: of its blob; memory knows it.

        Raises:
            CacheStalled: the disk made no progress for the deadline. The hash goes on; who asks
                again before the disk answers is told at once.
        """
        parts = self._parts
        proof = self._under_way.get(row.digest)
        if proof is None:
            proof = self._under_way[row.digest] = _Proof()
            parts.leases.add(row.digest)
            parts.nursery.start_soon(self._run, row, proof)
        proof.identities.add(identity)
        if not await proof.progress.wait(proof.ended, parts.hashing.deadline_s):
            raise disk_stalled(parts.blobs.path(row.digest), parts.hashing.deadline_s)
        now = parts.hot.find(identity)
        return now if now is not None and now.proven else None

    async def _run(self, row: Row, proof: _Proof) -> None:
        parts = self._parts
        try:
            if await self._is_sound(row, proof.progress):
                await parts.database.call(Index.prove, row.digest)
                self._tell(row, proof)
            else:
                await parts.evictor.remove([row.digest])
        except IndexUnavailable as error:
            log.warning("cannot record a proof", extra={"reason": error.message})
        except Exception:  # those who wait stream it; the mount must not end with it
            log.exception("a proof failed unexpectedly", extra={"digest": row.digest})
        finally:
            parts.leases.remove(row.digest)
            del self._under_way[row.digest]
            proof.ended.set()

    def _tell(self, row: Row, proof: _Proof) -> None:
        hot = self._parts.hot
        for identity in proof.identities:
            known = hot.find(identity)
            if known is not None and known.digest == row.digest:
                hot.put(identity, Row(row.digest, row.size_bytes, proven=True))

    async def _is_sound(self, row: Row, progress: Progress) -> bool:
        """Hash the blob; False: it is gone or wrong."""
        path = self._parts.blobs.path(row.digest)
        try:
            found = await self._parts.hashing.run(
                path, partial(hash_path, path, row.size_bytes), progress
            )
        except (OSError, EOFError):
            return False
        if found != row.digest:
            self._parts.on_damaged()
            log.error("a blob was damaged while the machine was off", extra={"path": path})
            return False
        return True
