"""The cache over the control socket: who asks reaches the service, and bad requests do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running

USERS_ONLY = ["/v1/why?path=ant", "/v1/top"]
ADMINS_ONLY = [
    ("GET", "/v1/cache/entries"),
    ("GET", "/v1/cache/pins"),
    ("GET", "/v1/cache/fetch?number=1"),
    ("POST", "/v1/cache/pin"),
    ("POST", "/v1/cache/unpin"),
    ("POST", "/v1/cache/evict-paths"),
]


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_who_asks_is_told_to_the_service(socket_path: str) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        assert (await asked(socket_path, lambda one: one.why("/ant/x/")))["path"] == "ant/x"
        await asked(socket_path, lambda one: one.top())
    (_, path, who), (_, too) = service.calls
    assert path == "ant/x"
    assert who["admin"] is too["admin"] is True  # the service's own user
    assert who["peer"].pid == too["peer"].pid > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "names"),
    [
        ("GET", "/v1/why", b"", "'path' must be text"),
        ("GET", "/v1/cache/entries?limit=1001", b"", "from 0 to 1000"),
        ("GET", "/v1/cache/pins?limit=x", b"", "'limit' must be a whole number"),
        ("GET", "/v1/cache/fetch", b"", "'number' must be a whole number"),
        ("POST", "/v1/cache/pin", b'{"paths": ["a"]}', "'owner' must be text"),
        ("POST", "/v1/cache/pin", b'{"paths": "a", "owner": "b"}', "must be a list"),
        ("POST", "/v1/cache/pin", b'{"paths": [1], "owner": "b"}', "'paths' must be text"),
        ("POST", "/v1/cache/pin", b'{"paths": [], "owner": "b", "for_s": -1}', "'for_s'"),
        ("POST", "/v1/cache/pin", b'{"paths": [], "owner": "b", "for_s": true}', "'for_s'"),
        ("POST", "/v1/cache/pin", b'{"paths": [], "owner": "b", "for_s": 1e400}', "'for_s'"),
        ("POST", "/v1/cache/pin", b'{"paths": [], "owner": "b", "for_s": NaN}', "'for_s'"),
        ("POST", "/v1/cache/pin", b'{"owner": "b", "for_s": 1%s}' % (b"0" * 400), "'for_s'"),
        ("POST", "/v1/cache/pin", b'{"paths": [], "owner": "b", "fetch": 1}', "true or false"),
        ("POST", "/v1/cache/pin", b'{"owners": "b"}', "unknown key"),
        ("POST", "/v1/cache/unpin", b"{}", "'owner' must be text"),
        ("POST", "/v1/cache/evict-paths", b'{"limit": -1}', "'limit'"),
    ],
)
async def test_bad_requests_are_400_and_reach_nobody(
    socket_path: str, method: str, path: str, body: bytes, names: str
) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = (await raw(socket_path, request(method, path, body))).decode()
    assert answer.startswith("HTTP/1.1 400"), answer
    assert names in answer
    assert service.calls == []
