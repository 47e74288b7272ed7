"""Multipart uploads of one key of S3: begin, ask what arrived, complete, give up.

S3 keeps the parts of an upload that nobody completes or aborts, and charges for them, for ever. So
an upload is known to its session before it is begun: `Begun` without an id is that intent, and
whatever was begun of exactly this key since then is aborted when the id never became known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shotfs.errors import ObjectNotFound
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.sessions import Token

CLOCK_SKEW_S = 15 * 60
"""How far our clock may be from the store's: AWS refuses requests that are further off
(RequestTimeTooSkewed), so an upload that we began is never older by the store's clock."""

_PARTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Begun:
    """A multipart upload that was begun, or was about to be.

    Attributes:
        meant: `sessions.meant` of the put.
        step: length of each part but the last, in bytes.
        since_s: when we began it, seconds since the epoch by our clock.
        upload_id: the store's name for it; "" where its answer never came.
    """

    meant: str
    step: int
    since_s: int
    upload_id: str = ""

    @classmethod
    def now(cls, meant: str, size_bytes: int, part_bytes: int) -> Begun:
        """Return the intent to begin an upload of *size_bytes* in parts of about *part_bytes*."""
        return cls(meant, max(part_bytes, -(-size_bytes // _PARTS_MAX)), int(time.time()))

    @classmethod
    def of(cls, token: Token) -> Begun:
        """Return what `token` made. What is no token of S3 is an upload that nobody can find."""
        try:
            return cls(
                str(token["meant"]),
                int(token["step"]),
                int(token["since_s"]),
                str(token["upload_id"]),
            )
        except (LookupError, ValueError):
            return cls("", 0, 2**62)

    @property
    def token(self) -> Token:
        """As a session keeps it."""
        return {
            "meant": self.meant,
            "step": self.step,
            "since_s": self.since_s,
            "upload_id": self.upload_id,
        }


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store says it has."""

    size_bytes: int
    etag: str

    @property
    def md5(self) -> str:
        """Its md5 in hexadecimal digits, unless it is encrypted with a key of KMS or ours."""
        return self.etag.strip('"')


class Multipart:
    """Calls about the uploads of one object.

    Args:
        api: of the bucket.
        what: the object's URL, for messages.
        target: Bucket and Key.
    """

    def __init__(self, api: S3Api, what: str, target: Mapping[str, str]) -> None:
        self._api = api
        self._what = what
        self._target = target

    async def _call(self, method: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        return await self._api.call(method, self._what, {**self._target, **arguments})

    async def create(self, metadata: Mapping[str, str]) -> str:
        """Begin an upload; return its id."""
        answer = await self._call("create_multipart_upload", {"Metadata": dict(metadata)})
        return str(answer["UploadId"])

    async def arrived(self, upload_id: str) -> dict[int, Part]:
        """Return the parts that the store has, by their numbers.

        Raises:
            ObjectNotFound: there is no such upload (any more).
        """
        parts: dict[int, Part] = {}
        marker = 0
        while True:
            query = {"UploadId": upload_id, "PartNumberMarker": marker}
            answer = await self._call("list_parts", query)
            for one in answer.get("Parts", []):
                parts[int(one["PartNumber"])] = Part(int(one["Size"]), str(one["ETag"]))
            last = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated") or last <= marker:
                return parts
            marker = last

    async def complete(
        self, upload_id: str, etags: Mapping[int, str], condition: Mapping[str, str]
    ) -> str:
        """Make the object of its parts, if *condition* holds; return its ETag."""
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        arguments = {"UploadId": upload_id, "MultipartUpload": {"Parts": parts}, **condition}
        return str((await self._call("complete_multipart_upload", arguments))["ETag"])

    async def give_up(self, begun: Begun) -> None:
        """Abort *begun*; without its id, every upload of this key since it was begun."""
        ids = [begun.upload_id] if begun.upload_id else await self._since(begun.since_s)
        for upload_id in ids:
            try:
                await self._call("abort_multipart_upload", {"UploadId": upload_id})
            except ObjectNotFound:
                continue  # it ended meanwhile

    async def _since(self, since_s: int) -> list[str]:
        """Return the ids of this key's uploads that were begun at *since_s* or later."""
        key = self._target["Key"]
        found: list[str] = []
        query: dict[str, object] = {"Prefix": key}
        while True:
            answer = await self._api.call(
                "list_multipart_uploads", self._what, {"Bucket": self._target["Bucket"], **query}
            )
            uploads = answer.get("Uploads", [])
            for one in uploads:
                initiated: datetime = one["Initiated"]
                if one["Key"] == key and initiated.timestamp() >= since_s - CLOCK_SKEW_S:
                    found.append(str(one["UploadId"]))
            # Keys come in order, and ours is the first that begins with itself.
            if not answer.get("IsTruncated") or any(one["Key"] != key for one in uploads):
                return found
            query["KeyMarker"] = answer["NextKeyMarker"]
            query["UploadIdMarker"] = answer["NextUploadIdMarker"]
