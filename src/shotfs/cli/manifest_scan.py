"""`shotfs manifest scan`: what scene files say that a render of them needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import STANDARD, one_line
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.prewarm.scanners.expansion import Files
    from shotfs.prewarm.scanners.findings import Closure
    from shotfs.prewarm.scanners.places import MapRule

SHOWN_MAX = 20
"""Missing and unresolved paths that people see without --unresolved; --json has all that are
kept."""


@output.run
def scan(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Scene files, in the mount or not.")
    ],
    frames: Annotated[
        str, typer.Option("--frames", metavar="FRAMES", help="That will be rendered: 1001-1086.")
    ] = "",
    view: Annotated[
        list[str] | None, typer.Option("--view", metavar="VIEW", help="That will be rendered.")
    ] = None,
    all_variants: Annotated[
        bool, typer.Option("--all-variants", help="Of variants and switches take every branch.")
    ] = False,
    scanner: Annotated[
        list[str] | None,
        typer.Option("--scanner", metavar="NAME", help="Read scenes with these only."),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="Paths written elsewhere: 'Z:\\=/shows'."),
    ] = None,
    path_mapping: Annotated[
        str | None,
        typer.Option("--path-mapping", metavar="FILE", help="The same, as OpenJD writes it."),
    ] = None,
    search_path: Annotated[
        list[str] | None,
        typer.Option("--search-path", metavar="DIR", help="Where relative paths are looked for."),
    ] = None,
    define: Annotated[
        list[str] | None,
        typer.Option("--define", metavar="VAR=VALUE", help="A variable that the render has."),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="DIR", help="What paths are below, if not the mount."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Write the manifest; - is to stdout."),
    ] = None,
    unresolved: Annotated[
        bool, typer.Option("--unresolved", help="List all that lacks, not only the first 20.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if anything is unresolved or missing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow what scene files name, and tell the files, what is missing and what is not known.

    Environment variables in scenes have the values that they have here; --define adds to them.

    Exit code 1: a FILE cannot be read; with --strict also if anything is unresolved or missing.

    Example: shotfs manifest scan /shows/ant/020/light.usda --frames 1001-1086 -o light.jsonl
    """
    from shotfs.prewarm.scanners.base import Scope
    from shotfs.prewarm.scanners.closure import close_over

    if out == STANDARD and as_json:
        raise typer.BadParameter("standard output is for --json already", param_hint="--output")
    top, files_there = _root_and_files(root, config)
    starts = list(dict.fromkeys(os.path.abspath(file) for file in files))
    scope = Scope(
        frames=frames,
        views=tuple(view or ()),
        variables={**os.environ, **_definitions(define or ())},
        search_paths=tuple(os.path.abspath(one) for one in search_path or ()),
        all_variants=all_variants,
    )
    rules = _rules(map_ or (), path_mapping)
    terminal = output.error_console.is_terminal
    with output.error_console.status("scanning") if terminal else nullcontext() as shown:
        found = close_over(
            starts,
            files_there,
            root=top,
            scope=scope,
            rules=rules,
            scanners=tuple(scanner or ()),
            told=lambda path: None if shown is None else shown.update(f"reading {path}"),
        )
    if out is not None:
        _write(out, frames, found)
    if out != STANDARD:
        answer = _answer(found, top, out)
        output.emit(answer, as_json, lambda: _shown(found, answer, whole=unresolved))
    unread = any(trouble.path in found.starts for trouble in found.troubles)
    lacking = found.counts.unresolved + found.counts.missing + found.counts.troubles
    if unread or (strict and lacking):
        raise typer.Exit(int(output.ExitCode.NOT_IN_ORDER))


def _root_and_files(root: str | None, config: str | None) -> tuple[str, Files]:
    """Return what paths are below, and who says what lies where."""
    from shotfs.control.client import Client
    from shotfs.errors import InvalidArgument, ShotfsError
    from shotfs.prewarm.scanners.local_files import LocalFiles

    if root is not None:
        return os.path.abspath(root), LocalFiles()
    try:
        socket = socket_of(config)
        with Client(socket) as client:
            mountpoint: str | None = client.status().get("mountpoint")
    except ShotfsError as exc:
        raise InvalidArgument(
            "no service is running here, so nobody says what the paths of a manifest are below",
            fix="name it: --root /shows",
        ) from exc
    if mountpoint is not None:
        return mountpoint, LocalFiles()
    from shotfs.cli.service_files import ServiceFiles
    from shotfs.localizing import Localizer

    localizer = Localizer(socket)
    return localizer.prefixes[0], ServiceFiles(localizer)


def _definitions(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not VAR=VALUE", param_hint="--define")
        found[name] = value
    return found


def _rules(texts: Sequence[str], file: str | None) -> list[MapRule]:
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.scanners.places import DOCUMENT_BYTES_MAX, map_rule, openjd_rules

    rules: list[MapRule] = []
    try:
        rules += [map_rule(text) for text in texts]
        if file is not None:
            with open(file, encoding="utf-8", errors="replace") as document:
                rules += openjd_rules(document.read(DOCUMENT_BYTES_MAX + 1))
    except InvalidArgument as exc:
        option = "--map" if len(rules) < len(texts) else "--path-mapping"
        raise typer.BadParameter(str(exc), param_hint=option) from None
    return rules


def _write(out: str, frames: str, found: Closure) -> None:
    from shotfs.prewarm.manifest import Subject, write_manifest
    from shotfs.prewarm.manifest.head import new_head
    from shotfs.prewarm.manifest.writing import write_lines

    head = new_head(Subject(frame=frames))
    if out == STANDARD:
        write_lines(sys.stdout.buffer, "standard output", head, found.entries)
        sys.stdout.buffer.flush()
    else:
        write_manifest(out, head, found.entries)


def _answer(found: Closure, root: str, out: str | None) -> dict[str, Any]:
    per_scanner: dict[str, dict[str, int]] = {}
    for entry in found.entries:
        for name in entry.scanners:
            one = per_scanner.setdefault(name, {"files": 0, "size_bytes": 0})
            one["files"] += 1
            one["size_bytes"] += entry.size_bytes or 0
    return {
        "root": root,
        "files": len(found.entries),
        "size_bytes": sum(entry.size_bytes or 0 for entry in found.entries),
        "scenes": len(found.scenes),
        "scanners": per_scanner,
        "counts": asdict(found.counts),
        "unresolved": [asdict(one) for one in found.unresolved],
        "missing": [asdict(one) for one in found.missing],
        "outputs": [asdict(one) for one in found.outputs],
        "troubles": [asdict(one) for one in found.troubles],
        "outside": list(found.outside),
        "manifest": out,
    }


def _shown(found: Closure, answer: dict[str, Any], *, whole: bool) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("scanner")
    for name in ("files", "size"):
        table.add_column(name, justify="right")
    for name, one in sorted(answer["scanners"].items()):
        table.add_row(name, str(one["files"]), size(one["size_bytes"]))
    lines: list[RenderableType] = [table] if answer["scanners"] else []
    total = f"{output.counted(answer['files'], 'file')}, {size(answer['size_bytes'])}"
    total += f", from {output.counted(answer['scenes'], 'scene')}"
    counts = found.counts
    if counts.outputs:
        total += f"; {output.counted(counts.outputs, 'output')} not fetched"
    lines.append(Text(one_line(total)))
    kept = (found.troubles, found.missing, found.unresolved, found.outside)
    shown = max(map(len, kept)) if whole else SHOWN_MAX
    reports = (
        ("not read", counts.troubles, [one.told for one in found.troubles]),
        ("missing", counts.missing, [_missing(one) for one in found.missing]),
        (
            "unresolved",
            counts.unresolved,
            [
                f"{_place(one.file, one.line)}: {one.target}: {one.reason}"
                for one in found.unresolved
            ],
        ),
        (f"outside {answer['root']}", counts.outside, list(found.outside)),
    )
    for title, count, texts in reports:
        if count:
            lines.append(Text(one_line(f"{title}: {count}")))
            lines += [Text(f"  {one_line(text)}") for text in texts[:shown]]
            if count > shown:
                lines.append(Text(f"  and {count - min(shown, len(texts))} more (--unresolved)"))
    if answer["manifest"]:
        lines.append(Text(one_line(f"written to {answer['manifest']}")))
    return Group(*lines)


def _missing(one: Any) -> str:
    frames = f" (frames {one.frames})" if one.frames else ""
    return f"{one.path}{frames}, named in {_place(one.file, one.line)}"


def _place(file: str, line: int | None) -> str:
    return file if line is None else f"{file}:{line}"
