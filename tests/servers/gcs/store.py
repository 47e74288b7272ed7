"""Buckets, objects, generations and preconditions: what Google keeps, held in memory.

Owns the state and its one lock; knows nothing of HTTP. Every write gets a generation above all
earlier ones of the store, so a replaced or deleted and re-created object is never confused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tests.servers.content import Content, content_of, content_of_file
from tests.servers.gcs import refusals
from tests.servers.gcs.model import (
    NO_PRECONDITIONS,
    Bucket,
    Description,
    Preconditions,
    StoredObject,
    check_bucket_name,
    check_metadata,
    check_object_name,
)

LIST_RESULTS_MAX = 1000

_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which names to list. `after` is exclusive and comes from a page token.

    With `after_generation`, a page ended among the versions of the name `after`.
    """

    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""
    end_offset: str | None = None
    after: str | None = None
    after_generation: int | None = None
    results_max: int = LIST_RESULTS_MAX
    versions: bool = False
    trailing_delimiter: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: objects and prefixes in name order, and where the next page starts after."""

    objects: list[StoredObject]
    prefixes: list[str]
    next_after: str | None
    next_generation: int | None = None


class Store:
    """All buckets. Thread-safe; content is immutable and may be used outside the lock."""

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory
        self.lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}
        self._last_generation = 0

    # --- buckets ---------------------------------------------------------------------------------

    def create_bucket(self, name: str, *, versioning: bool = False) -> Bucket:
        check_bucket_name(name)
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
        now: datetime | None = None,
    ) -> StoredObject:
        """Make *content* the live object, if the preconditions hold; *now* is for tests."""
        check_object_name(name)
        check_metadata(description.metadata)
        with self.lock:
            home = self.bucket(bucket)
            current = home.live(name)
            preconditions.check_write(current)
            now = now or _now()
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
        check_metadata(description.metadata)
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
        now: datetime | None = None,
    ) -> None:
        """Delete the live object (archive it in a versioned bucket), or one version for good.

        *now* is for tests.
        """
        with self.lock:
            current = self.get(bucket, name, generation)
            preconditions.check_write(current)
            home = self.bucket(bucket)
            if generation is None:
                self._retire(home, name, now or _now())
            else:
                home.objects[name].remove(current)
            if not home.objects[name]:
                del home.objects[name]

    def listing(self, bucket: str, query: ListQuery) -> Listing:
        """Return one page; a prefix counts as a result, as at Google."""
        with self.lock:
            return _list(self.bucket(bucket), query)

    # --- for tests: behind the clients' backs ----------------------------------------------------

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> StoredObject:
        """Store *data*, replacing what is there; *now*: as if at that time."""
        description = Description("application/octet-stream", metadata or {})
        return self.insert(bucket, name, content_of(data), description, now=now)

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
    names = _names_from(home, query, query.after, again=query.after_generation is not None)
    while (name := next(names, None)) is not None:
        if query.end_offset is not None and name >= query.end_offset:
            break
        found = _shown(home.objects[name], name, query)
        if not found:
            continue
        room = query.results_max - len(objects) - len(prefixes)
        if room <= 0:
            return Listing(objects, prefixes, last)
        common = _common_prefix(name, query)
        if common is None:
            objects.extend(found[:room])
            if len(found) > room:
                # Versions are results of their own: a page may end among those of one name.
                return Listing(objects, prefixes, name, found[room - 1].generation)
            last = name
            continue
        prefixes.append(common)
        if query.trailing_delimiter and name == common:
            objects.extend(found)
        last = common + _LAST_CHARACTER
        names = _names_from(home, query, last)
    return Listing(objects, prefixes, None)


def _shown(versions: list[StoredObject], name: str, query: ListQuery) -> list[StoredObject]:
    """Return the versions of a name that are results, in the order of their generations."""
    if not query.versions:
        return [one for one in versions[-1:] if one.deleted_at is None]
    after = query.after_generation if name == query.after else None
    return [one for one in versions if after is None or one.generation > after]


def _names_from(
    home: Bucket, query: ListQuery, after: str | None, *, again: bool = False
) -> Iterator[str]:
    """Yield names behind *after*, and *after* itself once *again* if asked to."""
    lowest = max(query.prefix, query.start_offset)
    inclusive = after is None or after < lowest
    start = lowest if inclusive else after
    for name in home.objects.irange(start, inclusive=(inclusive or again, True)):
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


def _now() -> datetime:
    return datetime.now(UTC)
