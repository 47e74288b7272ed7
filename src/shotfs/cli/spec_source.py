"""What the commands of `shotfs spec` share: how a specification is named, read and shown."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from shotfs import config as configuration
from shotfs.cli.output import printable
from shotfs.errors import InvalidArgument, PathNotFound, Problem
from shotfs.pathspec import Specification, load

File = Annotated[str, typer.Argument(metavar="FILE", help="The specification, a JSON document.")]
Path = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Relative to the show, or with the show's name before it."),
]
Spec = Annotated[
    str | None,
    typer.Option("--spec", "-s", metavar="FILE", help="The specification.", show_default=False),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Find the show's specification in this configuration. "
        f"Default: $SHOTFS_CONFIG, else {configuration.PATH_DEFAULT}.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def read(path: str, show: str | None = None) -> Specification:
    """Return the specification in the file *path*, which must be of *show* where that is given.

    Raises:
        SpecInvalid: it has mistakes; all of them are in `problems`.
        PathNotFound: it is a directory.
    """
    try:
        # surrogateescape keeps a document that is no UTF-8 readable, so that it gets a message
        # with a line instead of a decoding error.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    except IsADirectoryError:
        raise PathNotFound(f"{path} is a directory, not a document") from None
    return load(text, source=path, show=show)


def specification_of(spec: str | None, config: str | None, show: str | None) -> Specification:
    """Return the specification *spec*, or that of *show* in the configuration *config*.

    Raises:
        InvalidArgument: which show is meant is not clear.
    """
    if spec is not None:
        return read(spec)
    loaded = configuration.load(config, os.environ)
    shows = loaded.settings.shows
    if show is None and len(shows) == 1:
        show = next(iter(shows))
    if show is None or show not in shows:
        raise InvalidArgument(
            "which show is meant is not clear" if show is None else f"there is no show {show!r}",
            fix=f"name one of {', '.join(sorted(shows)) or '(none)'}, or give --spec FILE",
        )
    place = shows[show].spec
    if "://" in place:
        raise InvalidArgument(
            f"the specification of show {show!r} is at {place}, and this command reads files only",
            fix="copy it here and give --spec FILE",
        )
    return read(os.path.join(os.path.dirname(loaded.path or ""), place), show)


def find(path: str, spec: str | None, config: str | None) -> tuple[Specification, str]:
    """Return the specification for *path*, and the path relative to the show's directory."""
    names = [name for name in path.split("/") if name]
    if spec is not None:
        specification = read(spec)
    else:
        shows = configuration.load(config, os.environ).settings.shows
        specification = specification_of(None, config, next((n for n in names if n in shows), None))
    return specification, _below(specification.show, names, absolute=path.startswith("/"))


def _below(show: str, names: list[str], *, absolute: bool) -> str:
    """Drop the show's name where the path begins with it, and a mount point before it."""
    if show in (names if absolute else names[:1]):
        names = names[names.index(show) + 1 :]
    return "/".join(names)


def problems_as_data(problems: list[Problem]) -> list[dict[str, Any]]:
    """Return *problems* as JSON shows them."""
    return [dataclasses.asdict(problem) for problem in problems]


def table(*columns: str) -> Table:
    """Return a table without frames, for `row` to fill."""
    made = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def row(shown: Table, *cells: str) -> None:
    """Add *cells*, which may come from anywhere, to the table *shown*."""
    shown.add_row(*(Text(printable(cell)) for cell in cells))
