"""Sorting: entries in any order, however many, as a manifest wants them. Bounded memory."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO

from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.checking import entry_of
from shotfs.prewarm.manifest.encoding import entry_line
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.merging import Key, by_path, merged
from shotfs.prewarm.manifest.reading import ENTRIES_MAX

RUN_ENTRIES = 50_000
"""Sorted in memory at a time, about 30 MB; more go to temporary files."""

RUNS_MAX = 64
"""Temporary files at a time; more are merged into one."""


def in_order(
    entries: Iterable[Entry],
    *,
    key: Key = by_path,
    directory: str | None = None,
    run_entries: int = RUN_ENTRIES,
) -> Iterator[Entry]:
    """Yield *entries* sorted by path, those of one path merged (`merging.merged_entry`).

    Args:
        entries: in any order; later ones are newer. All of them are read before the first is
            yielded.
        key: what they are sorted by, another for each path; other systems have orders of their own.
        directory: of the temporary files, which have no names; None takes the system's.
        run_entries: how many may be in memory.

    Raises:
        ManifestInvalid: they are more than `ENTRIES_MAX`.
        OSError: the temporary files cannot be written.
    """
    with ExitStack() as files:
        runs: list[IO[str]] = []
        waiting: list[Entry] = []
        for count, entry in enumerate(entries, start=1):
            waiting.append(entry)
            if count > ENTRIES_MAX:
                raise ManifestInvalid(
                    f"there are more than {ENTRIES_MAX} entries", fix="make a manifest of each shot"
                )
            if len(waiting) >= run_entries:
                # Equal paths stay apart until the end: joined in groups, and not one after the
                # other, they would say something else.
                runs.append(_spilled(sorted(waiting, key=key), directory, files))
                waiting = []
                if len(runs) >= RUNS_MAX:
                    joined = heapq.merge(*(_entries(run) for run in runs), key=key)
                    whole = _spilled(joined, directory, files)
                    for run in runs:
                        run.close()
                    runs = [whole]
        yield from merged([*(_entries(run) for run in runs), sorted(waiting, key=key)], key)


def _spilled(entries: Iterable[Entry], directory: str | None, files: ExitStack) -> IO[str]:
    temporary = tempfile.TemporaryFile  # the stack closes it
    file = files.enter_context(temporary("w+", dir=directory, encoding="ascii"))
    for entry in entries:
        file.write(f"{entry_line(entry)}\n")
    file.seek(0)
    return file


def _entries(file: IO[str]) -> Iterator[Entry]:
    for line in file:
        yield entry_of(json.loads(line))
