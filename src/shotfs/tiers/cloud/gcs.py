"""gs://: Google Cloud Storage and what speaks its JSON API.

Metadata and uploads go through the JSON API (`GcsApi`), bulk bytes through obstore's GCS store
with the generation pinned. A revision's version is its generation. Listings carry our metadata,
so the mtime is the recorded one where there is one, in stat and listings alike.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shotfs.digest import Buffer, Checksums
from shotfs.errors import TierError
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.bulk import BulkReader, Obstore, Pin, client_options, retry_config
from shotfs.tiers.cloud.gcs_api import Answer, GcsApi
from shotfs.tiers.cloud.gcs_history import GcsHistory
from shotfs.tiers.cloud.gcs_upload import GcsUpload, give_up
from shotfs.tiers.cloud.moments import epoch_ns
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.recorded import digest_of, mtime_ns_of, recorded
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import Token, UploadSession, meant
from shotfs.tiers.source import opened

_OBJECT_FIELDS = "name,generation,size,md5Hash,crc32c,updated,metadata"
_PAGE_OBJECTS_MAX = 1000


class GcsTier:
    """A bucket, or a prefix of one."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._bucket = origin.root.host
        self._api = GcsApi(origin)
        self._bucket_seen = False
        self._history = GcsHistory(origin, self._api, _OBJECT_FIELDS, self._revision)
        self._bulk = BulkReader(
            origin,
            obstore=Obstore(
                origin,
                self._make_store,
                lambda r: Pin(version=r.version),
                self._api.token.renew_provided,
            ),
            fallback=self._read_by_api,
            stat=self.stat,
        )

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._origin.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`."""
        return TierProperties(
            writable=True, preconditions=True, listable=True, lists_trees=True, history=True
        )

    @property
    def engine(self) -> str:
        """The engine that reads bulk bytes now."""
        return self._bulk.engine

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        url = await self._object_url(key, fields=_OBJECT_FIELDS)
        answer = await self._ask("GET", url, key)
        return self._revision(key, self._document(answer, key))

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`."""
        below = self._origin.listing_prefix(prefix)

        async def fetch(token: str) -> tuple[ListPage, str | None]:
            return await self._list_page(prefix, below, token)

        return Pages("", fetch)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`."""
        whole = self._origin.object_key(start)
        page, _ = await self._list_page(start, self._origin.root.key_prefix, "", tree_from=whole)
        return page

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        return await self._history.kept()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        return await self._history.stat(key, at_ns)

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        return self._history.list(prefix, at_ns)

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        url = await self._object_url(revision.key, fields="generation,metadata")
        document = self._document(await self._ask("GET", url, revision.key), revision.key)
        if document.get("generation") != revision.version:
            raise errors.revision_changed(self._origin, revision.key, revision.version)
        metadata = document.get("metadata") or {}
        return {str(name): str(value) for name, value in metadata.items()}

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
        source: bytes | str,
        *,
        expect: Revision | None,
        checksums: Checksums,
        mtime_ns: int,
        metadata: Mapping[str, str],
        session: UploadSession | None = None,
    ) -> Revision:
        """As `Tier.put`."""
        everything = recorded(metadata, checksums, mtime_ns)
        resource: dict[str, Any] = {
            "name": self._origin.object_key(key),
            "metadata": everything,
        }
        generation = "0" if expect is None else expect.version
        async with opened(source) as content:
            known = await content.with_crc32c(checksums)
            resource |= _checksum_fields(known)
            upload = GcsUpload(self._origin, self._api, self._bucket, key, resource, generation)
            intent = meant(content.size_bytes, checksums, everything)
            answer = await upload.run(content, intent, session)
        if answer.status == 412:
            expected = None if expect is None else expect.version
            raise errors.precondition_failed(self._origin, key, expected)
        if answer.status == 404:
            raise errors.bucket_not_found(self._origin)
        revision = self._revision(key, self._document(answer, key))
        if known.crc32c != (revision.checksums.crc32c or known.crc32c):
            raise errors.corrupt(self._origin.url(key), "the store has another crc32c than we sent")
        return revision

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`. Nobody can list sessions; one whose URL never came ends in a week."""
        await give_up(self._origin, self._api, self._origin.url(key), token)

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        generation = None if expect is None else expect.version
        url = await self._object_url(key, ifGenerationMatch=generation)
        answer = await self._ask("DELETE", url, key)
        if answer.status == 412:
            await self.stat(key)  # gone altogether is ObjectNotFound
            raise errors.precondition_failed(self._origin, key, generation)
        if answer.status >= 400:
            raise errors.from_status(
                self._origin, self._origin.url(key), answer.status, answer.text
            )

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._list_page("", self._origin.root.key_prefix, "", objects_max=1)

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        await self._api.aclose()

    # --- requests --------------------------------------------------------------------------------

    async def _object_url(self, key: str, **query: str | None) -> str:
        path = ("b", self._bucket, "o", self._origin.object_key(key))
        return await self._api.url("storage", *path, **query)

    async def _ask(self, method: str, url: str, key: str) -> Answer:
        answer = await self._api.ask(method, url, what=self._origin.url(key))
        if answer.status == 404:
            raise await self._absent(key, answer.text)
        return answer

    async def _absent(self, key: str, text: str) -> TierError:
        """Return the error for a 404: the object is missing, or its whole bucket."""
        if not self._bucket_seen:
            if "bucket does not exist" in text:
                return errors.bucket_not_found(self._origin)
            url = await self._api.url("storage", "b", self._bucket, fields="name")
            answer = await self._api.ask("GET", url, what=self._origin.name)
            if answer.status == 404:
                return errors.bucket_not_found(self._origin)
            # 403: the account may read objects, not buckets. The bucket exists all the same.
            self._bucket_seen = answer.status in (200, 403)
        return errors.object_not_found(self._origin, key)

    def _document(self, answer: Answer, key: str) -> dict[str, Any]:
        what = self._origin.url(key)
        if answer.status >= 300:
            raise errors.from_status(self._origin, what, answer.status, answer.text)
        self._bucket_seen = True
        try:
            return answer.json()
        except ValueError as exc:
            raise errors.corrupt(what, f"the answer is not JSON: {exc}") from exc

    async def _list_page(
        self,
        prefix: str,
        below: str,
        token: str,
        *,
        objects_max: int = _PAGE_OBJECTS_MAX,
        tree_from: str | None = None,
    ) -> tuple[ListPage, str | None]:
        url = await self._api.url(
            "storage", "b", self._bucket, "o",
            prefix=below or None,
            delimiter="/" if tree_from is None else None,
            startOffset=tree_from,
            maxResults=objects_max,
            pageToken=token or None,
            fields=f"items({_OBJECT_FIELDS}),prefixes,nextPageToken",
        )  # fmt: skip
        answer = await self._api.ask("GET", url, what=self._origin.url(prefix))
        if answer.status == 404:
            raise errors.bucket_not_found(self._origin)
        document = self._document(answer, prefix)
        root = len(self._origin.root.key_prefix)
        objects = [
            self._revision(item["name"][root:], item)
            for item in document.get("items", [])
            if is_key(item["name"][root:])
        ]
        names = [full[len(below) : -1] for full in document.get("prefixes", [])]
        page = ListPage(tuple(objects), tuple(name for name in names if is_key(name)))
        return page, document.get("nextPageToken") or None

    async def _read_by_api(self, revision: Revision, span: Span) -> Buffer:
        url = await self._object_url(
            revision.key,
            alt="media",
            # The one chooses, the other makes sure: some servers know only one of them.
            generation=revision.version,
            ifGenerationMatch=revision.version,
        )
        what = self._origin.url(revision.key)
        answer = await self._api.ask(
            "GET",
            url,
            what=what,
            headers={"Range": f"bytes={span.start}-{span.stop - 1}", "Accept-Encoding": "identity"},
            bulk_bytes=span.length_bytes,
        )
        changed = errors.revision_changed(self._origin, revision.key, revision.version)
        if answer.status in (412, 416):
            raise changed
        if answer.status >= 300:
            raise errors.from_status(self._origin, what, answer.status, answer.text)
        # The PyPI emulator ignores the precondition and names no generation: then ask again.
        generation = answer.headers.get("x-goog-generation")
        if generation is None:
            generation = (await self.stat(revision.key)).version
        if generation != revision.version:
            raise changed
        errors.check_whole(
            self._origin, revision.key, answer.headers.get("content-range"), revision.size_bytes
        )
        data = answer.body
        if answer.status == 200 and len(data) == revision.size_bytes:
            data = data[span.start : span.stop]
        if len(data) != span.length_bytes:
            raise errors.corrupt(what, f"{len(data)} bytes instead of {span.length_bytes}")
        return data

    # --- values ----------------------------------------------------------------------------------

    def _revision(self, key: str, item: Mapping[str, Any]) -> Revision:
        metadata = item.get("metadata") or {}
        mtime_ns = mtime_ns_of(metadata)
        try:
            return Revision(
                tier=self.name,
                key=key,
                size_bytes=int(item["size"]),
                version=str(item["generation"]),
                mtime_ns=_updated_ns(item["updated"]) if mtime_ns is None else mtime_ns,
                checksums=Checksums(
                    md5=_hex(item.get("md5Hash")),
                    crc32c=_hex(item.get("crc32c")),
                    xxh128=digest_of(metadata),
                ),
            )
        except (LookupError, ValueError, TypeError) as exc:
            raise errors.corrupt(self._origin.url(key), f"bad object resource: {exc!r}") from exc

    def _make_store(self) -> Any:
        from obstore.store import GCSStore

        settings = self._origin.settings
        config: dict[str, Any] = {}
        if settings.endpoint_url is not None:
            config["base_url"] = settings.endpoint_url.rstrip("/")
        credentials = self._api.file_system().credentials
        if credentials.credentials is None:
            config["skip_signature"] = True
        provider: Any = None if credentials.credentials is None else self._api.token.provide
        return GCSStore(
            self._bucket,
            config=config,  # type: ignore[arg-type]  # built by cases
            client_options=client_options(self._origin),  # type: ignore[arg-type]  # as above
            retry_config=retry_config(),  # type: ignore[arg-type]  # as above
            credential_provider=provider,
        )


def _updated_ns(updated: str) -> int:
    return epoch_ns(datetime.fromisoformat(updated))


def _hex(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return None


def _checksum_fields(checksums: Checksums) -> dict[str, str]:
    """Return what the store verifies: it refuses an upload whose bytes do not match."""
    pairs = {"crc32c": checksums.crc32c, "md5Hash": checksums.md5}
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode()
        for name, value in pairs.items()
        if value is not None
    }
