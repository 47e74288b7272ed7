"""tools/bench/cold: how fast what is not here yet comes, beside obstore, rclone and s3fs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack

import httpx
from running import interrupts, processes, service

from bench import cold_bulk, cold_index, cold_latency, cold_site, cold_small, usage
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
    interrupts.install()
    scale = cold_site.QUICK if arguments.quick else cold_site.FULL
    results = Results()
    try:
        with ExitStack() as stack:
            try:
                place = cold_site.build(stack, scale, results)
                for name in arguments.only:
                    WORKLOADS[name](place)
            finally:
                interrupts.ignore_from_now_on()
    except interrupts.Interrupted as interrupted:
        console.print(f"{interrupted}: unmounted and stopped everything")
        return interrupted.exit_code
    except (
        service.ServiceFailed, processes.StartFailed, subprocess.SubprocessError, httpx.HTTPError,
        EOFError, usage.ProgramFailed,
    ) as failure:  # fmt: skip
        console.print(f"tools/bench/cold failed: {failure}", style="red", markup=False)
        return 1
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
