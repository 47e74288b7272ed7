"""`shotfs manifest verify`: whether files are what a manifest says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import (
    BelowOption,
    FramesOption,
    ManifestArgument,
    SourceOption,
    one_line,
    open_named,
    selection,
)
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.prewarm.manifest import Entry, ManifestReader
    from shotfs.prewarm.manifest.verifying import Checked

PAGE_ENTRIES = 1_000
"""Paths in one question to the service."""
QUESTION_BYTES = 50_000
"""Of its JSON: the service takes 64 KiB."""


@output.run
def verify(
    file: ManifestArgument,
    source: SourceOption = None,
    frames: FramesOption = "",
    below: BelowOption = "",
    root: Annotated[
        str | None,
        typer.Option(
            "--root", metavar="DIR", help="Read and hash the files below DIR, and ask no service."
        ),
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="With --root: compare sizes only, read nothing.")
    ] = False,
    form: Annotated[
        bool, typer.Option("--form", help="Only check the manifest itself: that it is whole.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, max=100_000, help="Show N mistakes.")
    ] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that files are what a manifest says: there, with that size and that digest.

    The running service is asked what their origins have, and what of it is on this node; a digest
    is compared where somebody knows it, and nothing is fetched. With --root files are read.

    Exit code 0: all are; 1: some are missing or other files; 3: the manifest itself is damaged.

    Example: shotfs manifest verify shot.jsonl
    """
    if (form and (root is not None or sizes)) or (sizes and root is None):
        raise typer.BadParameter("--form stands alone, and --sizes is for --root")
    wanted = selection(sources=source, frames=frames, below=below)
    with open_named(file) as manifest:
        checked = _checked(manifest, wanted.of(manifest), root, config, read=not sizes, form=form)
        report = _report(checked, limit)
        report["files"] = manifest.count
        report["size_bytes"] = manifest.size_bytes
    output.emit(report, as_json, lambda: _shown(report, form=form))
    if not report["ok"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _checked(
    manifest: ManifestReader,
    entries: Iterable[Entry],
    root: str | None,
    config: str | None,
    *,
    read: bool,
    form: bool,
) -> Iterator[Checked]:
    from shotfs.cli.manifest_root import root_of
    from shotfs.prewarm.manifest.verifying import verified

    if form:
        for _ in manifest.pages():
            pass
        return iter(())
    if root is not None:
        return verified(entries, root_of(root, config), read=read)
    return _asked(entries, config)


def _asked(entries: Iterable[Entry], config: str | None) -> Iterator[Checked]:
    """Yield what the running service knows of the files."""
    from shotfs.control.client import Client
    from shotfs.prewarm.manifest.verifying import Checked, Verdict, compared

    with Client(socket_of(config)) as client:
        for page in _pages(entries):
            answers = {
                answer["path"]: answer
                for answer in client.look([one.path for one in page if _is_name(one.path)])
            }
            for entry in page:
                answer = answers.get(entry.path)
                if answer is None:
                    yield Checked(
                        entry, Verdict.MISSING, "no object can have this name", local=False
                    )
                elif "absence" in answer:
                    unknown = answer["absence"] in ("failed", "forbidden")
                    verdict = Verdict.UNREADABLE if unknown else Verdict.MISSING
                    yield Checked(entry, verdict, answer["reason"], local=False)
                else:
                    found = compared(entry, answer["size_bytes"], answer["digest"])
                    yield Checked(entry, found.verdict, found.reason, local=answer["local"])


def _pages(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield *entries* in pages of which each fits into a question."""
    page: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        # Escapes make it longer than it will be.
        length = len(json.dumps(entry.path)) + 2
        if page and (size_bytes + length > QUESTION_BYTES or len(page) >= PAGE_ENTRIES):
            yield page
            page, size_bytes = [], 0
        page.append(entry)
        size_bytes += length
    if page:
        yield page


def _is_name(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: no UTF-8, so no key
        return False
    return True


def _report(checked: Iterable[Checked], limit: int) -> dict[str, Any]:
    from shotfs.prewarm.manifest.verifying import GOOD

    counts: Counter[str] = Counter()
    items: list[dict[str, str]] = []
    local = {"files": 0, "size_bytes": 0}
    asked = False
    for one in checked:
        counts[one.verdict.value] += 1
        if one.local is not None:
            asked = True
            local["files"] += one.local
            local["size_bytes"] += one.local * (one.entry.size_bytes or 0)
        if one.verdict not in GOOD and len(items) < limit:
            items.append(
                {"path": one.entry.path, "verdict": one.verdict.value, "reason": one.reason}
            )
    return {
        "ok": not any(counts[verdict] for verdict in counts if verdict not in GOOD),
        "checked": counts.total(),
        "verdicts": dict(counts),
        "local": local if asked else None,
        "items": items,
    }


def _shown(report: Mapping[str, Any], *, form: bool) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    whole = f"{output.counted(report['files'], 'file')}, {size(report['size_bytes'])}"
    if form:
        return Text(f"The manifest is whole: {whole}.")
    lines: list[RenderableType] = []
    if report["items"]:
        table = Table(box=None, pad_edge=False)
        for name in ("path", "is", "why"):
            table.add_column(name, overflow="fold")
        for item in report["items"]:
            cells = (item["path"], item["verdict"], item["reason"])
            table.add_row(*(Text(one_line(cell)) for cell in cells))
        lines += [table, Text("")]
    said = ", ".join(f"{count} {verdict}" for verdict, count in report["verdicts"].items())
    lines.append(Text(f"{output.counted(report['checked'], 'file')}: {said or 'nothing to check'}"))
    if report["local"] is not None:
        local = report["local"]
        lines.append(
            Text(f"{local['files']} of them are on this node, {size(local['size_bytes'])}")
        )
    return Group(*lines)
