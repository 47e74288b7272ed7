"""One upload to GCS: a single request, or a resumable session for what is larger than a part.

Both carry the generation precondition and the checksums, so the store decides and verifies. A
session that does not end well is cancelled at the store, also when the task is cancelled.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

import trio

from shotfs.errors import TierError
from shotfs.tiers.cloud import errors
from shotfs.tiers.cloud.gcs_api import Answer, GcsApi
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.source import Source

log = logging.getLogger(__name__)

_CHUNK_STEP_BYTES = 256 * 1024
"""Chunks of a resumable session, except its last, are multiples of this (GCS's rule)."""

_ABORT_S = 5.0


class GcsUpload:
    """Uploads one object.

    Args:
        resource: name, metadata and checksums, as the JSON API wants them.
        generation: the generation that is replaced; ``"0"`` to create only.
    """

    def __init__(
        self,
        origin: Origin,
        api: GcsApi,
        bucket: str,
        key: str,
        resource: dict[str, Any],
        generation: str,
    ) -> None:
        self._origin = origin
        self._api = api
        self._bucket = bucket
        self._what = origin.url(key)
        self._resource = resource
        self._generation = generation

    async def run(self, content: Source) -> Answer:
        """Upload *content*; return the final answer, whatever its status."""
        if content.size_bytes <= self._origin.network.upload_part_bytes:
            return await self._at_once(content)
        return await self._in_session(content)

    async def _url(self, upload_type: str) -> str:
        return await self._api.url(
            "upload/storage", "b", self._bucket, "o",
            uploadType=upload_type,
            ifGenerationMatch=self._generation,
        )  # fmt: skip

    async def _at_once(self, content: Source) -> Answer:
        boundary = f"shotfs-{secrets.token_hex(16)}"
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps(self._resource)}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        data = await content.part(0, content.size_bytes)
        return await self._api.ask(
            "POST",
            await self._url("multipart"),
            what=self._what,
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            body=b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode())),
            bulk_bytes=content.size_bytes,
        )

    async def _in_session(self, content: Source) -> Answer:
        begun = await self._api.ask(
            "POST",
            await self._url("resumable"),
            what=self._what,
            headers={
                "Content-Type": "application/json; charset=UTF-8",
                "X-Upload-Content-Type": "application/octet-stream",
                "X-Upload-Content-Length": str(content.size_bytes),
            },
            body=json.dumps(self._resource).encode(),
        )
        session = begun.headers.get("location")
        if begun.status >= 300 or session is None:
            return begun
        finished = False
        try:
            answer = await self._send_chunks(session, content)
            finished = answer.status < 300
            return answer
        finally:
            if not finished:
                await self._abort(session)

    async def _send_chunks(self, session: str, content: Source) -> Answer:
        size = content.size_bytes
        step = max(
            _CHUNK_STEP_BYTES,
            self._origin.network.upload_part_bytes // _CHUNK_STEP_BYTES * _CHUNK_STEP_BYTES,
        )
        offset = 0
        while True:
            data = await content.part(offset, min(step, size - offset))
            answer = await self._api.ask(
                "PUT",
                session,
                what=self._what,
                headers={"Content-Range": f"bytes {offset}-{offset + len(data) - 1}/{size}"},
                body=data,
                bulk_bytes=len(data),
            )
            if answer.status in (404, 410):
                # The session is gone, not the bucket; a new one starts from the beginning.
                said = f"the upload session was lost: HTTP {answer.status} {answer.text}"
                raise errors.unavailable(self._origin, self._what, said)
            if answer.status != 308:
                return answer
            stored = _stored_bytes(answer)
            if not offset < stored <= offset + len(data) or stored >= size:
                raise errors.corrupt(self._what, f"the session says it has {stored} of {size}")
            offset = stored

    async def _abort(self, session: str) -> None:
        with trio.move_on_after(_ABORT_S, shield=True):
            try:
                await self._api.ask("DELETE", session, what=self._what)
            except TierError as exc:
                # The store forgets the session by itself after a week.
                log.info("could not cancel an upload session of %s: %s", self._what, exc)


def _stored_bytes(answer: Answer) -> int:
    """Return how many bytes the store has, from ``Range: bytes=0-N``; 0 without one."""
    _, _, last = answer.headers.get("range", "").rpartition("-")
    return int(last) + 1 if last.isdecimal() else 0
