"""Localizing over the control socket: what does not come whole never becomes a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotfs.control.client import Client
from shotfs.errors import InvalidArgument
from shotfs.localizing import LocalizeFailed, Localizer, NotThere
from tests.unit.control.fake_localizing import BROKEN, FakeLocalizing
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, running


async def test_what_breaks_off_is_no_file_and_is_closed(tmp_path: Path) -> None:
    socket = str(tmp_path / "control.sock")
    localizer = Localizer(socket, str(tmp_path / "tree"))
    closed = FakeLocalizing.closed

    def ask(_: Client) -> None:
        with pytest.raises(LocalizeFailed, match=BROKEN):
            localizer.fetch(f"/shows/{BROKEN}")
        with pytest.raises(NotThere):
            localizer.fetch("/shows/ant/none.exr")

    async with running(FakeService(), Settings(socket)):
        await asked(socket, ask)
    assert not Path(localizer.tree.place(BROKEN)).exists()  # noqa: ASYNC240 - nothing else to do
    assert os.listdir(tmp_path / "tree/.shotfs-localized/begun") == []
    assert FakeLocalizing.closed == closed + 1


async def test_requests_that_name_no_file_are_refused(tmp_path: Path) -> None:
    socket = str(tmp_path / "control.sock")

    def ask(client: Client) -> None:
        for body in ({}, {"path": 7}, {"path": "a", "limit": 10**9}, {"path": "a", "more": 1}):
            with pytest.raises(InvalidArgument):
                client._json("POST", "/v1/localize", body)
        for target in ("/v1/localize/content?path=a", "/v1/localize/content?path=a&revision=x"):
            with pytest.raises(InvalidArgument):
                client._json("GET", target)

    async with running(FakeService(), Settings(socket)):
        await asked(socket, ask)
