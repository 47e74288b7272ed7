"""Hit ratios of eviction policies on recorded and synthetic traces of opens.

A trace is a gzip file of lines ``NAME SIZE`` in the order of the opens, names shortened to numbers,
sizes in bytes; lines that begin with ``#`` say how it was recorded. The policies are those of
`shotfs.cache.eviction`, over queues in memory; FIFO and Belady's (the file whose next use is the
farthest goes first, which needs to know the future and is close to the best) are for comparison.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

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
    "belady": Belady().replay,
}


def _ratio(hits: int, hit_bytes: int, trace: Trace) -> Ratio:
    return Ratio(hits / len(trace), hit_bytes / max(sum(size for _, size in trace), 1))


# --- traces --------------------------------------------------------------------------------------


def load(path: Path) -> Trace:
    """Read a recorded trace."""
    with gzip.open(path, "rt") as lines:
        pairs = (line.split() for line in lines if not line.startswith("#"))
        return [(name, int(size)) for name, size in pairs]


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


_OPENED = re.compile(
    r'open(?:at)?\((?:AT_FDCWD|\d+)?(?:<[^>]*>)?,? ?"[^"]*", ([A-Z_|]+).*\) = \d+<(/[^>]*)>'
)


def record(name: str, below: str, seconds: float, command: Sequence[str]) -> None:
    """Record which files below a directory *command* opens for reading, with strace.

    Args:
        name: of the trace.
        below: other files do not count.
        seconds: after which the command is stopped.
        command: what runs.
    """
    listing = Path(f".bench/{name}.strace")
    listing.parent.mkdir(exist_ok=True)
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-e", "trace=open,openat"]
    with subprocess.Popen([*strace, "-o", str(listing), *command], start_new_session=True) as run:
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGTERM)
    title = f"opens for reading below {below}, at most {seconds:g} s of: {' '.join(command)}"
    keep(name, title, _opens(listing, below))
    listing.unlink()


def _opens(listing: Path, below: str) -> Trace:
    opened: Trace = []
    for line in listing.read_text(errors="replace").splitlines():
        found = _OPENED.search(line)
        if found is None or "O_DIRECTORY" in found[1] or not found[2].startswith(below):
            continue
        if "O_WRONLY" not in found[1] and os.path.isfile(found[2]):
            opened.append((found[2], os.path.getsize(found[2])))
    return opened


def keep(name: str, title: str, opened: Trace) -> None:
    """Write a trace beside the others, with numbers for names."""
    TRACES.mkdir(exist_ok=True)
    numbers: dict[str, int] = {}
    with gzip.GzipFile(TRACES / f"{name}.trace.gz", "wb", mtime=0) as target:
        target.write(f"# {title}\n".encode())
        for path, size in opened:
            number = numbers.setdefault(path, len(numbers))
            target.write(f"{number} {size}\n".encode())
    print(f"{name}: {len(opened)} opens of {len(numbers)} files")


def main() -> None:
    """Replay all traces, or record one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--record", metavar="NAME", help="record COMMAND as a trace instead")
    parser.add_argument("--below", default="/", help="with --record: files below this directory")
    parser.add_argument("--seconds", type=float, default=120, help="with --record: at most so long")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    arguments = parser.parse_args()
    if arguments.record:
        if not arguments.command:
            sys.exit("tools/bench/eviction --record needs a command")
        record(arguments.record, arguments.below, arguments.seconds, arguments.command)
        return
    traces = {path.name.partition(".")[0]: load(path) for path in sorted(TRACES.glob("*.gz"))}
    traces |= {name: make() for name, make in SYNTHETIC.items()}
    figures = replay_all(traces)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def replay_all(traces: dict[str, Trace]) -> list[dict[str, object]]:
    """Print a table of hit ratios, files / bytes in percent; return the figures."""
    table = Table("trace", "files", "bytes", "cache", *SYSTEMS)
    figures: list[dict[str, object]] = []
    for name, trace in traces.items():
        sizes = dict(trace)
        total = sum(sizes.values())
        for part in PARTS:
            ratios = {system: replay(trace, total // part) for system, replay in SYSTEMS.items()}
            table.add_row(
                name,
                str(len(sizes)),
                f"{total / 2**20:,.0f} MiB",
                f"{100 / part:.0f} %",
                *shown(ratios.values()),
            )
            for system, ratio in ratios.items():
                figures.append(
                    {"trace": name, "cache_part": 1 / part, "system": system,
                     "object_hit_ratio": ratio.files, "byte_hit_ratio": ratio.bytes}
                )  # fmt: skip
    Console(width=150).print(table)
    return figures


def shown(ratios: Iterable[Ratio]) -> list[str]:
    """Return ratios as text."""
    return [f"{100 * one.files:.1f} / {100 * one.bytes:.1f}" for one in ratios]


if __name__ == "__main__":
    main()
