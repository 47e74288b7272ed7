"""Nearest: an origin whose bytes may come from a faster copy of it.

What exists, its size, time and checksums are the origin's alone. Bytes are read from the first
faster tier that has an object at the same key with the same size and an equal checksum; whatever
goes wrong there, the next tier is read, and the origin last. Faster tiers get one attempt and
little time, and one that failed is left alone for a while: a dead copy next door must not make an
origin slow that works. One event loop.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import trio

from shotfs.digest import Buffer, Checksums
from shotfs.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    ShotfsError,
    TierTimeout,
    TierUnavailable,
)
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import ListPage, Revision, Span, Tier, TierProperties, TreeLister
from shotfs.tiers.sessions import Token, UploadSession

T = TypeVar("T")

log = logging.getLogger(__name__)

ASK_S = 2.0
"""How long a faster tier may take to say what it has: what a look-up at a distant origin takes at
its worst. It is added to the first read of a file, and at most once a pause."""

READ_S = 3.0
RATE_MIN_BYTES_PER_S = 4 * 1024 * 1024
"""A read of n bytes may take READ_S + n / RATE_MIN_BYTES_PER_S: slower is no faster tier."""

PAUSE_S = 30.0
PAUSE_S_MAX = 600.0
"""How long a tier that failed is left alone; twice as long each time it fails again."""

CHOICE_S = 60.0
"""How long it is remembered which tier has a revision: copies come and go."""

DISTRUST_S = 3600.0
"""How long a revision is read from its origin only, after bytes of it were wrong."""

CHOICES_MAX = 20_000
"""Revisions of which is remembered where they are read; one takes about 400 bytes."""

_DOWN = (TierUnavailable, AccessDenied, BucketNotFound)
"""What says something of the whole tier and not of one object."""


class Near:
    """A faster tier, and how it has been lately; shared by all origins that it is a copy of.

    Args:
        tier: without retries; whoever reads from it has somewhere else to go.
        metrics: counts how it is used.
        clock: seconds, monotonic.
    """

    def __init__(
        self, tier: Tier, metrics: Metrics, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self.tier = tier
        self._metrics = metrics
        self._clock = clock
        self._failures = 0
        self._until_s = 0.0

    @property
    def paused(self) -> bool:
        """Whether it is left alone because it failed."""
        return self._failures > 0 and self._clock() < self._until_s

    def take(self) -> bool:
        """Whether it may be asked now. After a pause one caller may, and decides for the others."""
        if self._failures == 0:
            return True
        if self._clock() < self._until_s:
            self.count("paused")
            return False
        self._until_s = self._clock() + self._pause_s()
        return True

    async def ask(self, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* returns within *seconds*, and note how the tier did.

        Raises:
            TierTimeout: it took longer.
            ShotfsError: what *call* raised.
        """
        try:
            with trio.move_on_after(seconds):
                answer = await call()
                self._failures = 0
                return answer
            raise TierTimeout(f"{self.tier.name}: no answer within {seconds:.1f} s")
        except _DOWN as exc:
            self._failed(exc)
            raise

    def count(self, outcome: str) -> None:
        """Count one use: served, absent, differs, unproven, error, paused, wrong."""
        self._metrics.near_tiers[self.tier.name, outcome].inc()

    def _failed(self, exc: ShotfsError) -> None:
        self._failures += 1
        pause_s = self._pause_s()
        self._until_s = self._clock() + pause_s
        log.warning(
            "faster tier %s is left alone for %.0f s; its origins serve: %s",
            self.tier.name,
            pause_s,
            exc.message,
        )

    def _pause_s(self) -> float:
        return min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(self._failures - 1, 16))


@dataclass(slots=True)
class _Choice:
    """Where the bytes of one revision are read.

    Attributes:
        passed: how many of the faster tiers were ruled out.
        near: the tier that has it; None: not looked for yet, or the origin.
        copy: the revision that it has there.
        until_s: when to look again.
        wrong: bytes of it were wrong: the origin only.
        deciding: held while somebody looks.
    """

    passed: int = 0
    near: Near | None = None
    copy: Revision | None = None
    until_s: float = 0.0
    wrong: bool = False
    deciding: trio.Lock = field(default_factory=trio.Lock)


class NearestTier:
    """The tier *origin*, whose bytes are read from *nears* where they have the same.

    Args:
        origin: the tier of record; owned by whoever opened it.
        nears: faster first.
        clock: seconds, monotonic.
    """

    def __init__(
        self, origin: Tier, nears: Sequence[Near], clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._origin = origin
        self._nears = tuple(nears)
        self._clock = clock
        self._choices: OrderedDict[str, _Choice] = OrderedDict()

    def __repr__(self) -> str:
        names = ", ".join(near.tier.name for near in self._nears)
        return f"NearestTier({self._origin!r}, near: {names})"

    def serving(self, revision: Revision) -> str:
        """Return the name of the tier that *revision* was read from last, or would be."""
        choice = self._choices.get(revision.identity)
        return self.name if choice is None or choice.near is None else choice.near.tier.name

    def distrust(self, revision: Revision) -> None:
        """Read *revision* from the origin only: bytes of it were not what they should be."""
        choice = self._choice(revision)
        if choice.near is not None:
            choice.near.count("wrong")
            log.error(
                "faster tier %s has other bytes than it claims: %s",
                choice.near.tier.name,
                revision.key,
            )
        choice.near = choice.copy = None
        choice.passed, choice.wrong = len(self._nears), True
        choice.until_s = self._clock() + DISTRUST_S

    # --- what chooses ----------------------------------------------------------------------------

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`, from the nearest tier that has the same."""

        async def read(tier: Tier, which: Revision) -> Buffer:
            return await tier.read(which, span)

        return await self._read(revision, span, read)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`, from the nearest tier that has the same."""

        async def read(tier: Tier, which: Revision) -> None:
            # What a failed attempt wrote, the next one writes over.
            await tier.read_to_file(which, span, descriptor)

        await self._read(revision, span, read)

    async def _read(
        self, revision: Revision, span: Span, read: Callable[[Tier, Revision], Awaitable[T]]
    ) -> T:
        choice = self._choice(revision)
        while (found := await self._find(choice, revision)) is not None:
            near, copy = found
            patience_s = READ_S + span.length_bytes / RATE_MIN_BYTES_PER_S
            try:
                answer = await near.ask(patience_s, lambda: read(near.tier, copy))  # noqa: B023  # called before the next round
            except ShotfsError as exc:
                near.count("error")
                log.info("read elsewhere: %s", exc.message, extra={"key": revision.key})
                self._rule_out(choice, near)
            else:
                near.count("served")
                return answer
        return await read(self._origin, revision)

    def _choice(self, revision: Revision) -> _Choice:
        identity = revision.identity
        choice = self._choices.get(identity)
        if choice is None:
            choice = self._choices[identity] = _Choice()
            if len(self._choices) > CHOICES_MAX:
                self._choices.popitem(last=False)
        else:
            self._choices.move_to_end(identity)
        return choice

    async def _find(self, choice: _Choice, revision: Revision) -> tuple[Near, Revision] | None:
        """Return the faster tier to read *revision* from, with its revision; None: the origin."""
        async with choice.deciding:
            if choice.until_s and self._clock() >= choice.until_s:
                choice.passed, choice.near, choice.copy = 0, None, None
                choice.until_s, choice.wrong = 0.0, False
            while choice.near is None and choice.passed < len(self._nears):
                near = self._nears[choice.passed]
                copy = await self._look(near, revision)
                if choice.wrong:
                    break  # found out while we looked
                if copy is None:
                    choice.passed += 1
                else:
                    choice.near, choice.copy = near, copy
            if not choice.until_s:
                choice.until_s = self._clock() + CHOICE_S
            if choice.near is None or choice.copy is None:
                return None
            return choice.near, choice.copy

    async def _look(self, near: Near, revision: Revision) -> Revision | None:
        """Return what *near* has that is the same as *revision*, if it has."""
        if revision.checksums == Checksums():
            near.count("unproven")
            return None
        if not near.take():
            return None
        try:
            copy = await near.ask(ASK_S, lambda: near.tier.stat(revision.key))
        except ObjectNotFound:
            near.count("absent")
            return None
        except ShotfsError as exc:
            near.count("error")
            log.info("read elsewhere: %s", exc.message, extra={"key": revision.key})
            return None
        same = proven_copy(copy, revision)
        if not same:
            near.count("unproven" if same is None else "differs")
        return copy if same else None

    @staticmethod
    def _rule_out(choice: _Choice, near: Near) -> None:
        """Read the revision elsewhere until it is looked for again."""
        if choice.near is near:  # else another reader of the same was faster
            choice.near = choice.copy = None
            choice.passed += 1

    # --- what is the origin's ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The origin's."""
        return self._origin.name

    @property
    def properties(self) -> TierProperties:
        """The origin's."""
        return self._origin.properties

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`, of the origin."""
        return await self._origin.stat(key)

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`, of the origin."""
        return self._origin.list(prefix)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`, of the origin."""
        return await cast(TreeLister, self._origin).list_from(start)

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`, of the origin."""
        return await self._origin.keeps_versions()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`, of the origin."""
        return await self._origin.stat_at(key, at_ns)

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`, of the origin."""
        return self._origin.list_at(prefix, at_ns)

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`, of the origin."""
        return await self._origin.recorded(revision)

    async def put(
        self,
        key: str,
        source: bytes | str,
        *,
        expect: Revision | None,
        checksums: Checksums,
        mtime_ns: int,
        metadata: Mapping[str, str],
        session: UploadSession | None = None,
    ) -> Revision:
        """As `Tier.put`, to the origin."""
        return await self._origin.put(
            key,
            source,
            expect=expect,
            checksums=checksums,
            mtime_ns=mtime_ns,
            metadata=metadata,
            session=session,
        )

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`, in the origin."""
        await self._origin.give_up(key, token)

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`, in the origin."""
        await self._origin.delete(key, expect=expect)

    async def check(self) -> None:
        """As `Tier.check`, of the origin."""
        await self._origin.check()

    async def aclose(self) -> None:
        """Nothing: whoever opened the tiers closes them."""


def proven_copy(copy: Revision, revision: Revision) -> bool | None:
    """Tell whether *copy* has the bytes of *revision*; None: there is nothing to compare.

    The recorded xxh128 is a claim by whoever wrote the copy. It is enough here: every whole file
    is compared with the origin's checksums before it is kept (S6).
    """
    if copy.size_bytes != revision.size_bytes:
        return False
    theirs, ours = copy.checksums, revision.checksums
    pairs = ((theirs.md5, ours.md5), (theirs.xxh128, ours.xxh128), (theirs.crc32c, ours.crc32c))
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    return all(one == other for one, other in both) if both else None
