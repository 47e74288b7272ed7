"""Results of a benchmark: rows, ratios of paired runs, the table and the JSON file.

The form of the JSON is the same for every benchmark of the project (architecture: commands).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.intervals import Interval


@dataclass(slots=True)
class Results:
    """What was measured in one call.

    Attributes:
        runs: (workload, system) to the values of its runs, in the order of the rounds.
        units: unit of each workload.
    """

    runs: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, workload: str, system: str, value: float, unit: str) -> None:
        """Note one run."""
        self.units[workload] = unit
        self.runs.setdefault((workload, system), []).append(value)

    def add_ratio(self, name: str, workload: str, system: str, base: str, target: str) -> None:
        """Note the ratio of *system* to *base*: the median over the rounds, pair by pair."""
        pairs = zip(self.runs[workload, system], self.runs[workload, base], strict=True)
        self.add_value(name, [ours / theirs for ours, theirs in pairs], target)

    def add_value(self, name: str, runs: Sequence[float], target: str) -> None:
        """Note a figure that has a target (``>= 0.4``, ``<= 200``)."""
        self.ratios[name] = {
            "value": round(statistics.median(runs), 3),
            "target": target,
            "runs": [round(run, 3) for run in runs],
        }

    def add_interval(
        self, name: str, runs: Sequence[float], interval: Interval, target: str
    ) -> None:
        """Note a figure that is the median of many *runs*, with its interval of 95 percent."""
        self.add_value(name, runs, target)
        self.ratios[name]["interval"] = [round(interval.low, 3), round(interval.high, 3)]

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``--json`` writes."""
        return {
            "machine": machine(),
            "notes": self.notes,
            "rows": [
                {
                    "system": system,
                    "workload": workload,
                    "value": round(statistics.median(runs), 3),
                    "unit": self.units[workload],
                    "runs": [round(run, 3) for run in runs],
                }
                for (workload, system), runs in self.runs.items()
            ],
            "ratios": self.ratios,
        }

    def write(self, path: str) -> None:
        """Write the document to *path*."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.as_json(), file, indent=1)
            file.write("\n")

    def show(self, console: Console) -> None:
        """Print a table of the rows and one of the ratios."""
        rows = Table(title="median of the runs (smallest to largest)")
        rows.add_column("workload")
        rows.add_column("system")
        for heading in ("value", "spread"):
            rows.add_column(heading, justify="right")
        rows.add_column("unit")
        for (workload, system), runs in self.runs.items():
            spread = f"{_short(min(runs))} .. {_short(max(runs))}"
            rows.add_row(
                workload, system, _short(statistics.median(runs)), spread, self.units[workload]
            )
        console.print(rows)
        ratios = Table(title="ratios of paired runs")
        for heading in ("figure", "median", "runs", "target", ""):
            ratios.add_column(heading)
        for name, ratio in self.ratios.items():
            ratios.add_row(
                name,
                _short(ratio["value"]),
                _spread(ratio),
                ratio["target"],
                "met" if met(_surely(ratio), ratio["target"]) else "[red]missed[/red]",
            )
        console.print(ratios)
        for note in self.notes:
            console.print(f"- {note}", style="dim")


def met(value: float, target: str) -> bool:
    """Return whether *value* is as *target* wants it."""
    relation, _, limit = target.partition(" ")
    return value >= float(limit) if relation == ">=" else value <= float(limit)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _spread(ratio: Mapping[str, Any]) -> str:
    """Return the runs of a figure, or how sure it is if there are too many to look at."""
    if "interval" in ratio:
        low, high = map(_short, ratio["interval"])
        return f"95 %: {low} .. {high}"
    return " ".join(_short(run) for run in ratio["runs"])


def _surely(ratio: Mapping[str, Any]) -> float:
    """Return the value that a target is held against: the worst that a figure's interval has."""
    if "interval" not in ratio:
        return float(ratio["value"])
    low, high = ratio["interval"]
    return float(high if ratio["target"].startswith("<=") else low)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
