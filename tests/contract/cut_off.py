"""Stores that large uploads can be cut off from, at their second part, and what arrived there.

At S3 a proxy stands before moto: it cuts, answers and counts what really gets through.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio

from shotfs.config import Settings
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier
from shotfs.tiers.registry import open_tier
from shotfs.tiers.sessions import Token
from tests.contract.places import NETWORK, PART_BYTES, PLACES, Place
from tests.servers.faults import Fault, Hits
from tests.servers.handles import GcsBucket, S3Bucket
from tests.servers.http_framing import Head
from tests.servers.http_proxy import HttpProxy, Rule

SIZE = 2 * PART_BYTES + 700_000
KEY = "sh0100/beauty.1001.exr"
OVERHEAD_BYTES = 100_000
"""What requests carry beside content: heads, lists of parts."""


@dataclass
class Kept:
    """A session as a journal keeps it: through JSON, and with what was saved when."""

    token: Token | None = None
    saved: list[Token | None] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    async def save(self, token: Token | None) -> None:
        await trio.lowlevel.checkpoint()
        self.token = None if token is None else json.loads(json.dumps(token))
        self.saved.append(self.token)

    def arrived(self, size_bytes: int) -> None:
        self.told.append(size_bytes)

    def after_a_restart(self) -> Kept:
        return Kept(self.token)


@dataclass
class Store:
    """A store that can be cut off from us, and what it has."""

    place: Place

    def received(self) -> int:
        """How many bytes of requests reached the store so far."""
        raise NotImplementedError

    def cut_part(self) -> Hits:
        """Let the upload fail at its second part."""
        raise NotImplementedError

    def stall_part(self) -> Hits:
        """Let the upload wait at its second part until it is released."""
        raise NotImplementedError

    def arrived(self, token: Token) -> int:
        """How many bytes the store has of an upload."""
        raise NotImplementedError

    def lose_completion(self) -> Hits:
        """Let the answer to the last request of an upload be lost."""
        raise NotImplementedError

    def forget_upload(self, token: Token) -> None:
        """Let the store know nothing any more of the upload that was begun."""
        raise NotImplementedError

    def left(self) -> int:
        """How many uploads the store knows of that did not end."""
        raise NotImplementedError

    def read(self) -> bytes:
        """The object."""
        raise NotImplementedError

    def reads(self) -> int:
        """How often content was read back."""
        raise NotImplementedError

    def completions(self) -> int:
        """How many objects were made of uploads in parts."""
        raise NotImplementedError

    @asynccontextmanager
    async def tier(self, **network: Any) -> AsyncIterator[Tier]:
        """Open it as after a start, without retries unless they are asked for."""
        settings = Settings(
            network={**NETWORK, "attempts_max": 1, **network},  # type: ignore[arg-type]
            origins={self.place.url: self.place.origin},  # type: ignore[dict-item]
        )
        tier = await open_tier(self.place.url, settings, Metrics())
        try:
            yield tier
        finally:
            await tier.aclose()


@dataclass
class GcsStore(Store):
    bucket: GcsBucket

    def received(self) -> int:
        return sum(one.received_bytes for one in self.bucket.requests())

    def cut_part(self) -> Hits:
        # aiohttp sends a PUT once more by itself.
        fault = Fault("cut_request", "resumable_chunk", skip=1, times=None, after_bytes=600_000)
        return self.bucket.fault(fault)

    def stall_part(self) -> Hits:
        return self.bucket.fault(Fault("stall", "resumable_chunk", skip=1))

    def arrived(self, token: Token) -> int:
        sessions = self.bucket.server.uploads.open_sessions()
        (session,) = (one for one in sessions if one.bucket == self.bucket.bucket)
        return session.persisted_bytes

    def lose_completion(self) -> Hits:
        return self.bucket.fault(Fault("drop_reply", "resumable_chunk", skip=2, times=None))

    def forget_upload(self, token: Token) -> None:
        self.bucket.server.uploads.forget_all(self.bucket.bucket)

    def left(self) -> int:
        sessions = self.bucket.server.uploads.open_sessions()
        return len([one for one in sessions if one.bucket == self.bucket.bucket])

    def read(self) -> bytes:
        return self.bucket.read(KEY)

    def reads(self) -> int:
        return len(self.bucket.requests("read"))

    def completions(self) -> int:
        return len(self.bucket.names())


@dataclass
class S3Store(Store):
    bucket: S3Bucket
    proxy: HttpProxy
    seen: list[str] = field(default_factory=list)

    def watch(self) -> None:
        def note(head: Head) -> bool:
            self.seen.append(head.first)
            return False

        self.proxy.rule(Rule("delay", note))

    def received(self) -> int:
        return self.proxy.bytes_up

    def cut_part(self) -> Hits:
        return self.proxy.rule(Rule("status", _part(2), status=503))

    def stall_part(self) -> Hits:
        return self.proxy.rule(Rule("stall", _part(2)))

    def arrived(self, token: Token) -> int:
        path = f"/{self.bucket.bucket}/{KEY}?uploadId={token['upload_id']}"
        answer = self.bucket.server.request("GET", path).raise_for_status()
        return sum(map(int, re.findall(r"<Size>(\d+)<", answer.text)))

    def lose_completion(self) -> Hits:
        return self.proxy.rule(Rule("cut", _is_completion, times=1))

    def forget_upload(self, token: Token) -> None:
        path = f"/{self.bucket.bucket}/{KEY}?uploadId={token['upload_id']}"
        self.bucket.server.request("DELETE", path).raise_for_status()

    def left(self) -> int:
        return len(self.bucket.uploads())

    def read(self) -> bytes:
        return self.bucket.read(KEY)

    def reads(self) -> int:
        return len([one for one in self.seen if one.startswith("GET") and "?" not in one])

    def completions(self) -> int:
        return len([one for one in self.seen if one.startswith("POST") and "uploadId" in one])

    def begin(self, key: str) -> str:
        """Begin an upload behind the clients' backs; return its id."""
        answer = self.bucket.server.request("POST", f"/{self.bucket.bucket}/{key}?uploads")
        found = re.search(r"<UploadId>([^<]*)<", answer.raise_for_status().text)
        assert found is not None
        return found[1]


def _part(number: int) -> Any:
    return lambda head: f"partNumber={number}" in head.target


def _is_completion(head: Head) -> bool:
    return head.method == "POST" and "uploadId=" in head.target


@pytest.fixture
def gcs_store(request: pytest.FixtureRequest, gcs: GcsBucket) -> GcsStore:
    return GcsStore(PLACES["gcs"](request), gcs)


@pytest.fixture
def s3_store(request: pytest.FixtureRequest, s3: S3Bucket) -> Iterator[S3Store]:
    with HttpProxy(s3.server.process.port) as proxy:
        place = PLACES["s3"](request)
        place = replace(place, origin={**place.origin, "endpoint_url": proxy.endpoint})
        store = S3Store(place, s3, proxy)
        store.watch()
        yield store


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    made: Store = request.getfixturevalue(f"{request.param}_store")
    return made


EACH = pytest.mark.parametrize("store", ["gcs", "s3"], indirect=True)
