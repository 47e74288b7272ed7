"""``shotfs spec format`` and ``parse``: from fields to a path and back."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, fail, printable, run
from shotfs.cli.spec_source import (
    Config,
    Json,
    Path,
    ShowName,
    Site,
    Spec,
    find,
    row,
    specification_of,
    table,
)
from shotfs.errors import NoTemplate
from shotfs.pathspec import Resolution, Specification
from shotfs.pathspec.fields import FieldValue, Tile

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_TILE = re.compile(r"(\d{1,4}),(\d{1,4})", re.ASCII)


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
    show: ShowName = None,
    as_json: Json = False,
) -> None:
    """Print the path that a template makes of these fields. Numbers are padded as declared.

    Fields of optional parts may be left out.

    Example: shotfs spec format texture asset=dragon version=3 name=body udim=1001 --spec ant.json
    """
    specification = specification_of(spec, config, show).specification
    fields = dict(_value(specification, text) for text in values or [])
    path = specification.format(template, fields)
    data = {"show": specification.show, "template": template, "path": path}
    emit(data, as_json, lambda: Text(printable(path)))


@run
def parse(
    path: Path,
    spec: Spec = None,
    site: Site = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print the template and the fields of a path; an impossible one ends with an error.

    Example: shotfs spec parse render/xy_1_100_030_00_v005/log/a.txt --spec ant.json
    """
    opened, relative = find(path, spec, config, site)
    specification = opened.specification
    try:
        resolution = specification.parse(relative)
    except NoTemplate as exc:
        # Asking is permitted; it is the answer that is not in order.
        fail(exc.message, ExitCode.NOT_IN_ORDER, fix=exc.fix)
    values = {
        name: specification.fields[name].parse(text) for name, text in resolution.fields.items()
    }
    data = {
        "show": specification.show,
        "path": relative,
        "template": resolution.template.name,
        "scratch": resolution.scratch,
        "fields": dict(resolution.fields),
        "values": {name: _as_data(value) for name, value in values.items()},
        "origin": resolution.template.policy.origin,
        "key": resolution.key,
    }
    emit(data, as_json, lambda: _parsed(resolution, values))


def _value(specification: Specification, text: str) -> tuple[str, FieldValue]:
    """Return the field and the value of ``FIELD=VALUE``."""
    name, mark, value = text.partition("=")
    if not mark:
        raise typer.BadParameter(f"write {text!r} as FIELD=VALUE")
    field = specification.fields.get(name)
    if field is None or field.tokens or field.problem(value) is None:
        return name, value
    return name, field.format(_typed(field.kind, value))


def _typed(kind: str, text: str) -> FieldValue:
    """Return *text*, which is no text of a field of *kind*, as the value that it may stand for."""
    with contextlib.suppress(ValueError, ArithmeticError):
        if kind in ("int", "frame", "udim", "version") and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "frame":
            return Decimal(text)
        if kind == "timestamp":
            return datetime.fromisoformat(text)
        if kind == "uuid":
            return UUID(text)
        if kind == "udim" and (found := _TILE.fullmatch(text)):
            return Tile(int(found.group(1)), int(found.group(2)))
    return text


def _as_data(value: FieldValue) -> str | int | float | dict[str, int]:
    if isinstance(value, Tile):
        return value._asdict()
    return value if isinstance(value, str | int) else str(value)


def _parsed(resolution: Resolution, values: dict[str, FieldValue]) -> RenderableType:
    shown = table("field", "text", "value")
    for name, text in resolution.fields.items():
        value = values[name]
        if isinstance(value, Tile):
            row(shown, name, text, f"column {value.u}, row {value.v}")
        else:
            row(shown, name, text, "" if str(value) == text else str(value))
    kind = "scratch beside template" if resolution.scratch else "template"
    return Group(Text(printable(f"{kind} {resolution.template.name}")), shown)
