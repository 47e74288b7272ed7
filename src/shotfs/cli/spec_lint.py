"""``shotfs spec lint``: a delivery against the specification, before it is sent or taken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.checksums import Verifier, Writer
from shotfs.cli.delivery_walk import walk
from shotfs.cli.frame_ranges import frames_of
from shotfs.cli.output import ExitCode, counted, emit, printable, run
from shotfs.cli.spec_source import (
    Config,
    Json,
    ShowName,
    Site,
    Spec,
    row,
    specification_of,
    table,
)
from shotfs.cli.status import human
from shotfs.errors import InvalidArgument, PathNotFound
from shotfs.pathspec import Specification
from shotfs.pathspec.delivery import (
    SHOWN_MAX,
    Entry,
    EntryKind,
    Finding,
    FindingKind,
    Report,
    judge,
)
from shotfs.pathspec.problems import suggest

SHOWN_LIMIT = 100_000


@run
def lint(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The delivery.")],
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="TEMPLATE",
            help="There must be a file of it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="FRAMES",
            help="Frames that every sequence must have, like 1001-1086. Default: from its first "
            "to its last.",
            show_default=False,
        ),
    ] = None,
    checksums: Annotated[
        str | None,
        typer.Option(
            "--checksums",
            metavar="FILE",
            help="Compare contents with these SHA-256 sums.",
            show_default=False,
        ),
    ] = None,
    write_checksums: Annotated[
        str | None,
        typer.Option(
            "--write-checksums",
            metavar="FILE",
            help="Write the SHA-256 sums of all files.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=1, max=SHOWN_LIMIT, help="Show N findings of each kind."
        ),
    ] = SHOWN_MAX,
    spec: Spec = None,
    site: Site = None,
    config: Config = None,
    show: ShowName = None,
    as_json: Json = False,
) -> None:
    """Name every file of a delivery that is misnamed, missing or too much; 1 if there is any.

    Example: shotfs spec lint delivery --spec vendor.json --require frames --expect 1001-1086
    """
    specification = specification_of(spec, config, show, site).specification
    for name in require or ():
        if name not in specification.templates:
            raise InvalidArgument(
                f'{specification.show} has no template "{name}"',
                fix=suggest(name, specification.templates),
            )
    if not os.path.isdir(directory):
        raise PathNotFound(f"{directory} is no directory", fix="name the directory of the delivery")
    report = _lint(
        specification, directory, require or [], _frames(expect), checksums, write_checksums, limit
    )
    data = _data(specification, directory, report)
    emit(data, as_json, lambda: Group(*_shown(directory, report)))
    if not report.in_order:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _lint(
    specification: Specification,
    directory: str,
    require: list[str],
    expected: tuple[int, ...],
    checksums: str | None,
    write_checksums: str | None,
    limit: int,
) -> Report:
    wrong: list[Finding] = []
    counted = 0
    leave_out = set(_inside(directory, checksums, write_checksums))
    with contextlib.ExitStack() as stack:
        verifier = stack.enter_context(Verifier(checksums)) if checksums is not None else None
        writer = stack.enter_context(Writer(write_checksums)) if write_checksums else None
        if writer is not None:
            leave_out.update(_inside(directory, writer.temporary))

        def entries() -> Iterator[Entry]:
            nonlocal counted
            for entry in walk(directory, leave_out):
                yield entry
                if entry.kind is not EntryKind.FILE:
                    continue
                if writer is not None:
                    writer.add(directory, entry.path)
                reason = None if verifier is None else verifier.problem(directory, entry.path)
                if reason is not None:
                    counted += 1
                    if len(wrong) < limit:
                        wrong.append(Finding(FindingKind.CHECKSUM, entry.path, reason))

        report = judge(
            specification, entries(), required=require, expected=expected, shown_max=limit
        )
        for path in () if verifier is None else verifier.missing():
            counted += 1
            if len(wrong) < limit:
                wrong.append(Finding(FindingKind.CHECKSUM, path, "has a checksum and is not here"))
    if counted:
        report.counts[FindingKind.CHECKSUM] = counted
        report.findings += wrong
        if counted > limit:
            report.notes.append(f"{FindingKind.CHECKSUM}: {limit} of {counted} are shown")
    return report


def _inside(directory: str, *files: str | None) -> Iterator[str]:
    """Yield those of *files* that lie in *directory*, relative to it."""
    for file in files:
        if file is not None:
            real = os.path.join(os.path.realpath(os.path.dirname(file)), os.path.basename(file))
            path = os.path.relpath(real, os.path.realpath(directory))
            if not path.startswith(".."):
                yield path


def _data(specification: Specification, directory: str, report: Report) -> dict[str, Any]:
    return {
        "show": specification.show,
        "source": specification.source,
        "directory": directory,
        "in_order": report.in_order,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "templates": {
            name: {"files": tally.files, "size_bytes": tally.size_bytes}
            for name, tally in report.templates.items()
        },
        "counts": {str(kind): count for kind, count in report.counts.items()},
        "notes": report.notes,
        "findings": [
            {
                "kind": str(one.kind),
                "wrong": one.kind.is_wrong,
                "path": one.path,
                "message": one.message,
                "suggestion": one.suggestion,
                "files": one.files,
            }
            for one in report.findings
        ],
    }


def _shown(directory: str, report: Report) -> Iterator[RenderableType]:
    verdict = "in order" if report.in_order else "not in order"
    size = human("size_bytes", report.size_bytes)
    yield _line(f"{directory}: {verdict}. {counted(report.files, 'file')}, {size}.")
    if report.counts:
        counts = (f"{report.counts[kind]} {kind}" for kind in FindingKind if kind in report.counts)
        yield _line(f"  {', '.join(counts)}")
    if report.templates:
        shown = table("template", "files", "size")
        for name, tally in report.templates.items():
            row(shown, name, str(tally.files), human("size_bytes", tally.size_bytes))
        yield Text("")
        yield shown
    for kind in FindingKind:
        found = [one for one in report.findings if one.kind is kind]
        if found:
            yield Text("")
            style = "bold red" if kind.is_wrong else "yellow"
            yield Text(f"{kind} ({report.counts[kind]})", style=style)
            for one in found:
                about = f" ({one.files} files)" if one.files > 1 else ""
                yield _line(f"  {_name(one.path)}{about}: {one.message}")
                if one.suggestion is not None:
                    yield _line(f"    rename: {_name(one.suggestion)}")
    for note in report.notes:
        yield _line(f"\nnote: {note}")


def _name(path: str) -> str:
    """Return *path* on one line: a name may hold line ends and tabs."""
    return printable(path).replace("\n", "\\n").replace("\t", "\\t")


def _line(text: str) -> Text:
    return Text(printable(text))


def _frames(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    return frames_of(text)
