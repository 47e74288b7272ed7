"""Notices of clouds, from servers on loopback that answer as the clouds' do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio

from shotfs.app import preemption
from shotfs.app.preemption import Notice, PreemptionWatch
from shotfs.config.preemption_models import PreemptionSettings
from shotfs.observe.metrics import Metrics
from tests.servers.listener import reserve_port
from tests.servers.metadata import ACTION, MAINTENANCE, PREEMPTED, Answer, MetadataServer

NOW = datetime(2026, 11, 21, 8, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(preemption, "POLL_S", 0.01)
    monkeypatch.setattr(preemption, "PAUSE_S", 0.01)
    monkeypatch.setattr(preemption, "PAUSE_S_MAX", 0.02)


class Watched:
    """A watch that runs, and what it said."""

    def __init__(self, endpoint: str, watch: Any = "auto") -> None:
        self.notices: list[Notice] = []
        self.noticed = trio.Event()
        self.metrics = Metrics()
        settings = PreemptionSettings(watch=watch, endpoint_url=endpoint)
        self.watch = PreemptionWatch(settings, self.metrics, self._note, utc_now=lambda: NOW)

    def _note(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.noticed.set()


@asynccontextmanager
async def running(watched: Watched) -> AsyncIterator[Watched]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.watch.run)
        yield watched
        nursery.cancel_scope.cancel()


async def until(condition: Any) -> None:
    """Return when *condition* holds; the servers' threads say nothing to trio."""
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.002)


async def test_google_says_that_the_node_is_preempted_and_it_is_heard_at_once() -> None:
    with MetadataServer("gce") as server:
        async with running(Watched(server.endpoint)) as watched:
            await until(lambda: server.asked("wait_for_change=true") >= 2)
            assert watched.watch.status()["state"] == "watching"
            assert watched.watch.status()["source"] == "gce"
            server.set(PREEMPTED, "TRUE")
            await watched.noticed.wait()
        assert watched.notices == [Notice("gce", "preempted", 25.0)]
        assert server.asked(PREEMPTED) < 10, "it waits, and does not ask again and again"
        snapshot = watched.metrics.snapshot()
        assert snapshot["shotfs_preemption_notices_total{source=gce}"] == 1
        assert watched.watch.status()["state"] == "noticed"


async def test_a_notice_that_was_there_before_is_heard_too() -> None:
    with MetadataServer("gce") as server:
        server.set(PREEMPTED, "TRUE")
        async with running(Watched(server.endpoint, "gce")) as watched:
            await watched.noticed.wait()


async def test_of_googles_maintenance_only_the_end_of_the_node_counts() -> None:
    with MetadataServer("gce") as server:
        async with running(Watched(server.endpoint, "gce")) as watched:
            await until(lambda: server.asked(f"{MAINTENANCE}?") >= 1)
            server.set(MAINTENANCE, "MIGRATE_ON_HOST_MAINTENANCE")
            await until(lambda: server.asked(f"{MAINTENANCE}?") >= 2)
            assert not watched.notices
            server.set(MAINTENANCE, "TERMINATE_ON_HOST_MAINTENANCE")
            await watched.noticed.wait()
        assert watched.notices == [Notice("gce", "TERMINATE_ON_HOST_MAINTENANCE", 25.0)]


async def test_amazon_is_asked_with_a_token_and_says_until_when() -> None:
    with MetadataServer("ec2") as server:
        async with running(Watched(server.endpoint)) as watched:
            await until(lambda: server.asked(ACTION) >= 3)
            assert watched.watch.status()["source"] == "ec2"
            server.token = "token-2"  # the first one has expired
            asked = server.asked(ACTION)
            await until(lambda: server.asked(ACTION) >= asked + 3)
            assert server.requests[-1] == f"GET {ACTION}"
            server.interrupt("terminate", "2026-11-21T08:21:30Z")
            await watched.noticed.wait()
        assert watched.notices == [Notice("ec2", "terminate at 2026-11-21T08:21:30Z", 80.0)]
        tokens = server.asked("/latest/api/token")
        assert tokens == 3, "one to find out, one to ask, one after it expired"


@pytest.mark.parametrize(
    ("time", "drain_s"),
    [
        ((NOW + timedelta(minutes=2)).isoformat(), 110.0),
        ((NOW + timedelta(days=3)).isoformat(), 110.0),
        ((NOW - timedelta(days=3)).isoformat(), 15.0),
        ("soon", 110.0),
    ],
)
async def test_a_wrong_clock_or_time_leaves_a_sensible_deadline(time: str, drain_s: float) -> None:
    with MetadataServer("ec2") as server:
        server.interrupt("stop", time)
        async with running(Watched(server.endpoint, "ec2")) as watched:
            await watched.noticed.wait()
        assert [notice.drain_s for notice in watched.notices] == [drain_s]


GARBAGE: list[Answer] = [
    (500, {}, "TRUE"),
    (302, {"Location": "http://127.0.0.1:9/"}, "TRUE"),
    (200, {}, "TRUE"),
    (200, {"Metadata-Flavor": "Google"}, "<html>TRUE</html>"),
    (200, {"Metadata-Flavor": "Google"}, "TRUE" * 5000),
    (200, {"Metadata-Flavor": "Google"}, "\x00\xff"),
    (503, {"Metadata-Flavor": "Google"}, "TRUE"),
    (200, {}, '{"action": "party"}'),
    (200, {}, '["terminate"]'),
]


@pytest.mark.parametrize("cloud", ["gce", "ec2"])
async def test_no_other_answer_is_a_notice_and_none_ends_the_watch(cloud: str) -> None:
    with MetadataServer(cloud) as server:
        async with running(Watched(server.endpoint, cloud)) as watched:
            for answer in GARBAGE:
                server.broken = partial(_broken, answer)
                server.set(PREEMPTED, "FALSE ")  # whoever waits comes again
                server.set(MAINTENANCE, "NONE ")
                asked = len(server.requests)
                await until(lambda asked=asked: len(server.requests) >= asked + 4)
                assert not watched.notices
            server.broken = None
            server.set(PREEMPTED, "TRUE")
            server.interrupt()
            await watched.noticed.wait()


def _broken(answer: Answer, path: str) -> Answer:
    return (200, {}, "t") if "token" in path else answer


async def test_a_server_that_is_gone_for_a_while_is_asked_again() -> None:
    with reserve_port() as holder:
        nobody = f"http://127.0.0.1:{holder.getsockname()[1]}"
        async with running(Watched(nobody, "ec2")) as watched:
            await until(lambda: watched.watch.status()["problem"])
            assert watched.watch.status()["state"] == "watching"
            assert not watched.notices


async def test_outside_of_a_cloud_nobody_is_asked_again() -> None:
    with MetadataServer("ec2") as server:
        server.broken = lambda _path: (404, {}, "a web server")
        watched = Watched(server.endpoint)
        await watched.watch.run()
        assert watched.watch.status()["state"] == "no cloud here"
        assert len(server.requests) == 2


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataServer("gce") as proxy, MetadataServer("gce") as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.endpoint)
        proxy.set(PREEMPTED, "TRUE")
        async with running(Watched(server.endpoint)) as watched:
            await until(lambda: server.asked("wait_for_change=true") >= 2)
            assert not watched.notices
        assert not proxy.requests


async def test_switched_off_nothing_is_asked() -> None:
    with MetadataServer("gce") as server:
        watched = Watched(server.endpoint, "off")
        await watched.watch.run()
        assert not server.requests
        assert watched.watch.status()["state"] == "off"
