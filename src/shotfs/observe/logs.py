"""Structured logs: stdlib logging in, lines for people or JSON objects out.

Owns the root handler and one writer thread behind a bounded queue, so that a slow disk or a full
pipe never stops the event loop: records that find no room are dropped, counted, and the count is
logged when there is room again. Fields come with ``extra={"path": ..., "bytes": ...}``.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import logging.handlers
import math
import queue
import re
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self, TextIO

from shotfs.errors import ShotfsError

QUEUE_RECORDS_MAX = 10_000
"""A second of the noisiest debug log; about 10 MB at worst."""

CLOSE_TIMEOUT_S = 5.0
"""How long `close` waits for the writer; a pipe that nobody reads must not stop a shutdown."""

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_JSON_OWN = frozenset({"time", "level", "logger", "message", "error"})
_PLAIN_VALUE = re.compile(r"[^\s\"=\\]+\Z")


def configure(
    level: Level,
    format: Format,  # noqa: A002 - the name that the setting has
    file: str | None,
    *,
    stream: TextIO | None = None,
    on_drop: Callable[[], object] | None = None,
) -> LogWriter:
    """Send every record of the process to *file* or *stream*; return what ends that.

    Args:
        level: the least severe records of shotfs; other libraries are heard from warnings on.
        format: lines for people, or one JSON object a line.
        file: appended to, and reopened when it is moved away; None writes to *stream*.
        stream: standard error if None.
        on_drop: called, from the thread that logged, for each record that was dropped.

    Raises:
        ShotfsError: *file* cannot be opened.
    """
    handler = _destination(file, stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    return LogWriter(handler, level, on_drop)


class LogWriter:
    """The writer thread and the root handler that feeds it. A context manager.

    Attributes:
        dropped: how many records found no room or could not be written.
    """

    def __init__(
        self, handler: logging.Handler, level: Level, on_drop: Callable[[], object] | None
    ) -> None:
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUE_RECORDS_MAX)
        self._destination = handler
        self._on_drop = on_drop
        self._unreported = 0
        self.dropped = 0
        self._entry = _Entry(self._queue, self._count_drop)
        self._levels = {name: logging.getLogger(name).level for name in ("", "shotfs")}
        logging.getLogger().addHandler(self._entry)
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("shotfs").setLevel(level.upper())
        self._thread = threading.Thread(target=self._write, name="shotfs-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and end the thread; waits at most `CLOSE_TIMEOUT_S`. Idempotent."""
        logging.getLogger().removeHandler(self._entry)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels = {}
        if not self._thread.is_alive():
            return
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
            self._thread.join(CLOSE_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _count_drop(self) -> None:
        self.dropped += 1
        self._unreported += 1
        if self._on_drop is not None:
            self._on_drop()

    def _write(self) -> None:
        while (record := self._queue.get()) is not None:
            self._emit(record)
            if self._unreported:
                count, self._unreported = self._unreported, 0
                self._emit(_drop_notice(count))
        self._destination.close()

    def _emit(self, record: logging.LogRecord) -> None:
        try:
            self._destination.handle(record)
        except Exception:  # noqa: BLE001 - whatever it is, the thread must live to write the next
            # A full disk, a closed pipe: there is nowhere left to say so but the counter.
            self.dropped += 1


class TextFormatter(logging.Formatter):
    """``2026-11-21T02:45:00.123Z INFO  shotfs.cache: message key=value``.

    One line a record, whatever the message holds; a traceback follows, indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of *record*, without a line end."""
        fields = "".join(f" {key}={_text_value(value)}" for key, value in _extra(record).items())
        line = (
            f"{_time(record)} {record.levelname:<5} {record.name}:"
            f" {_one_line(record.getMessage())}{fields}"
        )
        error = _error_text(record)
        if error is None:
            return line
        return line + "".join(f"\n    {part}" for part in error.rstrip("\n").split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the extra fields, and error.

    An extra field that has one of those names gets an underscore behind it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of *record*, without a line end."""
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _extra(record).items():
            document[f"{key}_" if key in _JSON_OWN else key] = _json_value(value)
        error = _error_text(record)
        if error is not None:
            document["error"] = error
        return json.dumps(document, default=str)


class _Entry(logging.handlers.QueueHandler):
    """The root handler: renders what must be rendered now, and never waits."""

    def __init__(
        self, records: queue.Queue[logging.LogRecord | None], on_drop: Callable[[], None]
    ) -> None:
        super().__init__(records)
        self._on_drop = on_drop

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy that another thread may format: arguments and traceback are text."""
        ready = copy.copy(record)
        ready.msg, ready.args = record.getMessage(), None
        ready.exc_text = _error_text(record)
        ready.exc_info = None
        for key, value in _extra(record).items():
            # Anything mutable is rendered now: it may be another thing when the writer sees it.
            setattr(ready, key, _json_value(value))
        return ready

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own
        """Count a record whose text cannot be made; logging would print a traceback."""
        self._on_drop()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue *record*, or count it as dropped."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._on_drop()


def _destination(file: str | None, stream: TextIO | None) -> logging.Handler:
    if file is None:
        return _Stream(stream if stream is not None else sys.stderr)
    try:
        return _File(file, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise ShotfsError(
            f"cannot write the log file {file}: {exc.strerror}",
            fix="create its directory for the service user, or change log.file",
        ) from exc


class _Raising(logging.Handler):
    """Tells the writer of an error, where logging would print a traceback to standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Raise what is being handled; `LogWriter` counts it."""
        error = sys.exc_info()[1]
        raise error if error is not None else OSError(f"cannot write {record.name}")


class _Stream(_Raising, logging.StreamHandler[TextIO]):
    """A stream that belongs to somebody else: flushed, never closed."""


class _File(_Raising, logging.handlers.WatchedFileHandler):
    """A file that is ours, opened again when it was moved away."""


def _drop_notice(count: int) -> logging.LogRecord:
    fields = {"name": "shotfs.observe.logs", "levelno": logging.WARNING, "levelname": "WARNING"}
    message = {"msg": "log records dropped: the writer was behind", "records": count}
    return logging.makeLogRecord({**fields, **message})


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error_text(record: logging.LogRecord) -> str | None:
    if record.exc_text:
        return record.exc_text
    if not record.exc_info or record.exc_info[1] is None:
        return None
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")


def _json_value(value: object) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(inner) for inner in value]
    return str(value)


def _text_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(_json_value(value), default=str)
    if _PLAIN_VALUE.match(text) and text.isprintable():
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable()) if isinstance(value, str) else text


def _one_line(text: str) -> str:
    """Escape line ends and control characters: a path must not be able to forge a log line."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "backslashreplace").decode()
        for sign in text
    )
