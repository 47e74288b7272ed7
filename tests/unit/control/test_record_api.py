"""Recordings over the control socket: who may start what, and whose they are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from shotfs.control.client import Client
from shotfs.errors import InvalidArgument, PathNotFound, ShotfsError
from shotfs.prewarm.manifest.reading import decode
from shotfs.prewarm.manifest.subject import Subject
from tests.unit.control import test_server
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import (
    NOBODY,
    answers_to_nobody,
    asked,
    needs_root,
    public_path,
    running,
)

__all__ = ["public_path"]


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_a_recording_is_started_stopped_and_fetched(socket_path: str) -> None:
    service = FakeService()
    subject = Subject("ant", "010", "fx", "1001-1003", "left", "job ü\n/")

    def ask(client: Client) -> None:
        number = client.record.start(subject, bound=True)
        assert client.record.recordings()["started"][0]["asked"]["job"] == "job ü\n/"
        assert client.record.stop(number)["learned"] is True
        content = io.BytesIO()
        client.record.fetch_taken(number, content)
        head, entries = decode(content.getvalue(), "answer")
        assert (head.subject, [one.path for one in entries]) == (subject, ["ant/library/wood.exr"])
        known = io.BytesIO()
        client.record.fetch(Subject("ant", "010"), known)
        assert decode(known.getvalue(), "answer")[0].subject == Subject("ant", "010")
        assert client.record.publish() == {"published": 1, "pending": 0}
        assert client.record.remember("ant", {"usd": (4, 3)}) == {"precision": {"usd": 0.75}}
        with pytest.raises(PathNotFound):
            client.record.fetch(Subject("ant", "099"), io.BytesIO())
        with pytest.raises(InvalidArgument, match="no recording number 9"):
            client.record.stop(9)

    async with running(service, Settings(socket_path)):
        await asked(socket_path, ask)
    assert service.recording.last == (service.recording.last[0], subject, True)


@pytest.mark.parametrize(
    "body",
    [
        {"job": 7},
        {"job": "x" * 256},
        {"job": "x", "frame": "ten"},
        {"job": "x", "pid": 1},
        {"job": "x", "bound": "yes"},
    ],
)
async def test_what_is_no_subject_is_refused(socket_path: str, body: dict[str, object]) -> None:
    service = FakeService()

    def ask(client: Client) -> None:
        with pytest.raises(ShotfsError):
            client._json("POST", "/v1/record/start", body)

    async with running(service, Settings(socket_path)):
        await asked(socket_path, ask)
    assert service.recording.going_on == {}


@pytest.mark.parametrize(
    "scanners", [None, {"usd": 3}, {"usd": [1, 2]}, {"usd": [2, -1]}, {"x" * 300: [1, 1]}]
)
async def test_what_is_no_score_is_refused(socket_path: str, scanners: object) -> None:
    def ask(client: Client) -> None:
        with pytest.raises(InvalidArgument):
            client._json("POST", "/v1/record/remember", {"show": "ant", "scanners": scanners})

    async with running(FakeService(), Settings(socket_path)):
        await asked(socket_path, ask)


@needs_root
async def test_s12_a_user_of_the_mount_records_jobs_and_not_what_everybody_opens(
    public_path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = [
        ("GET", "/v1/record"),
        ("POST", "/v1/record/start"),
        ("POST", "/v1/record/publish"),
        ("POST", "/v1/record/remember"),
    ]
    monkeypatch.setattr(test_server, "EVERY_ENDPOINT", endpoints)
    service = FakeService()
    async with running(service, Settings(public_path), lambda uid, *_: uid == NOBODY):
        answers = await answers_to_nobody(public_path)
    assert [status for status, _ in answers] == [200, 403, 403, 403]
    assert "name a job" in answers[1][1]
    assert service.recording.going_on == {}
