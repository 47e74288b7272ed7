"""s3://: Amazon S3 and what speaks its API.

Metadata and uploads are boto-level calls through s3fs' client, bulk bytes go through obstore's S3
store with If-Match. A revision's version is its ETag, quotes included. Listings carry no
metadata, so the mtime is the store's own LastModified, in stat and listings alike.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import trio

from shotfs.digest import Buffer, Checksums
from shotfs.errors import ObjectNotFound, PreconditionFailed
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.claims import claimed
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.bulk import BulkReader, Obstore, Pin, client_options, retry_config
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.recorded import digest_of, recorded
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.cloud.s3_history import S3History
from shotfs.tiers.cloud.s3_multipart import Begun, Multipart
from shotfs.tiers.cloud.s3_upload import S3Upload
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages
from shotfs.tiers.sessions import Token, UploadSession, meant
from shotfs.tiers.source import opened

_PAGE_OBJECTS_MAX = 1000
_HEX = frozenset("0123456789abcdef")


class S3Tier:
    """A bucket, or a prefix of one."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._bucket = origin.root.host
        self._api = S3Api(origin)
        # As many as a publisher has uploads at once: then parts side by side need no more memory.
        self._parts = trio.CapacityLimiter(max(1, origin.connections_max // 2))
        self._bucket_seen = False
        self._history = S3History(origin, self._api, self._kept)
        self._bulk = BulkReader(
            origin,
            obstore=Obstore(
                origin, self._make_store, lambda r: Pin(version=r.pin, if_match=r.version)
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
            writable=True,
            preconditions=True,
            listable=True,
            lists_checksums=False,
            lists_trees=True,
            history=True,
            needs_pin=True,
        )

    @property
    def engine(self) -> str:
        """The engine that reads bulk bytes now."""
        return self._bulk.engine

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        return self._headed(key, await self._head(key))

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`."""
        below = self._origin.listing_prefix(prefix)

        async def fetch(token: str) -> tuple[ListPage, str | None]:
            return await self._list_page(prefix, below, token)

        return Pages("", fetch)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`."""
        before = _just_before(self._origin.object_key(start))
        page, _ = await self._list_page(start, self._origin.root.key_prefix, "", tree_after=before)
        return page

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        return await self._history.kept()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        version = await self._history.version_of(key, at_ns)
        return replace(self._headed(key, await self._head(key, version)), pin=version)

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        return self._history.list(prefix, at_ns)

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        answer = await self._head(revision.key)
        if answer["ETag"] != revision.version:
            raise errors.revision_changed(self._origin, revision.key, revision.version)
        return {str(name): str(value) for name, value in answer["Metadata"].items()}

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
        target = {"Bucket": self._bucket, "Key": self._origin.object_key(key)}
        condition = {"IfNoneMatch": "*"} if expect is None else {"IfMatch": expect.version}
        everything = recorded(metadata, checksums, mtime_ns)
        async with opened(source) as content:
            upload = S3Upload(
                self._origin, self._api, key, target, condition, everything, self._parts
            )
            size_bytes = content.size_bytes
            try:
                intent = meant(size_bytes, checksums, everything)
                etag = await upload.run(content, intent, checksums.md5, session)
            except (PreconditionFailed, ObjectNotFound) as exc:
                # If-Match on an object that is gone is a 404, on one that changed a 412.
                if isinstance(exc, ObjectNotFound) and expect is None:
                    raise errors.bucket_not_found(self._origin) from exc
                expected = None if expect is None else expect.version
                raise errors.precondition_failed(self._origin, key, expected) from exc
        # The answer to a put has no LastModified, and the mtime must be what stat will say.
        made = Checksums(md5=checksums.md5, crc32c=checksums.crc32c, xxh128=checksums.xxh128)
        answer = await self._head(key)
        if answer["ETag"] == etag:
            return self._revision(key, answer, answer["ContentLength"], made)
        # Replaced already. What we made existed; its time is lost, and nobody can stat it.
        return self._revision(key, {**answer, "ETag": etag}, size_bytes, made)

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`."""
        uploads = Multipart(self._api, self._origin.url(key), self._target(key, None))
        await uploads.give_up(Begun.of(token))

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        # S3 deletes what does not exist with the same answer, so look first.
        now = await self.stat(key)
        if expect is not None and now.version != expect.version:
            raise errors.precondition_failed(self._origin, key, expect.version)
        condition = {} if expect is None else {"IfMatch": expect.version}
        target = {"Bucket": self._bucket, "Key": self._origin.object_key(key)}
        try:
            await self._api.call("delete_object", self._origin.url(key), target | condition)
        except PreconditionFailed as exc:
            raise errors.precondition_failed(self._origin, key, now.version) from exc

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._list_page("", self._origin.root.key_prefix, "", objects_max=1)

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        await self._api.aclose()

    # --- requests --------------------------------------------------------------------------------

    async def _head(self, key: str, version: str | None = None) -> dict[str, Any]:
        target = self._target(key, version)
        try:
            answer = await self._api.call("head_object", self._origin.url(key), target)
        except ObjectNotFound as exc:
            # The answer to HEAD has no body that would tell a key from a bucket.
            await self._check_bucket()
            raise errors.object_not_found(self._origin, key) from exc
        self._bucket_seen = True
        return answer

    def _target(self, key: str, version: str | None) -> dict[str, str]:
        target = {"Bucket": self._bucket, "Key": self._origin.object_key(key)}
        return target if version is None else target | {"VersionId": version}

    async def _check_bucket(self) -> None:
        if self._bucket_seen:
            return
        try:
            await self._api.call("head_bucket", self._origin.name, {"Bucket": self._bucket})
        except ObjectNotFound as exc:
            raise errors.bucket_not_found(self._origin) from exc
        self._bucket_seen = True

    async def _list_page(
        self,
        prefix: str,
        below: str,
        token: str,
        *,
        objects_max: int = _PAGE_OBJECTS_MAX,
        tree_after: str | None = None,
    ) -> tuple[ListPage, str | None]:
        query: dict[str, Any] = {"Bucket": self._bucket, "Prefix": below}
        query |= {"Delimiter": "/"} if tree_after is None else {"StartAfter": tree_after}
        if token:
            query["ContinuationToken"] = token
        try:
            answer = await self._api.call(
                "list_objects_v2", self._origin.url(prefix), query | {"MaxKeys": objects_max}
            )
        except ObjectNotFound as exc:
            raise errors.bucket_not_found(self._origin) from exc
        self._bucket_seen = True
        root = len(self._origin.root.key_prefix)
        objects = [
            # No md5 from a listing's ETag: with KMS encryption it only looks like one, and
            # a listing does not say how an object is encrypted.
            self._revision(item["Key"][root:], item, item["Size"], Checksums())
            for item in answer.get("Contents", [])
            if is_key(item["Key"][root:])
        ]
        names = [one["Prefix"][len(below) : -1] for one in answer.get("CommonPrefixes", [])]
        page = ListPage(tuple(objects), tuple(name for name in names if is_key(name)))
        return page, answer.get("NextContinuationToken") or None

    async def _read_by_api(self, revision: Revision, span: Span) -> Buffer:
        what = self._origin.url(revision.key)
        try:
            data, answer = await self._api.read(
                what,
                span.length_bytes,
                {
                    **self._target(revision.key, revision.pin),
                    "IfMatch": revision.version,
                    "Range": f"bytes={span.start}-{span.stop - 1}",
                },
            )
        except PreconditionFailed as exc:
            changed = errors.revision_changed(self._origin, revision.key, revision.version)
            raise changed from exc
        errors.check_whole(
            self._origin, revision.key, answer.get("ContentRange"), revision.size_bytes
        )
        claimed(revision, _checksums(answer))
        if len(data) == revision.size_bytes != span.length_bytes:
            data = data[span.start : span.stop]
        if len(data) != span.length_bytes:
            raise errors.corrupt(what, f"{len(data)} bytes instead of {span.length_bytes}")
        return data

    # --- values ----------------------------------------------------------------------------------

    def _headed(self, key: str, answer: Mapping[str, Any]) -> Revision:
        return self._revision(key, answer, answer["ContentLength"], _checksums(answer))

    def _kept(self, key: str, entry: Mapping[str, Any]) -> Revision:
        # As in listings of today: no md5, because the entry does not say how it is encrypted.
        made = self._revision(key, entry, entry["Size"], Checksums())
        return replace(made, pin=str(entry["VersionId"]))

    def _revision(
        self, key: str, answer: Mapping[str, Any], size_bytes: int, checksums: Checksums
    ) -> Revision:
        modified: datetime = answer["LastModified"]
        return Revision(
            tier=self.name,
            key=key,
            size_bytes=int(size_bytes),
            version=answer["ETag"],
            mtime_ns=int(modified.timestamp()) * 10**9,
            checksums=checksums,
        )

    def _make_store(self) -> Any:
        from obstore.store import S3Store

        settings = self._origin.settings
        session = self._api.credentials_session()
        config: dict[str, Any] = {"region": self._api.region(session)}
        if settings.endpoint_url is not None:
            config["endpoint"] = settings.endpoint_url.rstrip("/")
        provider: Callable[[], Any] | None = None
        if settings.anonymous:
            config["skip_signature"] = True
        elif settings.access_key_env is not None:
            config["access_key_id"], config["secret_access_key"] = self._api.keys()
        else:
            provider = _provider(session)
        return S3Store(
            self._bucket,
            config=config,  # type: ignore[arg-type]  # built by cases
            client_options=client_options(self._origin),  # type: ignore[arg-type]  # as above
            retry_config=retry_config(),  # type: ignore[arg-type]  # as above
            credential_provider=provider,
        )


def _provider(session: Any) -> Callable[[], Any]:
    """Return obstore's credential provider on botocore's search and refresh of credentials."""

    def provide() -> dict[str, Any]:
        credentials = session.get_credentials()
        if credentials is None:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        expiry = getattr(credentials, "_expiry_time", None)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": expiry.astimezone(UTC) if expiry is not None else None,
        }

    return provide


def _just_before(key: str) -> str:
    """Return a text before *key*, with hardly a key between: S3 begins behind what it is told."""
    last = key[-1]
    return key[:-1] + (f"{chr(ord(last) - 1)}~" if "!" < last <= "~" else "")


def _checksums(answer: Mapping[str, Any]) -> Checksums:
    """Return what the answer to a HEAD or a GET says of the bytes."""
    return Checksums(md5=_md5_of(answer), xxh128=digest_of(answer["Metadata"]))


def _md5_of(answer: Mapping[str, Any]) -> str | None:
    """Return the md5 that an ETag is: of one part, and not encrypted with a key of KMS or ours."""
    if answer.get("ServerSideEncryption") not in (None, "AES256"):
        return None
    if answer.get("SSECustomerAlgorithm") is not None:
        return None
    etag = str(answer["ETag"]).strip('"')
    return etag if len(etag) == 32 and set(etag) <= _HEX else None
