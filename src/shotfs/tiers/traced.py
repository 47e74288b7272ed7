"""Metrics and debug logs around a tier. Inside the retries, so that each attempt is counted."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import cast

import trio

from shotfs.digest import Buffer, Checksums
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import (
    ListPage,
    Revision,
    Span,
    Tier,
    TierProperties,
    TreeLister,
    small_reader,
)
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import Token, UploadSession

log = logging.getLogger(__name__)


class TracedTier:
    """A tier that counts what it is asked, how long it takes and how it ends."""

    def __init__(self, inner: Tier, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    def __repr__(self) -> str:
        return f"TracedTier({self._inner!r})"

    @contextmanager
    def _traced(self, op: str, key: str) -> Iterator[None]:
        began = perf_counter()
        outcome = "ok"
        try:
            yield
        except trio.Cancelled:
            outcome = "cancelled"
            raise
        except Exception as exc:
            outcome = type(exc).__name__
            raise
        finally:
            seconds = perf_counter() - began
            self._metrics.tier_requests[self.name, op, outcome].inc()
            self._metrics.tier_seconds[self.name, op].observe(seconds)
            log.debug("%s %s/%s: %s after %.1f ms", op, self.name, key, outcome, seconds * 1000)

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._inner.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`."""
        return self._inner.properties

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        with self._traced("stat", key):
            return await self._inner.stat(key)

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`; each page counts as a request."""
        return self._listed(prefix, self._inner.list(prefix))

    def _listed(
        self, prefix: str, pages: AsyncGenerator[ListPage, None]
    ) -> AsyncGenerator[ListPage, None]:
        async def fetch(_: bool) -> tuple[ListPage, bool | None]:
            with self._traced("list", prefix):
                page = await anext(pages, None)
            if page is None:
                raise StopAsyncIteration
            return page, True

        return Pages(True, fetch)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`."""
        with self._traced("list", start):
            return await cast(TreeLister, self._inner).list_from(start)

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        with self._traced("check", ""):
            return await self._inner.keeps_versions()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        with self._traced("stat", key):
            return await self._inner.stat_at(key, at_ns)

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`; each page counts as a request."""
        return self._listed(prefix, self._inner.list_at(prefix, at_ns))

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        with self._traced("stat", revision.key):
            return await self._inner.recorded(revision)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        with self._traced("read", revision.key):
            data = await self._inner.read(revision, span)
        self._metrics.tier_bytes_read[self.name].inc(span.length_bytes)
        return data

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        """As `SmallReader.read_small`, where the inner tier can; each object is a request."""
        inner = small_reader(self._inner)
        if inner is None:
            return [None]
        began = perf_counter()
        with self._traced("read", revisions[0].key):
            contents = await inner.read_small(revisions)
        came = [one for one in contents if one is not None]
        each_s = (perf_counter() - began) / max(1, len(came))
        if len(came) > 1:
            self._metrics.tier_requests[self.name, "read", "ok"].inc(len(came) - 1)
            seconds = self._metrics.tier_seconds[self.name, "read"]
            for _ in came[1:]:
                seconds.observe(each_s)
        self._metrics.tier_bytes_read[self.name].inc(sum(len(one) for one in came))
        return contents

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        with self._traced("read", revision.key):
            await self._inner.read_to_file(revision, span, descriptor)
        self._metrics.tier_bytes_read[self.name].inc(span.length_bytes)

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
        """As `Tier.put`."""
        with self._traced("put", key):
            revision = await self._inner.put(
                key,
                source,
                expect=expect,
                checksums=checksums,
                mtime_ns=mtime_ns,
                metadata=metadata,
                session=session,
            )
        self._metrics.tier_bytes_written[self.name].inc(revision.size_bytes)
        return revision

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`."""
        with self._traced("give_up", key):
            await self._inner.give_up(key, token)

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        with self._traced("delete", key):
            await self._inner.delete(key, expect=expect)

    async def check(self) -> None:
        """As `Tier.check`."""
        with self._traced("check", ""):
            await self._inner.check()

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        await self._inner.aclose()
