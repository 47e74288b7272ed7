"""What an S3 bucket held at a time: object versions and delete markers, where it keeps them.

Versions of a key are listed newest first; a delete marker among them says that the object was
deleted then. Times have whole seconds; that of a multipart upload is when it began.

Reference: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.errors import ObjectNotFound
from shotfs.tiers.base import ListPage, Revision
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.moments import PROBED_PREFIXES, epoch_ns, not_there_at, those_that
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.keys import is_key
from shotfs.tiers.pages import Pages

_PAGE_OBJECTS_MAX = 1000
_PROBE_OBJECTS_MAX = 100

_Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the next page of versions starts.

    Attributes:
        key: of the last entry; "" is the start.
        version: of the last entry; "" after a prefix.
        decided: the last key, if a newer entry on an earlier page already said what it was.
    """

    key: str = ""
    version: str = ""
    decided: str | None = None


_START = _Mark()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a listing is: sub-directories that were not looked into, then the next page."""

    unprobed: tuple[str, ...]
    mark: _Mark | None


class S3History:
    """Questions about the past of one bucket.

    Args:
        revision: makes a revision of a key and an entry of a listing of versions.
    """

    def __init__(
        self, origin: Origin, api: S3Api, revision: Callable[[str, _Answer], Revision]
    ) -> None:
        self._origin = origin
        self._api = api
        self._bucket = {"Bucket": origin.root.host}
        self._revision = revision

    async def kept(self) -> bool:
        """As `Tier.keeps_versions`. A suspended bucket keeps what it had, and nothing new."""
        answer = await self._call("get_bucket_versioning", "", {})
        return bool(answer.get("Status") == "Enabled")

    async def version_of(self, key: str, at_ns: int) -> str:
        """Return the id of the version of *key* that was the newest one at a time.

        Raises:
            ObjectNotFound: there was none.
        """
        name = self._origin.object_key(key)
        mark: _Mark | None = _START
        while mark is not None:
            answer, following = await self._page(key, mark, {"Prefix": name}, at_ns)
            for entry in _live_at(answer, at_ns, mark.decided):
                if entry["Key"] == name:
                    return str(entry["VersionId"])
            last = _last_key(answer)
            if last is not None and last != name:
                break  # keys that only begin like it
            mark = following
        raise not_there_at(self._origin, key, at_ns)

    def list(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        below = self._origin.listing_prefix(prefix)

        async def fetch(place: _Place) -> tuple[ListPage, _Place | None]:
            if place.unprobed:
                return await self._probe(below, place, at_ns)
            return await self._objects(prefix, below, place.mark or _START, at_ns)

        return Pages(_Place((), _START), fetch)

    async def _objects(
        self, prefix: str, below: str, mark: _Mark, at_ns: int
    ) -> tuple[ListPage, _Place | None]:
        query = {"Prefix": below, "Delimiter": "/"}
        answer, following = await self._page(prefix, mark, query, at_ns)
        root = len(self._origin.root.key_prefix)
        objects = [
            self._revision(entry["Key"][root:], entry)
            for entry in _live_at(answer, at_ns, mark.decided)
            if is_key(entry["Key"][root:])
        ]
        names = (one["Prefix"][len(below) : -1] for one in answer.get("CommonPrefixes", []))
        unprobed = tuple(name for name in names if is_key(name))
        page = ListPage(tuple(objects), ())
        return page, _Place(unprobed, following) if unprobed or following is not None else None

    async def _probe(self, below: str, place: _Place, at_ns: int) -> tuple[ListPage, _Place | None]:
        some, rest = place.unprobed[:PROBED_PREFIXES], place.unprobed[PROBED_PREFIXES:]
        names = await those_that(some, lambda name: self._held(f"{below}{name}/", at_ns))
        page = ListPage((), names)
        return page, _Place(rest, place.mark) if rest or place.mark is not None else None

    async def _held(self, below: str, at_ns: int) -> bool:
        """Whether any object lived below *below* at a time."""
        mark: _Mark | None = _START
        while mark is not None:
            query = {"Prefix": below, "MaxKeys": _PROBE_OBJECTS_MAX}
            answer, following = await self._page(below, mark, query, at_ns)
            if next(_live_at(answer, at_ns, mark.decided), None) is not None:
                return True
            mark = following
        return False

    async def _page(
        self, key: str, mark: _Mark, query: Mapping[str, object], at_ns: int
    ) -> tuple[_Answer, _Mark | None]:
        """Return a page and where the next one starts (None: that was the last)."""
        markers = {"KeyMarker": mark.key, "VersionIdMarker": mark.version}
        asked = {"MaxKeys": _PAGE_OBJECTS_MAX, **query}
        asked |= {name: value for name, value in markers.items() if value}
        answer = await self._call("list_object_versions", key, asked)
        following = answer.get("NextKeyMarker")
        if not answer.get("IsTruncated") or not following:
            return answer, None
        last = _last_key(answer)
        decided = None
        if last is not None:
            known = any(entry["Key"] == last for entry in _entries_by(answer, at_ns))
            decided = last if known or mark.decided == last else None
        return answer, _Mark(following, answer.get("NextVersionIdMarker") or "", decided)

    async def _call(self, method: str, key: str, query: Mapping[str, object]) -> _Answer:
        try:
            what = self._origin.url(key)
            return await self._api.call(method, what, {**self._bucket, **query})
        except ObjectNotFound as exc:
            raise errors.bucket_not_found(self._origin) from exc


def _entries_by(answer: _Answer, at_ns: int) -> Iterator[_Answer]:
    """Yield versions and delete markers not younger than a time: key by key, newest first."""
    entries = [
        (entry["Key"], -epoch_ns(entry["LastModified"]), not entry.get("IsLatest"), kind, entry)
        for kind, name in enumerate(("Versions", "DeleteMarkers"))
        for entry in answer.get(name, [])
    ]
    # Of the same second: the newest of all first, then objects. What came between is not told.
    entries.sort(key=lambda item: item[:4])
    return (entry for _, made, _, _, entry in entries if -made <= at_ns)


def _live_at(answer: _Answer, at_ns: int, decided: str | None) -> Iterator[_Answer]:
    """Yield the versions of a page that were the newest ones of their keys at a time."""
    for entry in _entries_by(answer, at_ns):
        if entry["Key"] != decided:
            decided = entry["Key"]
            if "ETag" in entry:
                yield entry


def _last_key(answer: _Answer) -> str | None:
    entries = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
    return max((str(entry["Key"]) for entry in entries), default=None)
