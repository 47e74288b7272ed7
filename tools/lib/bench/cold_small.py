"""Small files, as prewarm fetches them: many at once, kept and verified."""

from __future__ import annotations

import os

from bench import peers, usage
from bench.cold_site import BUCKET, LOOP_TIMEOUT_S, PLACE, SMALL_BYTES, Site, ToldNode, loop, settle

TASKS = 128
"""Files that the prewarm has under way; the scheduler decides how many requests that makes."""


def small(site: Site) -> None:
    """Fetch small files from nginx and from S3."""
    node = ToldNode(site, "prewarm")
    count = site.scale.small_files
    workload = f"{count} files of 32 KiB, nginx"
    _measure(site, node, workload, count, "")
    site.results.add_ratio("small_vs_obstore", workload, "shotfs", "obstore", ">= 0.8")
    # A prewarm knows its files from a manifest. rclone has to look first (its --http-no-head was
    # slower still), so the other ratio counts the same look-ups on our side.
    site.results.add_ratio("small_vs_rclone_copy", workload, "shotfs", "rclone copy", ">= 1.3")
    site.results.add_ratio(
        "small_listed_vs_rclone_copy", workload, "shotfs, listed first", "rclone copy", ">= 1.3"
    )
    count = site.scale.s3_small_files
    _measure(site, node, f"{count} files of 32 KiB, S3 (moto)", count, BUCKET)
    node.end()


def _measure(site: Site, node: ToldNode, workload: str, count: int, bucket: str) -> None:
    url = site.s3_url if bucket else site.url
    names = f"{PLACE}/s3-names" if bucket else f"{PLACE}/names"

    def add(system: str, cost: usage.Cost) -> None:
        site.results.add(workload, system, count / cost.seconds, "files/s")
        gigabytes = count * SMALL_BYTES / 1e9
        site.results.add(f"{workload}, CPU", system, cost.cpu_s / gigabytes, "s/GB")

    def run(index: int, system: str) -> None:
        group = f"small{index}"
        target = f"{PLACE}/copied-{bucket}{group}-{system.replace(' ', '-')}"
        os.makedirs(target)
        if system == "obstore":
            measured = loop(url, group, target, names, bucket, script="obstore_small.py")
            add(system, usage.Cost(measured["seconds"], measured["cpu_s"]))
        elif system == "rclone copy":
            if bucket:
                remote = peers.rclone_s3(url, f"{bucket}/{group}")
            else:
                remote = peers.rclone_http(f"{url}/{group}")
            settle()
            command = peers.rclone_copy(remote, target, PLACE)
            add(system, usage.run(command, log=f"{PLACE}/rclone.log", timeout_s=LOOP_TIMEOUT_S))
        else:
            settle()
            origin = f"s3://{bucket}" if bucket else url
            found = node.tell(do="fetch", origin=origin, directory=group, tasks=TASKS)
            if (found["count"], found["kept"]) != (count, count):
                raise EOFError(f"fetched {found['count']} files, kept {found['kept']}")
            add("shotfs", usage.Cost(found["seconds"], found["cpu_s"]))
            whole = usage.Cost(
                found["list_s"] + found["seconds"], found["list_cpu_s"] + found["cpu_s"]
            )
            add("shotfs, listed first", whole)

    site.rounds(workload, ["obstore", "rclone copy", "shotfs"], run)
