"""``shotfs spec check`` and ``schema``: every mistake of a specification at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, counted, emit, printable, report, run
from shotfs.cli.spec_source import Config, Json, Site, open_spec, problems_as_data
from shotfs.errors import Problem, SpecInvalid, TierError
from shotfs.pathspec import json_schema


@run
def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Specifications: JSON documents, files or URLs."),
    ],
    site: Site = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings end with 1.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Name every mistake of a specification with its line and fix (exit code 3 if any).

    Included documents are looked for beside the one that includes them.

    Example: shotfs spec check shows/ant.json --site lon
    """
    found: list[dict[str, Any]] = []
    parts: list[RenderableType] = []
    code = ExitCode.OK
    for file in files:
        try:
            data, shown = _look_at(file, site, config)
        except (OSError, TierError) as exc:
            if len(files) == 1:
                raise
            # The others are looked at all the same.
            code = max(code, report(exc))
            continue
        found.append(data)
        parts.append(shown)
        if not data["valid"]:
            code = ExitCode.INVALID
        elif strict and data["warnings"]:
            code = max(code, ExitCode.NOT_IN_ORDER)
    answer = found[0] if len(files) == 1 else {"valid": code == 0, "documents": found}
    emit(answer, as_json, lambda: Group(*parts))
    if code is not ExitCode.OK:
        raise SystemExit(int(code))


def _look_at(
    file: str, site: str | None, config: str | None
) -> tuple[dict[str, Any], RenderableType]:
    """Return what there is to say of one document, for programs and for people."""
    try:
        specification = open_spec(file, site=site, config=config).specification
    except SpecInvalid as exc:
        mistakes = exc.problems
        data = {"source": file, "valid": False, "mistakes": problems_as_data(mistakes)}
        data["warnings"] = []
        heading = f"{file}: {counted(len(mistakes), 'mistake')}"
        return data, _problems(heading, file, mistakes, "bold red")
    warnings = list(specification.warnings)
    documents = [location for location, _ in specification.documents]
    summary = (
        f"{file}: in order. Show {specification.show}, "
        f"{counted(len(specification.templates), 'template')}, "
        f"{counted(len(specification.fields), 'field')}, "
        f"{counted(len(specification.origins), 'origin')}"
    )
    if len(documents) > 1:
        summary += f", {len(documents)} documents"
    data = {
        "source": file,
        "valid": True,
        "show": specification.show,
        "site": specification.site,
        "digest": specification.digest,
        "documents": documents,
        "templates": list(specification.templates),
        "origins": list(specification.origins),
        "mistakes": [],
        "warnings": problems_as_data(warnings),
    }
    return data, _problems(summary + ".", file, warnings, "yellow")


def _problems(heading: str, file: str, problems: list[Problem], style: str) -> RenderableType:
    lines = [Text(printable(heading))]
    for problem in problems:
        place = problem.source or file
        if problem.line is not None:
            place += f":{problem.line}:{problem.column}"
        lines.append(
            Text.assemble(
                f"  {printable(place)}: ",
                (printable(problem.where), style),
                f": {printable(problem.message)}",
            )
        )
        if problem.fix is not None:
            lines.append(Text(f"    fix: {printable(problem.fix)}"))
    return Group(*lines)


@run
def schema() -> None:
    """Print the JSON Schema of a document, for editors that complete and check as you type.

    Example: shotfs spec schema > path-spec.schema.json
    """
    emit(json_schema(), True, Text)
