"""tools/bench/cold: how fast what is not here yet comes, beside obstore, rclone and s3fs."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

from bench import cold_bulk, cold_index, cold_latency, cold_site, cold_small, program
from bench.cold_site import console
from bench.results import Results

WORKLOADS = {
    "seq": cold_bulk.sequential,
    "small": cold_small.small,
    "s3": cold_bulk.sequential_s3,
    "latency": cold_latency.latency,
    "crowd": cold_bulk.crowd,
    "capped": cold_bulk.capped,
    "index": cold_index.mount_full,
}


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/cold", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, smaller data")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=WORKLOADS, default=list(WORKLOADS),
        help=f"some of the workloads: {', '.join(WORKLOADS)}",
    )  # fmt: skip
    arguments = parser.parse_args()
    scale = cold_site.QUICK if arguments.quick else cold_site.FULL
    results = Results()

    def work(stack: ExitStack) -> None:
        place = cold_site.build(stack, scale, results)
        for name in arguments.only:
            WORKLOADS[name](place)

    code = program.run("tools/bench/cold", console, work)
    if code:
        return code
    results.notes += [
        "what nginx serves is in this machine's page cache, moto keeps it in memory",
        "each cold read is of a path that nobody opened before; our cache is emptied in between",
        "shotfs verifies what it keeps: each run waits for that, its CPU counts, its time does not",
        "obstore: ranges of 8 MiB in 4 threads; small files in 32 threads; no fsync, no checks",
        "ext4 without a journal looks at inodes freed lately: wait 5 minutes after deletions",
        "rclone copy: 32 transfers and checkers, with its start and its listing",
        "CPU is that of the system and of the reader, not of the server",
        "the link shares 100 MB/s fairly among its connections; TCP's handshake is not delayed",
        f"{scale.rounds} rounds, systems in turn within each; sync and touched memory before each",
    ]
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
