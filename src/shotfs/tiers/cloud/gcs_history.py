"""What a GCS bucket held at a time: its noncurrent generations, where it keeps them.

A generation was the live one from `timeCreated` until `timeDeleted` (replaced or deleted). Both
have whole milliseconds.

Reference: https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shotfs.tiers.base import ListPage, Revision
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.gcs_api import GcsApi
from shotfs.tiers.cloud.moments import PROBED_PREFIXES, epoch_ns, not_there_at, those_that
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages

_PAGE_OBJECTS_MAX = 1000
_PROBE_OBJECTS_MAX = 100
_LIFE_FIELDS = "timeCreated,timeDeleted"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a listing is: sub-directories that were not looked into, then the next page.

    Attributes:
        token: of the next page; "" is the first; None: there is none.
    """

    unprobed: tuple[str, ...]
    token: str | None


class GcsHistory:
    """Questions about the past of one bucket.

    Args:
        fields: of an object resource, that *revision* needs.
        revision: makes a revision of a key and its resource.
    """

    def __init__(
        self,
        origin: Origin,
        api: GcsApi,
        fields: str,
        revision: Callable[[str, Mapping[str, Any]], Revision],
    ) -> None:
        self._origin = origin
        self._api = api
        self._bucket = origin.root.host
        self._fields = fields
        self._revision = revision

    async def kept(self) -> bool:
        """As `Tier.keeps_versions`."""
        url = await self._api.url("storage", "b", self._bucket, fields="versioning")
        document = await self._ask(url, "")
        return bool((document.get("versioning") or {}).get("enabled", False))

    async def stat(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        name = self._origin.object_key(key)
        found: Mapping[str, Any] | None = None
        token: str | None = ""
        while token is not None:
            document = await self._page(
                key,
                token,
                prefix=name,
                # Ends behind the object itself: what sorts between has control characters.
                endOffset=f"{name} ",
                fields=f"items({self._fields},{_LIFE_FIELDS}),nextPageToken",
            )
            for item in document.get("items", []):
                if item.get("name") == name and self._lived(item, key, at_ns):
                    # In the order of their generations, so the last one is the newest.
                    found = item
            token = document.get("nextPageToken") or None
        if found is None:
            raise not_there_at(self._origin, key, at_ns)
        return self._revision(key, found)

    def list(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        below = self._origin.listing_prefix(prefix)

        async def fetch(place: _Place) -> tuple[ListPage, _Place | None]:
            if place.unprobed:
                return await self._probe(below, place, at_ns)
            return await self._objects(prefix, below, place.token or "", at_ns)

        return Pages(_Place((), ""), fetch)

    async def _objects(
        self, prefix: str, below: str, token: str, at_ns: int
    ) -> tuple[ListPage, _Place | None]:
        document = await self._page(
            prefix,
            token,
            prefix=below or None,
            delimiter="/",
            fields=f"items({self._fields},{_LIFE_FIELDS}),prefixes,nextPageToken",
        )
        root = len(self._origin.root.key_prefix)
        objects = [
            self._revision(item["name"][root:], item)
            for item in document.get("items", [])
            if is_key(item["name"][root:]) and self._lived(item, item["name"][root:], at_ns)
        ]
        names = (full[len(below) : -1] for full in document.get("prefixes", []))
        unprobed = tuple(name for name in names if is_key(name))
        following = document.get("nextPageToken") or None
        page = ListPage(tuple(objects), ())
        return page, _Place(unprobed, following) if unprobed or following else None

    async def _probe(self, below: str, place: _Place, at_ns: int) -> tuple[ListPage, _Place | None]:
        some, rest = place.unprobed[:PROBED_PREFIXES], place.unprobed[PROBED_PREFIXES:]
        names = await those_that(some, lambda name: self._held(f"{below}{name}/", at_ns))
        page = ListPage((), names)
        return page, _Place(rest, place.token) if rest or place.token is not None else None

    async def _held(self, below: str, at_ns: int) -> bool:
        """Whether any object lived below *below* at a time."""
        token: str | None = ""
        while token is not None:
            document = await self._page(
                below,
                token,
                prefix=below,
                maxResults=_PROBE_OBJECTS_MAX,
                fields=f"items({_LIFE_FIELDS}),nextPageToken",
            )
            if any(self._lived(item, below, at_ns) for item in document.get("items", [])):
                return True
            token = document.get("nextPageToken") or None
        return False

    def _lived(self, item: Mapping[str, Any], key: str, at_ns: int) -> bool:
        try:
            made_ns = epoch_ns(datetime.fromisoformat(item["timeCreated"]))
            deleted = item.get("timeDeleted")
            ended_ns = None if deleted is None else epoch_ns(datetime.fromisoformat(deleted))
        except (LookupError, ValueError, TypeError) as exc:
            what = self._origin.url(key)
            raise errors.corrupt(what, f"bad times of an object: {exc!r}") from exc
        return made_ns <= at_ns and (ended_ns is None or at_ns < ended_ns)

    async def _page(self, key: str, token: str, **query: str | int | None) -> dict[str, Any]:
        asked: dict[str, str | int | None] = {"maxResults": _PAGE_OBJECTS_MAX, **query}
        url = await self._api.url(
            "storage", "b", self._bucket, "o", versions="true", pageToken=token or None, **asked
        )
        return await self._ask(url, key)

    async def _ask(self, url: str, key: str) -> dict[str, Any]:
        what = self._origin.url(key)
        answer = await self._api.ask("GET", url, what=what)
        if answer.status == 404:
            raise errors.bucket_not_found(self._origin)
        if answer.status >= 300:
            raise errors.from_status(self._origin, what, answer.status, answer.text)
        try:
            return answer.json()
        except ValueError as exc:
            raise errors.corrupt(what, f"the answer is not JSON: {exc}") from exc
