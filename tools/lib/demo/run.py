"""Runs the demo from start to end.

Owns `.demo` below the project: wiped at the start, kept at the end. Whatever it starts or mounts
is ended on every way out: success, failure, Ctrl-C, SIGTERM; and what an earlier run left behind
because it was killed is cleared at the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict

from rich.console import Console
from running import interrupts, place, processes, service

from demo import check, configuration, learning, render, report, show, specification, turnover
from demo.bucket import PlainBucket, start_emulator

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".demo")
# A file or a pipe has no width of its own; 80 columns would break the table.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)


def run() -> int:
    """Run the demo; return the exit code."""
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            try:
                _demo(stack)
            finally:
                interrupts.ignore_from_now_on()
    except _EXPECTED as failure:
        console.print(f"\ntools/demo failed: {failure}", style="red", markup=False)
        console.print(f"  logs: {_shown(PLACE)}/*.log, {_shown(PLACE)}/node-*/*.log", markup=False)
        return 1
    console.print(
        f"\nDone in {time.monotonic() - started:.0f} s; nothing is left mounted or running."
    )
    return 0


_EXPECTED = (
    check.CheckFailed,
    render.RenderFailed,
    service.ServiceFailed,
    processes.StartFailed,
    subprocess.TimeoutExpired,
    TimeoutError,
    OSError,
)


def _demo(stack: ExitStack) -> None:
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/demo", keep=True)
    endpoint_url = start_emulator(stack, show.BUCKET, f"{PLACE}/emulator.log")
    bucket = PlainBucket(endpoint_url, show.BUCKET)
    stack.callback(bucket.close)
    _publish_show(bucket)

    specification.write(PLACE)
    node_a, node_b = (
        configuration.write_node(f"{PLACE}/{name}", name, f"{sockets}/{name}.sock", endpoint_url)
        for name in ("node-a", "node-b")
    )
    passes = (
        render.Pass("A cold", node_a, 5),
        render.Pass("A warm", node_a, 6),
        render.Pass("B prewarmed", node_b, 7),
    )
    results = []
    for one in passes:
        if one.node.mountpoint not in processes.mounts_below(PLACE):
            service.mount(stack, one.node)
            console.print(f"mounted [bold]{one.node.name}[/bold] on {_shown(one.node.mountpoint)}")
        if one.node is node_b:
            prewarmed = learning.prewarm_from(node_a, node_b, console.print)
        results += _render(one)
    console.print()
    console.print(report.table(results))
    _verify_and_report(bucket, passes, results, prewarmed)


def _publish_show(bucket: PlainBucket) -> None:
    objects = list(show.contents())
    for key, content in objects:
        bucket.upload(key, content)
    size_bytes = sum(len(content) for _, content in objects)
    console.print(
        f"published show [bold]{show.SHOW}[/bold]: {len(objects)} objects, {size_bytes:,} bytes, "
        f"to {show.ORIGIN} (GCS emulator on loopback)"
    )


def _render(one: render.Pass) -> list[render.FrameResult]:
    console.print(f"rendering {show.SHOT} into v{one.version:03d}: {one.title}")
    return render.render_pass(
        one,
        f"{PLACE}/povray.log",
        lambda result: console.print(
            f"  frame {result.frame}: {result.wall_s:.2f} s, {result.opened} files opened, "
            f"{result.fetched_bytes:,} bytes fetched, output {result.states[0]}"
        ),
    )


def _verify_and_report(
    bucket: PlainBucket,
    passes: tuple[render.Pass, ...],
    results: list[render.FrameResult],
    prewarmed: learning.Prewarmed,
) -> None:
    checked = check.check_outputs(bucket, passes)
    console.print(
        f"checked: {len(checked)} frames are in the bucket; of each, four digests are the same: "
        "of its bytes there, in its metadata, of its bytes in the mount, in user.shotfs.digest"
    )
    for one in passes[1:]:
        check.check_warm(results, one.title)
        console.print(f"checked: {one.title} fetched nothing, every open was a hit")
    agreed = check.check_other_node(passes[0], passes[-1])
    console.print(f"checked: {agreed} frames of v005 read the same through the other node's mount")
    handed_over = turnover.hand_over(passes[0], passes[-1], console.print)
    report.contact_sheet(f"{PLACE}/contact-sheet.png", passes, checked, bucket.download)
    with open(f"{PLACE}/summary.json", "w", encoding="utf-8") as file:
        json.dump(
            {
                "shot": show.SHOT,
                "origin": show.ORIGIN,
                "prewarmed": asdict(prewarmed),
                "turnover": asdict(handed_over),
                "frames": [result.as_json() for result in results],
                "objects": [
                    {"key": one.key, "size_bytes": one.size_bytes, "digest": one.digest}
                    for one in checked
                ],
            },
            file,
            indent=2,
        )
        file.write("\n")
    console.print(f"wrote {_shown(PLACE)}/contact-sheet.png and {_shown(PLACE)}/summary.json")


def _shown(path: str) -> str:
    """Return *path* as people know it: relative to the project."""
    return os.path.relpath(path, ROOT)
