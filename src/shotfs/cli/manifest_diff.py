"""`shotfs manifest diff`: what is different between two manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import STANDARD, BelowOption, one_line, open_named, selection
from shotfs.cli.manifest_groups import TemplatesOption, groups
from shotfs.cli.manifest_truth import (
    ClaimedOption,
    FrameOption,
    Question,
    RecordedOption,
    RememberOption,
    ScannedOption,
    SceneOption,
    TaskOption,
    truth,
)
from shotfs.cli.status import ConfigOption, JsonOption, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.prewarm.manifest.comparing import Difference

GROUPS_MAX = 10_000
"""Templates or patterns that are told apart."""

SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@output.run
def diff(
    files: Annotated[
        list[str],
        typer.Argument(metavar="OLD NEW|SHOT", help="Two manifests; - is standard input."),
    ],
    recorded: RecordedOption = False,
    scanned: ScannedOption = False,
    scene: SceneOption = None,
    claimed: ClaimedOption = None,
    task: TaskOption = "",
    frames: FrameOption = "",
    remember: RememberOption = False,
    below: BelowOption = "",
    templates: TemplatesOption = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, max=100_000, help="Show N differences.")
    ] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two manifests: what was added and removed, and what has other bytes.

    Digests decide; where one is not known, sizes do.

    With --recorded --scanned SHOT: what scanners missed of what was really read, and what they
    claim that was not; precision and recall of each scanner.

    Exit code 0: the same files; 1: they differ. Of a shot: 1 if anything was missed.

    Example: shotfs manifest diff monday.jsonl tuesday.jsonl --templates
    """
    if recorded or scanned:
        if not (recorded and scanned) or len(files) != 1:
            raise typer.BadParameter("name one shot, with --recorded and --scanned")
        asked = Question(files[0], scene or (), claimed, task, frames, remember, limit)
        truth(asked, groups(config, templates=True), config, as_json=as_json)
        return
    if scene or claimed or task or frames or remember:
        raise typer.BadParameter(
            "--scene, --claimed, --task, --frames and --remember go with --recorded --scanned SHOT"
        )
    if len(files) != 2 or files == [STANDARD, STANDARD]:
        raise typer.BadParameter("name two manifests, the old one first", param_hint="OLD NEW")
    report = compare(files[0], files[1], below, limit, groups(config, templates=templates))
    what = "template" if templates else "path"
    output.emit(report, as_json, lambda: _shown(report, what))
    if not report["same"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def compare(old: str, new: str, below: str, limit: int, group_of: Any) -> dict[str, Any]:
    """Return how the manifest *new* differs from *old*, as JSON shows it."""
    from shotfs.prewarm.manifest.comparing import Change, differences

    wanted = selection(below=below)
    totals = {change.value: {"files": 0, "size_bytes": 0} for change in Change}
    by_group: dict[str, dict[str, int]] = {}
    listed: list[dict[str, Any]] = []
    with open_named(old) as before, open_named(new) as after:
        for found in differences(wanted.of(before), wanted.of(after)):
            total = totals[found.change.value]
            total["files"] += 1
            total["size_bytes"] += found.entry.size_bytes or 0
            if found.change is Change.SAME:
                continue
            group = group_of(found.entry.path)
            if group not in by_group and len(by_group) >= GROUPS_MAX:
                group = "(others)"
            counts = by_group.setdefault(group, dict.fromkeys(SIGNS, 0))
            counts[found.change.value] += 1
            if len(listed) < limit:
                listed.append(_row(found))
    return {
        "same": not by_group,
        "old": old,
        "new": new,
        "totals": totals,
        "by_group": by_group,
        "differences": listed,
    }


def _row(found: Difference) -> dict[str, Any]:
    return {
        "change": found.change.value,
        "path": found.entry.path,
        "old": None if found.old is None else _content(found.old),
        "new": None if found.new is None else _content(found.new),
    }


def _content(entry: Any) -> dict[str, Any]:
    return {"size_bytes": entry.size_bytes, "digest": entry.digest}


def _shown(report: Mapping[str, Any], what: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    totals = report["totals"]
    said = ", ".join(
        f"{totals[change]['files']} {change}" for change in ("added", "removed", "changed", "same")
    )
    if report["same"]:
        return Text(f"The same files: {output.counted(totals['same']['files'], 'file')}.")
    lines: list[RenderableType] = []
    table = Table(box=None, pad_edge=False)
    for name in ("", "path", "old", "new"):
        table.add_column(name, overflow="fold")
    for row in report["differences"]:
        cells = (SIGNS[row["change"]], row["path"], _size(row["old"]), _size(row["new"]))
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    if report["differences"]:
        lines += [table, Text("")]
    summary = Table(box=None, pad_edge=False)
    for name in (what, *SIGNS):
        summary.add_column(name, overflow="fold", justify="left" if name == what else "right")
    ordered = sorted(report["by_group"].items(), key=lambda row: (-sum(row[1].values()), row[0]))
    for name, counts in ordered[:20]:
        summary.add_row(Text(one_line(name)), *(Text(str(counts[change])) for change in SIGNS))
    lines.append(summary)
    if len(ordered) > 20:
        lines.append(Text(f"and {len(ordered) - 20} more"))
    lines += [Text(""), Text(said)]
    shown = len(report["differences"])
    different = sum(totals[change]["files"] for change in SIGNS)
    if shown < different:
        lines.append(Text(f"{shown} of {different} differences are shown (--limit)"))
    return Group(*lines)


def _size(content: Mapping[str, Any] | None) -> str:
    if content is None or content["size_bytes"] is None:
        return "-"
    return size(content["size_bytes"])
