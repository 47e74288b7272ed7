"""What Google keeps: objects, buckets, preconditions, and the rules for names."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sortedcontainers import SortedDict

from tests.servers.content import Content
from tests.servers.gcs import refusals

NAME_BYTES_MAX = 1024
METADATA_BYTES_MAX = 8 << 10

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


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


def check_bucket_name(name: str) -> None:
    if not 3 <= len(name) <= 63 or not _BUCKET_NAME.fullmatch(name) or name.startswith("goog"):
        raise refusals.invalid(f"Invalid bucket name: '{name}'", code="InvalidBucketName")


def check_metadata(metadata: Mapping[str, str]) -> None:
    size = 0
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise refusals.invalid(f"Invalid value for metadata key {key!r}: not a string.")
        size += len(key.encode()) + len(value.encode())
    if size > METADATA_BYTES_MAX:
        raise refusals.invalid("Metadata is too large.", code="MetadataTooLarge")
