"""How long the first byte of a cold file takes, and a warm file while others stream in."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from bench import peers
from bench.cold_site import HUGE_BYTES, PLACE, Site, ToldNode, console, loop

READ_BYTES = 4096
PAUSE_S = "0.005"
STREAMING_TASKS = 3


def latency(site: Site) -> None:
    """Measure alone, and while a prewarm takes all that the machine can carry."""
    node = ToldNode(site, "streaming")
    with ExitStack() as stack:
        rclone = peers.mount_rclone(
            stack, peers.rclone_http(site.url), PLACE, name="rclone-latency"
        )
        _first_bytes(site, node, rclone)
    keys = [f"load/l{index}.bin" for index in range(3)]
    node.tell(do="stream", origin=site.url, keys=keys, tasks=STREAMING_TASKS)
    _first_bytes(site, node, None)
    _warm(site, node)
    streamed = node.tell(do="stop")
    rate = streamed["bytes"] / streamed["seconds"] / 1e6
    site.results.add("prewarm meanwhile", "shotfs", rate, "MB/s")
    node.end()


def _first_bytes(site: Site, node: ToldNode, rclone: peers.Peer | None) -> None:
    meanwhile = "" if rclone is not None else ", while a prewarm streams"
    workload = f"first byte of {HUGE_BYTES / 1e9:g} GB{meanwhile}"
    over: list[float] = []
    count = site.scale.first_bytes
    used = 0 if rclone is not None else site.scale.rounds * count

    def run(index: int, system: str) -> None:
        first = used + index * count
        names = [f"huge/h{number}.bin" for number in range(first, first + count)]
        if rclone is not None and system == "rclone mount":
            mount = rclone.mountpoint
        else:
            mount = f"{node.mountpoint}/http"
        pairs = [f"{mount}/{name}:{name}" for name in names]
        arguments = (site.url, str(READ_BYTES), str(index), *pairs)
        measured = loop(*arguments, script="latency.py")
        request_ms = statistics.median(measured["request_ms"])
        mount_ms = statistics.median(measured["mount_ms"])
        site.results.add(workload, system, mount_ms, "ms")
        if system == "shotfs":
            site.results.add(workload, "one request", request_ms, "ms")
            over.append(
                statistics.median(
                    ours - raw
                    for ours, raw in zip(measured["mount_ms"], measured["request_ms"], strict=True)
                )
            )

    site.rounds(workload, ["shotfs"] if rclone is None else ["rclone mount", "shotfs"], run)
    suffix = "_under_load" if rclone is None else ""
    site.results.add_value(f"first_byte_ms_over_request{suffix}", over, "<= 20")


def _warm(site: Site, node: ToldNode) -> None:
    workload = "warm stat, open, read, p99 while a prewarm streams"
    name = "warm/w.bin"
    paths = {"native": f"{PLACE}/data/{name}", "shotfs": f"{node.mountpoint}/http/{name}"}
    for path in paths.values():
        loop("read", path)
    p99_ms: list[float] = []

    def run(_: int, system: str) -> None:
        measured = loop("warm", paths[system], str(site.scale.warm_reads), PAUSE_S)
        site.results.add(workload, system, measured["p99_ms"], "ms")
        site.results.add(f"{workload}: median", system, measured["p50_ms"], "ms")
        if system == "shotfs":
            p99_ms.append(measured["p99_ms"])
            console.print(f"  p99 {measured['p99_ms']:.2f} ms, longest {measured['max_ms']:.2f} ms")

    site.rounds(workload, list(paths), run)
    site.results.add_value("p99_warm_ms_under_load", p99_ms, "<= 10")
