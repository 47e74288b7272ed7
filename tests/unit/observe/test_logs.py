"""Logs: both formats, what cannot be forged, and that logging never waits."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shotfs.errors import ShotfsError
from shotfs.observe import configure, logs

LOG = logging.getLogger("shotfs.cache")


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    assert logging.getLogger().handlers == before


def text_of(message: str, *args: object, **options: Any) -> str:
    stream = io.StringIO()
    with configure("debug", "text", None, stream=stream):
        LOG.info(message, *args, **options)
    return stream.getvalue()


def json_of(message: str, *args: object, **options: Any) -> dict[str, Any]:
    stream = io.StringIO()
    with configure("debug", "json", None, stream=stream):
        LOG.info(message, *args, **options)
    document: dict[str, Any] = json.loads(stream.getvalue())
    return document


def test_a_line_for_people_has_time_level_logger_message_and_fields() -> None:
    line = text_of("opened %d files", 3, extra={"path": "/shows/a b", "bytes": 5, "warm": True})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO  shotfs\.cache: opened 3 files"
        r' path="/shows/a b" bytes=5 warm=true\n',
        line,
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain/path.exr", "plain/path.exr"),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("", '""'),
        ("two\nlines", '"two\\nlines"'),
        ("Grüße", "Grüße"),
        ("\x1b[31m", '"\\u001b[31m"'),
        (None, "null"),
        (0.5, "0.5"),
        ([1, "a"], '[1, "a"]'),
        (Path("/x"), "/x"),
        (float("nan"), "nan"),
    ],
)
def test_a_field_can_be_told_from_the_next(value: object, written: str) -> None:
    assert text_of("m", extra={"key": value}).endswith(f": m key={written}\n")


def test_a_message_cannot_forge_a_line_or_move_the_cursor() -> None:
    line = text_of("cannot open %s", "x\n2026-01-01T00:00:00.000Z INFO  shotfs: fine\x1b[2J")
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "\\x1b[2J" in line


def test_names_that_are_not_utf8_are_written_escaped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with configure("info", "text", str(path)):
        LOG.info("opened", extra={"path": b"/x/\xff".decode(errors="surrogateescape")})
    assert "\\udcff" in path.read_text()


def test_json_is_one_object_a_line_with_the_fields_beside_the_message() -> None:
    document = json_of("opened %s", "x\ny", extra={"path": "/a", "bytes": 5})
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "info",
        "logger": "shotfs.cache",
        "message": "opened x\ny",
        "path": "/a",
        "bytes": 5,
    }


def test_a_field_does_not_replace_what_the_record_says_of_itself() -> None:
    document = json_of("m", extra={"level": "fake", "error": "fake"})
    assert document["level"] == "info"
    assert (document["level_"], document["error_"]) == ("fake", "fake")


def test_json_is_valid_json_whatever_the_fields_are() -> None:
    values = {"nan": float("inf"), "set": {1}, "deep": {"k": (1, object)}, "bytes": b"x"}
    document = json_of("m", extra=values)
    assert document["nan"] == "inf"
    assert document["set"] == [1]
    assert document["deep"]["k"][0] == 1
    assert document["bytes"] == "b'x'"


def failing() -> None:
    raise ValueError("the reason")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_traceback_comes_as_text_once(style: Any) -> None:
    stream = io.StringIO()
    with configure("info", style, None, stream=stream):
        try:
            failing()
        except ValueError:
            LOG.exception("it broke", extra={"key": "k"})
    written = stream.getvalue()
    assert written.count("ValueError: the reason") == 1
    assert "in failing" in written
    if style == "json":
        document = json.loads(written)
        assert document["error"].startswith("Traceback")
        assert document["message"] == "it broke"
    else:
        assert all(line.startswith("    ") for line in written.splitlines()[1:])


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    with configure("warning", "text", None, stream=stream):
        LOG.info("quiet")
        LOG.warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_other_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    with configure("debug", "text", None, stream=stream):
        logging.getLogger("some.library").info("chatter")
        logging.getLogger("some.library").warning("trouble")
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_a_value_is_written_as_it_was_when_it_was_logged() -> None:
    stream, gate = GatedStream(), {"state": "then"}
    with configure("info", "text", None, stream=stream):
        LOG.info("m", extra={"value": gate})
        gate["state"] = "now"
        stream.opened.set()
    assert '"then"' in stream.getvalue()


class GatedStream(io.StringIO):
    """A pipe that nobody reads until `opened` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str, /) -> int:
        self.reached.set()
        assert self.opened.wait(30)
        return super().write(text)


def test_a_pipe_that_nobody_reads_does_not_stop_who_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUE_RECORDS_MAX", 5)
    stream, drops = GatedStream(), []
    with configure("info", "text", None, stream=stream, on_drop=lambda: drops.append(1)) as writer:
        LOG.info("record 0")
        assert stream.reached.wait(30)  # the writer holds one record, the queue is empty
        for number in range(1, 11):
            LOG.info("record %d", number)
        assert writer.dropped == 5
        assert len(drops) == 5
        stream.opened.set()
    written = stream.getvalue()
    assert re.findall(r"record (\d+)", written) == ["0", "1", "2", "3", "4", "5"]
    assert "log records dropped: the writer was behind records=5" in written


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CLOSE_TIMEOUT_S", 0.01)
    stream = GatedStream()
    writer = configure("info", "text", None, stream=stream)
    LOG.info("stuck")
    writer.close()
    writer.close()
    stream.opened.set()
    assert stream.reached.wait(30)


class BrokenStream(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_counted_and_later_records_are_tried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with configure("info", "text", None, stream=BrokenStream()) as writer:
        LOG.info("one")
        LOG.info("two")
    assert writer.dropped == 2
    assert capsys.readouterr().err == ""


def test_a_field_whose_text_fails_does_not_end_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()

    class Awkward:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with configure("info", "text", None, stream=stream) as writer:
        LOG.info("one", extra={"value": Awkward()})
        LOG.info("two")
    assert writer.dropped == 1
    assert "two" in stream.getvalue()
    assert capsys.readouterr().err == ""


def test_a_log_file_is_appended_to_and_opened_again_after_rotation(tmp_path: Path) -> None:
    path, moved = tmp_path / "shotfs.log", tmp_path / "shotfs.log.1"
    with configure("info", "text", str(path)):
        LOG.info("before")
    path.rename(moved)
    with configure("info", "text", str(path)):
        LOG.info("after")
    with configure("info", "text", str(path)):
        LOG.info("again")
    assert "before" in moved.read_text()
    assert [line.split(": ")[1] for line in path.read_text().splitlines()] == ["after", "again"]


def test_a_file_moved_away_while_open_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "shotfs.log"
    with configure("info", "text", str(path)):
        path.rename(tmp_path / "old")
        LOG.info("fresh")
    assert "fresh" in path.read_text()


def test_a_log_file_that_cannot_be_opened_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ShotfsError, match=r"absent/x\.log") as caught:
        configure("info", "text", str(tmp_path / "absent" / "x.log"))
    assert caught.value.fix is not None
    assert "log.file" in caught.value.fix


def test_levels_are_as_before_when_the_log_is_closed() -> None:
    before = logging.getLogger("shotfs").level, logging.getLogger().level
    configure("debug", "text", None, stream=io.StringIO()).close()
    assert (logging.getLogger("shotfs").level, logging.getLogger().level) == before
