"""Any other fsspec URL (sftp://, memory://, az://, ...), by fsspec's own blocking calls.

What fsspec offers everywhere is not enough for atomic preconditions: `put` checks, then writes,
and another node may come between; `properties.preconditions` says so. Within this process puts
to one tier take turns.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from shotfs.digest import Buffer, Checksums, Digest, digest_bytes, hash_file
from shotfs.errors import ObjectNotFound, ShotfsError, TierReadOnly, Unsupported
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.clients import IMPORTING
from shotfs.tiers.cloud.origin import Origin, check_span
from shotfs.tiers.cloud.threads import (
    Abandoned,
    Call,
    LocalWriteFailed,
    in_thread,
    put_in_thread,
    with_descriptor,
)
from shotfs.tiers.cloud.unversioned import Unversioned
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import UploadSession
from shotfs.tiers.source import size_of

T = TypeVar("T")

_PAGE_OBJECTS_MAX = 1000
_VERSIONS = ("generation", "version_id", "ETag", "etag", "e_tag", "md5", "checksum", "content_hash")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")

Entries = list[dict[str, Any]]

_Place = tuple[Entries | None, int]


class GenericTier(Unversioned):
    """A root that some fsspec file system serves."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._base = _path_of(origin)
        self._made: Any = None
        self._making = threading.Lock()
        bare = self._base.lstrip("/")
        lead = self._base[: len(self._base) - len(bare)]
        self._container = lead + bare.partition("/")[0]
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._origin.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`."""
        return TierProperties(writable=True, preconditions=False, listable=True)

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        path = self._path(key)
        return await self._do(key, lambda: self._stat(key, path))

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`."""
        path = self._path(prefix) if prefix else self._base

        async def fetch(place: _Place) -> tuple[ListPage, _Place | None]:
            entries, start = place
            if entries is None:
                entries = await self._do(prefix, lambda: self._entries(prefix, path))
            stop = start + _PAGE_OBJECTS_MAX
            page = self._page(prefix, entries[start:stop])
            return page, (entries, stop) if stop < len(entries) else None

        first: _Place = (None, 0)
        return Pages(first, fetch)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        check_span(revision, span)
        path = self._path(revision.key)
        return await self._do(
            revision.key, lambda: self._read(revision, path, span), bulk_bytes=span.length_bytes
        )

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        data = await self.read(revision, span)

        def work(own: int, call: Call) -> None:
            call.write_at(own, memoryview(data), span.start)

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
        mtime_ns: int,  # noqa: ARG002  # fsspec has no common way to keep it
        metadata: Mapping[str, str],  # noqa: ARG002  # as above
        session: UploadSession | None = None,  # noqa: ARG002  # fsspec puts a file in one go
    ) -> Revision:
        """As `Tier.put`, except that the precondition is checked here and not at the store."""
        path = self._path(key)
        # Raises what the caller is promised (OSError) before errors count as the store's.
        size = await size_of(source)

        def work(call: Call) -> Revision:
            return self._put(key, path, source, expect, checksums.xxh128, call)

        what = self._origin.url(key)
        with self._explained(key):
            return await put_in_thread(
                self._origin,
                what,
                lambda call: self._translated(what, lambda: work(call)),
                bulk_bytes=size,
                idle_s=self._origin.bulk_deadline_s(size),
            )

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`, with the same limit as `put`."""
        path = self._path(key)

        def work() -> None:
            with self._turn:
                now = self._stat(key, path)
                if expect is not None and now.version != expect.version:
                    raise errors.precondition_failed(self._origin, key, expect.version)
                self._fs.rm_file(path)

        await self._do(key, work)

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._do("", lambda: self._entries("", self._base))

    async def aclose(self) -> None:
        """As `Tier.aclose`. fsspec closes its file systems itself."""

    @property
    def _fs(self) -> Any:
        """The file system, made at first use: some connect then, so only threads may ask."""
        with self._making:
            if self._made is None:
                self._made = _open(self._origin)
            return self._made

    # --- below: worker threads -------------------------------------------------------------------

    def _path(self, key: str) -> str:
        self._origin.check(key)
        return f"{self._base.rstrip('/')}/{key}"

    async def _do(self, key: str, work: Callable[[], T], *, bulk_bytes: int | None = None) -> T:
        what = self._origin.url(key)
        with self._explained(key):
            return await in_thread(
                self._origin, what, lambda: self._translated(what, work), bulk_bytes=bulk_bytes
            )

    def _translated(self, what: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except (ShotfsError, NotImplementedError, Abandoned):
            raise
        except Exception as exc:
            raise errors.translate(exc, self._origin, what) from exc

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as exc:
            raise TierReadOnly(
                f"{self._origin.url(key)}: fsspec's file system for"
                f" {self._origin.root.scheme}:// cannot do this",
                fix="use an origin of another kind",
            ) from exc
        except ObjectNotFound as exc:
            if key == "":
                raise errors.bucket_not_found(self._origin) from exc
            raise

    def _stat(self, key: str, path: str) -> Revision:
        self._fs.invalidate_cache()
        info = self._fs.info(path)
        if info.get("type") != "file":
            raise errors.object_not_found(self._origin, key)
        return self._revision(key, info)

    def _entries(self, prefix: str, path: str) -> Entries:
        self._fs.invalidate_cache()
        try:
            entries = list(self._fs.ls(path, detail=True))
        except FileNotFoundError:
            if prefix == "":
                # A prefix that nothing was put below yet is fine; its container must exist.
                self._fs.ls(self._container, detail=False)
            return []
        except NotADirectoryError:
            return []
        return sorted(entries, key=lambda entry: str(entry["name"]))

    def _page(self, prefix: str, entries: Entries) -> ListPage:
        objects, prefixes = [], []
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if not is_key(name):
                continue
            if entry.get("type") == "directory":
                prefixes.append(name)
            elif not str(entry["name"]).endswith("/"):
                objects.append(self._revision(f"{prefix}/{name}" if prefix else name, entry))
        return ListPage(tuple(objects), tuple(prefixes))

    def _read(self, revision: Revision, path: str, span: Span) -> bytes:
        data: bytes = self._fs.cat_file(path, start=span.start, end=span.stop)
        # Nothing pins a revision here, so look at it again: unchanged now, unchanged then.
        if self._stat(revision.key, path).version != revision.version:
            raise errors.revision_changed(self._origin, revision.key, revision.version)
        if len(data) != span.length_bytes:
            what = self._origin.url(revision.key)
            raise errors.corrupt(what, f"{len(data)} bytes instead of {span.length_bytes}")
        return data

    def _put(
        self,
        key: str,
        path: str,
        source: bytes | str,
        expect: Revision | None,
        digest: Digest | None,
        call: Call,
    ) -> Revision:
        with self._turn:
            call.moved()
            self._check_precondition(key, path, None if expect is None else expect.version)
            before = _State.of(source, hashed=digest is not None)
            if digest != before.digest:
                what = self._origin.url(key)
                raise errors.corrupt(what, f"digest {before.digest}, promised was {digest}")
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            call.begin()
            if isinstance(source, bytes):
                self._fs.pipe_file(path, source)
            else:
                self._fs.put_file(source, path)
            made = self._stat(key, path)
            now = _State.of(source, hashed=False)
            if made.size_bytes != now.size_bytes or not now.same_file(before):
                # fsspec read the source once more; nobody knows which bytes it found.
                self._fs.rm_file(path)
                raise errors.corrupt(self._origin.url(key), "the source changed while it was read")
            return made

    def _check_precondition(self, key: str, path: str, expected: str | None) -> None:
        try:
            found: str | None = self._stat(key, path).version
        except (FileNotFoundError, ObjectNotFound):
            found = None
        if found != expected:
            raise errors.precondition_failed(self._origin, key, expected)

    def _revision(self, key: str, info: Mapping[str, Any]) -> Revision:
        size = int(info.get("size") or 0)
        mtime_ns = next((_time_ns(info[name]) for name in _TIMES if info.get(name)), 0)
        given = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
        return Revision(
            tier=self.name,
            key=key,
            size_bytes=size,
            version=f"{given}-{mtime_ns}-{size}",
            mtime_ns=mtime_ns,
        )


def _path_of(origin: Origin) -> str:
    """Return the root as its file system calls it. Imports, and connects to nothing."""
    import fsspec

    try:
        with IMPORTING:
            implementation = fsspec.get_filesystem_class(origin.root.scheme)
        return str(implementation._strip_protocol(origin.name))  # noqa: SLF001  # url_to_fs would connect
    except (ImportError, ValueError) as exc:
        raise _unsupported(origin, exc) from exc


def _open(origin: Origin) -> Any:
    import fsspec

    try:
        options = origin.settings.options
        return fsspec.url_to_fs(origin.name, use_listings_cache=False, **options)[0]
    except (ImportError, ValueError) as exc:
        raise _unsupported(origin, exc) from exc


def _unsupported(origin: Origin, exc: Exception) -> Unsupported:
    return Unsupported(
        f"no origin can be opened at {origin.name}: {exc}",
        fix=f"install the fsspec implementation of {origin.root.scheme}://, or correct the URL",
    )


@dataclass(frozen=True, slots=True)
class _State:
    """A source at one moment."""

    size_bytes: int
    mtime_ns: int
    digest: Digest | None

    @classmethod
    def of(cls, source: bytes | str, *, hashed: bool) -> _State:
        """Look at *source*; the digest is None unless it is to be *hashed*."""
        if isinstance(source, bytes):
            return cls(len(source), 0, digest_bytes(source) if hashed else None)
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            digest = hash_file(descriptor, status.st_size).xxh128 if hashed else None
            return cls(status.st_size, status.st_mtime_ns, digest)
        finally:
            os.close(descriptor)

    def same_file(self, other: _State) -> bool:
        """Whether nothing was written between the two."""
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


def _time_ns(value: object) -> int:
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    if isinstance(value, int | float):
        # Whole microseconds: one fsspec file system gives the same time as a float in listings
        # and as a datetime in `info` (memory://, 2026.9), and both must be the same number.
        return round(value * 10**6) * 1000
    try:
        return _time_ns(datetime.fromisoformat(str(value)))
    except ValueError:
        return 0
