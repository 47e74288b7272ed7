"""Truth: what scanners claim, held against what jobs really read. Pure.

A recording is the truth as far as it goes: it knows nothing of frames that nobody rendered. So a
comparison speaks of the frames that were recorded. Precision is the share of what was claimed that
was read, recall the share of what was read that was claimed. Prewarm takes the union of both, each
file with how likely it is read: what was recorded with its share of the runs, what a scanner claims
with that scanner's precision, as far as it has been measured (`Weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.frames import frames_text, meets, parse_frames

PRECISION_UNKNOWN = 0.8
"""Of a scanner that was never measured."""

MEASURED_MIN = 20.0
"""How many claimed files the unknown precision weighs, so that a few files decide nothing."""

TemplateOf = Callable[[str], str]
"""From a mount-relative path to the name of its template; "" for none."""


@dataclass(frozen=True, slots=True)
class Score:
    """How good a claim is.

    Attributes:
        name: of the scanner or template; "" for all together.
        claimed: files that were claimed to be needed.
        read: files that were read.
        right: files that were claimed and read.
        read_bytes: of what was read, as far as sizes are known; likewise the others.
        missed_bytes: of what was read and not claimed.
        over_bytes: of what was claimed and not read.
    """

    name: str
    claimed: int
    read: int
    right: int
    read_bytes: int = 0
    missed_bytes: int = 0
    over_bytes: int = 0

    @property
    def precision(self) -> float | None:
        """Share of what was claimed that was read; None where nothing was claimed."""
        return self.right / self.claimed if self.claimed else None

    @property
    def recall(self) -> float | None:
        """Share of what was read that was claimed; None where nothing was read."""
        return self.right / self.read if self.read else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found.

    Attributes:
        total: of all scanners together.
        scanners: of each one, by name. Its recall is of all that was read: also of what another
            kind of scene names.
        templates: of each template, by name; "" is what no template produces.
        missed: entries that were read and not claimed, by path: just-in-time caught them.
        over: entries that were claimed and not read, by path.
    """

    total: Score
    scanners: tuple[Score, ...]
    templates: tuple[Score, ...]
    missed: tuple[Entry, ...]
    over: tuple[Entry, ...]


def compare(
    recorded: Iterable[Entry],
    scanned: Iterable[Entry],
    *,
    template_of: TemplateOf = lambda _: "",
    frames: str = "",
) -> Comparison:
    """Compare what was read with what was claimed, by path.

    Args:
        recorded: what jobs read.
        scanned: what scanners claim.
        template_of: says which template a path belongs to.
        frames: only what is for these, like ``1001-1010``; "": everything.
    """
    read = {one.path: one for one in recorded if meets(one.frames, frames)}
    claimed = {one.path: one for one in scanned if meets(one.frames, frames)}
    scanners = sorted({name for one in claimed.values() for name in one.scanners})
    templates: dict[str, tuple[dict[str, Entry], dict[str, Entry]]] = {}
    for index, entries in enumerate((claimed, read)):
        for path, entry in entries.items():
            parts = templates.setdefault(template_of(path), ({}, {}))
            parts[index][path] = entry
    return Comparison(
        total=_score("", claimed, read),
        scanners=tuple(
            _score(name, {p: one for p, one in claimed.items() if name in one.scanners}, read)
            for name in scanners
        ),
        templates=tuple(_score(name, *templates[name]) for name in sorted(templates)),
        missed=tuple(read[path] for path in sorted(read.keys() - claimed.keys())),
        over=tuple(claimed[path] for path in sorted(claimed.keys() - read.keys())),
    )


def recorded_frames(recorded: Iterable[Entry]) -> str:
    """Return the frames that recordings tell of, like ``1001-1010``; "" where they name none."""
    named = {one.frames for one in recorded if one.frames}
    return frames_text(frozenset().union(*map(parse_frames, named)))


def _score(name: str, claimed: Mapping[str, Entry], read: Mapping[str, Entry]) -> Score:
    return Score(
        name,
        claimed=len(claimed),
        read=len(read),
        right=len(claimed.keys() & read.keys()),
        read_bytes=_bytes(read.values()),
        missed_bytes=_bytes(read[path] for path in read.keys() - claimed.keys()),
        over_bytes=_bytes(claimed[path] for path in claimed.keys() - read.keys()),
    )


def _bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size_bytes or 0 for entry in entries)


@dataclass(frozen=True, slots=True)
class Weights:
    """What scanners were worth until now.

    Attributes:
        measured: by scanner, how many files it claimed, and how many of those were read.
    """

    measured: Mapping[str, tuple[float, float]]

    def precision(self, scanner: str) -> float:
        """Return how likely a file is read that *scanner* claims."""
        claimed, right = self.measured.get(scanner, (0.0, 0.0))
        return (right + MEASURED_MIN * PRECISION_UNKNOWN) / (claimed + MEASURED_MIN)

    def with_scores(self, scores: Iterable[Score], *, kept: float = 0.8) -> Weights:
        """Return the weights after another comparison; older ones count *kept* as much."""
        measured = {name: (c * kept, r * kept) for name, (c, r) in self.measured.items()}
        for score in scores:
            claimed, right = measured.get(score.name, (0.0, 0.0))
            measured[score.name] = (claimed + score.claimed, right + score.right)
        return Weights(measured)
