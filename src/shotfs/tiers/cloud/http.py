"""http:// and https://: a web server that others keep files on. Read-only.

Metadata goes through fsspec's http session (HEAD, index pages), bulk bytes through obstore with
If-Match. A revision's version is a strong ETag, else Last-Modified. A server without ranges is
read from the start of the object for each span: correct, and slow for large files.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import trio

from shotfs.digest import Buffer, Checksums
from shotfs.errors import AccessDenied, ObjectNotFound, TierReadOnly, Unsupported
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.bridge import in_loop, request
from shotfs.tiers.cloud.bulk import BulkReader, Obstore, Pin, client_options, retry_config
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.unversioned import Unversioned
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import UploadSession

_PAGE_NAMES_MAX = 256
_INDEX_BYTES_MAX = 64 * 1024 * 1024
_MODIFIED = "modified "
_UNVERSIONED = "size "

Names = tuple[list[str], list[str]]
"""Names of files and of directories."""

_Place = tuple[list[str] | None, int]
"""The names of files still to be looked at (None: not listed yet) and how many are done."""


class HttpTier(Unversioned):
    """A web server's directory."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._fs: Any = None
        self._opening = trio.Lock()
        self._listable = True
        self._bulk = BulkReader(
            origin,
            obstore=Obstore(origin, self._make_store, _pin),
            fallback=self._read_by_session,
            stat=self.stat,
        )

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._origin.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`; listable until the server says otherwise (`check`, `list`)."""
        return TierProperties(
            writable=False,
            preconditions=False,
            listable=self._listable,
            lists_one_by_one=True,
        )

    @property
    def engine(self) -> str:
        """The engine that reads bulk bytes now."""
        return self._bulk.engine

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        url = self._url(self._origin.object_key(key))
        status, headers, final = await self._head(url)
        if status in (405, 501):
            # No HEAD here; the head of a one-byte answer says the same.
            status, headers, final = await self._head(url, method="GET")
        if status in (404, 410) or final.endswith("/"):
            raise errors.object_not_found(self._origin, key)
        if status >= 400 and status != 416:
            raise errors.from_status(self._origin, self._origin.url(key), status, "")
        return self._revision(key, headers)

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`.

        Raises:
            Unsupported: the server shows no index pages.
        """
        below = self._origin.listing_prefix(prefix)

        async def fetch(place: _Place) -> tuple[ListPage, _Place | None]:
            names, done = place
            if names is None:
                names, prefixes = await self._index(below)
                following: _Place | None = (names, 0) if names else None
                return ListPage((), tuple(prefixes)), following
            # A few at first, in one round trip: who asks whether there is anything reads no more.
            stop = done + (_PAGE_NAMES_MAX if done else self._origin.connections_max)
            objects = await self._stat_all(prefix, names[done:stop])
            return ListPage(objects, ()), (names, stop) if stop < len(names) else None

        first: _Place = (None, 0)
        return Pages(first, fetch)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        return await self._bulk.read(revision, span)

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        """As `SmallReader.read_small`."""
        return await self._bulk.read_small(revisions)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        await self._bulk.read_to_file(revision, span, descriptor)

    async def put(
        self,
        key: str,
        source: bytes | str,  # noqa: ARG002  # the tier contract
        *,
        expect: Revision | None,  # noqa: ARG002  # the tier contract
        checksums: Checksums,  # noqa: ARG002  # the tier contract
        mtime_ns: int,  # noqa: ARG002  # the tier contract
        metadata: Mapping[str, str],  # noqa: ARG002  # the tier contract
        session: UploadSession | None = None,  # noqa: ARG002  # the tier contract
    ) -> Revision:
        """Raise TierReadOnly."""
        raise self._read_only(key)

    async def delete(self, key: str, *, expect: Revision | None) -> None:  # noqa: ARG002  # as put
        """Raise TierReadOnly."""
        raise self._read_only(key)

    async def check(self) -> None:
        """As `Tier.check`."""
        status, _, _ = await self._head(self._url(self._origin.root.key_prefix), method="GET")
        if status in (404, 410):
            raise errors.bucket_not_found(self._origin)
        if status in (403, 405):
            # Usual for a server that serves files and shows no index of a directory.
            self._listable = False
        elif status >= 400 and status != 416:
            raise errors.from_status(self._origin, self.name, status, "")

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        fs, self._fs = self._fs, None
        if fs is not None and fs._session is not None:  # noqa: SLF001  # fsspec has no public close
            await in_loop(fs._session.close)  # noqa: SLF001

    # --- requests --------------------------------------------------------------------------------

    def _url(self, object_key: str) -> str:
        root = self._origin.root
        return f"{root.scheme}://{root.host}/{quote(object_key)}"

    def _read_only(self, key: str) -> TierReadOnly:
        return TierReadOnly(
            f"{self._origin.url(key)} cannot be written: web servers are read-only here",
            fix="publish to a gs://, s3:// or file:// origin; say so in the specification",
        )

    async def _opened(self) -> Any:
        async with self._opening:
            if self._fs is None:
                self._fs = await trio.to_thread.run_sync(self._make_fs)
        return self._fs

    def _make_fs(self) -> Any:
        from fsspec.implementations.http import HTTPFileSystem

        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        client = {"connector_owner": True, "headers": {"Accept-Encoding": "identity"}}
        own = dict(self._origin.settings.options)
        client |= own.pop("client_kwargs", {})
        return HTTPFileSystem(**options, client_kwargs=client, **own)

    async def _head(self, url: str, *, method: str = "HEAD") -> tuple[int, dict[str, str], str]:
        """Return status, headers (names in lower case) and the URL after redirections."""
        fs = await self._opened()

        async def ask() -> tuple[int, dict[str, str], str]:
            import yarl

            session = await fs.set_session()
            headers = {"Range": "bytes=0-0"} if method == "GET" else {}
            target = yarl.URL(url, encoded=True)
            async with session.request(
                method, target, headers=headers, allow_redirects=True
            ) as answer:
                names = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, names, answer.url.path

        return await request(
            self._origin,
            url,
            ask,
            limiter=self._origin.metadata,
            deadline_s=self._origin.network.metadata_timeout_s,
        )

    async def _stat_all(self, prefix: str, names: Sequence[str]) -> tuple[Revision, ...]:
        """Return the revisions of *names*, in their order; what is gone meanwhile is left out."""
        found: dict[str, Revision] = {}

        async def one(name: str) -> None:
            key = f"{prefix}/{name}" if prefix else name
            try:
                found[name] = await self.stat(key)
            except (ObjectNotFound, AccessDenied):
                return

        await _each(names, one, self._origin.connections_max)
        return tuple(found[name] for name in names if name in found)

    async def _index(self, below: str) -> Names:
        """Return the names of files and of directories on the index page of *below*."""
        url = self._url(below)
        status, kind, page = await self._get_page(url)
        if status in (404, 410):
            return [], []
        if status in (403, 405) or (status < 300 and "html" not in kind):
            self._listable = False
            raise Unsupported(
                f"{url} shows no index page (HTTP {status}), so it cannot be listed",
                fix="let the server show directory indexes, or use paths that need no listing",
            )
        if status >= 400:
            raise errors.from_status(self._origin, url, status, "")
        return entries_of(page, url)

    async def _get_page(self, url: str) -> tuple[int, str, str]:
        fs = await self._opened()

        async def ask() -> tuple[int, str, str]:
            import yarl

            session = await fs.set_session()
            async with session.get(yarl.URL(url, encoded=True)) as answer:
                kind = answer.headers.get("Content-Type", "")
                if answer.status >= 300 or "html" not in kind:
                    return answer.status, kind, ""
                content = await answer.content.read(_INDEX_BYTES_MAX)
                while not answer.content.at_eof() and len(content) < _INDEX_BYTES_MAX:
                    content += await answer.content.read(_INDEX_BYTES_MAX - len(content))
                return answer.status, kind, content.decode("utf-8", "replace")

        return await request(
            self._origin,
            url,
            ask,
            limiter=self._origin.metadata,
            deadline_s=self._origin.network.metadata_timeout_s,
        )

    async def _read_by_session(self, revision: Revision, span: Span) -> Buffer:
        what = self._origin.url(revision.key)
        url = self._url(self._origin.object_key(revision.key))
        fs = await self._opened()
        pin = _pin(revision)
        asked = {"Range": f"bytes={span.start}-{span.stop - 1}"}
        if pin.if_match is not None:
            asked["If-Match"] = pin.if_match

        async def ask() -> tuple[int, dict[str, str], bytes]:
            import yarl

            session = await fs.set_session()
            async with session.get(
                yarl.URL(url, encoded=True), headers=asked, timeout=self._timeouts()
            ) as answer:
                names = {name.lower(): value for name, value in answer.headers.items()}
                if answer.status not in (200, 206):
                    return answer.status, names, b""
                skip = span.start if answer.status == 200 else 0
                return answer.status, names, await _part(answer.content, skip, span.length_bytes)

        sent_bytes = span.stop  # as much as comes from a server without ranges
        status, headers, data = await request(
            self._origin,
            what,
            ask,
            limiter=self._origin.bulk,
            deadline_s=self._origin.bulk_deadline_s(sent_bytes),
        )
        if status in (412, 416):
            raise errors.revision_changed(self._origin, revision.key, revision.version)
        if status not in (200, 206):
            raise errors.from_status(self._origin, what, status, "")
        version = _version(headers, revision.size_bytes)
        if not version.startswith(_UNVERSIONED) and version != revision.version:
            raise errors.revision_changed(self._origin, revision.key, revision.version)
        if len(data) != span.length_bytes:
            raise errors.corrupt(what, f"{len(data)} bytes instead of {span.length_bytes}")
        return data

    def _timeouts(self) -> Any:
        import aiohttp

        network = self._origin.network
        # aiohttp's own total would end a long transfer; the deadline of the whole is ours.
        return aiohttp.ClientTimeout(
            total=None,
            sock_connect=network.metadata_timeout_s,
            sock_read=network.progress_timeout_s,
        )

    # --- values ----------------------------------------------------------------------------------

    def _revision(self, key: str, headers: Mapping[str, str]) -> Revision:
        size = _size(headers)
        if size is None:
            raise errors.corrupt(self._origin.url(key), "the server does not say how long it is")
        modified_s = _modified_s(headers) or 0
        return Revision(
            tier=self.name,
            key=key,
            size_bytes=size,
            version=_version(headers, size),
            mtime_ns=modified_s * 10**9,
        )

    def _make_store(self) -> Any:
        from obstore.store import HTTPStore

        root = self._origin.root
        return HTTPStore(
            f"{root.scheme}://{root.host}",
            client_options=client_options(self._origin),  # type: ignore[arg-type]  # built by cases
            retry_config=retry_config(),  # type: ignore[arg-type]  # as above
        )


async def _each(names: Sequence[str], do: Any, at_once: int) -> None:
    """Await ``do(name)`` for all *names*, *at_once* at a time; raise the first error, bare."""
    left = iter(names)
    failures: list[Exception] = []

    async def worker(nursery: trio.Nursery) -> None:
        for name in left:
            try:
                await do(name)
            except Exception as exc:  # noqa: BLE001  # raised below, without its group
                failures.append(exc)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(min(at_once, len(names))):
            nursery.start_soon(worker, nursery)
    if failures:
        raise failures[0]


async def _part(stream: Any, skip: int, length_bytes: int) -> bytes:
    """Return *length_bytes* of *stream* after the first *skip*, or fewer if it ends."""
    data = bytearray()
    async for chunk in stream.iter_any():
        if skip >= len(chunk):
            skip -= len(chunk)
            continue
        data += memoryview(chunk)[skip:]
        skip = 0
        if len(data) >= length_bytes:
            break
    return bytes(memoryview(data)[:length_bytes])


def _size(headers: Mapping[str, str]) -> int | None:
    _, slash, total = headers.get("content-range", "").rpartition("/")
    for text in (total if slash else "", headers.get("content-length", "")):
        if text.isdecimal():
            return int(text)
    return None


def _modified_s(headers: Mapping[str, str]) -> int | None:
    try:
        return int(parsedate_to_datetime(headers["last-modified"]).timestamp())
    except (KeyError, ValueError, TypeError):
        return None


def _version(headers: Mapping[str, str], size_bytes: int) -> str:
    etag = headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    modified_s = _modified_s(headers)
    if modified_s is not None:
        return f"{_MODIFIED}{modified_s}"
    return f"{_UNVERSIONED}{size_bytes}"


def _pin(revision: Revision) -> Pin:
    if revision.version.startswith('"'):
        return Pin(if_match=revision.version)
    if revision.version.startswith(_MODIFIED):
        return Pin(modified_s=int(revision.version.removeprefix(_MODIFIED)))
    return Pin()


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets.extend(value for name, value in attrs if name == "href" and value)


def entries_of(page: str, url: str) -> Names:
    """Return the names of files and of directories that an index *page* at *url* links to.

    Only links to direct children count: the parent, sorting links and foreign hosts do not.
    Both lists are in key order, without doubles.
    """
    links = _Links()
    links.feed(page)
    base = urlsplit(url)
    files: set[str] = set()
    directories: set[str] = set()
    for target in links.targets:
        if target.startswith(("?", "#")):
            continue
        parts = urlsplit(urljoin(url, target))
        if parts.netloc != base.netloc or not parts.path.startswith(base.path) or parts.query:
            continue
        rest = unquote(parts.path[len(base.path) :])
        name = rest.removesuffix("/")
        if "/" in name or not is_key(name):
            continue
        (directories if rest.endswith("/") else files).add(name)
    return sorted(files, key=str.encode), sorted(directories, key=str.encode)
