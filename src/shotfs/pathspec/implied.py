"""Directories that exist without any object: how many names a listing may show by itself."""

from __future__ import annotations

from collections.abc import Sequence

from shotfs.pathspec.elements import Elements, Fields, Tokens
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import Report

NAMES_MAX = 100_000
"""Of the directories in one directory that choices imply: what a listing can show (promise S17)."""


def check(
    compiled: Sequence[Pattern], fields: Fields, offsets: Sequence[int], report: Report
) -> None:
    """Note where templates imply too many directories in one directory.

    Args:
        compiled: all templates.
        fields: of the specification.
        offsets: where each template is declared, by its index.
        report: takes the mistakes.
    """
    made = Elements(fields)
    counts: dict[tuple[Tokens, ...], int] = {}
    known: set[tuple[Tokens, ...]] = set()
    for one in compiled:
        for variant in one.variants:
            for depth in range(len(variant.elements) - 1):
                beginning = variant.elements[: depth + 1]
                count = made.of(beginning[-1]).names_count
                if count is None:
                    break
                if beginning in known:
                    continue
                known.add(beginning)
                above = beginning[:-1]
                counts[above] = counts.get(above, 0) + count
                if counts[above] - count <= NAMES_MAX < counts[above]:
                    report.add(
                        f"/templates/{one.template.name}/path",
                        f'with template "{one.template.name}" more than {NAMES_MAX} directories'
                        " exist by themselves in one directory: all that choices make",
                        offsets[one.index],
                        "give one of these fields a pattern instead of choices",
                    )
