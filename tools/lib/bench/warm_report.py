"""What tools/bench/warm says: ratios with their targets, tables, and a page of the documentation.

Pure but for `write_page`: works on the document that ``--json`` writes, so that a table can be made
again without another run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.results import Results, met

NAMES = {
    "unprivileged": "shotfs, unprivileged",
    "privileged": "shotfs, privileged",
    "zero-upcall": "shotfs, zero-upcall",
}
"""Systems that are called otherwise where people read."""

CPU = ", CPU"
NONE = "–"
"""Where a system was not measured."""


class BadPage(Exception):
    """A page or a document of figures is not as it must be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that is wanted.

    Attributes:
        workload: its key.
        system: ours.
        base: what it is compared with.
        wanted: as ``>= 0.85``.
    """

    workload: str
    system: str
    base: str
    wanted: str


TARGETS: Mapping[str, Target] = {
    "seq_first_vs_native": Target("seq_first", "privileged", "native", ">= 0.85"),
    "seq_first_vs_bindfs": Target("seq_first", "privileged", "bindfs", ">= 5"),
    "seq_first_vs_rclone": Target("seq_first", "privileged", "rclone", ">= 15"),
    "small_again_vs_rclone": Target("small_again", "privileged", "rclone", ">= 15"),
    "small_again_vs_bindfs": Target("small_again", "privileged", "bindfs", ">= 0.35"),
    "zero_upcall_small_vs_native": Target("small_again", "zero-upcall", "native", ">= 0.85"),
    "stat_again_vs_native": Target("stat_again", "privileged", "native", ">= 0.85"),
    "negative_again_vs_native": Target("negative_again", "privileged", "native", ">= 0.85"),
    "readdir_vs_native": Target("readdir_again", "privileged", "native", "<= 2"),
    "readdir_first_vs_native": Target("readdir_first", "privileged", "native", "<= 2"),
    "random_vs_native": Target("random_again", "privileged", "native", ">= 0.85"),
    "random_mmap_vs_native": Target("mmap_again", "privileged", "native", ">= 0.85"),
    "write_vs_native": Target("write", "privileged", "native", ">= 0.7"),
}
"""Ratios of speed, of time where the target is a largest one."""

CPU_TARGET = ("cpu_s_per_gb", "seq_first", "privileged", "<= 0.05")


def add_ratios(results: Results, titles: Mapping[str, str]) -> None:
    """Add the ratios whose two sides were measured.

    Args:
        results: with the runs.
        titles: of the workloads, by key.
    """
    for name, target in TARGETS.items():
        title = titles[target.workload]
        if {(title, target.system), (title, target.base)} <= results.runs.keys():
            results.add_ratio(name, title, target.system, target.base, target.wanted)
    name, workload, system, wanted = CPU_TARGET
    runs = results.runs.get((titles[workload] + CPU, system))
    if runs is not None:
        results.add_value(name, runs, wanted)


def systems_in(document: Mapping[str, Any]) -> list[str]:
    """Return the systems of *document*, in the order in which they are shown."""
    found = {row["system"] for row in document["rows"]}
    return [one for one in document["systems"] if one in found]


def workloads_in(document: Mapping[str, Any], *, cpu: bool) -> list[str]:
    """Return the workloads of *document* in their order; those of CPU time, or the others."""
    found = dict.fromkeys(row["workload"] for row in document["rows"])
    return [one for one in document["workloads"] if one in found and one.endswith(CPU) == cpu]


def cell(row: Mapping[str, Any] | None) -> str:
    """Return the median of a row with its smallest and largest run."""
    if row is None:
        return NONE
    runs = row["runs"]
    if len(runs) == 1 or short(min(runs)) == short(max(runs)):
        return short(row["value"])
    return f"{short(row['value'])} ({short(min(runs))}..{short(max(runs))})"


def short(value: float) -> str:
    """Return *value* with three digits, or with all before the point."""
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(document: Mapping[str, Any], *, cpu: bool) -> Iterator[list[str]]:
    """Yield workload, unit, and a cell for each system."""
    rows = {(row["workload"], row["system"]): row for row in document["rows"]}
    systems = systems_in(document)
    for workload in workloads_in(document, cpu=cpu):
        of_systems = [rows.get((workload, system)) for system in systems]
        unit = next(row["unit"] for row in of_systems if row is not None)
        yield [workload.removesuffix(CPU), unit, *(cell(row) for row in of_systems)]


def show(document: Mapping[str, Any], console: Console) -> None:
    """Print the tables, the ratios and the notes."""
    systems = systems_in(document)
    for title, cpu in (
        ("speed, s: time; median of the runs (smallest..largest)", False),
        ("CPU of the serving process", True),
    ):
        table = Table(title=title)
        for heading in ("workload", "unit"):
            table.add_column(heading)
        for system in systems:
            table.add_column(system, justify="right")
        for row in _rows(document, cpu=cpu):
            table.add_row(*row)
        console.print(table)
    ratios = Table(title="ratios of paired runs")
    for heading in ("figure", "median", "runs", "target", ""):
        ratios.add_column(heading)
    for name, ratio in document["ratios"].items():
        ratios.add_row(
            name,
            short(ratio["value"]),
            " ".join(short(run) for run in ratio["runs"]),
            ratio["target"],
            "met" if met(ratio["value"], ratio["target"]) else "[red]missed[/red]",
        )
    console.print(ratios)
    for line in [*machine_lines(document), *document["notes"]]:
        console.print(f"- {line}", style="dim", markup=False)


def machine_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what the figures were measured on, and when."""
    machine = document["machine"]
    first = (
        f"{document['date']}: {machine['cpus']} x {machine['cpu']}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory, Linux {machine['kernel']}, "
        f"{machine['file_system']}, Python {machine['python']}"
    )
    return [first, ", ".join(f"{name} {of}" for name, of in machine["versions"].items())]


def tables(document: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    systems = [NAMES.get(one, one) for one in systems_in(document)]
    parts = ["\n".join(f"- {line}" for line in [*machine_lines(document), *document["notes"]])]
    parts.append(
        "### Speed\n\nSeconds: less is better. Median of the runs, in parentheses the smallest and "
        "the largest."
    )
    parts.append(_markdown(["workload", "unit", *systems], _rows(document, cpu=False)))
    parts.append("### CPU of the daemon\n\nBy user and system, of all its threads.")
    # A native directory has no daemon.
    shown = [one for one in systems if one != "native"]
    skip = 2 + systems.index("native") if "native" in systems else None
    without = (
        [one for at, one in enumerate(row) if at != skip] for row in _rows(document, cpu=True)
    )
    parts.append(_markdown(["workload", "unit", *shown], without))
    parts.append("### Ratios and targets\n\nOf paired runs; what is *again* was touched before.")
    parts.append(_markdown(["figure", "median", "runs", "target", ""], _ratio_rows(document)))
    missed = [
        name for name, one in document["ratios"].items() if not met(one["value"], one["target"])
    ]
    total = len(document["ratios"])
    said = f"All {total} targets are met."
    if missed:
        names = ", ".join(f"`{name}`" for name in missed)
        said = f"{total - len(missed)} of {total} targets are met. Missed: {names}."
    parts.append(said)
    return "\n\n".join(parts)


def _ratio_rows(document: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, ratio in document["ratios"].items():
        yield [
            f"`{name}`",
            short(ratio["value"]),
            " ".join(short(run) for run in ratio["runs"]),
            ratio["target"],
            "met" if met(ratio["value"], ratio["target"]) else "**missed**",
        ]


def _markdown(headings: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def check(document: Any, source: str) -> Mapping[str, Any]:
    """Return *document* if it is one of this benchmark.

    Raises:
        BadPage: it is not.
    """
    wanted = {"machine", "notes", "rows", "ratios", "systems", "workloads", "scale", "date"}
    missing = wanted - (document.keys() if isinstance(document, dict) else set())
    if missing:
        raise BadPage(
            f"{source} has no {', '.join(sorted(missing))}; "
            f"give a file that tools/bench/warm --json wrote"
        )
    made: Mapping[str, Any] = document
    return made


def check_whole(document: Mapping[str, Any]) -> None:
    """Raise BadPage unless the documentation may show *document*: all of it, at full size."""
    missing = [name for name in (*TARGETS, CPU_TARGET[0]) if name not in document["ratios"]]
    if document["scale"] != "full" or missing:
        raise BadPage(
            f"the documentation shows a whole run only; this is a {document['scale']} one"
            + (f" without {', '.join(missing)}" if missing else "")
            + "; run tools/bench/warm --doc as root, without --quick, --only and --systems"
        )


_MARKED = re.compile(r"(<!-- figures: begin[^\n]*-->\n).*?(<!-- figures: end -->)", re.DOTALL)


def with_figures(page: str, figures: str, source: str) -> str:
    """Return *page* with *figures* between its markers.

    Raises:
        BadPage: it has no markers, or several.
    """
    made, count = _MARKED.subn(lambda found: f"{found[1]}\n{figures}\n\n{found[2]}", page)
    if count != 1:
        raise BadPage(
            f"{source} has {count} places for figures; "
            f"put '<!-- figures: begin -->' and '<!-- figures: end -->' on lines of their own"
        )
    return made


def write_page(path: str, document: Mapping[str, Any]) -> None:
    """Put the tables of *document* into the page *path*, as a whole or not at all."""
    with open(path, encoding="utf-8") as file:
        page = file.read()
    made = with_figures(page, tables(document), path)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(made)
    os.replace(f"{path}.new", path)
