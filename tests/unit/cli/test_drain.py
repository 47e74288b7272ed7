"""`shotfs drain` and `publish rescue`: what they ask, what they print, how they end."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from shotfs.cli import drain as drain_command
from shotfs.cli import main, output
from shotfs.cli.drain import seconds_of
from shotfs.cli.output import ExitCode
from tests.unit.control.fake_service import FakeService, State


@dataclass(frozen=True, slots=True)
class Left:
    """An output that remains."""

    path: str
    emergency: str | None
    state: State = State.SEALED
    size_bytes: int = 2048
    serial: int = 7
    age_s: float = 1.0
    error: str | None = "the origin is away"
    writers: int = 0


def shotfs(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))


def test_when_nothing_remains_it_says_so(service: FakeService) -> None:
    service.items = []
    done = shotfs("drain")
    assert done.exit_code == ExitCode.OK
    assert done.stdout == "Everything is in the origin.\n"
    assert service.calls == [("drain", 25.0, True, False)]


def test_what_is_on_this_node_only_ends_with_8(service: FakeService) -> None:
    service.items = [Left("ant/a.exr", "gs://place/a"), Left("ant/b.exr", None)]
    done = shotfs("drain", "--deadline", "5m", "--stop")
    assert done.exit_code == ExitCode.OUTPUTS_REMAIN
    assert "2 outputs not in the origin, 1 copied" in done.stdout
    assert "the origin is away" in done.stdout
    assert service.calls == [("drain", 300.0, True, True)]


def test_what_was_copied_ends_with_9_and_the_document_says_where(service: FakeService) -> None:
    service.items = [Left("ant/a.exr", "gs://place/a")]
    done = shotfs("drain", "--json", "--no-emergency")
    assert done.exit_code == ExitCode.OUTPUTS_COPIED
    report = json.loads(done.stdout)
    assert (report["count"], report["exit_code"]) == (1, 9)
    assert report["items"][0]["emergency"] == "gs://place/a"
    assert service.calls == [("drain", 25.0, False, False)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("25", 25), ("25s", 25), ("1.5m", 90), ("2min", 120), ("1h", 3600)]
)
def test_a_deadline_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "5d"])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="25s"):
        seconds_of(text)


def test_a_rescue_shows_what_became_of_each(service: FakeService) -> None:
    done = shotfs("publish", "rescue", "gs://place", "--node", "n", "--dry-run")
    assert done.exit_code == ExitCode.OK
    assert "ant/a.exr" in done.stdout
    assert "1 published" in done.stdout
    assert service.calls == [("rescue", "gs://place", "n", True)]


def test_on_a_terminal_it_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    monkeypatch.setattr(output, "error_console", console)
    over = threading.Event()

    class Service:
        """Has one output less each time that it is asked."""

        left = 3

        def queue(self) -> dict[str, Any]:
            items = [{"state": "sealed", "size_bytes": 1024}] * self.left
            self.left -= 1
            if self.left == 0:
                over.set()
            return {"count": len(items), "bytes": 1024 * len(items), "items": items}

    service = Service()
    asker = threading.Thread(target=over.wait)
    first = service.queue()
    asker.start()
    drain_command._show(service, first, asker, 25.0)
    asker.join()
    text = shown.getvalue()
    assert "2 left" in text
    assert "2 sealed" in text
    assert "of 25 s" in text
