"""`shotfs manifest merge`: several manifests as one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import (
    STANDARD,
    OutputOption,
    emit_written,
    open_named,
    write_named,
)
from shotfs.cli.status import JsonOption

FILES_MAX = 500
"""Manifests at a time: each is an open file."""


@output.run
def merge(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Manifests, the oldest first.")
    ],
    to: OutputOption,
    as_json: JsonOption = False,
) -> None:
    """Make one manifest of several: of what they say of one file, all.

    What a file is (digest, size, time) the last one decides that knows. Frames, views, sources and
    scanners are united, the higher confidence stays, recorded runs are added up.

    Example: shotfs manifest merge scanned.jsonl recorded.jsonl -o shot.jsonl
    """
    from shotfs.prewarm.manifest import merged, merged_head

    if len(files) > FILES_MAX:
        raise typer.BadParameter(f"at most {FILES_MAX} at a time", param_hint="FILE...")
    if files.count(STANDARD) > 1:
        raise typer.BadParameter("standard input can be read once", param_hint="FILE...")
    with ExitStack() as opened:
        readers = [opened.enter_context(open_named(name)) for name in files]
        head = merged_head([reader.head for reader in readers])
        written = write_named(to, head, merged(readers))
    emit_written(to, written, as_json=as_json)
