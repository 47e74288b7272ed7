"""Hit ratios of eviction policies on recorded and synthetic traces of opens.

`bench.opens` reads the traces, `bench.record` records one. The policies are those of
`shotfs.cache.eviction`, over queues in memory; FIFO and Belady's (the file whose next use is the
farthest goes first, which needs to know the future and is close to the best) are for comparison.
A file counts with its whole size, also where an open read a part: up to 64 MiB the rest follows.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from running import interrupts, processes, service

from bench import opens, record, usage
from shotfs.cache.eviction import Lru, Policy, S3Fifo
from shotfs.cache.eviction.replay import ReplayCache

TRACES = Path(__file__).parent / "traces"
PARTS = (50, 10, 4, 2)
"""The cache has one part of so many of all bytes of a trace."""

Trace = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of opens, and of their bytes, that found their file."""

    files: float
    bytes: float


class Fifo:
    """First in, first out."""

    def replay(self, trace: Trace, bytes_max: int) -> Ratio:
        """Return the hit ratios of *trace*."""
        here: OrderedDict[str, int] = OrderedDict()
        held = hits = hit_bytes = 0
        for name, size in trace:
            if name in here:
                hits, hit_bytes = hits + 1, hit_bytes + size
            elif size <= bytes_max:
                while held + size > bytes_max:
                    held -= here.popitem(last=False)[1]
                here[name], held = size, held + size
        return _ratio(hits, hit_bytes, trace)


class Belady:
    """Evicts what is needed again the latest; may refuse to keep what comes."""

    def replay(self, trace: Trace, bytes_max: int) -> Ratio:
        """Return the hit ratios of *trace*."""
        uses: dict[str, deque[int]] = defaultdict(deque)
        for position, (name, _) in enumerate(trace):
            uses[name].append(position)
        here: dict[str, tuple[int, int]] = {}
        farthest: list[tuple[int, str]] = []
        held = hits = hit_bytes = 0
        for name, size in trace:
            uses[name].popleft()
            following = uses[name][0] if uses[name] else 2**62
            known = here.get(name)
            if known is not None:
                hits, hit_bytes = hits + 1, hit_bytes + size
            elif following == 2**62 or size > bytes_max:
                continue
            else:
                held += size
            here[name] = (size, following)
            heapq.heappush(farthest, (-following, name))
            while held > bytes_max:
                position, victim = heapq.heappop(farthest)
                if victim in here and here[victim][1] == -position:
                    held -= here.pop(victim)[0]
        return _ratio(hits, hit_bytes, trace)


def policy(one: Policy) -> Callable[[Trace, int], Ratio]:
    """Return what replays a trace with a policy of the service."""

    def replay(trace: Trace, bytes_max: int) -> Ratio:
        cache = ReplayCache(one, bytes_max)
        for name, size in trace:
            cache.access(name, size)
        return _ratio(cache.hits, cache.hit_bytes, trace)

    return replay


SYSTEMS: dict[str, Callable[[Trace, int], Ratio]] = {
    "fifo": Fifo().replay,
    "lru": policy(Lru()),
    "s3-fifo": policy(S3Fifo()),
    "s3-fifo, 2 uses": policy(S3Fifo(promoted_uses=2)),
    "s3-fifo, small 1/4": policy(S3Fifo(small_parts=4)),
    "belady": Belady().replay,
}


def _ratio(hits: int, hit_bytes: int, trace: Trace) -> Ratio:
    return Ratio(hits / len(trace), hit_bytes / max(sum(size for _, size in trace), 1))


# --- traces --------------------------------------------------------------------------------------


def sizes_of(opened: Iterable[opens.Opened]) -> Trace:
    """Return the part of a recorded trace that is replayed."""
    return [(one.name, one.size_bytes) for one in opened]


def zipf_and_scans(seed: int = 4) -> Trace:
    """Synthetic: Zipf (0.9) over 3,000 textures; now and then a scan of large files, once each."""
    chance, trace = random.Random(seed), []
    sizes = [int(min(chance.lognormvariate(13, 1.5), 2**28)) + 1024 for _ in range(3000)]
    weights = [1 / (rank + 1) ** 0.9 for rank in range(3000)]
    for part in range(40):
        chosen = chance.choices(range(3000), weights, k=1000)
        trace += [(f"t{number}", sizes[number]) for number in chosen]
        trace += [(f"s{part}-{number}", 2**27) for number in range(8)] if part % 4 == 3 else []
    return trace


def frames_of_a_shot(seed: int = 5) -> Trace:
    """Synthetic: shots of 24 frames; each opens the 200 textures of its shot and one file once."""
    chance, trace = random.Random(seed), []
    textures = [(f"t{number}", 2 ** chance.randrange(12, 25)) for number in range(1500)]
    for shot in range(12):
        used = chance.sample(textures, 200)
        for frame in range(24):
            trace += chance.sample(used, len(used))
            trace.append((f"sim-{shot}-{frame}", 300 * 2**20))
    return trace


SYNTHETIC = {
    "synthetic: Zipf and scans": zipf_and_scans,
    "synthetic: frames of shots": frames_of_a_shot,
}


def main() -> int:
    """Replay all traces, or record one; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/eviction", description=__doc__)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument(
        "--record", metavar="DIR", type=Path,
        help="record a trace into DIR through a mount (two minutes) and replay it, no other",
    )  # fmt: skip
    arguments = parser.parse_args()
    interrupts.install()
    try:
        figures = replay_all(traces_of(arguments.record))
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1))
    except interrupts.Interrupted as interrupted:
        print(f"{interrupted}: unmounted and stopped everything")
        return interrupted.exit_code
    except (
        opens.BadTrace, processes.StartFailed, service.ServiceFailed, usage.ProgramFailed,
        subprocess.SubprocessError, httpx.HTTPError, OSError,
    ) as failure:  # fmt: skip
        print(f"tools/bench/eviction failed: {failure}", file=sys.stderr)
        return 1
    return 0


def traces_of(directory: Path | None) -> dict[str, Trace]:
    """Return all traces by name; or record one into *directory* and return that alone."""
    paths = [record.record(directory)] if directory else sorted(TRACES.glob("*.trace.gz"))
    recorded = {path.name.partition(".")[0]: opens.load(path) for path in paths}
    if record.NAME in recorded:
        without = opens.without_repeats(recorded[record.NAME])
        recorded[f"{record.NAME}, without repeats"] = without
    traces = {name: sizes_of(opened) for name, opened in recorded.items()}
    if directory is None:
        traces |= {name: make() for name, make in SYNTHETIC.items()}
    return traces


def replay_all(traces: dict[str, Trace]) -> list[dict[str, object]]:
    """Print a table of hit ratios, files / bytes in percent; return the figures."""
    table = Table("trace", "opens", "files", "bytes", "cache", *SYSTEMS)
    figures: list[dict[str, object]] = []
    all_ratios: dict[str, list[Ratio]] = {system: [] for system in SYSTEMS}
    for name, trace in traces.items():
        sizes = dict(trace)
        total = sum(sizes.values())
        for part in PARTS:
            ratios = {system: replay(trace, total // part) for system, replay in SYSTEMS.items()}
            table.add_row(
                name,
                f"{len(trace):,}",
                f"{len(sizes):,}",
                f"{total / 2**20:,.0f} MiB",
                f"{100 / part:.0f} %",
                *shown(ratios.values()),
            )
            for system, ratio in ratios.items():
                all_ratios[system].append(ratio)
                figures.append(
                    {"trace": name, "cache_part": 1 / part, "system": system,
                     "object_hit_ratio": ratio.files, "byte_hit_ratio": ratio.bytes}
                )  # fmt: skip
    table.add_section()
    table.add_row("mean", "", "", "", "", *shown(map(mean, all_ratios.values())))
    Console(width=180).print(table)
    return figures


def mean(ratios: Sequence[Ratio]) -> Ratio:
    """Return the mean of both ratios."""
    count = len(ratios)
    return Ratio(sum(one.files for one in ratios) / count, sum(one.bytes for one in ratios) / count)


def shown(ratios: Iterable[Ratio]) -> list[str]:
    """Return ratios as text."""
    return [f"{100 * one.files:.1f} / {100 * one.bytes:.1f}" for one in ratios]


if __name__ == "__main__":
    sys.exit(main())
