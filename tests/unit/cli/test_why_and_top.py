"""`shotfs why` and `shotfs top`: what they print of a busy service, and how they end."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from shotfs.cli import main
from shotfs.cli import top as top_module
from shotfs.cli.top import screen
from shotfs.cli.why import asker_text
from shotfs.errors import DeadlineExceeded, ServiceNotRunning
from tests.unit.control.fake_reports import PATH, top_report, why_report
from tests.unit.control.fake_service import FakeService

Reports = Callable[..., dict[str, Any]]


def shotfs(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))


def answers(monkeypatch: pytest.MonkeyPatch, name: str, report: dict[str, Any]) -> None:
    async def answer(*_: object, **__: object) -> dict[str, Any]:
        return report

    monkeypatch.setattr(f"tests.unit.control.fake_service.FakeCache.{name}", answer)


def shown(renderable: Any, *, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO


# --- why -----------------------------------------------------------------------------------------


def test_why_says_everything_about_a_file_that_comes_in(service: FakeService) -> None:
    text = shotfs("why", PATH).stdout
    for expected in (
        "why           bytes 0 to 131072 are being fetched for 12.4 s",
        "template      frames: render/{shot}_{version}/{name}.{frame}.exr",
        "(gs://specs/ant.json:12)",
        "state         partial: 10.0 GiB of 40.0 GiB here (25.0 %)",
        "17000001, modified",
        "not hashed here yet",
        "bytes from    gs://b/ant",
        "waiting       read of bytes 0 to 131072 (128.0 KiB) for 12.5 s, maya, pid 4711, job job-7",
        "wanted        prewarm of bytes 0 to 1073741824 (1.0 GiB) for 1 min, prewarm, job shot-9",
        "under way     bytes 0 to 8388608 (8.0 MiB), demand, for 12.4 s",
        "in the queue  8.0 MiB, lookahead, 14 before it, for 3 s",
        "rate          100.0 MiB/s: the rest is here in about 5 min 7 s",
        "open by       maya, pid 4711, job job-7",
        "pinned        by lighting",
    ):
        assert expected in text


def test_why_asks_for_the_path_below_the_mount(service: FakeService) -> None:
    assert json.loads(shotfs("why", f"/shows/{PATH}", "--json").stdout)["path"] == PATH
    assert shotfs("why", PATH).exit_code == 0
    assert [call[1] for call in service.calls] == [PATH, PATH]


def test_why_of_a_name_that_is_not_utf_8_asks_for_that_name(service: FakeService) -> None:
    name = "ant/render/caf\udce9.exr"  # as the kernel gives it in Latin-1
    assert json.loads(shotfs("why", name, "--json").stdout)["path"] == name
    assert [call[1] for call in service.calls] == [name]
    done = shotfs("why", name)
    assert done.exit_code == 0
    assert "caf\\udce9.exr" in done.output
    done = shotfs("cache", "unpin", name, "--owner", "anna")
    assert done.exit_code == 0, done.output
    assert [name] in [list(call[1]) for call in service.calls if call[0] == "unpin"]


def test_why_of_a_path_elsewhere_says_where_the_mount_is(service: FakeService) -> None:
    done = shotfs("why", "/etc/passwd")
    assert done.exit_code == 1
    assert "is not below the mount point: it is /shows" in done.output


def test_why_of_what_nobody_has_opened_is_short(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = dict.fromkeys(("version", "mtime_ns", "bytes_present", "digest", "stream"))
    report = why_report(
        state="remote", waiting=[], readers=[], pins=[], reachability=None, **nothing
    )
    answers(monkeypatch, "why", report)
    text = shotfs("why", PATH).stdout
    assert "remote, 40.0 GiB" in text
    for absent in ("waiting", "rate", "open by", "pinned", "revision", "digest"):
        assert absent not in text


def test_why_of_an_impossible_path_names_the_nearest_templates(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    meaning: dict[str, Any] = dict.fromkeys(why_report()["meaning"])
    meaning["nearest"] = ["frames: '{frame}' needs 4 digits"]
    changes = {"kind": "impossible", "state": None, "size_bytes": None, "meaning": meaning}
    answers(monkeypatch, "why", why_report(**changes, reasons=["no template"], stream=None))
    text = shotfs("why", PATH).stdout
    assert "state         impossible" in text or "state" in text
    assert "'{frame}' needs 4 digits" in text


def test_why_shows_an_origin_that_is_gone(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"reachable": False, "since_s": 1.7e9, "last_error": "no route", "outages": 1}
    answers(monkeypatch, "why", why_report(reachability=gone))
    assert ": no route" in shotfs("why", PATH).stdout


def test_names_of_others_cannot_write_to_the_terminal(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = {"pid": 1, "name": "a\x1b[31m", "job": "[bold]"}
    answers(monkeypatch, "why", why_report(readers=[evil]))
    text = shotfs("why", PATH).stdout
    assert "\x1b" not in text
    assert "a\\x1b[31m, pid 1, job [bold]" in text


@pytest.mark.parametrize(
    ("asker", "text"),
    [
        ({"pid": 0, "name": "", "job": ""}, "somebody"),
        (None, "somebody"),
        ({"pid": 0, "name": "another user", "job": ""}, "another user"),
        ({"pid": 7, "name": "", "job": ""}, "a process, pid 7"),
    ],
)
def test_who_asks_is_said_as_far_as_it_is_known(asker: dict[str, Any] | None, text: str) -> None:
    assert asker_text(asker) == text


# --- top -----------------------------------------------------------------------------------------


def test_top_once_prints_every_table(service: FakeService) -> None:
    done = shotfs("top", "--once")
    assert done.exit_code == 0, done.output
    for expected in (
        "shotfs serving on render-0042, /shows",
        "hits 90.0 % now, 50.0 % since the start",
        "event loop p99 within 2 ms; waiting: 12 open, 1 read",
        "100.0 MiB/s",
        "longest waits",
        PATH,
        "maya, pid 4711, job job-7",
        "and 23 more",
        "400, 1.0 GiB",
        "cannot be reached since 2026-11-21T10:00:00Z: connection refused",
        "find, pid 9",
        "warning, 90.0 GiB of 100.0 GiB a day, 3.0 GiB of 5.0 GiB a job",
        "20.0 MiB/s",
        "4321",
    ):
        assert expected in done.stdout, expected


def test_top_without_a_terminal_prints_once_and_ends(service: FakeService) -> None:
    done = shotfs("top")
    assert done.exit_code == 0
    assert done.stdout.count("shotfs serving") == 1


def test_top_for_programs(service: FakeService) -> None:
    assert json.loads(shotfs("top", "--json").stdout)["hit_ratio"] == 0.9


def test_an_idle_service_has_few_tables_and_no_numbers_that_are_not_there() -> None:
    nothing = {name: [] for name in ("throughput", "waits", "streams", "queue", "crawlers")}
    numbers = {"hit_ratio": None, "hit_ratio_total": None, "loop_lag_p99_s": None}
    idle = top_report(waiting={}, prewarms={}, stream_count=0, **nothing, **numbers)
    text = shown(screen(idle))
    assert "waiting: nothing" in text
    assert "hits - now" in text
    assert "event loop -" in text
    assert "look-ahead 1.0 GiB of 16.0 GiB wait to be opened; 97.0 % were opened" in shown(
        screen(top_report())
    )
    assert "longest waits" not in text


def test_a_narrow_terminal_keeps_one_line_a_row() -> None:
    text = shown(screen(top_report()), width=60)
    assert max(map(len, text.splitlines())) <= 60


class Client:
    """Answers with one report or error after the other."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers = list(answers)

    def top(self) -> dict[str, Any]:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_service_that_goes_and_comes_back_is_told_and_found() -> None:
    client: Any = Client(
        ServiceNotRunning("nobody answers"),
        DeadlineExceeded("did not answer"),
        top_report(pid=2, hit_ratio=0.125),
        top_report(pid=2),
    )
    poll = top_module._Poll(client, top_report(pid=1))
    gone = shown(poll.next())
    assert "no answer since" in gone
    assert "nobody answers" in gone
    assert "pid 1," in gone  # the last report stays
    assert "nobody answers" in shown(poll.next())
    back = shown(poll.next())
    assert "the service was restarted" in back
    assert "hits 12.5 % now" in back


def test_an_answer_after_a_pause_of_the_same_service_takes_the_notice_away() -> None:
    client: Any = Client(DeadlineExceeded("did not answer"), top_report(pid=1))
    poll = top_module._Poll(client, top_report(pid=1))
    assert "no answer" in shown(poll.next())
    assert "no answer" not in shown(poll.next())


def in_a_terminal(
    configuration: Path, keys: bytes, *, term: str, after: bytes = b"shotfs serving"
) -> tuple[int, bytes]:
    """Run top in a pseudo-terminal, press *keys* when *after* was seen; return how it ended."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": term, "SHOTFS_CONFIG": str(configuration)}
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-m", "shotfs", "top"],
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
    )  # fmt: skip
    os.close(terminal)
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                chunk = os.read(controller, 65536)
            except OSError:
                return  # the terminal's last user is gone
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + 30
    while after not in seen:
        assert time.monotonic() < end, bytes(seen)
        assert process.poll() is None, bytes(seen)
        time.sleep(0.02)
    os.write(controller, keys)
    code = process.wait(30)
    reader.join(10)
    os.close(controller)
    return code, bytes(seen)


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_q_and_ctrl_c_leave_cleanly(service: FakeService, configuration: Path, key: bytes) -> None:
    code, seen = in_a_terminal(configuration, key, term="xterm")
    assert code == 0, seen
    assert b"Traceback" not in seen
    assert b"\x1b[?1049l" in seen  # the screen from before is back


def test_a_dumb_terminal_gets_plain_reports(service: FakeService, configuration: Path) -> None:
    code, seen = in_a_terminal(configuration, b"q", term="dumb")
    assert code == 0, seen
    assert b"\x1b" not in seen
