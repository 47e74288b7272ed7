"""Buckets, objects, generations and preconditions: what Google keeps, held in memory.

Owns the state and its one lock; knows nothing of HTTP. Every write gets a generation above all
earlier ones of the store, so a replaced or deleted and re-created object is never confused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sortedcontainers import SortedDict

from tests.servers.content import Content, content_of, content_of_file
from tests.servers.gcs import refusals

NAME_BYTES_MAX = 1024
METADATA_BYTES_MAX = 8 << 10
LIST_RESULTS_MAX = 1000

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One generation of an object. Times are UTC; `deleted_at` is set on noncurrent versions."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    content: Content
    content_type: str | None
    metadata: Mapping[str, str]
    fixed: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    component_count: int | None = None
    deleted_at: datetime | None = None

    @property
    def json_etag(self) -> str:
        """The JSON API's ETag: it stands for generation and metageneration."""
        raw = f"{self.generation}/{self.metageneration}".encode()
        return base64.b64encode(raw).decode()

    @property
    def xml_etag(self) -> str:
        """The XML API's ETag: the quoted md5, or for composed objects an opaque value."""
        if self.content.md5 is not None:
            return f'"{self.content.md5.hex()}"'
        return f'"{hashlib.md5(str(self.generation).encode()).hexdigest()}-c"'


@dataclass(frozen=True, slots=True)
class Description:
    """What a writer says about an object besides its bytes."""

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Numbers that must (not) be the current ones. None: not asked. Generation 0: no object."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check_write(self, current: StoredObject | None) -> None:
        """Raise 412 unless *current*, the live object or None, is as asked."""
        generation = 0 if current is None else current.generation
        metageneration = None if current is None else current.metageneration
        held = (
            self.generation_match in (None, generation)
            and (self.generation_not_match is None or self.generation_not_match != generation)
            and (self.metageneration_match in (None, metageneration))
            and (
                self.metageneration_not_match is None
                or self.metageneration_not_match != metageneration
            )
        )
        if not held:
            raise refusals.precondition_failed()

    def check_read(self, current: StoredObject) -> None:
        """Raise 412, or 304 where a "not match" number matches."""
        Preconditions(
            generation_match=self.generation_match,
            metageneration_match=self.metageneration_match,
        ).check_write(current)
        if (
            self.generation_not_match == current.generation
            or self.metageneration_not_match == current.metageneration
        ):
            raise refusals.not_modified(current.json_etag)


NO_PRECONDITIONS = Preconditions()


@dataclass(slots=True)
class Bucket:
    """A bucket. `objects` maps a name to its versions, oldest first."""

    name: str
    created_at: datetime
    versioning: bool = False
    metageneration: int = 1
    objects: SortedDict = field(default_factory=SortedDict)

    def live(self, name: str) -> StoredObject | None:
        versions: list[StoredObject] = self.objects.get(name, [])
        return versions[-1] if versions and versions[-1].deleted_at is None else None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which names to list. `after` is exclusive and comes from a page token."""

    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""
    end_offset: str | None = None
    after: str | None = None
    results_max: int = LIST_RESULTS_MAX
    versions: bool = False
    trailing_delimiter: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: objects and prefixes in name order, and where the next page starts after."""

    objects: list[StoredObject]
    prefixes: list[str]
    next_after: str | None


class Store:
    """All buckets. Thread-safe; content is immutable and may be used outside the lock."""

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory
        self.lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}
        self._last_generation = 0

    # --- buckets ---------------------------------------------------------------------------------

    def create_bucket(self, name: str, *, versioning: bool = False) -> Bucket:
        _check_bucket_name(name)
        with self.lock:
            if name in self._buckets:
                raise refusals.Refusal(
                    409,
                    "conflict",
                    "BucketNameUnavailable",
                    "Your previous request to create the named bucket succeeded and you already "
                    "own it.",
                )
            bucket = Bucket(name, _now(), versioning)
            self._buckets[name] = bucket
            return bucket

    def bucket(self, name: str) -> Bucket:
        """Return the bucket or raise 404."""
        with self.lock:
            if name not in self._buckets:
                raise refusals.no_such_bucket()
            return self._buckets[name]

    def buckets(self) -> list[Bucket]:
        with self.lock:
            return sorted(self._buckets.values(), key=lambda bucket: bucket.name)

    def delete_bucket(self, name: str, *, force: bool = False) -> None:
        with self.lock:
            if self.bucket(name).objects and not force:
                raise refusals.Refusal(
                    409,
                    "conflict",
                    "BucketNotEmpty",
                    "The bucket you tried to delete is not empty.",
                )
            del self._buckets[name]

    # --- objects ---------------------------------------------------------------------------------

    def get(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """Return the live object, or the version *generation*, or raise 404."""
        with self.lock:
            home = self.bucket(bucket)
            if generation is None:
                found = home.live(name)
            else:
                versions: list[StoredObject] = home.objects.get(name, [])
                found = next((one for one in versions if one.generation == generation), None)
            if found is None:
                raise refusals.no_such_object(bucket, name)
            return found

    def insert(
        self,
        bucket: str,
        name: str,
        content: Content,
        description: Description,
        preconditions: Preconditions = NO_PRECONDITIONS,
        *,
        component_count: int | None = None,
    ) -> StoredObject:
        """Make *content* the live object, if the preconditions hold."""
        check_object_name(name)
        _check_metadata(description.metadata)
        with self.lock:
            home = self.bucket(bucket)
            current = home.live(name)
            preconditions.check_write(current)
            now = _now()
            made = StoredObject(
                bucket=bucket,
                name=name,
                generation=self._next_generation(),
                metageneration=1,
                content=content,
                content_type=description.content_type,
                metadata=dict(description.metadata),
                fixed=dict(description.fixed),
                created_at=now,
                updated_at=now,
                component_count=component_count,
            )
            self._retire(home, name, now)
            home.objects.setdefault(name, []).append(made)
            return made

    def check(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        """Raise as `insert` would, before any bytes are moved."""
        check_object_name(name)
        with self.lock:
            preconditions.check_write(self.bucket(bucket).live(name))

    def patch(
        self,
        bucket: str,
        name: str,
        description: Description,
        preconditions: Preconditions,
        generation: int | None = None,
    ) -> StoredObject:
        """Replace the description of an object; its bytes and generation stay."""
        _check_metadata(description.metadata)
        with self.lock:
            current = self.get(bucket, name, generation)
            preconditions.check_write(current)
            made = replace(
                current,
                metageneration=current.metageneration + 1,
                content_type=description.content_type,
                metadata=dict(description.metadata),
                fixed=dict(description.fixed),
                updated_at=_now(),
            )
            versions = self.bucket(bucket).objects[name]
            versions[versions.index(current)] = made
            return made

    def delete(
        self,
        bucket: str,
        name: str,
        preconditions: Preconditions = NO_PRECONDITIONS,
        generation: int | None = None,
    ) -> None:
        """Delete the live object (archive it in a versioned bucket), or one version for good."""
        with self.lock:
            current = self.get(bucket, name, generation)
            preconditions.check_write(current)
            home = self.bucket(bucket)
            if generation is None:
                self._retire(home, name, _now())
            else:
                home.objects[name].remove(current)
            if not home.objects[name]:
                del home.objects[name]

    def list(self, bucket: str, query: ListQuery) -> Listing:
        """Return one page; a prefix counts as a result, as at Google."""
        with self.lock:
            return _list(self.bucket(bucket), query)

    # --- for tests: behind the clients' backs ----------------------------------------------------

    def put(
        self, bucket: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Store *data*, replacing what is there."""
        description = Description("application/octet-stream", metadata or {})
        return self.insert(bucket, name, content_of(data), description)

    def put_file(self, bucket: str, name: str, path: str) -> StoredObject:
        """Serve the file at *path* as an object, without a copy; it must not change."""
        return self.insert(bucket, name, content_of_file(path), Description())

    def read(self, bucket: str, name: str, generation: int | None = None) -> bytes:
        return self.get(bucket, name, generation).content.read()

    def names(self, bucket: str) -> list[str]:
        """Return the names of all live objects, in order."""
        with self.lock:
            home = self.bucket(bucket)
            return [name for name in home.objects if home.live(name) is not None]

    def _retire(self, home: Bucket, name: str, now: datetime) -> None:
        current = home.live(name)
        if current is None:
            return
        versions = home.objects[name]
        if home.versioning:
            versions[-1] = replace(current, deleted_at=now)
        else:
            versions.pop()

    def _next_generation(self) -> int:
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return self._last_generation


def _list(home: Bucket, query: ListQuery) -> Listing:
    objects: list[StoredObject] = []
    prefixes: list[str] = []
    last: str | None = None
    names = _names_from(home, query, query.after)
    while (name := next(names, None)) is not None:
        if query.end_offset is not None and name >= query.end_offset:
            break
        versions = home.objects[name]
        found = versions if query.versions else versions[-1:]
        found = [one for one in found if query.versions or one.deleted_at is None]
        if not found:
            continue
        if len(objects) + len(prefixes) >= query.results_max:
            return Listing(objects, prefixes, last)
        common = _common_prefix(name, query)
        if common is None:
            objects.extend(found)
            last = name
            continue
        prefixes.append(common)
        if query.trailing_delimiter and name == common:
            objects.extend(found)
        last = common + _LAST_CHARACTER
        names = _names_from(home, query, last)
    return Listing(objects, prefixes, None)


def _names_from(home: Bucket, query: ListQuery, after: str | None):  # type: ignore[no-untyped-def]
    lowest = max(query.prefix, query.start_offset)
    inclusive = after is None or after < lowest
    start = lowest if inclusive else after
    for name in home.objects.irange(start, inclusive=(inclusive, True)):
        if not name.startswith(query.prefix):
            if name > query.prefix:
                return
            continue
        yield name


def _common_prefix(name: str, query: ListQuery) -> str | None:
    if not query.delimiter:
        return None
    found = name.find(query.delimiter, len(query.prefix))
    return None if found < 0 else name[: found + len(query.delimiter)]


def check_object_name(name: str) -> None:
    """Raise 400 for a name that Google refuses."""
    if not name:
        raise refusals.required("name")
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise refusals.invalid("Object names must be valid UTF-8.") from exc
    if len(encoded) > NAME_BYTES_MAX:
        raise refusals.invalid(
            f"The specified object name is longer than {NAME_BYTES_MAX} bytes.", code="KeyTooLong"
        )
    if (
        name in (".", "..")
        or "\n" in name
        or "\r" in name
        or "\ufffd" in name
        or name.startswith(".well-known/acme-challenge/")
    ):
        raise refusals.invalid(f"Invalid object name: {name!r}", code="InvalidObjectName")


def _check_bucket_name(name: str) -> None:
    if not 3 <= len(name) <= 63 or not _BUCKET_NAME.fullmatch(name) or name.startswith("goog"):
        raise refusals.invalid(f"Invalid bucket name: '{name}'", code="InvalidBucketName")


def _check_metadata(metadata: Mapping[str, str]) -> None:
    size = 0
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise refusals.invalid(f"Invalid value for metadata key {key!r}: not a string.")
        size += len(key.encode()) + len(value.encode())
    if size > METADATA_BYTES_MAX:
        raise refusals.invalid("Metadata is too large.", code="MetadataTooLarge")


def _now() -> datetime:
    return datetime.now(UTC)
