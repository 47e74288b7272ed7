"""Prewarms over the control socket: entries arrive whole and checked, bad requests reach nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from shotfs.control import prewarm_client
from shotfs.control.prewarm_api import LINES_BYTES_MAX
from shotfs.control.prewarm_service import Mode, Order
from shotfs.digest import digest_bytes
from shotfs.errors import PathNotFound
from shotfs.prewarm.manifest import Entry, Source, Use
from shotfs.prewarm.manifest.files import files_of
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running


def files(
    paths: Sequence[str],
    digests: Sequence[str | None] = (None,),
    sizes: Sequence[int | None] = (None,),
) -> bytes:
    """Return a body of columns."""
    return json.dumps({"paths": paths, "digests": digests, "sizes": sizes}).encode()


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_an_order_and_its_entries_arrive_as_they_were_given(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prewarm_client, "BODY_BYTES", 1_000)
    service = FakeService()
    order = Order(
        Mode.CHECK, ("ant/plates", "xy_010"), "1001-1010", "comp", ("left",), "local", 2**40, 7,
        12.5, "job", "my shot",
    )  # fmt: skip
    entries = [
        Entry(f"ant/{number}/é.png", None, number, 1, "1001", ("left",), (Source.SCANNED,),
              ("nuke",), 0.5, Use(first_s=1.5))
        for number in range(100)
    ]  # fmt: skip
    async with running(service, Settings(socket_path)):
        assert await asked(socket_path, lambda one: one.prewarm.begin(order)) == 1
        assert await asked(socket_path, lambda one: one.prewarm.add(1, entries)) == 100
        await asked(socket_path, lambda one: one.prewarm.start(1))
        assert (await asked(socket_path, lambda one: one.prewarm.show(1)))["state"] == "ended"
        assert await asked(socket_path, lambda one: one.prewarm.list()) == [{"number": 1}]
        with pytest.raises(PathNotFound, match="no prewarm 2"):
            await asked(socket_path, lambda one: one.prewarm.cancel(2))
    assert service.prewarming.orders == [order]
    assert service.prewarming.entries == entries
    assert service.prewarming.started == [1]


async def test_files_arrive_as_columns_in_bodies_that_are_bounded(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prewarm_client, "BODY_BYTES", 1_000)
    monkeypatch.setattr(prewarm_client, "BODY_FILES", 40)
    service = FakeService()
    digest = digest_bytes(b"content")
    entries = [Entry(f"ant/{number:03}/\udc80é.png", digest, number) for number in range(100)]
    entries += [Entry(f"ant/{'x' * 2000}/y.png"), Entry("ant/z.png", None, 2**62)]
    order = Order(Mode.CHECK, in_order=True)
    async with running(service, Settings(socket_path)):
        assert await asked(socket_path, lambda one: one.prewarm.begin(order)) == 1
        assert (
            await asked(socket_path, lambda one: one.prewarm.add_files(1, [files_of(entries)]))
            == 102
        )
    assert service.prewarming.orders == [order]
    assert service.prewarming.entries == entries


@pytest.mark.parametrize(
    ("method", "path", "body", "names"),
    [
        ("POST", "/v1/prewarm", b'{"mode": "burn"}', "'mode' is no 'burn'"),
        ("POST", "/v1/prewarm", b'{"targets": "ant"}', "'targets' must be a list"),
        ("POST", "/v1/prewarm", b'{"frames": "x"}', "names no frames"),
        ("POST", "/v1/prewarm", b'{"deadline_s": -1}', "'deadline_s'"),
        ("POST", "/v1/prewarm", b'{"deadline_s": 1e400}', "'deadline_s'"),
        ("POST", "/v1/prewarm", b'{"bytes_max": -1}', "'bytes_max'"),
        ("POST", "/v1/prewarm", b'{"in_order": 1}', "'in_order' must be"),
        ("POST", "/v1/prewarm", b'{"owner": "me"}', "unknown key"),
        ("POST", "/v1/prewarm/entries?number=1", b'{"path": "../x"}', "../x"),
        ("POST", "/v1/prewarm/entries?number=1", b'{"path": "/etc/passwd"}', "/etc/passwd"),
        ("POST", "/v1/prewarm/entries?number=1", b"{", "not lines of JSON"),
        ("POST", "/v1/prewarm/entries?number=1", b'{"end": {}}', "entry"),
        ("POST", "/v1/prewarm/entries", b"{}", "'number'"),
        ("POST", "/v1/prewarm/files?number=1", files(["../x"]), "../x"),
        ("POST", "/v1/prewarm/files?number=1", files(["a/b"], ["no digest"]), "no digest"),
        ("POST", "/v1/prewarm/files?number=1", files(["a/b"], [None], [-1]), "size_bytes"),
        ("POST", "/v1/prewarm/files?number=1", files(["a/b"], [None], [2**63]), "size_bytes"),
        ("POST", "/v1/prewarm/files?number=1", files(["a/b"], [None], [True]), "size_bytes"),
        ("POST", "/v1/prewarm/files?number=1", files(["a/b", "a/c"]), "columns of one length"),
        ("POST", "/v1/prewarm/files?number=1", b"[]", "columns of one length"),
        ("POST", "/v1/prewarm/files?number=1", b"{", "columns of one length"),
        ("GET", "/v1/prewarm?number=x", b"", "'number'"),
        ("POST", "/v1/prewarm/cancel", b"{}", "'number'"),
    ],
)
async def test_bad_requests_are_400_and_reach_nobody(
    socket_path: str, method: str, path: str, body: bytes, names: str
) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = await raw(socket_path, request(method, path, body))
    assert answer.startswith(b"HTTP/1.1 400")
    assert names in answer.decode()
    assert service.prewarming.orders == []
    assert service.prewarming.entries == []


async def test_a_body_of_entries_has_a_limit(socket_path: str) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        body = b'{"path": "a"}\n' * (LINES_BYTES_MAX // 14 + 1)
        answer = await raw(socket_path, request("POST", "/v1/prewarm/entries?number=1", body))
    assert answer.startswith(b"HTTP/1.1 413")
    assert service.prewarming.entries == []
