"""``shotfs spec export``: a specification for somebody outside, and a document to read."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from shotfs.cli.output import emit, printable, run, warn
from shotfs.cli.spec_source import Config, Json, ShowName, Site, Spec, specification_of

NAMES = ("vendor.json", "vendor.md", "vendor.html")


class Flows(StrEnum):
    """Which templates go out."""

    IN = "in"
    OUT = "out"
    ALL = "all"


@run
def export(
    vendor: Annotated[
        bool, typer.Option("--vendor", help="Without roots, sites, owners and other policy.")
    ] = False,
    directory: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Write the three documents here."),
    ] = ".",
    templates: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            "-t",
            metavar="NAME",
            help="Only this one; may be repeated.",
            show_default=False,
        ),
    ] = None,
    flow: Annotated[
        Flows, typer.Option("--flow", help="Only what jobs read (in) or write (out).")
    ] = Flows.ALL,
    deliver: Annotated[
        list[str] | None,
        typer.Option(
            "--deliver",
            metavar="NAME",
            help="The vendor delivers this one, whatever our jobs do with it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    rename: Annotated[
        str | None,
        typer.Option("--rename-show", metavar="NAME", help="Call the show so.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace documents that exist.")] = False,
    spec: Spec = None,
    site: Site = None,
    config: Config = None,
    show: ShowName = None,
    as_json: Json = False,
) -> None:
    """Write what a vendor needs: the paths and their meaning, and nothing of the studio.

    Writes vendor.json, a specification that check, format and lint take without a network, and
    the same for people as vendor.md and vendor.html.

    Example: shotfs spec export --vendor --flow out --spec ant.json --output to-vendor
    """
    from shotfs.pathspec import vendor as redaction
    from shotfs.pathspec.declarations import declarations
    from shotfs.pathspec.vendor_guide import guide
    from shotfs.pathspec.vendor_pages import markdown, page

    if not vendor:
        raise typer.BadParameter("say what to export: --vendor")
    opened = specification_of(spec, config, show, site)
    made = redaction.export(
        opened.specification,
        declarations(opened.location, opened.texts),
        templates=templates or (),
        flow=flow,
        deliver=deliver or (),
        show=rename,
    )
    blocks = guide(made.specification)
    title = f"{made.specification.show}: names and places of files"
    texts = (made.text, markdown(blocks), page(blocks, title))
    written = _write(directory, texts, force=force)
    for leak in made.leaks:
        if leak.removed:
            warn(f"{leak.where}: took out {leak.what!r}")
        else:
            warn(
                f"{leak.where}: holds {leak.what!r}, a name of a place in the studio",
                fix="rename it, or leave the template out",
            )
    data: dict[str, Any] = {
        "show": made.specification.show,
        "source": opened.specification.source,
        "files": written,
        "templates": list(made.specification.templates),
        "fields": list(made.specification.fields),
        "removed": [leak.where for leak in made.leaks if leak.removed],
        "left": [leak.where for leak in made.leaks if not leak.removed],
    }
    summary = (
        f"{_count(len(data['templates']), 'template')} with {_count(len(data['fields']), 'field')},"
        " without roots, sites and owners:"
    )
    lines = [Text(summary), *(Text(f"  {printable(path)}") for path in written)]
    emit(data, as_json, lambda: Group(*lines))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _write(directory: str, texts: tuple[str, ...], *, force: bool) -> list[str]:
    os.makedirs(directory, exist_ok=True)
    paths = [os.path.join(directory, name) for name in NAMES]
    if not force:
        for path in paths:
            if os.path.lexists(path):
                raise typer.BadParameter(f"{path} exists; --force replaces it")
    for path, text in zip(paths, texts, strict=True):
        temporary = f"{path}.{os.getpid()}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise
    return paths
