"""One upload to S3: PutObject, or a multipart upload for what is larger than a part.

The precondition stands on PutObject or on CompleteMultipartUpload, so the store decides. Each
body carries its md5, so the store verifies. A multipart upload that does not end well is aborted,
also when the task is cancelled: parts that nobody completes cost money for ever.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import trio

from shotfs.errors import ObjectNotFound, PreconditionFailed, TierError
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Body, Progress
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.source import Source

log = logging.getLogger(__name__)

_PARTS_MAX = 10_000
_ABORT_S = 5.0


class S3Upload:
    """Uploads one object.

    Args:
        target: Bucket and Key.
        condition: IfNoneMatch or IfMatch.
        metadata: of the object.
    """

    def __init__(
        self,
        origin: Origin,
        api: S3Api,
        key: str,
        target: dict[str, str],
        condition: dict[str, str],
        metadata: dict[str, str],
    ) -> None:
        self._origin = origin
        self._api = api
        self._what = origin.url(key)
        self._target = target
        self._condition = condition
        self._metadata = metadata

    async def run(self, content: Source) -> str:
        """Upload *content*; return its ETag.

        Raises:
            PreconditionFailed: the condition does not hold.
            ObjectNotFound: a 404; with IfMatch the object is gone, else the bucket.
        """
        if content.size_bytes <= self._origin.network.upload_part_bytes:
            arguments = {"Metadata": self._metadata, **self._condition}
            answer = await self._send("put_object", content, 0, content.size_bytes, arguments)
            return str(answer["ETag"])
        await self._check_condition()
        return await self._in_parts(content)

    async def _send(
        self,
        method: str,
        content: Source,
        offset: int,
        length_bytes: int,
        arguments: Mapping[str, object],
    ) -> dict[str, Any]:
        data = await content.part(offset, length_bytes)
        md5 = await trio.to_thread.run_sync(_md5, data)
        progress = Progress(self._origin.upload_idle_s(length_bytes))
        body = {"Body": Body(data, progress), "ContentMD5": md5}
        return await self._api.call(
            method,
            self._what,
            {**self._target, **arguments, **body},
            bulk_bytes=length_bytes,
            progress=progress,
        )

    async def _call(self, method: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        return await self._api.call(method, self._what, {**self._target, **arguments})

    async def _check_condition(self) -> None:
        """Raise PreconditionFailed if the condition does not hold now.

        Before a large upload it spares one that would be refused. Before its completion it is
        all that there is on servers that ignore If-Match there (moto 5.2 does, AWS does not).
        """
        try:
            etag = (await self._call("head_object", {}))["ETag"]
        except ObjectNotFound:
            etag = None
        if etag != self._condition.get("IfMatch"):
            raise PreconditionFailed(f"{self._what} is not what the upload is to replace")

    async def _in_parts(self, content: Source) -> str:
        begun = await self._call("create_multipart_upload", {"Metadata": self._metadata})
        upload = {"UploadId": begun["UploadId"]}
        finished = False
        try:
            parts = await self._send_parts(content, upload)
            await self._check_condition()
            answer = await self._call(
                "complete_multipart_upload",
                {"MultipartUpload": {"Parts": parts}, **upload, **self._condition},
            )
            finished = True
            return str(answer["ETag"])
        finally:
            if not finished:
                await self._abort(upload)

    async def _send_parts(self, content: Source, upload: dict[str, str]) -> list[dict[str, Any]]:
        size = content.size_bytes
        step = max(self._origin.network.upload_part_bytes, -(-size // _PARTS_MAX))
        parts = []
        for number, offset in enumerate(range(0, size, step), start=1):
            length = min(step, size - offset)
            arguments = {"PartNumber": number, **upload}
            answer = await self._send("upload_part", content, offset, length, arguments)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        return parts

    async def _abort(self, upload: dict[str, str]) -> None:
        with trio.move_on_after(_ABORT_S, shield=True):
            try:
                await self._call("abort_multipart_upload", upload)
            except TierError as exc:
                log.info("could not abort an upload of %s: %s", self._what, exc)


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
