"""Aliases: where the version aliases of a show point, and how they are moved.

An alias is one small object in the origin of its versions. It is asked for as seldom as the policy
allows, once however many ask; while its origin is slow or away it points where it pointed last, on
this node, also after a restart. It is moved with a precondition, so of two who move it at once
neither overwrites the other's line in its history. One event loop.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import trio

from shotfs.errors import (
    AliasMoved,
    PreconditionFailed,
    RecordInvalid,
    TierError,
    TierUnavailable,
)
from shotfs.namespace.alias_document import (
    BYTES_MAX,
    TEXT_MAX,
    Move,
    encode,
    is_name,
    parse_time,
    time_text,
)
from shotfs.namespace.alias_known import Known, Listed, Pointer, pointer_of
from shotfs.namespace.alias_objects import decoded, read_history
from shotfs.namespace.alias_records import AliasRecords
from shotfs.namespace.listing import Listing, ListingCache, list_origin
from shotfs.namespace.own_objects import put_own, read_own, stat_own
from shotfs.namespace.records import Records
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.tier_pool import TierSource, tier_name
from shotfs.pathspec import RESERVED, AliasMatch
from shotfs.tiers.base import Revision

__all__ = ["DIRECTORY", "UNSET", "AliasOf", "Aliases", "Pointer", "Unset"]

log = logging.getLogger(__name__)

ALIASES_MAX = 20_000
"""Aliases that are remembered in memory; one takes about 500 bytes."""

KNOWN_ALIAS_WAIT_S = 1.0
"""How long a look-up of an alias that pointed somewhere waits for its origin (S7)."""

UNREACHABLE_PAUSE_S = 5.0
"""How long it is then taken for granted before its origin is waited for again."""

READS_AT_ONCE = 16
"""Alias objects of one listing that are read at the same time."""

MOVE_ATTEMPTS = 10
"""How often a move is tried again because somebody else moved the alias meanwhile."""

DIRECTORY = f"{RESERVED}/aliases"


class Unset(Enum):
    """Stands for an expectation that the caller does not have."""

    UNSET = 0


UNSET = Unset.UNSET

AliasOf = Callable[[str], AliasMatch | None]
"""From a path, relative to the show, to what the specification says of it as an alias."""


class Aliases:
    """Answers where aliases point, and moves them.

    Args:
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        records: where answers outlive a restart.
        monotonic_s: a clock for times to live that a test may replace.
        wall_s: the time of day, seconds since the epoch; likewise.
        choose: which line of a history (oldest first) is in force: the newest, or that of a view.
        view: names that choice, so that what is kept of one view answers for no other.
    """

    def __init__(
        self,
        tiers: TierSource,
        nursery: trio.Nursery,
        records: Records,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        choose: Callable[[Sequence[Move]], Move | None] = lambda history: (
            history[-1] if history else None
        ),
        view: str = "",
    ) -> None:
        self._tiers = tiers
        self._records = AliasRecords(records, view)
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._choose = choose
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._questions: SingleFlight[str, Known] = SingleFlight(nursery)
        self._lists: SingleFlight[str, tuple[Listing, int]] = SingleFlight(nursery)
        self._listings = ListingCache()
        self._moves = 0
        # Grows with each specification: what was asked under an earlier one is not remembered.
        self._era = 0

    def respecified(self, show: str) -> None:
        """Note that another specification is in force for *show*; forgets its aliases."""
        self._era += 1
        self._questions.restart()
        self._lists.restart()
        self._listings.forget_below(show)
        prefix = f"{show}/"
        for path in [path for path in self._known if path.startswith(prefix)]:
            del self._known[path]

    # --- finding ---------------------------------------------------------------------------------

    async def find(self, path: str, match: AliasMatch) -> Pointer | None:
        """Return where the alias *path* points, or None if it points nowhere.

        Args:
            path: mount-relative.
            match: what the specification says of it.

        Raises:
            TierError: its origin had to be asked and could not answer, and never did before.
            RecordInvalid: its object is damaged.
        """
        known = await self._last_known(path, match)
        if known is not None and self._now_s() < known.until_s:
            return pointer_of(known, match)
        listing = self._fresh_listing(path, match.negative_ttl_s)
        if (
            listing is not None
            and listing.covers(match.origin)
            and listing.revision(match.origin, _file_name(path)) is None
        ):
            return None
        if known is None or known.move is None:
            return pointer_of(await self._ask_once(path, match), match)
        try:
            with trio.move_on_after(KNOWN_ALIAS_WAIT_S):
                return pointer_of(await self._ask_once(path, match), match)
        except TierUnavailable as exc:
            log.info("taken for granted: %s", exc.message, extra={"path": path})
        pause_s = self._now_s() + UNREACHABLE_PAUSE_S
        latest = self._known.get(path, known)
        if latest.until_s < pause_s:
            latest = Known(latest.move, latest.revision, latest.asked_s, pause_s)
            self._remember(path, latest)
        return pointer_of(latest, match)

    async def confirm(self, path: str, match: AliasMatch) -> tuple[Pointer | None, Pointer | None]:
        """Ask the origin now; return where *path* was believed to point, and where it does.

        Raises: as `find`.
        """
        known = self._known.get(path) or await self._last_known(path, match)
        before = None if known is None or known.damaged else pointer_of(known, match)
        return before, pointer_of(await self._ask_once(path, match), match)

    def fresh_for_s(self, path: str, ttl_s: float, *, max_s: float) -> float:
        """Return how long the last answer of *path* may still be trusted, in seconds.

        Args:
            path: mount-relative.
            ttl_s: what to say where nothing is remembered, as of a listing.
            max_s: the most that is returned.
        """
        known, listing = self._known.get(path), self._fresh_listing(path, ttl_s)
        left_s = ttl_s if known is None else known.until_s - self._now_s()
        if listing is not None:
            left_s = listing.listed_s + ttl_s - self._now_s()
        return max(0.0, min(max_s, ttl_s, left_s))

    async def listed(
        self, path: str, rest: str, origins: Sequence[str], ttl_s: float, alias_of: AliasOf
    ) -> Mapping[str, Pointer]:
        """Return the aliases directly in the directory *path* that point somewhere, by name.

        Args:
            path: mount-relative path of the directory.
            rest: the same, relative to the show.
            origins: root URLs that may hold their objects.
            ttl_s: how long a listing is trusted, in seconds.
            alias_of: says which names are aliases.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        listing, moves = self._listings.get(path), -1
        try:
            if listing is None:
                listing, moves = await self._list_once(path, rest, origins)
            elif self._now_s() - listing.listed_s >= ttl_s:
                with trio.move_on_after(KNOWN_ALIAS_WAIT_S):
                    listing, moves = await self._list_once(path, rest, origins)
        except TierUnavailable as exc:
            log.info("aliases as listed before: %s", exc.message, extra={"path": path})
            if listing is None:
                kept = await self._kept(path, rest, origins, alias_of)
                if kept is None:
                    raise
                return kept
        listed = await self._pointers(path, rest, listing, alias_of)
        if moves == self._moves and not listed.problems:
            names = {origin: sorted(listed.names.get(origin, ())) for origin in origins}
            await self._records.keep_names(path, names)
        return listed.pointers

    async def _pointers(self, path: str, rest: str, listing: Listing, alias_of: AliasOf) -> Listed:
        listed = Listed()
        limiter = trio.CapacityLimiter(READS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for part in listing.parts:
                for file_name, revision in part.objects.items():
                    name = file_name.removesuffix(".json")
                    match = alias_of(f"{rest}/{name}" if rest else name)
                    if name == file_name or match is None or match.origin != part.origin:
                        continue
                    await limiter.acquire_on_behalf_of(file_name)
                    nursery.start_soon(
                        self._learn,
                        f"{path}/{name}",
                        match,
                        revision,
                        listing.listed_s,
                        listed,
                        (limiter, file_name),
                    )
        unknown = next((one for one in listed.problems if isinstance(one, TierUnavailable)), None)
        if unknown is not None or (listed.problems and not listed.pointers):
            raise unknown or listed.problems[0]  # half a listing would be a wrong answer
        return listed

    async def _kept(
        self, path: str, rest: str, origins: Sequence[str], alias_of: AliasOf
    ) -> Mapping[str, Pointer] | None:
        """Return the aliases as listed by an earlier run; None if not all of them are known."""
        names = await self._records.names(path)
        if names is None or not set(origins) <= set(names):
            return None
        found: dict[str, Pointer] = {}
        for origin in origins:
            for name in names[origin]:
                match = alias_of(f"{rest}/{name}" if rest else name)
                if match is None or match.origin != origin:
                    continue
                known = await self._last_known(f"{path}/{name}", match)
                if known is None:
                    return None
                pointer = None if known.damaged is not None else pointer_of(known, match)
                if pointer is not None:
                    found[name] = pointer
        return found

    async def _learn(
        self,
        path: str,
        match: AliasMatch,
        revision: Revision,
        listed_s: float,
        listed: Listed,
        turn: tuple[trio.CapacityLimiter, str],
    ) -> None:
        """Put what a listing says of one alias into *listed*; read it if it was moved."""
        try:
            known = self._known.get(path)
            if known is None or (known.asked_s < listed_s and known.revision != revision):
                known = await self._read_listed(path, match, revision, listed_s)
            elif known.asked_s < listed_s:
                known = known.asked_again(listed_s, match)
                self._remember(path, known)
            listed.add(path.rpartition("/")[2], match, known)
        except RecordInvalid as exc:
            # One damaged alias must not hide the directory.
            log.warning("alias is not shown: %s", exc.message, extra={"path": path})
        except TierError as exc:
            listed.problems.append(exc)
        finally:
            turn[0].release_on_behalf_of(turn[1])

    async def _read_listed(
        self, path: str, match: AliasMatch, revision: Revision, listed_s: float
    ) -> Known:
        """Read an alias that was listed; if its origin has gone meanwhile, what it said last."""
        era, before = self._era, self._known.get(path)
        try:
            known = await self._read(match, revision, listed_s)
        except TierUnavailable:
            last = await self._last_known(path, match)
            if last is None:
                raise
            return last
        newer = self._known.get(path)
        if era != self._era:
            log.debug("read under an earlier specification", extra={"path": path})
        elif newer is before or newer is None or newer.asked_s < listed_s:
            self._remember(path, known)
            await self._records.keep(path, match, known, before)
        else:
            return newer  # moved from here meanwhile
        return known

    # --- asking ----------------------------------------------------------------------------------

    async def _ask_once(self, path: str, match: AliasMatch) -> Known:
        return await self._questions.do(path, lambda: self._ask(path, match))

    async def _ask(self, path: str, match: AliasMatch) -> Known:
        tier = await self._tiers.get(match.origin)
        era, before = self._era, self._known.get(path)
        asked_s = self._now_s()
        revision = await stat_own(tier, match.key)
        if revision is None:
            known = Known(None, None, asked_s, asked_s + match.negative_ttl_s)
        elif before is not None and before.revision == revision:
            known = before.asked_again(asked_s, match)
        else:
            known = await self._read(match, revision, asked_s)
        if era != self._era:
            return known  # nobody who asks from now on may see it
        newer = self._known.get(path)
        if newer is not None and newer is not before and newer.asked_s >= asked_s:
            return newer  # moved from here while the origin was thinking
        self._remember(path, known)
        await self._records.keep(path, match, known, before)
        return known

    async def _read(self, match: AliasMatch, revision: Revision, asked_s: float) -> Known:
        tier = await self._tiers.get(match.origin)
        found = await read_own(tier, revision, bytes_max=BYTES_MAX)
        if found is None:
            return Known(None, None, asked_s, asked_s + match.negative_ttl_s)
        data, revision = found
        damaged = None
        try:
            move = self._choose(await decoded(data, f"{tier.name}/{match.key}"))
        except RecordInvalid as exc:
            move, damaged = None, str(exc)
        known = Known(move, revision, asked_s, asked_s, damaged)
        return known.asked_again(asked_s, match)

    async def _list_once(self, path: str, rest: str, origins: Sequence[str]) -> tuple[Listing, int]:
        return await self._lists.do(path, lambda: self._list(path, rest, origins))

    async def _list(self, path: str, rest: str, origins: Sequence[str]) -> tuple[Listing, int]:
        """Return the listing, and how many moves there were when it began."""
        listed_s, listed_at_s, moves = self._now_s(), self._wall_s(), self._moves
        prefix = f"{DIRECTORY}/{rest}" if rest else DIRECTORY
        parts = []
        for origin in origins:
            tier = await self._tiers.get(origin)
            if tier.properties.listable:
                parts.append(await list_origin(tier, origin, prefix))
        listing = Listing(tuple(parts), listed_s, listed_at_s)
        self._listings.put(path, listing)
        return listing, moves

    def _fresh_listing(self, path: str, ttl_s: float) -> Listing | None:
        listing = self._listings.get(path.rpartition("/")[0])
        if listing is None or self._now_s() - listing.listed_s >= ttl_s:
            return None
        known = self._known.get(path)
        return None if known is not None and known.asked_s > listing.listed_s else listing

    def _remember(self, path: str, known: Known) -> None:
        self._known[path] = known
        self._known.move_to_end(path)
        if len(self._known) > ALIASES_MAX:
            self._known.popitem(last=False)

    async def _last_known(self, path: str, match: AliasMatch) -> Known | None:
        """Return what was learned last, be it by an earlier run, which counts as long ago."""
        known = self._known.get(path)
        # Not what was learned where an earlier specification said that the alias is.
        if known and known.revision and known.revision.tier != tier_name(match.origin):
            del self._known[path]
        elif known is not None:
            return known
        known = await self._records.recall(match)
        if known is not None:
            self._known.setdefault(path, known)
        return self._known.get(path)

    # --- history and moving ----------------------------------------------------------------------

    async def history(self, match: AliasMatch) -> tuple[Move, ...]:
        """Return every move that the alias's object remembers, oldest first; asks its origin.

        Raises:
            TierError: the origin could not answer.
            RecordInvalid: the object is damaged.
        """
        history, _ = await read_history(await self._tiers.get(match.origin), match.key)
        return history

    async def move(
        self,
        path: str,
        match: AliasMatch,
        version: str | None,
        *,
        by: str,
        why: str = "",
        expect: str | Unset | None = UNSET,
        after: str = "",
    ) -> tuple[Move, bool]:
        """Let the alias *path* point to *version*; None: nowhere.

        Args:
            path: mount-relative.
            match: what the specification says of it.
            version: text of a version of its field; that is the caller's to check.
            by: who moves it.
            why: kept in the history.
            expect: only if it points there now; without it, wherever it points.
            after: a time as the history has them; the new line gets a later one, whatever the
                clock of this node says.

        Returns:
            The line of the history that is in force, and whether it is new.

        Raises:
            AliasMoved: it does not point to *expect*.
            TierError: the origin could not answer; the alias may have been moved or not.
        """
        assert version is None or is_name(version), version
        tier = await self._tiers.get(match.origin)
        mine: Move | None = None
        for _ in range(MOVE_ATTEMPTS):
            history, revision = await read_history(tier, match.key)
            last = history[-1] if history else None
            if mine in history:
                # An answer was lost. Others may have moved it on since; that is their last word.
                assert last is not None
                assert revision is not None
                return await self._moved(path, match, last, revision), True
            current = None if last is None else last.version
            if expect is not UNSET and current != expect:
                raise AliasMoved(
                    f"{path}: points to {current or 'nothing'}, not to {expect or 'nothing'}",
                    fix=f"shotfs spec aliases {path} shows who moved it",
                )
            if last is not None and current == version and revision is not None:
                return await self._moved(path, match, last, revision), False
            mine = Move(
                version,
                self._next_time(after if last is None else max(last.at, after)),
                by[:TEXT_MAX],
                why[:TEXT_MAX],
            )
            shown = path.partition("/")[2]
            content = encode(shown, (*history, mine))
            try:
                revision = await put_own(
                    tier, match.key, content, expect=revision, at_s=parse_time(mine.at)
                )
            except PreconditionFailed:
                continue
            return await self._moved(path, match, mine, revision), True
        raise AliasMoved(f"{path}: others move it faster than this node can")

    async def _moved(self, path: str, match: AliasMatch, move: Move, revision: Revision) -> Move:
        now_s = self._now_s()
        ttl_s = match.negative_ttl_s if move.version is None else match.ttl_s
        known = Known(move, revision, now_s, now_s + ttl_s)
        before = self._known.get(path)
        self._moves += 1
        self._remember(path, known)
        self._listings.forget(path.rpartition("/")[0])
        await self._records.keep(path, match, known, before)
        await self._records.add_name(path, match.origin)
        return move

    def _next_time(self, after: str) -> str:
        """Return the time of day, but later than *after*: another node's clock may be ahead."""
        now_s = self._wall_s()
        if time_text(now_s) <= after:
            now_s = parse_time(after) + 1e-6
        return time_text(now_s)


def _file_name(path: str) -> str:
    return f"{path.rpartition('/')[2]}.json"
