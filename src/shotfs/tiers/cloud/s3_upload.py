"""One upload to S3: PutObject, or a multipart upload for what is larger than a part.

The precondition stands on PutObject or on CompleteMultipartUpload, so the store decides. Each
body carries its md5, so the store verifies. A multipart upload that was begun before is gone on
with: parts that the store has are compared with the md5s of our own bytes, and only those that do
not match are sent. Without a session, an upload that does not end well is aborted.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import trio

from shotfs.errors import ObjectNotFound, PreconditionFailed, TierError
from shotfs.tiers.cloud.errors import unavailable
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Body, Progress
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.cloud.s3_multipart import Begun, Multipart, Part
from shotfs.tiers.sessions import Fleeting, UploadSession
from shotfs.tiers.source import Source

log = logging.getLogger(__name__)

PARTS_AT_ONCE = 4
"""Parts of one upload that are sent, or compared, side by side: one connection to S3 carries some
80 MB/s, and each costs `network.upload_part_bytes` of memory."""

_ABORT_S = 5.0


class S3Upload:
    """Uploads one object.

    Args:
        origin: of the bucket.
        api: of the bucket.
        key: of the object below the root, for messages.
        target: Bucket and Key.
        condition: IfNoneMatch or IfMatch.
        metadata: of the object.
        memory: places for parts in memory, of all uploads to this bucket together.
    """

    def __init__(
        self,
        origin: Origin,
        api: S3Api,
        key: str,
        target: dict[str, str],
        condition: dict[str, str],
        metadata: dict[str, str],
        memory: trio.CapacityLimiter,
    ) -> None:
        self._origin = origin
        self._api = api
        self._what = origin.url(key)
        self._target = target
        self._condition = condition
        self._metadata = metadata
        self._memory = memory
        self._multipart = Multipart(api, self._what, target)

    async def run(
        self, content: Source, meant: str, md5: str | None, session: UploadSession | None
    ) -> str:
        """Upload *content*; return its ETag.

        Args:
            content: what.
            meant: `sessions.meant` of it.
            md5: of the whole, where it is known: the store then compares with what was sealed,
                and not with what was read now.
            session: keeps a multipart upload that does not end now.

        Raises:
            PreconditionFailed: the condition does not hold.
            ObjectNotFound: a 404; with IfMatch the object is gone, else the bucket.
        """
        small = content.size_bytes <= self._origin.network.upload_part_bytes
        if small and (session is None or session.token is None):
            arguments = {"Metadata": self._metadata, **self._condition}
            whole = None if md5 is None else bytes.fromhex(md5)
            answer = await self._send(
                "put_object", content, 0, content.size_bytes, arguments, md5=whole
            )
            return str(answer["ETag"])
        if session is not None:
            return await self._in_parts(content, meant, session)
        fleeting = Fleeting()
        try:
            return await self._in_parts(content, meant, fleeting)
        finally:
            if fleeting.token is not None and Begun.of(fleeting.token).upload_id:
                with trio.move_on_after(_ABORT_S, shield=True):
                    await self._end(fleeting)

    # --- in parts --------------------------------------------------------------------------------

    async def _in_parts(self, content: Source, meant: str, session: UploadSession) -> str:
        begun = None if session.token is None else Begun.of(session.token)
        fits = begun is not None and begun.meant == meant and bool(begun.upload_id)
        # Before the bytes, because it spares those of an upload that would be refused.
        etag = await self._etag()
        if etag != self._condition.get("IfMatch"):
            if fits and begun is not None and await self._is_made_of(etag, begun, content):
                await session.save(None)
                return str(etag)
            await self._end(session)
            raise self._lost()
        arrived: dict[int, Part] | None = None
        if fits and begun is not None:
            arrived = await self._arrived(begun)
        elif begun is not None:
            await self._clear(begun)
        if begun is None or arrived is None:
            begun, arrived = await self._begin(content, meant, session), {}
        return await self._finish(content, begun, arrived, session)

    async def _finish(
        self, content: Source, begun: Begun, arrived: Mapping[int, Part], session: UploadSession
    ) -> str:
        try:
            etags = await self._send_missing(content, begun, arrived, session)
            # All that there is on servers that ignore If-Match at the completion (moto 5.2 does,
            # AWS does not).
            if await self._etag() != self._condition.get("IfMatch"):
                raise self._lost()
            etag = await self._multipart.complete(begun.upload_id, etags, self._condition)
        except PreconditionFailed:
            await self._end(session)
            raise
        except ObjectNotFound as exc:
            # Of the upload, which somebody aborted, or of what If-Match names: the next attempt
            # looks before it begins.
            await session.save(None)
            said = "the upload was aborted at the store; it begins again"
            raise unavailable(self._origin, self._what, said) from exc
        await session.save(None)
        return etag

    async def _begin(self, content: Source, meant: str, session: UploadSession) -> Begun:
        network = self._origin.network
        begun = Begun.now(meant, content.size_bytes, network.upload_part_bytes)
        await session.save(begun.token)
        try:
            begun = replace(begun, upload_id=await self._multipart.create(self._metadata))
        except TierError as exc:
            if not exc.retryable:
                await session.save(None)  # refused: nothing was begun
            raise
        await session.save(begun.token)
        return begun

    async def _arrived(self, begun: Begun) -> dict[int, Part] | None:
        try:
            arrived = await self._multipart.arrived(begun.upload_id)
        except ObjectNotFound:
            log.info("%s: the upload that was begun is gone, it begins again", self._what)
            return None
        except TierError as exc:
            if exc.retryable:
                raise
            # Not allowed to ask: sent again, as a whole.
            log.warning("%s: cannot ask what has arrived: %s", self._what, exc.message)
            await self._clear(begun)
            return None
        log.info("%s goes on: %d parts have arrived", self._what, len(arrived))
        return arrived

    async def _clear(self, begun: Begun) -> None:
        """Give up an upload of other content, or one whose id never came."""
        try:
            await self._multipart.give_up(begun)
        except TierError as exc:
            if exc.retryable:
                raise
            # Better an orphan than an output that is never published.
            log.warning("%s: parts of an earlier upload stay: %s", self._what, exc.message)

    async def _end(self, session: UploadSession) -> None:
        """Give up the upload of *session*; what cannot be told to the store stays in it."""
        if session.token is None:
            return
        try:
            await self._multipart.give_up(Begun.of(session.token))
        except TierError as exc:
            log.info("could not abort an upload of %s: %s", self._what, exc.message)
        else:
            await session.save(None)

    async def _etag(self) -> str | None:
        """Return the ETag of the object as it is now; None: there is none."""
        try:
            return str((await self._api.call("head_object", self._what, self._target))["ETag"])
        except ObjectNotFound:
            return None

    def _lost(self) -> PreconditionFailed:
        return PreconditionFailed(f"{self._what} is not what the upload is to replace")

    async def _is_made_of(self, etag: str | None, begun: Begun, content: Source) -> bool:
        """Whether the object is what completing *begun* makes: its ETag is the md5 of the parts'.

        So it is where an answer to the completion was lost. It proves as much as an md5 does.
        """
        spans = _spans(content.size_bytes, begun.step)
        if etag is None or not etag.strip('"').endswith(f"-{len(spans)}"):
            return False
        sums: dict[int, bytes] = {}

        async def compute(number: int) -> None:
            sums[number] = await content.md5(*spans[number])

        await _side_by_side(compute, spans)
        joined = b"".join(sums[number] for number in sorted(sums))
        whole = hashlib.md5(joined, usedforsecurity=False).hexdigest()
        return etag.strip('"') == f"{whole}-{len(spans)}"

    async def _send_missing(
        self, content: Source, begun: Begun, arrived: Mapping[int, Part], session: UploadSession
    ) -> dict[int, str]:
        """Send the parts that did not arrive as they are here; return the ETags of all."""
        spans = _spans(content.size_bytes, begun.step)
        etags: dict[int, str] = {}
        arrived_bytes = 0

        async def etag_of(number: int) -> str:
            offset, length = spans[number]
            there = arrived.get(number)
            if there is not None and there.size_bytes == length:
                if there.md5 == (await content.md5(offset, length)).hex():
                    return there.etag
                log.info("%s: part %d is not ours, or encrypted: sent anew", self._what, number)
            arguments = {"PartNumber": number, "UploadId": begun.upload_id}
            answer = await self._send("upload_part", content, offset, length, arguments)
            return str(answer["ETag"])

        async def settle(number: int) -> None:
            nonlocal arrived_bytes
            etags[number] = await etag_of(number)
            arrived_bytes += spans[number][1]
            session.arrived(arrived_bytes)

        await _side_by_side(settle, spans)
        return etags

    async def _send(
        self,
        method: str,
        content: Source,
        offset: int,
        length_bytes: int,
        arguments: Mapping[str, object],
        *,
        md5: bytes | None = None,
    ) -> dict[str, Any]:
        # In this order: whoever has memory gets on, and nobody who has it waits for a turn.
        async with content.turn(length_bytes), self._memory:
            data = await content.part(offset, length_bytes)
            if md5 is None:
                md5 = await trio.to_thread.run_sync(_md5, data)
            progress = Progress(self._origin.upload_idle_s(length_bytes))
            body = {"Body": Body(data, progress), "ContentMD5": base64.b64encode(md5).decode()}
            return await self._api.call(
                method,
                self._what,
                {**self._target, **arguments, **body},
                bulk_bytes=length_bytes,
                progress=progress,
            )


def _spans(size_bytes: int, step: int) -> dict[int, tuple[int, int]]:
    """Return offset and length of each part, by its number; empty content is one empty part."""
    offsets = range(0, max(size_bytes, 1), step)
    return {
        number: (offset, min(step, size_bytes - offset))
        for number, offset in enumerate(offsets, start=1)
    }


async def _side_by_side(work: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """Run *work* for each number, `PARTS_AT_ONCE` of them at a time.

    Raises:
        What the first one raised that failed. Those under way went on to their ends, because what
        arrives need not be sent again; no others were begun.
    """
    waiting = iter(list(numbers))
    problem: Exception | None = None

    async def take_turns() -> None:
        nonlocal problem
        for number in waiting:
            if problem is not None:
                return
            try:
                await work(number)
            except Exception as exc:  # noqa: BLE001  # raised below, by itself and not in a group
                problem = problem or exc

    async with trio.open_nursery() as nursery:
        for _ in range(PARTS_AT_ONCE):
            nursery.start_soon(take_turns)
    if problem is not None:
        raise problem


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
