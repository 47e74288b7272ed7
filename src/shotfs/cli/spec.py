"""``shotfs spec``: check a path specification and try it out.

Needs no running service and no network: everything here reads one document.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shotfs import config as configuration
from shotfs.cli.output import ExitCode, emit, fail, printable, run
from shotfs.errors import InvalidArgument, NoTemplate, PathNotFound, Problem, SpecInvalid
from shotfs.pathspec import Explanation, PathKind, Resolution, Specification, load

app = typer.Typer(help="Check and try out a path specification.", no_args_is_help=True)

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)

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


@app.command()
@run
def check(file: File, as_json: Json = False) -> None:
    """Name every mistake of a specification with its line and fix (exit code 3 if any)."""
    try:
        specification = _read(file)
    except SpecInvalid as exc:
        mistakes = exc.problems
        data = {"source": file, "valid": False, "mistakes": _as_data(mistakes), "warnings": []}
        heading = f"{file}: {len(mistakes)} mistake{'' if len(mistakes) == 1 else 's'}"
        emit(data, as_json, lambda: _problems(heading, file, mistakes, "bold red"))
        raise SystemExit(int(ExitCode.INVALID)) from None
    warnings = list(specification.warnings)
    summary = (
        f"{file}: in order. Show {specification.show}, {len(specification.templates)} templates, "
        f"{len(specification.fields)} fields, {len(specification.origins)} origins."
    )
    data = {
        "source": file,
        "valid": True,
        "show": specification.show,
        "digest": specification.digest,
        "templates": list(specification.templates),
        "origins": list(specification.origins),
        "mistakes": [],
        "warnings": _as_data(warnings),
    }
    emit(data, as_json, lambda: _problems(summary, file, warnings, "yellow"))


@app.command()
@run
def explain(path: Path, spec: Spec = None, config: Config = None, as_json: Json = False) -> None:
    """Say what a path is: template, fields, policy and who set it; or why it is impossible.

    Ends with 1 when no template can produce the path.
    """
    specification, relative = _find(path, spec, config)
    explanation = specification.explain(relative)
    data = {"show": specification.show, "source": specification.source}
    data |= dataclasses.asdict(explanation)
    emit(data, as_json, lambda: _explained(specification, explanation))
    if explanation.kind is PathKind.NONE:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


@app.command("format")
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
    specification = _specification(spec, config, show)
    fields = dict(_value(specification, text) for text in values or [])
    path = specification.format(template, fields)
    data = {"show": specification.show, "template": template, "path": path}
    emit(data, as_json, lambda: Text(printable(path)))


@app.command()
@run
def parse(path: Path, spec: Spec = None, config: Config = None, as_json: Json = False) -> None:
    """Print the template and the fields of a path; an impossible one ends with an error."""
    specification, relative = _find(path, spec, config)
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


def _read(path: str, show: str | None = None) -> Specification:
    try:
        # surrogateescape keeps a document that is no UTF-8 readable, so that it gets a message
        # with a line instead of a decoding error.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    except IsADirectoryError:
        raise PathNotFound(f"{path} is a directory, not a document") from None
    return load(text, source=path, show=show)


def _value(specification: Specification, text: str) -> tuple[str, str | int]:
    name, mark, value = text.partition("=")
    if not mark:
        raise typer.BadParameter(f"write {text!r} as FIELD=VALUE")
    field = specification.fields.get(name)
    numeric = field is not None and field.write is not None and _INTEGER.fullmatch(value)
    return name, int(value) if numeric else value


def _specification(spec: str | None, config: str | None, show: str | None) -> Specification:
    if spec is not None:
        return _read(spec)
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
    return _read(os.path.join(os.path.dirname(loaded.path or ""), place), show)


def _find(path: str, spec: str | None, config: str | None) -> tuple[Specification, str]:
    """Return the specification for *path*, and the path relative to the show's directory."""
    names = [name for name in path.split("/") if name]
    if spec is not None:
        specification = _read(spec)
    else:
        shows = configuration.load(config, os.environ).settings.shows
        specification = _specification(None, config, next((n for n in names if n in shows), None))
    return specification, _below(specification.show, names, absolute=path.startswith("/"))


def _below(show: str, names: list[str], *, absolute: bool) -> str:
    """Drop the show's name where the path begins with it, and a mount point before it."""
    if show in (names if absolute else names[:1]):
        names = names[names.index(show) + 1 :]
    return "/".join(names)


def _as_data(problems: list[Problem]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(problem) for problem in problems]


def _problems(heading: str, file: str, problems: list[Problem], style: str) -> RenderableType:
    lines = [Text(printable(heading))]
    for problem in problems:
        place = file if problem.line is None else f"{file}:{problem.line}:{problem.column}"
        lines.append(
            Text.assemble(
                f"  {printable(place)}: ", (printable(problem.where), style),
                f": {printable(problem.message)}",
            )
        )  # fmt: skip
        if problem.fix is not None:
            lines.append(Text(f"    fix: {printable(problem.fix)}"))
    return Group(*lines)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _parsed(resolution: Resolution) -> RenderableType:
    table = _table("field", "text")
    for name, text in resolution.fields.items():
        _row(table, name, text)
    kind = "scratch beside template" if resolution.scratch else "template"
    return Group(Text(printable(f"{kind} {resolution.template.name}")), table)


def _explained(specification: Specification, explanation: Explanation) -> RenderableType:
    parts: list[RenderableType] = [Text(printable(_headline(specification, explanation)))]
    if explanation.template is not None:
        parts.append(Text(printable(f"  {explanation.template.pattern}")))
        if explanation.template.usage:
            parts.append(Text(printable(f"  {explanation.template.usage}")))
    if explanation.fields:
        table = _table("field", "text", "type", "wants", "usage", "line")
        for field in explanation.fields:
            _row(
                table, field.name, field.text, field.kind, field.wants, field.usage, str(field.line)
            )
        parts += [Text(""), table]
    if explanation.settings:
        table = _table("policy", "value", "set by", "line")
        for one in explanation.settings:
            _row(table, one.key, one.value, one.where, "" if one.line is None else str(one.line))
        parts += [Text(""), table]
    if explanation.misses:
        table = _table("other template", "why not")
        for miss in explanation.misses:
            _row(table, miss.template, miss.reason)
        parts += [Text(""), table]
    return Group(*parts)


def _headline(specification: Specification, explanation: Explanation) -> str:
    path = f"{specification.show}/{explanation.path}".rstrip("/")
    if explanation.template is not None:
        line = f"{specification.source}:{explanation.template_line}"
        if explanation.kind is PathKind.SCRATCH:
            return f"{path}: a scratch name of template {explanation.template.name} ({line})"
        return f"{path}: template {explanation.template.name} ({line})"
    if explanation.directory is not None:
        implied = "exists always" if explanation.directory.implied else "exists when it holds files"
        return f"{path}: a directory, which {implied}"
    return f"{path}: impossible, no template can produce it"
