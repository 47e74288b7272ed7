"""file://: a plain directory, on a local disk or a file server.

Create-only is a complete temporary file and link(2), which fails when the name exists; replace
and delete compare under an flock of the root's lock file, so they are atomic among shotfs
processes, not against other programs. Links are followed as long as they stay inside the root.
Directories stay when they become empty: they may be somebody's, with rights of their own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TypeVar

from shotfs.digest import Buffer, Checksums
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.directory import Directory, Found, SourceFailed
from shotfs.tiers.cloud.origin import Origin, check_span
from shotfs.tiers.cloud.threads import (
    Call,
    LocalWriteFailed,
    in_thread,
    put_in_thread,
    with_descriptor,
)
from shotfs.tiers.cloud.unversioned import Unversioned
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import Token, UploadSession
from shotfs.tiers.source import size_of

T = TypeVar("T")

_PAGE_NAMES_MAX = 1000
_COPY_BYTES = 1024 * 1024

_Place = tuple[list[str] | None, int]


class LocalTier(Unversioned):
    """A directory."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._directory = Directory(origin.root.path)

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._origin.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`."""
        return TierProperties(
            writable=True, preconditions=True, listable=True, lists_checksums=False
        )

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        self._origin.check(key)
        return self._revision(key, await self._do(key, lambda: self._directory.stat(key)))

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`."""
        if prefix:
            self._origin.check(prefix)

        async def fetch(place: _Place) -> tuple[ListPage, _Place | None]:
            names, start = place
            if names is None:
                names = await self._do(prefix, lambda: self._directory.names(prefix))
            stop = start + _PAGE_NAMES_MAX
            some = names[start:stop]
            files, prefixes = await self._do(prefix, lambda: self._directory.look(prefix, some))
            page = ListPage(
                tuple(self._revision(key, found) for key, found in files), tuple(prefixes)
            )
            return page, (names, stop) if stop < len(names) else None

        first: _Place = (None, 0)
        return Pages(first, fetch)

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`: what fits into extended attributes."""
        key = revision.key
        self._origin.check(key)
        found, metadata = await self._do(key, lambda: self._directory.recorded(key))
        if found.version != revision.version:
            raise errors.revision_changed(self._origin, key, revision.version)
        return metadata

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        check_span(revision, span)
        content = bytearray(span.length_bytes)
        view = memoryview(content)
        call = Call(self._origin.network.progress_timeout_s)

        def take(data: memoryview, offset: int) -> None:
            view[offset - span.start : offset - span.start + len(data)] = data

        await self._do(
            revision.key,
            lambda: self._read(revision, span, take, call),
            bulk_bytes=span.length_bytes,
            call=call,
        )
        return content

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        check_span(revision, span)

        def work(own: int, call: Call) -> None:
            with errors.os_errors(self._origin, revision.key, self._directory.exists):
                self._read(
                    revision, span, lambda data, offset: call.write_at(own, data, offset), call
                )

        what = self._origin.url(revision.key)
        try:
            await with_descriptor(
                self._origin, what, descriptor, work, bulk_bytes=span.length_bytes
            )
        except LocalWriteFailed as exc:
            raise exc.error from exc

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
        self._origin.check(key)
        size_bytes = await size_of(source)
        expected = None if expect is None else expect.version
        if session is not None and session.token is None:
            # A file is copied anew after a crash, but its half must not stay if nobody does that,
            # because it was written again meanwhile: small ones, too, are killed in a copy.
            await session.save({"began": key})

        def work(call: Call) -> Found | None:
            with errors.os_errors(self._origin, key, self._directory.exists):
                return self._directory.put(
                    key, source, expected, checksums, mtime_ns, call, metadata
                )

        try:
            made = await put_in_thread(
                self._origin,
                self._origin.url(key),
                work,
                bulk_bytes=size_bytes,
                idle_s=self._origin.network.progress_timeout_s,
            )
        except SourceFailed as exc:
            raise exc.error from exc
        if session is not None and session.token is not None:
            await session.save(None)
        if made is None:
            raise errors.precondition_failed(self._origin, key, expected)
        return self._revision(key, made)

    async def give_up(self, key: str, token: Token) -> None:  # noqa: ARG002  # the key says it all
        """As `Tier.give_up`: removes what a killed service left of a copy."""
        self._origin.check(key)
        await self._do(key, lambda: self._directory.sweep(key))

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        self._origin.check(key)
        expected = None if expect is None else expect.version
        if not await self._do(key, lambda: self._directory.delete(key, expected)):
            raise errors.precondition_failed(self._origin, key, expected)

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._do("", self._directory.check)

    async def aclose(self) -> None:
        """As `Tier.aclose`. Nothing is open."""

    # --- below -----------------------------------------------------------------------------------

    async def _do(
        self,
        key: str,
        work: Callable[[], T],
        *,
        bulk_bytes: int | None = None,
        call: Call | None = None,
    ) -> T:
        def run() -> T:
            with errors.os_errors(self._origin, key, self._directory.exists):
                return work()

        what = self._origin.url(key)
        return await in_thread(self._origin, what, run, bulk_bytes=bulk_bytes, call=call)

    def _read(
        self,
        revision: Revision,
        span: Span,
        take: Callable[[memoryview, int], None],
        call: Call,
    ) -> None:
        """Give *take* the bytes of *span*; in a thread."""
        descriptor = self._directory.open(revision.key)
        try:
            self._check_unchanged(revision, descriptor)
            block = memoryview(bytearray(min(_COPY_BYTES, max(span.length_bytes, 1))))
            offset = span.start
            while offset < span.stop:
                count = os.preadv(descriptor, [block[: span.stop - offset]], offset)
                if count == 0:
                    raise errors.revision_changed(self._origin, revision.key, revision.version)
                call.moved()
                take(block[:count], offset)
                offset += count
            # Written in place meanwhile? The file tells only afterwards.
            self._check_unchanged(revision, descriptor)
        finally:
            os.close(descriptor)

    def _check_unchanged(self, revision: Revision, descriptor: int) -> None:
        status = os.fstat(descriptor)
        now = Found(status.st_size, status.st_mtime_ns, status.st_ino)
        if (now.version, now.size_bytes) != (revision.version, revision.size_bytes):
            raise errors.revision_changed(self._origin, revision.key, revision.version)

    def _revision(self, key: str, found: Found) -> Revision:
        return Revision(
            tier=self.name,
            key=key,
            size_bytes=found.size_bytes,
            version=found.version,
            mtime_ns=found.mtime_ns,
            checksums=Checksums(xxh128=found.digest),
        )
