"""`shotfs manifest diff --recorded --scanned`: what scanners claim, and what jobs really read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import one_line, open_named
from shotfs.cli.status import size, socket_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from shotfs.control.client import Client
    from shotfs.prewarm.manifest.entry import Entry
    from shotfs.prewarm.truth import Comparison, Score

RecordedOption = Annotated[
    bool, typer.Option("--recorded", help="Of SHOT, or a manifest: what jobs really read ...")
]
ScannedOption = Annotated[
    bool, typer.Option("--scanned", help="... against what scanners say: precision and recall.")
]
SceneOption = Annotated[
    list[str] | None,
    typer.Option("--scene", metavar="FILE", help="Scan this; default: the first that was read."),
]
ClaimedOption = Annotated[
    str | None,
    typer.Option("--claimed", metavar="FILE", help="A scanned manifest, instead of scanning."),
]
TaskOption = Annotated[
    str, typer.Option("--task", metavar="TASK", help="With --recorded: of this task.")
]
FrameOption = Annotated[
    str,
    typer.Option(
        "--frames", metavar="FRAMES", help="With --recorded: of these; else of those recorded."
    ),
]
RememberOption = Annotated[
    bool,
    typer.Option("--remember", help="Let prewarm weigh what scanners claim by this from now on."),
]


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared with what.

    Attributes:
        shot: its name, or SHOW/SHOT, or a recorded manifest.
        scenes: files that are scanned; none: the first that was read.
        claimed: a scanned manifest; then nothing is scanned.
        task, frames: what of the shot.
        remember: tell the service what the scanners were worth.
        limit: files that are listed of each kind.
    """

    shot: str
    scenes: Sequence[str]
    claimed: str | None
    task: str
    frames: str
    remember: bool
    limit: int


def truth(
    asked: Question, template_of: Callable[[str], str], config: str | None, *, as_json: bool
) -> None:
    """Compare, print, and end with exit code 1 if something was read that nobody claimed."""
    from shotfs.prewarm.truth import compare, recorded_frames

    recorded = _recorded(asked, config)
    # What frames need that nobody has rendered, nobody has seen.
    frames = asked.frames or recorded_frames(recorded)
    scenes: list[str] = []
    if asked.claimed is not None:
        with open_named(asked.claimed) as manifest:
            claimed = list(manifest)
    else:
        mountpoint = _mountpoint(config)
        scenes = [os.path.abspath(one) for one in asked.scenes] or [_first(recorded, mountpoint)]
        claimed = list(_scanned(scenes, mountpoint, frames))
    found = compare(recorded, claimed, template_of=template_of, frames=frames)
    report = report_of(found, asked.limit) | {
        "shot": asked.shot,
        "frames": frames,
        "scenes": scenes,
    }
    if asked.remember:
        _remember(recorded, found, config)
    output.emit(report, as_json, lambda: _shown(report))
    if found.missed:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _recorded(asked: Question, config: str | None) -> list[Entry]:
    if os.path.isfile(asked.shot):
        with open_named(asked.shot) as manifest:
            return list(manifest)
    from shotfs.cli.record import subject_of
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        subject = subject_of(client, asked.shot, "", asked.task, asked.frames)
        with tempfile.TemporaryDirectory(prefix="shotfs-") as directory:
            path = f"{directory}/recorded.jsonl"
            with open(path, "wb") as file:
                client.record.fetch(subject, file)
            with open_named(path) as manifest:
                return list(manifest)


def _mountpoint(config: str | None) -> str:
    from shotfs.control.client import Client
    from shotfs.errors import InvalidArgument

    with Client(socket_of(config)) as client:
        mountpoint: str | None = client.status().get("mountpoint")
    if mountpoint is None:
        raise InvalidArgument(
            "scenes are read through a mount, and the service has none",
            fix="mount first, or give what scanners say elsewhere: --claimed FILE",
        )
    return mountpoint


def _first(recorded: Sequence[Entry], mountpoint: str) -> str:
    """Return the scene that was opened first: the one that names all the others."""
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.scanners import registry

    found = [one for one in recorded if one.use is not None and registry.reads(one.path)]
    if not found:
        raise InvalidArgument(
            "of what was recorded nothing is a scene that a scanner reads",
            fix="name the scene: --scene FILE",
        )
    first = min(found, key=lambda one: (one.use.first_s if one.use else 0.0, one.path))
    return f"{mountpoint}/{first.path}"


def _scanned(scenes: Sequence[str], mountpoint: str, frames: str) -> Sequence[Entry]:
    from shotfs.cli.prewarm_targets import scanned

    return scanned(scenes, mountpoint, frames, ())


def _remember(recorded: Sequence[Entry], found: Comparison, config: str | None) -> None:
    from shotfs.control.client import Client

    show = recorded[0].path.partition("/")[0] if recorded else ""
    scores = {score.name: (score.claimed, score.right) for score in found.scanners}
    client: Client
    with Client(socket_of(config)) as client:
        client.record.remember(show, scores)


def report_of(found: Comparison, limit: int) -> dict[str, Any]:
    """Return a comparison as JSON shows it; *limit* files are listed of each kind."""
    return {
        "total": _score(found.total),
        "scanners": [_score(one) for one in found.scanners],
        "templates": [_score(one) for one in found.templates],
        "missed": [_file(one) for one in found.missed[:limit]],
        "over_claimed": [_file(one) for one in found.over[:limit]],
    }


def _score(score: Score) -> dict[str, Any]:
    def rounded(share: float | None) -> float | None:
        return None if share is None else round(share, 4)

    return {
        "name": score.name,
        "claimed": score.claimed,
        "read": score.read,
        "right": score.right,
        "precision": rounded(score.precision),
        "recall": rounded(score.recall),
        "read_bytes": score.read_bytes,
        "missed_bytes": score.missed_bytes,
        "over_bytes": score.over_bytes,
    }


def _file(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "size_bytes": entry.size_bytes,
        "frames": entry.frames,
        "scanners": list(entry.scanners),
    }


def _shown(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    total = report["total"]
    parts: list[RenderableType] = [
        Text(f"of frames {report['frames']}" if report["frames"] else "of all frames"),
        _table("scanner", [*report["scanners"], {**total, "name": "all together"}]),
        Text(""),
        _table("template", report["templates"]),
    ]
    missed, over = total["read"] - total["right"], total["claimed"] - total["right"]
    for title, count, size_bytes, files in (
        ("read, and claimed by nobody", missed, total["missed_bytes"], report["missed"]),
        ("claimed, and not read", over, total["over_bytes"], report["over_claimed"]),
    ):
        parts += [Text(""), Text(f"{title}: {output.counted(count, 'file')}, {size(size_bytes)}")]
        for one in files:
            who = f"  ({', '.join(one['scanners'])})" if one["scanners"] else ""
            parts.append(Text(f"  {one_line(one['path'])}{who}"))
        if count > len(files):
            parts.append(Text(f"  and {count - len(files)} more (--limit)"))
    return Group(*parts)


def _table(what: str, scores: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in (what, "claimed", "read", "right", "precision", "recall"):
        table.add_column(name, justify="left" if name == what else "right", overflow="fold")
    for one in scores:
        shares = [
            "-" if one[name] is None else f"{one[name]:.1%}" for name in ("precision", "recall")
        ]
        counts = [str(one[name]) for name in ("claimed", "read", "right")]
        table.add_row(Text(one_line(one["name"])), *counts, *shares)
    return table
