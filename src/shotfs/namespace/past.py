"""The past of the origins: tiers and their pool as they were at one moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from shotfs.digest import Buffer, Checksums
from shotfs.errors import TierReadOnly
from shotfs.namespace.tier_pool import TierSource
from shotfs.tiers.base import ListPage, Revision, Span, Tier, TierProperties
from shotfs.tiers.sessions import Token, UploadSession


class PastTier:
    """A tier as it was at a time: it cannot be changed.

    Args:
        inner: the tier of today; owned by whoever opened it.
        at_ns: nanoseconds since the epoch.
    """

    def __init__(self, inner: Tier, at_ns: int) -> None:
        self._inner = inner
        self._at_ns = at_ns

    def __repr__(self) -> str:
        return f"PastTier({self._inner!r}, at_ns={self._at_ns})"

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._inner.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`: nothing can be written, and not every store has a past."""
        today = self._inner.properties
        return TierProperties(
            writable=False,
            preconditions=False,
            listable=today.listable,
            lists_checksums=today.lists_checksums,
            history=today.history,
        )

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`, at the time."""
        return await self._inner.stat_at(key, self._at_ns)

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`, at the time."""
        return self._inner.list_at(prefix, self._at_ns)

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        return await self._inner.keeps_versions()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`, no later than the time."""
        return await self._inner.stat_at(key, min(at_ns, self._at_ns))

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`, no later than the time."""
        return self._inner.list_at(prefix, min(at_ns, self._at_ns))

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        return await self._inner.recorded(revision)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        return await self._inner.read(revision, span)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        await self._inner.read_to_file(revision, span, descriptor)

    async def put(
        self,
        key: str,
        source: bytes | str,  # noqa: ARG002  # as `Tier.put`
        *,
        expect: Revision | None,  # noqa: ARG002  # as above
        checksums: Checksums,  # noqa: ARG002  # as above
        mtime_ns: int,  # noqa: ARG002  # as above
        metadata: Mapping[str, str],  # noqa: ARG002  # as above
        session: UploadSession | None = None,  # noqa: ARG002  # as above
    ) -> Revision:
        """Refuse: the past does not change."""
        raise TierReadOnly(f"{self.name}/{key}: nothing can be put into the past")

    async def give_up(self, key: str, token: Token) -> None:
        """Nothing: no upload began in the past."""

    async def delete(
        self,
        key: str,
        *,
        expect: Revision | None,  # noqa: ARG002  # as `Tier.delete`
    ) -> None:
        """Refuse: the past does not change."""
        raise TierReadOnly(f"{self.name}/{key}: nothing can be deleted from the past")

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._inner.check()

    async def aclose(self) -> None:
        """Nothing: whoever opened the tier closes it."""


class PastPool:
    """A pool of tiers as they were at a time; some may be of today.

    Args:
        inner: opens and owns the tiers.
        at_ns: nanoseconds since the epoch.
        past: says of which origins the past is seen.
    """

    def __init__(self, inner: TierSource, at_ns: int, past: Callable[[str], bool]) -> None:
        self._inner = inner
        self._at_ns = at_ns
        self._past = past

    def opened(self, url: str) -> Tier | None:
        """As `TierSource.opened`."""
        tier = self._inner.opened(url)
        return None if tier is None else self._as_seen(url, tier)

    async def get(self, url: str) -> Tier:
        """As `TierSource.get`."""
        return self._as_seen(url, await self._inner.get(url))

    def _as_seen(self, url: str, tier: Tier) -> Tier:
        return PastTier(tier, self._at_ns) if self._past(url) else tier
