"""Uploads that a store knows of and that did not end: gone on with, or given up.

The journal has each of them before the store has (`tiers.sessions`), with its output as long as
that is to be published as it is. When it is not (written again, renamed to another key, unlinked,
in quarantine), the upload is *given up*: in the same transaction it moves to a list of its own,
which is worked off until the store has forgotten the parts, also after a restart.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import trio

from shotfs.errors import ShotfsError
from shotfs.publish import rows
from shotfs.tiers.base import Tier
from shotfs.tiers.sessions import Token

if TYPE_CHECKING:
    from shotfs.publish.core import Core
    from shotfs.publish.entry import PublishTerms, SpoolEntry

log = logging.getLogger(__name__)

GIVEN_UP_MAX = 10_000
"""So many uploads wait to be forgotten; of more the oldest are left to the store's own rules."""

RETRY_S = 1.0
RETRY_S_MAX = 3600.0
"""Pauses of an aborter whose store does not answer, or refuses: doubled from one to the other."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that a store may know of.

    Attributes:
        origin: root URL of the tier.
        key: below that root.
        token: the tier's own. As secret as credentials: kept in the journal, never logged.
    """

    origin: str
    key: str
    token: Token = field(repr=False)

    def fits(self, terms: PublishTerms | None) -> bool:
        """Whether an upload under *terms* may go on with it."""
        return terms is not None and (terms.origin, terms.key) == (self.origin, self.key)


def dump_begun(begun: Begun) -> str:
    """Return *begun* as JSON text, always the same for the same one."""
    return json.dumps({**asdict(begun), "token": dict(begun.token)}, sort_keys=True)


def load_begun(text: str | None) -> Begun | None:
    """Return what `dump_begun` wrote; None stays None."""
    return None if text is None else Begun(**json.loads(text))


class EntrySession:
    """The `UploadSession` of one output: its row in the journal."""

    def __init__(self, core: Core, entry: SpoolEntry, terms: PublishTerms) -> None:
        self._core = core
        self._entry = entry
        self._origin, self._key = terms.origin, terms.key

    @property
    def token(self) -> Token | None:
        """As `UploadSession.token`."""
        begun = self._entry.begun
        return None if begun is None else begun.token

    async def save(self, token: Token | None) -> None:
        """As `UploadSession.save`: durable when it returns.

        That there is none any more goes with the next commit: a crash that forgets it costs a
        question to the store.

        Raises:
            SpoolFull, SpoolBroken: the journal.
        """
        entry = self._entry
        entry.arrived_bytes = 0
        if token is None:
            entry.begun = None
            self._core.journal.post(rows.upload_begun(entry.serial, None))
            return
        entry.begun = Begun(self._origin, self._key, token)
        with trio.CancelScope(shield=True):
            await self._core.journal.commit(
                rows.upload_begun(entry.serial, dump_begun(entry.begun))
            )

    def arrived(self, size_bytes: int) -> None:
        """As `UploadSession.arrived`; an attempt that goes on counts from its first part again."""
        self._entry.arrived_bytes = max(size_bytes, self._entry.arrived_bytes)


class GivenUp:
    """Uploads that their stores are still to forget; in memory, what the journal has."""

    def __init__(self) -> None:
        self._waiting: dict[str, Begun] = {}
        self._added = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, begun: Begun) -> list[Begun]:
        """Take *begun* in; return those that are too many and nobody works off any more."""
        self._waiting[dump_begun(begun)] = begun
        self._added.set()
        dropped = []
        while len(self._waiting) > GIVEN_UP_MAX:
            dropped.append(self._waiting.pop(next(iter(self._waiting))))
        return dropped

    def discard(self, begun: Begun) -> None:
        """The store has forgotten *begun*."""
        self._waiting.pop(dump_begun(begun), None)

    def waiting(self) -> list[Begun]:
        """Return all, the oldest first."""
        return list(self._waiting.values())

    async def wait(self) -> None:
        """Return when there is one."""
        while not self._waiting:
            self._added = trio.Event()
            await self._added.wait()


def give_up(core: Core, entry: SpoolEntry) -> None:
    """Note that nobody goes on with the upload of *entry* that was begun, if one was."""
    begun, entry.begun = entry.begun, None
    entry.arrived_bytes = 0
    if begun is None:
        return
    core.journal.post(*rows.upload_given_up(entry.serial, dump_begun(begun)))
    for one in core.given_up.add(begun):
        log.warning("%s: parts of an upload stay at %s", one.key, one.origin)
        core.journal.post(rows.upload_forgotten(dump_begun(one)))


class Aborter:
    """Has stores forget what was given up.

    Args:
        core: of the spool.
        tiers: opens or finds the tier of an origin.
    """

    def __init__(self, core: Core, tiers: Callable[[str], Awaitable[Tier]]) -> None:
        self._core = core
        self._tiers = tiers

    async def run(self) -> None:
        """Work off what there is, and what comes, until cancelled."""
        pause_s = RETRY_S
        while True:
            await self._core.given_up.wait()
            for begun in self._core.given_up.waiting():
                try:
                    await self._forget(begun)
                except ShotfsError as error:
                    log.info("an upload of %s is not aborted yet: %s", begun.key, error.message)
                except Exception:  # a mistake of ours in one must not stop the publisher
                    log.exception("aborting an upload of %s failed unexpectedly", begun.key)
                else:
                    pause_s = RETRY_S
            if len(self._core.given_up):
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def before(self, terms: PublishTerms) -> None:
        """Have the store forget what was given up under a key, before an upload of it begins.

        Else it could be taken for that one: of some, only the key and the time are known.

        Raises:
            TierUnavailable: not now; try again.
        """
        for begun in self._core.given_up.waiting():
            if begun.fits(terms):
                try:
                    await self._forget(begun)
                except ShotfsError as error:
                    if error.retryable:
                        raise
                    log.warning("parts of %s stay at the store: %s", begun.key, error.message)

    async def _forget(self, begun: Begun) -> None:
        tier = await self._tiers(begun.origin)
        await tier.give_up(begun.key, begun.token)
        self._core.given_up.discard(begun)
        self._core.journal.post(rows.upload_forgotten(dump_begun(begun)))
