"""Large files: read in sequence while they come, by one reader, by 64, and over a slow link."""

from __future__ import annotations

import os
from contextlib import ExitStack

from bench import peers, usage
from bench.cold_site import (
    BUCKET,
    LINK_BYTES_PER_S,
    LOOP_TIMEOUT_S,
    PLACE,
    Site,
    console,
    loop,
    settle,
)

CROWD = 64


def sequential(site: Site) -> None:
    """A large file from nginx."""
    size_bytes = site.scale.big_bytes
    workload = f"{size_bytes >> 20} MiB in sequence, nginx"
    loop("read", f"{PLACE}/data/big/r0.bin")  # into the page cache
    with ExitStack() as stack:
        rclone = peers.mount_rclone(stack, peers.rclone_http(site.url), PLACE)

        def run(index: int, system: str) -> None:
            name = f"big/r{index}.bin"
            if system == "shotfs":
                cost = site.read(
                    site.path("http", name), site.pid, lambda: site.wait_kept(size_bytes)
                )
                site.ours.evict_all()
            elif system == "rclone mount":
                cost = site.read(f"{rclone.mountpoint}/{name}", rclone.pid)
            elif system == "rclone copy":
                cost = _rclone_copy(peers.rclone_http(f"{site.url}/big"), f"r{index}.bin")
            else:
                cost = _obstore(site.url, name)
            site.add_speed(workload, system, size_bytes, cost)

        site.rounds(workload, ["obstore", "rclone copy", "rclone mount", "shotfs"], run)
    site.results.add_ratio("seq_vs_obstore", workload, "shotfs", "obstore", ">= 0.6")
    site.results.add_ratio("seq_vs_rclone_mount", workload, "shotfs", "rclone mount", ">= 3")


def sequential_s3(site: Site) -> None:
    """A file from S3, whose ETag is the md5 that we compare."""
    size_bytes = site.scale.s3_bytes
    workload = f"{size_bytes >> 20} MiB in sequence, S3 (moto)"
    with ExitStack() as stack:
        rclone = peers.mount_rclone(
            stack, peers.rclone_s3(site.s3_url, BUCKET), PLACE, name="rclone-s3"
        )
        s3fs = peers.mount_s3fs(stack, site.s3_url, BUCKET, PLACE)

        def run(index: int, system: str) -> None:
            name = f"big/r{index}.bin"
            if system == "shotfs":
                cost = site.read(
                    site.path("s3", name), site.pid, lambda: site.wait_kept(size_bytes)
                )
                site.ours.evict_all()
            elif system == "rclone mount":
                cost = site.read(f"{rclone.mountpoint}/{name}", rclone.pid)
            elif system == "s3fs":
                cost = site.read(f"{s3fs.mountpoint}/{name}", s3fs.pid)
            elif system == "rclone copy":
                cost = _rclone_copy(peers.rclone_s3(site.s3_url, f"{BUCKET}/big"), f"r{index}.bin")
            else:
                cost = _obstore(site.s3_url, name, BUCKET)
            site.add_speed(workload, system, size_bytes, cost)

        systems = ["obstore", "rclone copy", "rclone mount", "s3fs", "shotfs"]
        site.rounds(workload, systems, run)


def crowd(site: Site) -> None:
    """One file that is read by many at once: how often it is downloaded."""
    size_bytes = site.scale.crowd_bytes
    workload = f"{CROWD} readers of {size_bytes >> 20} MiB"
    downloads = []

    def run(index: int, system: str) -> None:
        name = f"crowd/r{index}.bin"
        measured = loop("crowd", site.path("counted", name), str(CROWD))
        if measured["bytes"] != CROWD * size_bytes:
            raise EOFError(f"{CROWD} readers got {measured['bytes']} bytes of {name}")
        site.wait_kept(size_bytes)
        site.ours.evict_all()
        downloads.append(_sent_bytes(site.sent_log, f"/{name}") / size_bytes)
        site.results.add(workload, system, measured["bytes"] / measured["seconds"] / 1e6, "MB/s")

    site.rounds(workload, ["shotfs"], run)
    site.results.add_value("downloads_for_64_readers", downloads, "<= 1.05")


def capped(site: Site) -> None:
    """A file over a link of 100 MB/s and 20 ms."""
    size_bytes = site.scale.capped_bytes
    workload = f"{size_bytes >> 20} MiB in sequence, link of 100 MB/s and 20 ms"
    shares = []

    def run(index: int, system: str) -> None:
        name = f"capped/r{index}.bin"
        if system == "obstore":
            cost = _obstore(site.slow_url, name)
        else:
            cost = site.read(site.path("slow", name), site.pid, lambda: site.wait_kept(size_bytes))
            site.ours.evict_all()
            shares.append(size_bytes / cost.seconds / LINK_BYTES_PER_S)
        site.add_speed(workload, system, size_bytes, cost)

    site.rounds(workload, ["obstore", "shotfs"], run)
    site.results.add_value("capped_link_share", shares, ">= 0.95")


def _obstore(url: str, name: str, bucket: str = "") -> usage.Cost:
    target = f"{PLACE}/download"
    measured = loop(url, name, target, bucket, script="obstore_download.py")
    os.unlink(target)
    return usage.Cost(measured["seconds"], measured["cpu_s"])


def _rclone_copy(remote: list[str], name: str) -> usage.Cost:
    target = f"{PLACE}/copied"
    settle()
    command = [*peers.rclone_copy(remote, target, PLACE), f"--include=/{name}"]
    cost = usage.run(command, log=f"{PLACE}/rclone-copy.log", timeout_s=LOOP_TIMEOUT_S)
    os.unlink(f"{target}/{name}")
    return cost


def _sent_bytes(log: str, uri: str) -> int:
    """Return how many bytes of *uri* nginx says it sent."""
    total = 0
    with open(log, encoding="utf-8") as file:
        for line in file:
            name, _, count = line.rpartition(" ")
            if name == uri:
                total += int(count)
    console.print(f"  the server sent {total:,} bytes of {uri}")
    return total
