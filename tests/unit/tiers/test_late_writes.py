"""A call that has ended writes nothing any more: whoever fetches the range next has it alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from shotfs.config import Settings
from shotfs.errors import TierError
from shotfs.tiers.base import Revision, Span
from shotfs.tiers.cloud import threads
from shotfs.tiers.cloud.bulk import Obstore, Pin
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.threads import Abandoned, Call, with_descriptor
from shotfs.tiers.keys import parse_root


def an_origin() -> Origin:
    settings = Settings()
    return Origin(parse_root("file:///x"), settings.origin_for("file:///x"), settings.network)


async def test_a_thread_that_was_left_behind_writes_nothing_after_the_call_has_ended(
    tmp_path: Path,
) -> None:
    go_on, ended = threading.Event(), threading.Event()
    began, token = trio.Event(), trio.lowlevel.current_trio_token()
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    outcome: list[type[BaseException]] = []

    def work(own: int, call: Call) -> None:
        call.write_at(own, memoryview(b"right"), 0)
        token.run_sync_soon(began.set)
        go_on.wait(10)
        try:
            call.write_at(own, memoryview(b"wrong"), 0)
        except Abandoned as error:
            outcome.append(type(error))
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: with_descriptor(an_origin(), "x", descriptor, work, bulk_bytes=1)
        )
        await began.wait()
        nursery.cancel_scope.cancel()
    go_on.set()
    assert await trio.to_thread.run_sync(ended.wait, 10)
    os.close(descriptor)
    assert outcome == [Abandoned]
    assert (tmp_path / "f").read_bytes() == b"right"


async def test_a_cancelled_call_returns_only_when_a_write_that_has_begun_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    began, token = trio.Event(), trio.lowlevel.current_trio_token()
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    really = threads.write_at

    def slowly(own: int, data: memoryview, offset: int) -> None:
        token.run_sync_soon(began.set)
        go_on.wait(10)
        really(own, data, offset)

    monkeypatch.setattr(threads, "write_at", slowly)

    def work(own: int, call: Call) -> None:
        call.write_at(own, memoryview(b"begun"), 0)

    returned = trio.Event()

    async def fetch(scope: trio.CancelScope) -> None:
        with scope:
            await with_descriptor(an_origin(), "x", descriptor, work, bulk_bytes=1)
        returned.set()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(fetch, scope)
        await began.wait()
        scope.cancel()
        await wait_all_tasks_blocked()
        assert not returned.is_set()
        go_on.set()
        await returned.wait()
    assert (tmp_path / "f").read_bytes() == b"begun"
    os.close(descriptor)


class TooMuch:
    """An answer of a server that sends more than it was asked for."""

    def stream(self, min_chunk_size: int) -> Iterator[bytes]:
        return iter([b"right", b"and more than that"])


async def test_s06_what_a_server_sends_beyond_the_span_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Obstore, "_get", lambda *_: TooMuch())
    reader = Obstore(an_origin(), object, lambda _: Pin())
    revision = Revision("file:///x", "k", 20, "1", 0)
    (tmp_path / "f").write_bytes(b"..........here before")
    descriptor = os.open(tmp_path / "f", os.O_RDWR)
    with pytest.raises(TierError, match="came instead of 10"):
        await reader.read_to_file(revision, Span(0, 10), descriptor)
    os.close(descriptor)
    assert (tmp_path / "f").read_bytes() == b"right.....here before"
