"""Scans text, or a scene below tests/scenes."""

from __future__ import annotations

from pathlib import Path

from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Edge, Kind, Scope

SCENES = Path(__file__).parents[3] / "scenes"


def edges(name: str, path: Path | str, scope: Scope | None = None) -> list[Edge]:
    """Return what the scanner *name* finds in the file *path*."""
    return list(registry.usable(name).scan(str(path), scope or Scope()))


def of_text(name: str, tmp_path: Path, text: str | bytes, scope: Scope | None = None) -> list[Edge]:
    """Return what the scanner *name* finds in *text*."""
    path = tmp_path / f"scene{registry.scanner(name).suffixes[0] if name != 'quoted' else '.txt'}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return edges(name, path, scope)


def inputs(found: list[Edge]) -> dict[str, float]:
    """Return the confidence of each input that is known, the best where there are several."""
    best: dict[str, float] = {}
    for edge in found:
        if edge.kind is not Kind.OUTPUT and not edge.unresolved:
            best[edge.target] = max(best.get(edge.target, 0.0), edge.confidence)
    return best


def outputs(found: list[Edge]) -> set[str]:
    """Return what is written."""
    return {edge.target for edge in found if edge.kind is Kind.OUTPUT}


def one(found: list[Edge], part: str) -> Edge:
    """Return the only edge whose target has *part* in it."""
    (edge,) = [edge for edge in found if part in edge.target]
    return edge
