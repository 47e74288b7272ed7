"""`shotfs top`: what the node is doing now, live."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, duration, size, socket_of
from shotfs.cli.why import asker_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shotfs.control.client import Client

app = typer.Typer(pretty_exceptions_enable=False)

INTERVAL_S = 1.0

ROWS_MAX = 8
"""Rows of each table; --json has 20."""


@app.command(name="top")
@output.run
def top(
    once: Annotated[
        bool, typer.Option("--once", help="Print once and end; so it does without a terminal.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the service is doing now: throughput, hits, who waits, what comes in, queues.

    Once a second until q or Ctrl-C. A service that is restarted meanwhile is found again. Who is
    not in the admin group sees the waits and files of his own processes only.

    Example: shotfs top
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.top()
        if once or as_json or not output.console.is_terminal:
            output.emit(report, as_json, lambda: screen(report))
            return
        try:
            _watch(client, report)
        except KeyboardInterrupt:
            return


def _watch(client: Client, report: Mapping[str, Any]) -> None:
    """Show a new report every second until somebody presses q."""
    poll = _Poll(client, report)
    with _Keys() as keys:
        if output.console.is_dumb_terminal:
            # It cannot move its cursor: one report below the other.
            output.console.print(poll.shown())
            while not keys.quits_within(INTERVAL_S):
                output.console.print(poll.next())
            return
        from rich.live import Live

        display = Live(poll.shown(), console=output.console, screen=True, auto_refresh=False)
        # Not as a context: Ctrl-C while it begins would leave its screen behind.
        try:
            display.start(refresh=True)
            while not keys.quits_within(INTERVAL_S):
                display.update(poll.next(), refresh=True)
        finally:
            display.stop()


class _Poll:
    """The last report, and what happened to the service since."""

    def __init__(self, client: Client, report: Mapping[str, Any]) -> None:
        self._client = client
        self._report = report
        self._note = ""

    def next(self) -> RenderableType:
        """Ask again and return what to show."""
        from shotfs.errors import DeadlineExceeded, ServiceNotRunning

        try:
            report = self._client.top()
        except (ServiceNotRunning, DeadlineExceeded) as exc:
            if not self._note.startswith("no answer"):
                self._note = f"no answer since {time.strftime('%H:%M:%S')}: {exc.message}"
            return self.shown()
        if report["pid"] != self._report["pid"]:
            self._note = f"the service was restarted, seen at {time.strftime('%H:%M:%S')}"
        elif self._note.startswith("no answer"):
            self._note = ""
        self._report = report
        return self.shown()

    def shown(self) -> RenderableType:
        """Return what to show of the last report."""
        return screen(self._report, note=self._note)


class _Keys:
    """Single keys from the terminal, without Enter and without an echo; none without a terminal."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def quits_within(self, seconds: float) -> bool:
        """Wait for *seconds*; return True at once when q is pressed, or the terminal is gone."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            if self._descriptor is None:
                time.sleep(left_s)
                return False
            if select.select([self._descriptor], [], [], left_s)[0]:
                key = os.read(self._descriptor, 1)
                if key in (b"q", b"Q", b""):
                    return True
        return False


def screen(report: Mapping[str, Any], *, note: str = "") -> RenderableType:
    """Return everything that one report says, for people."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(output.printable(line)) for line in _head(report)]
    if note:
        parts.append(Text(output.printable(note), style="bold yellow"))
    for table in _tables(report):
        parts += [Text(""), table]
    return Group(*parts)


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    where = report["mountpoint"] or "without a mount"
    yield (
        f"shotfs {report['state']} on {report['node']}, {where}, pid {report['pid']},"
        f" up {duration(report['uptime_s'])}"
    )
    cache = report["cache"]
    yield (
        f"cache {size(cache['bytes'])} of {size(cache['bytes_max'])}, {cache['files']} files;"
        f" hits {_percent(report['hit_ratio'])} now, {_percent(report['hit_ratio_total'])} since"
        f" the start; {report['opens_per_s']:.1f} opens/s; {report['evictions']} evicted now;"
        f" {cache['unkept']} not kept"
    )
    ahead = report["lookahead"]
    if ahead["enabled"]:
        yield (
            f"look-ahead {size(ahead['waiting_bytes'])} of {size(ahead['bytes_max'])} wait to be"
            f" opened; {_percent(ahead['useful_share'])} were opened since the start"
        )
    lag = report["loop_lag_p99_s"]
    late = "-" if lag is None else f"p99 within {1000 * lag:g} ms"
    waiting = ", ".join(f"{count} {name}" for name, count in sorted(report["waiting"].items()))
    yield f"event loop {late}; waiting: {waiting or 'nothing'}"


def _tables(report: Mapping[str, Any]) -> Iterator[Table]:
    yield from _table(
        ("throughput", "class", "rate"),
        [
            (one["origin"], one["class"], f"{size(one['bytes_per_s'])}/s")
            for one in report["throughput"]
        ],
    )
    yield from _table(
        ("longest waits", "since", "what", "who"),
        [
            (_path(one), duration(one["since_s"]), one["operation"], asker_text(one["asker"]))
            for one in report["waits"]
        ],
        more=sum(report["waiting"].values()),
    )
    yield from _table(
        ("coming in", "here", "size", "rate", "rest", "class", "open by"),
        [_stream_row(one) for one in report["streams"]],
        more=report["stream_count"],
    )
    yield from _table(
        ("prewarm", "mode", "state", "files", "here", "size", "here", "for"),
        [
            (
                number,
                one["mode"],
                one["state"],
                str(one["files"]),
                str(one["done_files"]),
                size(one["bytes"]),
                size(one["done_bytes"]),
                "-" if one["seconds"] is None else duration(one["seconds"]),
            )
            for number, one in report["prewarms"].items()
        ],
    )
    yield from _table(
        ("requests", "class", "under way", "waiting", "oldest"),
        [
            (
                one["origin"],
                one["fetch_class"],
                f"{one['under_way']}, {size(one['under_way_bytes'])}",
                f"{one['waiting']}, {size(one['waiting_bytes'])}",
                duration(one["oldest_s"]) if one["waiting"] else "-",
            )
            for one in report["queue"]
        ],
    )
    yield from _table(
        ("origin", "egress", "bandwidth", "state"),
        [
            (url, _egress(state.get("egress")), _bandwidth(state), _origin_state(state))
            for url, state in report["origins"].items()
        ],
    )
    yield from _table(
        ("crawler", "listings", "rate", "waiting", "last"),
        [
            (
                asker_text(one["asker"]),
                str(one["listings"]),
                f"{one['per_s']:.1f}/s",
                str(one["waiting"]),
                one["path"],
            )
            for one in report["crawlers"]
        ],
    )


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, more: int = 0
) -> Iterator[Table]:
    """Yield a table of the first rows; none without rows."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="ellipsis", no_wrap=True, ratio=3 if not number else None)
    for row in rows[:ROWS_MAX]:
        table.add_row(*(Text(output.printable(cell)) for cell in row))
    hidden = max(more, len(rows)) - ROWS_MAX
    if hidden > 0:
        table.add_row(f"and {hidden} more")
    yield table


def _stream_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    share = one["bytes_present"] / one["size_bytes"] if one["size_bytes"] else 1.0
    rest = "-" if one["rest_s"] is None else duration(round(one["rest_s"]))
    readers = [asker_text(reader) for reader in one["readers"]]
    others = f" and {len(readers) - 1} more" if len(readers) > 1 else ""
    return (
        _path(one),
        f"{100 * share:.0f} %",
        size(one["size_bytes"]),
        f"{size(one['bytes_per_s'])}/s",
        rest,
        one["fetch_class"],
        f"{readers[0]}{others}" if readers else "nobody",
    )


def _path(one: Mapping[str, Any]) -> str:
    return str(one["path"] or one.get("key") or "(the mount)")


def _origin_state(state: Mapping[str, Any]) -> str:
    if not state.get("opened"):
        return "not used yet"
    if state.get("reachable") is False:
        return f"cannot be reached since {state['since']}: {state['last_error']}"
    return "paused" if state.get("paused") else "works"


def _egress(use: Mapping[str, Any] | None) -> str:
    """Return how far a budget is used: that of the day, then that of the job that read most."""
    if use is None:
        return "-"
    parts = [
        f"{size(use[f'{whose}_bytes'])} of {size(use[f'{whose}_bytes_max'])} a {whose}"
        for whose in ("day", "job")
        if use[f"{whose}_bytes_max"] is not None
    ]
    return f"{use['state']}, {', '.join(parts)}"


def _bandwidth(state: Mapping[str, Any]) -> str:
    limit = state.get("bandwidth_bytes_per_s")
    return "-" if limit is None else f"{size(limit)}/s"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
