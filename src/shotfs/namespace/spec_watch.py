"""Watching: a specification that changes comes into force, or is refused and the old one stays.

One check after the other, whether the clock, a signal or a person asks. Looking costs one request
(or one stat) for each document; only what changed is read and loaded. The swap itself is one
assignment in the event loop: nobody sees half of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import trio

from shotfs.errors import DocumentInvalid, InvalidArgument, ShotfsError
from shotfs.namespace.documents import stamp_of
from shotfs.namespace.shows import Show, ShowSet
from shotfs.namespace.spec_loading import SpecLoader
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification

log = logging.getLogger(__name__)

PARALLEL = 16
"""Documents that are looked at at once."""

MISTAKES_MAX = 100
"""Mistakes of one document that are reported; `shotfs spec check` names all."""


class Outcome(StrEnum):
    """What a check found."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of one show found.

    Attributes:
        show: its name.
        spec: where its main document is.
        outcome: CHANGED: a new specification is in force. REFUSED: there is a new one, and it is
            not. UNREADABLE: nobody can say what there is.
        digest: of the specification in force.
        loaded_at: when it came into force.
        message: why the newer one is refused, or could not be read; None where all is well.
        mistakes: of the newer one, one line each, at most `MISTAKES_MAX`.
    """

    show: str
    spec: str
    outcome: Outcome
    digest: str
    loaded_at: str
    message: str | None = None
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why the newest documents are not in force.

    Attributes:
        stamps: of the documents that are refused; None: they could not be read.
        digests: of their texts, likewise.
    """

    outcome: Outcome
    message: str
    mistakes: tuple[str, ...] = ()
    stamps: Mapping[str, str] | None = None
    digests: Mapping[str, str] | None = None


class SpecWatch:
    """Keeps the specifications of a running mount what their documents say.

    Args:
        shows: what is mounted; swapped in place.
        loader: reads and loads.
        metrics: counts checks.
        check_s: how long between two looks, seconds; 0: only when asked to.
        validate: raises `ShotfsError` for a specification that cannot work here.
        swapped: called with the show's name when another specification has come into force. What it
            does before it first waits happens together with the swap.
    """

    def __init__(
        self,
        shows: ShowSet,
        loader: SpecLoader,
        metrics: Metrics,
        *,
        check_s: float,
        validate: Callable[[Specification], Awaitable[None]],
        swapped: Callable[[str], Awaitable[None]],
    ) -> None:
        self._shows = shows
        self._loader = loader
        self._metrics = metrics
        self._check_s = check_s
        self._validate = validate
        self._swapped = swapped
        self._refusals: dict[str, _Refusal] = {}
        self._checking = trio.Lock()

    async def run(self) -> None:
        """Look for changes for ever. Run in a nursery; cancel to stop."""
        if not self._check_s:
            await trio.sleep_forever()
        while True:
            await trio.sleep(self._check_s)
            await self.check()

    async def check(self, names: Collection[str] = (), *, force: bool = False) -> list[Checked]:
        """Look at the documents of the shows *names* (none: of all), and load what changed.

        Args:
            names: of shows.
            force: read the documents whether they look changed or not, and judge again what was
                refused.

        Raises:
            InvalidArgument: there is no such show.
        """
        for name in names:
            if self._shows.get(name) is None:
                raise InvalidArgument(
                    f"there is no show {name!r}",
                    fix=f"name one of {', '.join(self._shows.names)}; a show that was added to the"
                    " configuration needs a restart",
                )
        async with self._checking:
            wanted = sorted(names) or self._shows.names
            stamps = {} if force else await self._stamps(wanted)
            found = []
            for name in wanted:
                outcome = await self._check_safely(name, stamps, force=force)
                self._count(name, outcome)
                found.append(self._checked(name, outcome))
            return found

    def status(self, name: str) -> dict[str, Any]:
        """Return what is in force for the show *name*, and what is not."""
        show = self._shows.get(name)
        assert show is not None
        spec, refusal = show.spec, self._refusals.get(name)
        told: dict[str, Any] = {
            "spec": spec.source,
            "templates": len(spec.templates),
            "digest": spec.digest,
            "loaded_at": _moment(show.loaded_at_s),
            "documents": sorted(show.stamps),
            "from_cache": show.copy_of_s is not None,
            "state": _state(show, refusal),
        }
        if refusal is not None and refusal.mistakes:
            told["mistakes"] = list(refusal.mistakes)
        return told

    # --- one show --------------------------------------------------------------------------------

    async def _check_safely(
        self, name: str, stamps: Mapping[str, str | Exception], *, force: bool
    ) -> Outcome:
        try:
            return await self._check(name, stamps, force=force)
        except Exception as exc:  # the mount must outlive any mistake of ours
            log.exception("looking for a new specification failed", extra={"show": name})
            self._refusals[name] = _Refusal(
                Outcome.UNREADABLE, f"{type(exc).__name__}: see the log"
            )
            return Outcome.UNREADABLE

    async def _check(
        self, name: str, stamps: Mapping[str, str | Exception], *, force: bool
    ) -> Outcome:
        show = self._shows.get(name)
        assert show is not None
        refusal = self._refusals.get(name)
        if not force:
            failure = _failure(show, refusal, stamps)
            if failure is not None:
                return self._unreadable(name, failure)
            if _same(show.stamps, stamps):
                return self._unchanged(show, show.stamps)
            if refusal is not None and refusal.stamps and _same(refusal.stamps, stamps):
                return refusal.outcome
        try:
            documents = await self._loader.read(name)
        except (ShotfsError, OSError) as exc:
            return self._unreadable(name, exc)
        digests = documents.digests
        if digests == dict(show.spec.documents):
            return self._unchanged(show, documents.stamps)
        if not force and refusal is not None and refusal.digests == digests:
            self._refusals[name] = replace(refusal, stamps=documents.stamps)
            return refusal.outcome
        try:
            new = await self._loader.load(name, documents)
            await self._validate(new.spec)
        except ShotfsError as exc:
            self._refuse(name, exc, documents.stamps, digests)
            return Outcome.REFUSED
        await self._swap(show, new)
        return Outcome.CHANGED

    def _unchanged(self, show: Show, stamps: Mapping[str, str]) -> Outcome:
        if self._refusals.pop(show.name, None) is not None or show.copy_of_s is not None:
            log.info("specification of show %s: what is in force is what %s says",
                     show.name, show.spec.source)  # fmt: skip
        if stamps != show.stamps or show.copy_of_s is not None:
            # The same specification: nothing that anybody knows becomes wrong.
            self._shows.renew(Show(show.name, show.spec, stamps, show.loaded_at_s))
        return Outcome.UNCHANGED

    async def _swap(self, old: Show, new: Show) -> None:
        self._refusals.pop(new.name, None)
        self._shows.replace(new)
        log.info(
            "specification of show %s: a new one is in force",
            new.name,
            extra={
                "spec": new.spec.source,
                "digest": new.spec.digest,
                "before": old.spec.digest,
                "templates": len(new.spec.templates),
            },
        )
        for warning in new.spec.warnings:
            log.warning("%s: %s: %s", new.spec.source, warning.where, warning.message)
        await self._swapped(new.name)

    def _refuse(
        self,
        name: str,
        exc: ShotfsError,
        stamps: Mapping[str, str],
        digests: Mapping[str, str],
    ) -> None:
        mistakes: tuple[str, ...] = ()
        if isinstance(exc, DocumentInvalid):
            mistakes = tuple(_lines(exc)[:MISTAKES_MAX])
        message = str(exc).partition("\n")[0]
        self._refusals[name] = _Refusal(Outcome.REFUSED, message, mistakes, stamps, digests)
        log.error("specification of show %s: the new one is refused, the old one stays: %s",
                  name, exc)  # fmt: skip

    def _unreadable(self, name: str, exc: Exception) -> Outcome:
        message = str(exc)
        if isinstance(exc, DocumentInvalid):
            message = "; ".join(f"{exc.source}: {one.message}" for one in exc.problems)
        message = message.replace("\n", " ")
        known = self._refusals.get(name)
        if known is None or known.outcome is not Outcome.UNREADABLE:
            # Once, and not with every look at an origin that is gone.
            log.warning("specification of show %s cannot be read, the old one stays: %s",
                        name, message)  # fmt: skip
        if known is None or known.outcome is Outcome.UNREADABLE:
            # What is refused stays so: it is still the newest that was seen.
            self._refusals[name] = _Refusal(Outcome.UNREADABLE, message)
        return Outcome.UNREADABLE

    # --- many documents --------------------------------------------------------------------------

    async def _stamps(self, names: Collection[str]) -> dict[str, str | Exception]:
        """Return the stamp of every document of these shows, each asked for once."""
        wanted: set[str] = set()
        for name in names:
            show, refusal = self._shows.get(name), self._refusals.get(name)
            assert show is not None
            wanted.update(show.stamps)
            wanted.update((refusal.stamps or ()) if refusal is not None else ())
        found: dict[str, str | Exception] = {}
        limit = trio.CapacityLimiter(PARALLEL)

        async def one(location: str) -> None:
            async with limit:
                try:
                    found[location] = await stamp_of(location, self._loader.tiers)
                except (ShotfsError, OSError) as exc:
                    found[location] = exc

        async with trio.open_nursery() as nursery:
            for location in wanted:
                nursery.start_soon(one, location)
        return found

    # --- telling ---------------------------------------------------------------------------------

    def _count(self, name: str, outcome: Outcome) -> None:
        self._metrics.spec_checks[name, outcome.value].inc()
        self._metrics.spec_refused[name].set(outcome in (Outcome.REFUSED, Outcome.UNREADABLE))

    def _checked(self, name: str, outcome: Outcome) -> Checked:
        show, refusal = self._shows.get(name), self._refusals.get(name)
        assert show is not None
        return Checked(
            name,
            show.spec.source,
            outcome,
            show.spec.digest,
            _moment(show.loaded_at_s),
            None if refusal is None else refusal.message,
            [] if refusal is None else list(refusal.mistakes),
        )


def _same(stamps: Mapping[str, str], now: Mapping[str, str | Exception]) -> bool:
    return all(now.get(location) == stamp for location, stamp in stamps.items())


def _failure(
    show: Show, refusal: _Refusal | None, now: Mapping[str, str | Exception]
) -> Exception | None:
    """Return why it cannot be said whether the documents of *show* changed."""
    locations = (refusal.stamps if refusal is not None else None) or show.stamps
    for location in locations:
        found = now.get(location)
        if isinstance(found, Exception):
            return found
    return None


def _state(show: Show, refusal: _Refusal | None) -> str:
    since = _moment(show.loaded_at_s)
    if refusal is not None and refusal.outcome is Outcome.REFUSED:
        return f"refused: {refusal.message}; still using the one of {since}"
    if refusal is not None:
        return f"cannot be read: {refusal.message}; still using the one of {since}"
    if show.copy_of_s is not None:
        reason = (show.problem or "").partition("\n")[0]
        return f"in force, a copy that was read at {_moment(show.copy_of_s)}: {reason}"
    return "in force"


def _lines(exc: DocumentInvalid) -> list[str]:
    return [
        f"{problem.source or exc.source}"
        + (f":{problem.line}:{problem.column or 1}" if problem.line is not None else "")
        + f": {problem.where}: {problem.message}"
        for problem in exc.problems
    ]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
