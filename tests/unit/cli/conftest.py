"""Fixtures of the commands' tests, in this process: a configuration, and a fake service on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.control import server
from tests.unit.control.fake_service import FakeService, Settings


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of its own, in force through the environment."""
    origin = tmp_path / "bucket"
    origin.mkdir()
    path = tmp_path / "shotfs.toml"
    path.write_text(
        f'[cache]\ndirectory = "{tmp_path}/cache"\nfree_bytes_min = 0\n'
        f'[control]\nsocket = "{tmp_path}/control.sock"\n[shows.demo]\nspec = "demo.json"\n'
    )
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("SHOTFS_CONFIG", str(path))
    return path


@pytest.fixture
def service(configuration: Path) -> Iterator[FakeService]:
    """A fake service on the socket of the configuration, in a thread with a loop of its own."""
    service = FakeService()
    started = threading.Event()
    handle: dict[str, Any] = {}

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            settings = Settings(str(configuration.parent / "control.sock"))
            await nursery.start(server.serve, service, settings, lambda *_: True)
            handle.update(token=trio.lowlevel.current_trio_token(), scope=nursery.cancel_scope)
            started.set()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert started.wait(10)
    yield service
    handle["token"].run_sync_soon(handle["scope"].cancel)
    thread.join(10)
