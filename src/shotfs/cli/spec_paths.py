"""``shotfs spec format`` and ``parse``: from fields to a path and back."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, fail, printable, run
from shotfs.cli.spec_source import Config, Json, Path, Spec, find, row, specification_of, table
from shotfs.errors import NoTemplate
from shotfs.pathspec import Resolution, Specification

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


@run
def format_path(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The template's name.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD=VALUE...", help="A value for each field.", show_default=False
        ),
    ] = None,
    spec: Spec = None,
    config: Config = None,
    show: Annotated[
        str | None,
        typer.Option("--show", help="The show, where the configuration has several."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the path that a template makes of these fields. Numbers are padded as declared."""
    specification = specification_of(spec, config, show)
    fields = dict(_value(specification, text) for text in values or [])
    path = specification.format(template, fields)
    data = {"show": specification.show, "template": template, "path": path}
    emit(data, as_json, lambda: Text(printable(path)))


@run
def parse(path: Path, spec: Spec = None, config: Config = None, as_json: Json = False) -> None:
    """Print the template and the fields of a path; an impossible one ends with an error."""
    specification, relative = find(path, spec, config)
    try:
        resolution = specification.parse(relative)
    except NoTemplate as exc:
        # Asking is permitted; it is the answer that is not in order.
        fail(exc.message, ExitCode.NOT_IN_ORDER, fix=exc.fix)
    data = {
        "show": specification.show,
        "path": relative,
        "template": resolution.template.name,
        "scratch": resolution.scratch,
        "fields": dict(resolution.fields),
        "origin": resolution.template.policy.origin,
        "key": resolution.key,
    }
    emit(data, as_json, lambda: _parsed(resolution))


def _value(specification: Specification, text: str) -> tuple[str, str | int]:
    name, mark, value = text.partition("=")
    if not mark:
        raise typer.BadParameter(f"write {text!r} as FIELD=VALUE")
    field = specification.fields.get(name)
    numeric = field is not None and field.write is not None and _INTEGER.fullmatch(value)
    return name, int(value) if numeric else value


def _parsed(resolution: Resolution) -> RenderableType:
    shown = table("field", "text")
    for name, text in resolution.fields.items():
        row(shown, name, text)
    kind = "scratch beside template" if resolution.scratch else "template"
    return Group(Text(printable(f"{kind} {resolution.template.name}")), shown)
