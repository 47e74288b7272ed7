"""``shotfs config``: write, check, show and describe the configuration.

Needs no running service: everything here reads files and the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shotfs.cli.output import ExitCode, console, emit, fail, printable, run, warn
from shotfs.config import PATH_DEFAULT, Loaded, load
from shotfs.config.provenance import InForce, in_force
from shotfs.config.reference import reference, schema
from shotfs.config.starter import starter
from shotfs.errors import ConfigInvalid, Problem

app = typer.Typer(help="Write, check, show and describe the configuration.", no_args_is_help=True)

File = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help=f"The configuration. Default: $SHOTFS_CONFIG, else {PATH_DEFAULT}.",
        show_default=False,
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help=f"The configuration. Default: $SHOTFS_CONFIG, else {PATH_DEFAULT}.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to FILE. Default: standard output.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]


@app.command()
@run
def init(output: Output = None, force: Force = False) -> None:
    """Write a commented configuration with every setting and an example show and origin."""
    text = starter()
    if output is None:
        console.file.write(text)
        return
    _write(output, text, force=force)
    console.print(
        f"{printable(output)} is written. Next: edit it, then 'shotfs config check"
        f" {printable(output)}'.",
        soft_wrap=True,
    )


@app.command()
@run
def check(file: File = None, config: Config = None, as_json: Json = False) -> None:
    """Name every mistake with its line and what to write instead (exit code 1 if any).

    The environment is checked as well: what counts is what would be in force.
    """
    if file is not None and config is not None:
        raise typer.BadParameter("name the file once: FILE or --config FILE")
    try:
        loaded = load(file or config, os.environ)
    except ConfigInvalid as exc:
        mistakes = exc  # the name is unbound when the clause ends
    else:
        _report_in_order(loaded, as_json=as_json)
        return
    data = _check_data(mistakes.source, mistakes.problems, ())
    emit(data, as_json, lambda: _mistakes(mistakes.source, mistakes.problems))
    unreadable = [problem.where for problem in mistakes.problems] == ["(file)"]
    raise SystemExit(int(ExitCode.INVALID if unreadable else ExitCode.NOT_IN_ORDER))


@app.command()
@run
def show(config: Config = None, as_json: Json = False) -> None:
    """Print what is in force and where each value came from. Secrets are hidden."""
    loaded = load(config, os.environ)
    settings = in_force(loaded)
    data = {
        "path": loaded.path,
        "settings": {
            setting.key: {"value": setting.value, "source": setting.source} for setting in settings
        },
        "warnings": [_problem_data(warning) for warning in loaded.warnings],
    }
    emit(data, as_json, lambda: _settings_table(settings))
    if not as_json:
        _warn_all(loaded)


@app.command("schema")
@run
def print_schema(output: Output = None, force: Force = False) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    text = json.dumps(schema(), indent=2) + "\n"
    if output is None:
        console.file.write(text)
    else:
        _write(output, text, force=force)


@app.command("reference")
@run
def print_reference() -> None:
    """Print the reference of all settings, as Markdown (docs/configuration.md)."""
    console.file.write(reference())


def _write(path: str, text: str, *, force: bool) -> None:
    """Write *path* whole or not at all; without *force* never over something that exists."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".shotfs-", dir=directory)
    except OSError as exc:
        fail(
            f"cannot write {path}: {exc.strerror}",
            ExitCode.NOT_PERMITTED if isinstance(exc, PermissionError) else ExitCode.NOT_IN_ORDER,
            fix=f"make {directory} writable for you, or choose another place with --output",
        )
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # no secrets in it, and every user's commands read it
            file.flush()
            os.fsync(file.fileno())
        if force:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # fails if there is something, where rename would replace it
    except FileExistsError:
        fail(
            f"{path} exists and is left as it is",
            ExitCode.NOT_IN_ORDER,
            fix="choose another --output, or replace it with --force",
        )
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _report_in_order(loaded: Loaded, *, as_json: bool) -> None:
    source = loaded.path or "(no file: defaults)"
    data = _check_data(source, (), loaded.warnings)
    counts = f"shows: {len(loaded.settings.shows)}, origins: {len(loaded.settings.origins)}"
    emit(
        data,
        as_json,
        lambda: Text.assemble(printable(source), ": ", ("in order", "green"), f" ({counts})"),
    )
    if not as_json:
        _warn_all(loaded)


def _check_data(
    source: str, problems: list[Problem] | tuple[()], warnings: tuple[Problem, ...]
) -> dict[str, Any]:
    return {
        "path": source,
        "ok": not problems,
        "problems": [_problem_data(problem) for problem in problems],
        "warnings": [_problem_data(warning) for warning in warnings],
    }


def _problem_data(problem: Problem) -> dict[str, Any]:
    return {
        "where": problem.where,
        "message": problem.message,
        "fix": problem.fix,
        "line": problem.line,
        "column": problem.column,
    }


def _warn_all(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        place = _place(loaded.path or "", warning)
        warn(f"{place}: {warning.where}: {warning.message}", fix=warning.fix)


def _place(source: str, problem: Problem) -> str:
    if problem.line is None:
        return source
    return f"{source}:{problem.line}:{problem.column}"


def _mistakes(source: str, problems: list[Problem]) -> RenderableType:
    text = Text()
    for problem in problems:
        text.append(printable(_place(source, problem)), "bold")
        text.append(f": {printable(problem.where)}: {printable(problem.message)}\n")
        if problem.fix is not None:
            text.append("  fix: ", "green")
            text.append(f"{printable(problem.fix)}\n")
    count = len(problems)
    text.append(f"{count} mistake{'' if count == 1 else 's'}", "bold red")
    return text


def _settings_table(settings: list[InForce]) -> RenderableType:
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for setting in settings:
        table.add_row(
            printable(setting.key),
            Text(printable(setting.text)),
            Text(printable(setting.source), "dim" if setting.source == "default" else ""),
        )
    return table
