"""``shotfs spec format`` and ``parse``: from fields to a path and back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
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
from shotfs.pathspec.elements import write
from shotfs.pathspec.fields import FieldValue, Tile
from shotfs.pathspec.pattern import Variant
from shotfs.pathspec.samples import leaf_fields, texts_of
from shotfs.pathspec.sequences import (
    STYLES,
    SequencePattern,
    find_tokens,
    sequence_of,
    tokens_for,
)
from shotfs.pathspec.sequences.tokens import KINDS

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
    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens",
            metavar="STYLE",
            help="Write tokens for frames, tiles and views that have no value, as this one reads "
            f"them: {', '.join(STYLES)}.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the path that a template makes of these fields. Numbers are padded as declared.

    Fields of optional parts may be left out. Dates are written as ISO 8601, tiles as numbers or
    COLUMN,ROW from 0,0.

    Example: shotfs spec format texture asset=dragon version=3 name=body udim=1001 --spec ant.json
    """
    specification = specification_of(spec, config, show).specification
    fields = dict(_value(specification, text) for text in values or [])
    if tokens is None:
        path = specification.format(template, fields)
    else:
        path = _with_tokens(specification, template, fields, tokens)
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
        pattern = sequence_of(specification, relative) if find_tokens(relative) else None
        if pattern is not None and _is_of_no_template(specification, relative):
            _parse_sequence(pattern, relative, as_json=as_json)
            return
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


def _is_of_no_template(specification: Specification, path: str) -> bool:
    """Return whether *path* is none, or one that `unmatched` lets pass."""
    found = specification.resolve(path)
    return found is None or specification.patterns[found.template.name].fallback


def _parse_sequence(pattern: SequencePattern, path: str, *, as_json: bool) -> None:
    """Tell the fields of a path with tokens, those that are open too."""
    specification = pattern.specification
    opened = {field.name: tokens_for(field, "hash") for field in pattern.open}
    values = {name: specification.fields[name].parse(text) for name, text in pattern.fields.items()}
    data = {
        "show": specification.show,
        "path": path,
        "template": pattern.template.name,
        "scratch": False,
        "fields": dict(pattern.fields),
        "values": {name: _as_data(value) for name, value in values.items()},
        "open": list(opened),
        "origin": pattern.template.policy.origin,
        "key": None,
    }

    def shown() -> RenderableType:
        made = table("field", "text", "value")
        for name, text in pattern.fields.items():
            row(made, name, text, _as_text(values[name], text))
        for name, text in opened.items():
            row(made, name, text, "any")
        return Group(Text(printable(f"sequence of template {pattern.template.name}")), made)

    emit(data, as_json, shown)


def _with_tokens(
    specification: Specification, template: str, fields: Mapping[str, FieldValue], style: str
) -> str:
    """Return the path with tokens for the frames, tiles and views that *fields* does not give.

    Those of optional parts are left out with their part, unless *fields* gives a token for them.
    """
    pattern = specification.patterns.get(template)
    if pattern is None:
        return specification.format(template, fields)  # which says what is wrong
    leaves = [
        leaf_fields(specification, tuple(token for tokens in one.elements for token in tokens))
        for one in pattern.variants
    ]
    opened = {
        name: field
        for name, field in leaves[0].items()
        if field.kind in KINDS
        and (_is_token(fields.get(name)) or all(name in one for one in leaves))
        if name not in fields or _is_token(fields[name])
    }
    examples: dict[str, FieldValue] = {name: texts_of(one)[0] for name, one in opened.items()}
    path = specification.format(template, {**fields, **examples})
    resolution = specification.parse(path)
    texts = dict(resolution.fields)
    texts |= {name: tokens_for(field, style) for name, field in opened.items()}
    for variant in pattern.variants:
        if path == _written(specification, variant, resolution.fields):
            # Compounds are written by their parts, which hold the tokens.
            parts = {
                name: one for name, one in texts.items() if not specification.fields[name].tokens
            }
            return _written(specification, variant, parts)
    raise AssertionError("a path is written as one variant of its template")


def _written(specification: Specification, variant: Variant, texts: Mapping[str, str]) -> str:
    return "/".join(write(tokens, specification.fields, texts) for tokens in variant.elements)


def _is_token(value: FieldValue | None) -> bool:
    if not isinstance(value, str):
        return False
    found = find_tokens(value)
    return len(found) == 1 and found[0].text == value


def _value(specification: Specification, text: str) -> tuple[str, FieldValue]:
    """Return the field and the value of ``FIELD=VALUE``."""
    name, mark, value = text.partition("=")
    if not mark:
        raise typer.BadParameter(f"write {text!r} as FIELD=VALUE")
    field = specification.fields.get(name)
    if field is None or field.tokens or field.problem(value) is None or _is_token(value):
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
        row(shown, name, text, _as_text(values[name], text))
    kind = "scratch beside template" if resolution.scratch else "template"
    return Group(Text(printable(f"{kind} {resolution.template.name}")), shown)


def _as_text(value: FieldValue, text: str) -> str:
    """Return *value* for people; nothing where it is the text itself."""
    if isinstance(value, Tile):
        return f"column {value.u}, row {value.v}"
    return "" if str(value) == text else str(value)
