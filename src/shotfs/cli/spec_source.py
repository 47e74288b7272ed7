"""What the commands of `shotfs spec` share: how a specification is named, read and shown."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from shotfs import config as configuration
from shotfs.cli.output import printable
from shotfs.errors import InvalidArgument, PathNotFound, Problem
from shotfs.pathspec import Specification, include_locations, load
from shotfs.pathspec.documents import DOCUMENT_BYTES_MAX, DOCUMENTS_MAX

Path = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Relative to the show, or with the show's name before it."),
]
Spec = Annotated[
    str | None,
    typer.Option(
        "--spec", "-s", metavar="FILE", help="The specification: a file or URL.", show_default=False
    ),
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
Site = Annotated[
    str | None,
    typer.Option("--site", metavar="NAME", help="Take the roots of this site.", show_default=False),
]
ShowName = Annotated[
    str | None,
    typer.Option(
        "--show", help="The show, where the configuration has several.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A specification and the documents that it was read from.

    Attributes:
        location: of the main document, as `texts` names it.
        texts: of all documents, by location.
    """

    specification: Specification
    location: str
    texts: Mapping[str, str]


def open_spec(
    location: str,
    *,
    show: str | None = None,
    site: str | None = None,
    config: str | None = None,
) -> Opened:
    """Return the specification at *location*, a file or a URL, with all that it includes.

    Args:
        location: of the main document.
        show: its name in the configuration; None takes the document's word.
        site: whose roots to take; None takes each root's URL, else that of its first site.
        config: says how to reach origins, where a document is in one.

    Raises:
        SpecInvalid: it has mistakes; all of them are in `problems`.
        OSError, PathNotFound: the main document cannot be read.
        TierError: an origin that holds a document does not answer.
    """
    texts = read_texts(location, config)
    included = {name: text for name, text in texts.items() if name != location}
    specification = load(texts[location], source=location, show=show, site=site, documents=included)
    return Opened(specification, location, texts)


def read_texts(location: str, config: str | None = None) -> Mapping[str, str]:
    """Return the text of the document *location* and of every one that it includes and is there.

    Raises:
        As `open_spec`.
    """
    texts: dict[str, str] = {}
    waiting = [location]
    while waiting:
        current = waiting.pop(0)
        if "://" in current and not current.startswith("file:///"):
            return _read_remote(location, config)
        if current in texts or len(texts) > DOCUMENTS_MAX:
            continue
        try:
            texts[current] = _read_file(current)
        except (OSError, PathNotFound):
            if current == location:
                raise
            continue  # `load` says which line wants it
        waiting += include_locations(texts[current], current)
    return texts


def _read_remote(location: str, config: str | None) -> Mapping[str, str]:
    # Imported here: tiers bring their libraries, and most documents are files.
    from shotfs.namespace.documents import read_blocking

    return read_blocking(location, configuration.load(config, os.environ).settings).texts


def _read_file(location: str) -> str:
    path = location.removeprefix("file://")
    try:
        # surrogateescape keeps a document that is no UTF-8 readable, so that it gets a message
        # with a line instead of a decoding error. One more than `load` takes is as good as all.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read(DOCUMENT_BYTES_MAX + 1)
    except IsADirectoryError:
        raise PathNotFound(f"{path} is a directory, not a document") from None


def specification_of(
    spec: str | None, config: str | None, show: str | None, site: str | None = None
) -> Opened:
    """Return the specification *spec*, or that of *show* in the configuration *config*.

    Raises:
        InvalidArgument: which show is meant is not clear.
        SpecInvalid, OSError, TierError: as `open_spec`.
    """
    if spec is not None:
        return open_spec(spec, site=site, config=config)
    loaded = configuration.load(config, os.environ)
    shows = loaded.settings.shows
    if show is None and len(shows) == 1:
        show = next(iter(shows))
    if show is None or show not in shows:
        if not shows:
            raise InvalidArgument(
                "no path specification is named, and the configuration has no show",
                fix="give --spec FILE, or --config FILE of a configuration with shows",
            )
        raise InvalidArgument(
            "which show is meant is not clear" if show is None else f"there is no show {show!r}",
            fix=f"name one of {', '.join(sorted(shows))}, or give --spec FILE",
        )
    place = shows[show].spec
    if "://" not in place:
        place = os.path.join(os.path.dirname(loaded.path or ""), place)
    return open_spec(
        place, show=show, site=site or loaded.settings.node.site or None, config=config
    )


def find(
    path: str, spec: str | None, config: str | None, site: str | None = None
) -> tuple[Opened, str]:
    """Return the specification for *path*, and the path relative to the show's directory.

    Raises:
        As `specification_of`.
    """
    names = [name for name in path.split("/") if name]
    if spec is not None:
        opened = open_spec(spec, site=site, config=config)
    else:
        shows = configuration.load(config, os.environ).settings.shows
        show = next((name for name in names if name in shows), None)
        opened = specification_of(None, config, show, site)
    show = opened.specification.show
    return opened, "/".join(_below(show, names, absolute=path.startswith("/")))


def _below(show: str, names: list[str], *, absolute: bool) -> list[str]:
    """Drop the show's name where the path begins with it, and a mount point before it."""
    if show in (names if absolute else names[:1]):
        return names[names.index(show) + 1 :]
    return names


def problems_as_data(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return *problems* as JSON shows them."""
    return [dataclasses.asdict(problem) for problem in problems]


def table(*columns: str) -> Table:
    """Return a table without frames, for `row` to fill."""
    made = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        # A line number, or DOCUMENT:LINE, is copied into an editor: it stays whole.
        made.add_column(column, overflow="fold", no_wrap=column == "line")
    return made


def row(shown: Table, *cells: str) -> None:
    """Add *cells*, which may come from anywhere, to the table *shown*."""
    shown.add_row(*(Text(printable(cell)) for cell in cells))
