"""One upload to GCS: a single request, or a resumable session for what is larger than a part.

Both carry the generation precondition and the checksums, so the store decides and verifies: what a
session that was begun before says it has need not be believed, because the whole is refused if it
is wrong. Without a session of our caller's, one that does not end well is cancelled at the store.
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
from shotfs.tiers.sessions import Fleeting, Token, UploadSession
from shotfs.tiers.source import Source

log = logging.getLogger(__name__)

_CHUNK_STEP_BYTES = 256 * 1024
"""Chunks of a resumable session, except its last, are multiples of this (GCS's rule)."""

_ABORT_S = 5.0
_MORE = 308
_MAY_GO_ON = frozenset({401, 403, 408, 425, 429})
"""Statuses below 500 after which a session is still good."""


class GcsUpload:
    """Uploads one object.

    Args:
        origin: of the bucket.
        api: of the bucket.
        bucket: its name.
        key: of the object below the root, for messages.
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

    async def run(self, content: Source, meant: str, session: UploadSession | None) -> Answer:
        """Upload *content*; return the final answer, whatever its status.

        Args:
            content: what.
            meant: `sessions.meant` of it.
            session: keeps a resumable session that does not end now.
        """
        small = content.size_bytes <= self._origin.network.upload_part_bytes
        if small and (session is None or session.token is None):
            return await self._at_once(content)
        if session is not None:
            return await self._in_session(content, meant, session)
        fleeting = Fleeting()
        try:
            return await self._in_session(content, meant, fleeting)
        finally:
            if fleeting.token is not None:
                with trio.move_on_after(_ABORT_S, shield=True):
                    await self._end(fleeting)

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
        async with content.turn(content.size_bytes):
            data = await content.part(0, content.size_bytes)
            return await self._api.ask(
                "POST",
                await self._url("multipart"),
                what=self._what,
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                body=b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode())),
                bulk_bytes=content.size_bytes,
            )

    # --- resumable -------------------------------------------------------------------------------

    async def _in_session(self, content: Source, meant: str, session: UploadSession) -> Answer:
        mark = await self._mark(meant)
        token = session.token
        offset: int | None = None
        if token is not None and token.get("mark") == mark:
            answer = await self._status(str(token["url"]), content.size_bytes)
            if answer.status < 300 or answer.status == 412:
                # It ended at the store, and we never heard of it.
                await session.save(None)
                return answer
            if answer.status in _MAY_GO_ON or answer.status >= 500:
                return answer
            if answer.status == _MORE:
                offset = _stored_bytes(answer)
                session.arrived(offset)
                log.info("%s goes on at byte %d of %d", self._what, offset, content.size_bytes)
        elif token is not None:
            await self._end(session)
        if offset is None or not 0 <= offset < content.size_bytes:
            begun = await self._begin(content, mark, session)
            if begun is not None:
                return begun
            offset = 0
        assert session.token is not None
        answer = await self._send_chunks(str(session.token["url"]), content, offset, session)
        if answer.status < 300:
            await session.save(None)
        elif answer.status < 500 and answer.status not in _MAY_GO_ON:
            await self._end(session)
        return answer

    async def _mark(self, meant: str) -> str:
        """Return what tells whether a session is for the same: its URL belongs to an endpoint."""
        return f"{meant} {self._generation} {await self._url('resumable')}"

    async def _begin(self, content: Source, mark: str, session: UploadSession) -> Answer | None:
        """Begin a session; return the answer if the store would not."""
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
        url = begun.headers.get("location")
        if begun.status >= 300:
            return begun
        if url is None:
            raise errors.corrupt(self._what, "the store began an upload and did not say where")
        await session.save({"mark": mark, "url": url})
        return None

    async def _status(self, url: str, size_bytes: int) -> Answer:
        headers = {"Content-Range": f"bytes */{size_bytes}"}
        return await self._api.ask("PUT", url, what=self._what, headers=headers)

    async def _send_chunks(
        self, url: str, content: Source, offset: int, session: UploadSession
    ) -> Answer:
        size = content.size_bytes
        step = max(
            _CHUNK_STEP_BYTES,
            self._origin.network.upload_part_bytes // _CHUNK_STEP_BYTES * _CHUNK_STEP_BYTES,
        )
        while True:
            length = min(step, size - offset)
            async with content.turn(length):
                answer = await self._api.ask(
                    "PUT",
                    url,
                    what=self._what,
                    headers={"Content-Range": f"bytes {offset}-{offset + length - 1}/{size}"},
                    body=await content.part(offset, length),
                    bulk_bytes=length,
                )
            if answer.status in (404, 410):
                # The session is gone, not the bucket; a new one starts from the beginning.
                await self._end(session)
                said = f"the upload session was lost: HTTP {answer.status} {answer.text}"
                raise errors.unavailable(self._origin, self._what, said)
            if answer.status != _MORE:
                return answer
            stored = _stored_bytes(answer)
            # More than we sent: it had more than it said when it was asked.
            if not offset < stored < size:
                # It would say so again: nothing that it says can be relied on.
                await self._end(session)
                raise errors.corrupt(self._what, f"the session says it has {stored} of {size}")
            offset = stored
            session.arrived(offset)

    async def _end(self, session: UploadSession) -> None:
        """Cancel the session at the store; what cannot be told to it, it forgets in a week."""
        token = session.token
        if token is None:
            return
        try:
            await give_up(self._origin, self._api, self._what, token)
        except TierError as exc:
            log.info("could not cancel an upload session of %s: %s", self._what, exc.message)
        await session.save(None)


async def give_up(origin: Origin, api: GcsApi, what: str, token: Token) -> None:
    """Cancel the session of *token*; the store may know nothing of it any more.

    Raises:
        TierUnavailable: the store did not say that it did so (499), or that it knows none.
    """
    url = token.get("url")
    if url is None:
        return
    answer = await api.ask("DELETE", str(url), what=what)
    if answer.status >= 500 or answer.status in (408, 425, 429):
        raise errors.from_status(origin, what, answer.status, answer.text)


def _stored_bytes(answer: Answer) -> int:
    """Return how many bytes the store has, from ``Range: bytes=0-N``; 0 without one."""
    _, _, last = answer.headers.get("range", "").rpartition("-")
    return int(last) + 1 if last.isdecimal() else 0
