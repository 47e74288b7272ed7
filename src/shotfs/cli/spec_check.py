"""``shotfs spec check``: every mistake of a specification at once."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, printable, run
from shotfs.cli.spec_source import File, Json, problems_as_data, read
from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import json_schema


@run
def check(file: File, as_json: Json = False) -> None:
    """Name every mistake of a specification with its line and fix (exit code 3 if any)."""
    try:
        specification = read(file)
    except SpecInvalid as exc:
        mistakes = exc.problems
        data = {
            "source": file,
            "valid": False,
            "mistakes": problems_as_data(mistakes),
            "warnings": [],
        }
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
        "warnings": problems_as_data(warnings),
    }
    emit(data, as_json, lambda: _problems(summary, file, warnings, "yellow"))


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


@run
def schema() -> None:
    """Print the JSON Schema of a document, for editors that complete and check as you type.

    Example: shotfs spec schema > path-spec.schema.json
    """
    emit(json_schema(), True, Text)
