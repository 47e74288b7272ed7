"""tools/bench/prewarm: how fast a prewarm brings files, beside obstore and the deadline package."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack

from bench import prewarm_site, program, usage
from bench.prewarm_site import BUCKET, PLACE, SMALL_BYTES, Site, console, loop
from bench.results import Results

MIB = 1 << 20

NOTES = (
    "what nginx serves is in this machine's page cache, moto keeps it in memory",
    "shotfs: the engine of `shotfs prewarm` in a node without a mount; paths are resolved, bytes",
    "compared with what the disk has, named by their digest and indexed; large files are fsynced",
    "from nginx its paths are in the catalog, as after a dry run: a web server tells size and",
    "version of one file a request, which `looked up first` counts",
    "obstore: 32 threads for small files; four threads and ranges of 8 MiB for large ones, one",
    "file after the other; no checks, no fsync",
    "all begin when they are loaded and memory is at hand",
    "deadline: `download_files_from_manifests` of the package as it comes, 5 files at once",
    "moto alone is slower than any client (3 ms of Python an answer, one at a time); so both ask",
    "one nginx before it, which keeps the objects that moto answered with, not listings",
    "`deadline, moto alone` asks moto itself: what moto bounds",
    "CPU is that of the client, without the server; imports are not counted",
)


def small(site: Site) -> None:
    """Thousands of small files from nginx."""
    count = site.scale.small_files
    workload = f"{count} files of 32 KiB, nginx"

    def add(system: str, cost: usage.Cost) -> None:
        site.results.add(workload, system, count / cost.seconds, "files/s")
        site.results.add(f"{workload}, CPU", system, cost.cpu_s / count * 1e6, "us/file")

    def run(index: int, system: str) -> None:
        group = f"small{index}"
        if system == "obstore":
            target = site.new_directory()
            names = f"{PLACE}/small-names"
            measured = loop(site.url, group, target, names, script="obstore_small.py")
            add(system, usage.Cost(measured["seconds"], measured["cpu_s"]))
            return
        looked, came = site.prewarm("http", group, "small-names", count, count * SMALL_BYTES)
        add("shotfs", came)
        whole = usage.Cost(looked.seconds + came.seconds, looked.cpu_s + came.cpu_s)
        add("shotfs, looked up first", whole)

    site.rounds(workload, ["obstore", "shotfs"], run)
    site.results.add_ratio("small_vs_obstore", workload, "shotfs", "obstore", ">= 0.8")


def large(site: Site) -> None:
    """A few large files from nginx."""
    count, size_bytes = site.scale.large_files, site.scale.large_bytes
    workload = f"{count} files of {size_bytes // MIB} MiB, nginx"

    def add(system: str, cost: usage.Cost) -> None:
        moved = count * size_bytes
        site.results.add(workload, system, moved / cost.seconds / 1e6, "MB/s")
        site.results.add(f"{workload}, CPU", system, cost.cpu_s / moved * 1e9, "s/GB")

    def run(index: int, system: str) -> None:
        group = f"large{index}"
        if system == "obstore":
            target, names = site.new_directory(), f"{PLACE}/large-names"
            measured = loop(site.url, group, target, names, script="obstore_large.py")
            add(system, usage.Cost(measured["seconds"], measured["cpu_s"]))
            shutil.rmtree(target)
            return
        add(system, site.prewarm("http", group, "large-names", count, count * size_bytes)[1])

    site.rounds(workload, ["obstore", "shotfs"], run)
    site.results.add_ratio("large_vs_obstore", workload, "shotfs", "obstore", ">= 0.8")


def job(site: Site) -> None:
    """The inputs of a job, from S3: the same contents, named by digest and as plain objects."""
    count, size_bytes = site.scale.job_files, site.scale.job_bytes
    workload = f"{count} inputs of a job, {size_bytes / MIB:.0f} MiB, S3 (moto behind nginx)"
    served: dict[str, float] = {}

    def add(system: str, cost: usage.Cost, served_s: float) -> None:
        site.results.add(workload, system, count / cost.seconds, "files/s")
        site.results.add(f"{workload}, CPU", system, cost.cpu_s / count * 1e6, "us/file")
        site.results.add(f"{workload}, CPU of moto", system, served_s / count * 1e6, "us/file")

    def run(index: int, system: str) -> None:
        served["before"] = usage.cpu_s(site.moto_pid)
        if system != "shotfs":
            url = site.moto_url if "alone" in system else site.s3_url
            measured = loop(
                url, BUCKET, "deadline", f"{PLACE}/job{index}-manifest", site.new_directory(),
                script="deadline_download.py", python=prewarm_site.DEADLINE,
            )  # fmt: skip
            if (measured["count"], measured["bytes"]) != (count, size_bytes):
                raise EOFError(f"deadline downloaded {measured['count']} of {count} files")
            cost = usage.Cost(measured["seconds"], measured["cpu_s"])
        else:
            looked, came = site.prewarm("s3", f"job{index}", f"job{index}-names", count, size_bytes)
            # Nothing was known before: looking the files up is a part of it.
            cost = usage.Cost(looked.seconds + came.seconds, looked.cpu_s + came.cpu_s)
        add(system, cost, usage.cpu_s(site.moto_pid) - served["before"])

    site.rounds(workload, ["deadline", "shotfs", "deadline, moto alone"], run)
    site.results.add_ratio("vs_deadline", workload, "shotfs", "deadline", ">= 2")


WORKLOADS: dict[str, Callable[[Site], None]] = {"small": small, "large": large, "job": job}


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/prewarm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, smaller data")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=WORKLOADS, default=list(WORKLOADS),
        help=f"some of the workloads: {', '.join(WORKLOADS)}",
    )  # fmt: skip
    arguments = parser.parse_args()
    scale = prewarm_site.QUICK if arguments.quick else prewarm_site.FULL
    results = Results()

    def work(stack: ExitStack) -> None:
        site = prewarm_site.build(stack, scale, results)
        for name in arguments.only:
            WORKLOADS[name](site)

    code = program.run("tools/bench/prewarm", console, work)
    if code:
        return code
    results.notes += [
        *NOTES,
        f"{scale.rounds} rounds, systems in turn; all fetch what they never had",
    ]
    results.show(console)
    if arguments.json:
        results.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
