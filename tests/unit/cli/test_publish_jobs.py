"""`shotfs publish wait` and `finish`, in this process, with a service that only remembers."""

from __future__ import annotations

import json

import pytest

from shotfs.cli import publish_jobs
from tests.unit.cli.test_commands import shotfs
from tests.unit.control.fake_service import FakeService


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_jobs, "POLL_S", 0.0)
    monkeypatch.setattr(publish_jobs, "POLL_S_MAX", 0.0)


def test_wait_asks_until_everything_is_there(service: FakeService) -> None:
    done = shotfs("publish", "wait", "--job", "7")
    assert (done.exit_code, "everything is in the origin" in done.stdout) == (0, True)
    assert service.calls == [("missing", "7", [], True)] * 2


def test_wait_ends_at_its_deadline_and_says_what_is_missing(service: FakeService) -> None:
    done = shotfs("publish", "wait", "--job", "8", "--deadline", "0", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["arrived"], report["items"][0]["path"]) == (False, "ant/a.exr")
    text = shotfs("publish", "wait", "--job", "8", "--deadline", "0").stdout
    assert "ant/a.exr: waits for its upload" in text
    assert "1 output missing" in text


def test_wait_ends_at_once_when_something_cannot_get_there(service: FakeService) -> None:
    done = shotfs("publish", "wait", "--job", "stuck", "--deadline", "1h")
    assert done.exit_code == 1
    assert "conflict: other bytes" in done.stdout
    assert "1 do not get there by themselves" in done.stdout
    assert len(service.calls) == 1
    done = shotfs("publish", "wait", "--job", "stuck", "--keep-waiting", "--deadline", "1h")
    assert done.exit_code == 0, "somebody has solved it meanwhile"
    assert len(service.calls) == 4


def test_wait_takes_paths_of_the_mount(service: FakeService) -> None:
    assert shotfs("publish", "wait", "/shows/ant/v1", "--deadline", "0").exit_code == 1
    assert service.calls == [("missing", None, ["ant/v1"], True)]


@pytest.mark.parametrize(
    "arguments", [["wait"], ["wait", "--job", "7", "--deadline", "soon"], ["finish"]]
)
def test_a_wrong_command_line_is_exit_2(service: FakeService, arguments: list[str]) -> None:
    assert shotfs("publish", *arguments).exit_code == 2
    assert service.calls == []


def test_finish_says_what_it_did_and_may_wait(service: FakeService) -> None:
    done = shotfs("publish", "finish", "--job", "7")
    assert done.exit_code == 0
    assert "job 7 has ended: 1 output released, 2 scratch files removed" in done.stdout
    assert "1 scratch file stay: they are open" in done.stdout
    assert service.calls == [("finish", "7", True)]
    done = shotfs("publish", "finish", "--job", "7", "--wait", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["waited"]["arrived"]
    done = shotfs("publish", "finish", "--job", "8", "--wait", "--deadline", "0")
    assert done.exit_code == 1
