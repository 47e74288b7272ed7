"""``shotfs spec import``: a document of another path system as a path specification.

The document goes to a file or to standard output, what is different about it to standard error.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, console, error_console, fail, printable, run
from shotfs.cli.spec_source import Json, problems_as_data, row, table
from shotfs.errors import InvalidArgument
from shotfs.pathspec.importers import SYSTEMS, ImportReport, convert, document_text, includes

app = typer.Typer(
    help="Make a path specification of another system's templates, and say what is different.",
    no_args_is_help=True,
)

INCLUDES_MAX = 256

File = Annotated[str, typer.Argument(metavar="FILE", help="The document of the other system.")]
Show = Annotated[str | None, typer.Option("--show", help="The show's name.", show_default=False)]
Roots = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        metavar="NAME=URL",
        help="Where a root of the source is kept; may be given several times.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the document there.", show_default=False
    ),
]

Force = Annotated[bool, typer.Option("--force", help="Replace a document that exists.")]


_ENDS = "Ends with 1 when something could not be carried over, with 3 when the source has mistakes."
_HELP = {
    "tk-core": f"""Read a templates.yml of tk-core (ShotGrid Toolkit), with what it includes.

    {_ENDS}

    Example: shotfs spec import tk-core templates.yml --show ant --root primary=gs://ant/ant
    """,
    "lucidity": f"""Read patterns of lucidity: YAML or JSON, by name or as a list of Template(...).

    {_ENDS}

    Example: shotfs spec import lucidity patterns.yml --show ant -o ant.json
    """,
    "ayon": f"""Read the anatomy of an AYON project, as JSON.

    {_ENDS}

    Example: shotfs spec import ayon anatomy.json --show ant --root work=s3://ant/ant
    """,
}


def _add_command(system: str) -> None:
    @app.command(system, help=_HELP[system])
    @run
    def import_(
        file: File,
        show: Show = None,
        root: Roots = None,
        output: Output = None,
        force: Force = False,
        as_json: Json = False,
    ) -> None:
        _import(system, file, show, root, output, force=force, as_json=as_json)


for _system in SYSTEMS:
    _add_command(_system)


def _import(
    system: str,
    file: str,
    show: str | None,
    roots: list[str] | None,
    output: str | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    text = _read(file)
    documents = _included(file, text) if system == "tk-core" else {}
    document, report = convert(
        system, text, source=file, show=show, roots=_roots(roots or []), documents=documents
    )
    made = document_text(document)
    if output is not None:
        _write(output, made, force=force)
    if as_json:
        data = _as_data(system, file, report) | {
            "output": output,
            "document": None if output is not None else document,
        }
        console.file.write(json.dumps(data, indent=2) + "\n")
    else:
        if output is None:
            console.file.write(made)
        error_console.print(_shown(system, file, output, report))
    console.file.flush()
    if not report.complete:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as exc:
        fail(f"{path} cannot be read: {exc.strerror}", ExitCode.INVALID)


def _write(path: str, text: str, *, force: bool) -> None:
    # A document that was finished by hand must not be lost to a second import.
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} exists already: choose another name, or give --force"
        raise typer.BadParameter(message) from None


def _included(file: str, text: str) -> dict[str, str]:
    """Return the texts of all documents that *text* includes, nested ones, too.

    One that is not there is left out: the importer names the line that includes it.
    """
    found: dict[str, str] = {}
    waiting = list(includes(text, file))
    while waiting:
        where = waiting.pop()
        if where in found or not os.path.isfile(where):
            continue
        if len(found) >= INCLUDES_MAX:
            raise InvalidArgument(f"{file} includes more than {INCLUDES_MAX} documents")
        found[where] = _read(where)
        waiting.extend(includes(found[where], where))
    return found


def _roots(given: list[str]) -> dict[str, str]:
    roots: dict[str, str] = {}
    for one in given:
        name, mark, url = one.partition("=")
        if not name or not mark or "://" not in url:
            raise typer.BadParameter(f"write {one!r} as NAME=URL, like primary=gs://bucket/prefix")
        roots[name] = url
    return roots


def _as_data(system: str, file: str, report: ImportReport) -> dict[str, Any]:
    return {
        "source": file,
        "system": system,
        "complete": report.complete,
        "findings": [dataclasses.asdict(one) for one in report.findings],
        "remarks": list(report.remarks),
        "mistakes": problems_as_data(list(report.mistakes)),
        "warnings": problems_as_data(list(report.warnings)),
    }


def _shown(system: str, file: str, output: str | None, report: ImportReport) -> RenderableType:
    counts = Counter(str(one.severity) for one in report.findings)
    told = ", ".join(f"{count} {name}" for name, count in counts.items()) or "all as it was"
    where = "" if output is None else f" to {output}"
    parts: list[RenderableType] = [
        Text(printable(f"{file}: {SYSTEMS[system].title} converted{where}. {told}."))
    ]
    if report.findings:
        listed = table("line", "what", "different", "by hand")
        for one in report.findings:
            place = "" if one.line is None else str(one.line)
            if one.source is not None:
                place = f"{one.source}:{place}"
            row(listed, place, str(one.severity), one.what, one.fix or "")
        parts += [Text(""), listed]
    if report.mistakes:
        parts += [Text(""), Text("The document does not load yet:", "bold red")]
        for problem in report.mistakes:
            parts.append(Text(printable(f"  {problem.where}: {problem.message}")))
            if problem.fix is not None:
                parts.append(Text(printable(f"    fix: {problem.fix}")))
    if report.warnings:
        parts += [Text(""), Text("Allowed, and probably not meant:")]
        parts += [
            Text(printable(f"  {problem.where}: {problem.message}")) for problem in report.warnings
        ]
    if report.remarks:
        parts += [Text(""), Text("In general:")]
        parts += [Text(printable(f"  {remark}")) for remark in report.remarks]
    return Group(*parts)
