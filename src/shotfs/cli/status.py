"""`shotfs status`: what the running service is doing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Configuration file.", envvar="SHOTFS_CONFIG"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


def socket_of(config: str | None) -> str:
    """Return the control socket of the service with this configuration."""
    from shotfs.config import load

    return load(config, os.environ).settings.control.socket


@app.command(name="status")
@output.run
def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="All metrics, in the Prometheus text format.")
    ] = False,
) -> None:
    """Show what the running service is doing: mount, shows, cache, outputs, origins.

    Exit code 4: no service is running.

    Example: shotfs status --json
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        if metrics:
            output.console.file.write(client.metrics_text())
            return
        report = client.status()
    output.emit(report, as_json, lambda: _whole(report))


def _whole(report: Mapping[str, Any]) -> RenderableType:
    """Return the status, and at its end, where it is seen, what somebody has to do."""
    from rich.console import Group
    from rich.text import Text

    from shotfs.control.output_checks import troubles_of

    troubles = [
        Text.assemble(("! ", "bold red"), f"{one.message}: {one.fix}")
        for one in troubles_of(report)
    ]
    return Group(table_of(report), *troubles)


def table_of(report: Mapping[str, Any]) -> RenderableType:
    """Return a nested mapping as a table of two columns; a nested key is ``outer.inner``."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(report):
        table.add_row(name, Text(output.printable(human(name, value))))
    return table


def _flat(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in report.items():
        problem = report.get(f"{name}_problem")
        if name.removesuffix("_problem") != name and name.removesuffix("_problem") in report:
            continue  # said with what it is the problem of
        if value is False and problem:
            yield f"{prefix}{name}", f"no: {problem}"
        elif isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def human(name: str, value: Any) -> str:
    """Return a value in the unit that its name ends with, for people."""
    if value is None or value in ("", {}, []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and name.endswith("bytes_per_s"):
        return f"{size(value)}/s"
    if isinstance(value, int | float) and _is_bytes(name):
        return size(value)
    if isinstance(value, int | float) and name.endswith("_s"):
        return duration(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _is_bytes(name: str) -> bool:
    last = name.rpartition(".")[2]
    return "bytes" in last.split("_")


def size(size_bytes: float) -> str:
    """Return a size as people say it: ``12.3 GiB``."""
    from shotfs.config.units import rounded_size

    return rounded_size(size_bytes)


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``1.5 s``, ``3 min 20 s``, ``2 d 3 h``."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts: list[str] = []
    left = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
