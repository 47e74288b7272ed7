"""tools/bench/shot: a shot rendered cold, with look-ahead, prewarmed, and from a copied show."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from running import service

from bench import peers, program, shot_chart, shot_report, usage
from bench.results import Results
from bench.shot_farm import Rendered, RenderFailed, render
from bench.shot_site import (
    FULL,
    PLACE,
    QUICK,
    ROOT,
    SHOW,
    Scale,
    Site,
    build,
    console,
    shot_targets,
)

COLD, AHEAD, PREWARMED, COPIED = "cold on demand", "look-ahead", "prewarmed", "copy everything"
BEFORE_TIMEOUT_S = 300.0
PARTS = 3
"""Of the frames, as paired runs of one ratio."""

PAGE = os.path.join(ROOT, "docs", "performance.md")
CHART = os.path.join(ROOT, "docs", "shot.png")


@dataclass(slots=True)
class Outcome:
    """What one way of getting the files came to.

    Attributes:
        before_s: how long it took before the first frame began.
        rendered: the shot.
        moved_bytes: what the origin sent.
        useful, wasted: files that look-ahead fetched and that were opened, or were not.
    """

    before_s: float
    rendered: Rendered
    moved_bytes: int
    useful: float = 0.0
    wasted: float = 0.0

    @property
    def makespan_s(self) -> float:
        """From the moment the shot is asked for until its last frame is there."""
        return self.before_s + self.rendered.seconds


def cold(site: Site) -> Outcome:
    """Render with nothing here and nobody who fetches ahead."""
    return _on_a_node(site, "cold", lookahead=False)


def ahead(site: Site) -> Outcome:
    """Render with nothing here, and look-ahead."""
    return _on_a_node(site, "lookahead", lookahead=True)


def prewarmed(site: Site) -> Outcome:
    """Prewarm the shot, then render."""
    return _on_a_node(site, "prewarmed", lookahead=False, prewarm=True)


def copied(site: Site) -> Outcome:
    """Copy the show to the disk of the node, then render from there."""
    target = f"{PLACE}/copy/show"
    sent_bytes = site.sent_bytes()
    os.makedirs(target)
    command = peers.rclone_copy(peers.rclone_http(site.url), target, PLACE)
    began = time.monotonic()
    usage.run(command, log=f"{PLACE}/rclone.log", timeout_s=BEFORE_TIMEOUT_S)
    before_s = time.monotonic() - began
    rendered = render(target, f"{PLACE}/copy/out", site.scale)
    return Outcome(before_s, rendered, site.sent_bytes() - sent_bytes)


def _on_a_node(site: Site, name: str, *, lookahead: bool, prewarm: bool = False) -> Outcome:
    with ExitStack() as stack:
        node = site.mount(stack, name, lookahead=lookahead)
        sent_bytes, before_s = site.sent_bytes(), 0.0
        if prewarm:
            began = time.monotonic()
            targets = shot_targets(site.scale)
            service.run(
                "prewarm", "--config", node.config, "--json", *targets, timeout_s=BEFORE_TIMEOUT_S
            )
            before_s = time.monotonic() - began
        rendered = render(
            f"{node.mountpoint}/{SHOW}", f"{node.mountpoint}/{SHOW}/render", site.scale
        )
        counters = node.counters()
        outcome = Outcome(before_s, rendered, site.sent_bytes() - sent_bytes)
        outcome.useful = counters.total("shotfs_lookahead_files_total", "useful")
        outcome.wasted = counters.total("shotfs_lookahead_files_total", "wasted")
        node.wait_until_published(60.0)
    return outcome


SYSTEMS: dict[str, Callable[[Site], Outcome]] = {
    COLD: cold,
    AHEAD: ahead,
    PREWARMED: prewarmed,
    COPIED: copied,
}
NAMES = {"cold": COLD, "lookahead": AHEAD, "prewarmed": PREWARMED, "copy": COPIED}


def report(results: Results, outcomes: dict[str, Outcome]) -> None:
    """Note the figures of all *outcomes*."""
    for system, outcome in outcomes.items():
        results.add("makespan", system, outcome.makespan_s, "s")
        results.add("before the first frame", system, outcome.before_s, "s")
        results.add("stall of all renderers", system, outcome.rendered.stall_s(), "s")
        second = outcome.rendered.stall_s(after_first=True)
        results.add("stall from the second frame on", system, second, "s")
        results.add("bytes moved", system, outcome.moved_bytes / 1e6, "MB")
        if system == AHEAD:
            results.add("look-ahead, opened later", system, outcome.useful, "files")
            results.add("look-ahead, not opened", system, outcome.wasted, "files")
    if COLD in outcomes and AHEAD in outcomes:
        waited, helped = (outcomes[one].rendered.by_frame() for one in (COLD, AHEAD))
        later = list(waited)[1:]
        removed = []
        for part in range(PARTS):
            some = later[part::PARTS]
            removed.append(1 - sum(helped[one] for one in some) / sum(waited[one] for one in some))
        results.add_value("stall_removed_by_lookahead", removed, ">= 0.8")
    if AHEAD in outcomes and COPIED in outcomes:
        share = outcomes[AHEAD].moved_bytes / outcomes[COPIED].moved_bytes
        results.add_value("bytes_vs_copy_everything", [share], "<= 0.1")


def told(outcomes: dict[str, Outcome], scale: Scale) -> dict[str, Any]:
    """Return what the table, the chart and the page are made of."""
    caption = (
        f"{scale.frames} frames x {scale.layers} layers, {scale.shot_files:,} files,"
        f" {scale.shot_bytes / 1e6:,.0f} MB, behind 20 ms and 100 MB/s; each frame of a layer"
        f" renders {scale.render_s:g} s, {scale.slots} at once; the show has {scale.shots} times"
        " as many bytes."
    )
    systems = [
        {
            "name": system,
            "before_s": one.before_s,
            "seconds": one.rendered.seconds,
            "stall_s": one.rendered.stall_s(),
            "stall_second_s": one.rendered.stall_s(after_first=True),
            "moved_mb": one.moved_bytes / 1e6,
            "stalls": list(one.rendered.by_frame().items()),
        }
        for system, one in outcomes.items()
    ]
    return {"caption": caption, "systems": systems}


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench/shot", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, a smaller shot")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--chart", metavar="FILE", help="draw them into FILE (PNG)")
    parser.add_argument(
        "--only", metavar="SYSTEM", nargs="+", choices=NAMES, default=list(NAMES),
        help=f"some of: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument("--doc", action="store_true", help=f"write the figures into {PAGE}")
    parser.add_argument("--from", metavar="FILE", dest="source", help="take the figures of FILE")
    arguments = parser.parse_args()
    if arguments.source:
        with open(arguments.source, encoding="utf-8") as file:
            return publish(json.load(file), arguments)
    scale = QUICK if arguments.quick else FULL
    results = Results()
    outcomes: dict[str, Outcome] = {}

    def work(stack: ExitStack) -> None:
        site = build(stack, scale)
        for name in arguments.only:
            system = NAMES[name]
            console.print(system)
            outcomes[system] = SYSTEMS[system](site)
            shutil.rmtree(f"{PLACE}/{name}", ignore_errors=True)

    code = program.run("tools/bench/shot", console, work, failures=(RenderFailed,))
    if code:
        return code
    report(results, outcomes)
    what = f"{scale.frames} frames x {scale.layers} layers, {scale.shot_files:,} files,"
    farm = f"a frame of a layer renders {scale.render_s:g} s (a sleep) in a process of its own,"
    results.notes += [
        f"{what} {scale.shot_bytes / 1e6:,.0f} MB; the show has {scale.shots} times as many",
        f"{farm} {scale.slots} at once, frame after frame, all layers of each",
        "the second frame begins when the first has ended; before, they would share its wait",
        "stall: time in opens, listings and reads of inputs, summed over all processes",
        "origin: nginx behind 20 ms and 100 MB/s; bytes moved are what it sent",
        "look-ahead knows the jobs by SHOTFS_*; no template says `prewarm`, nothing was recorded",
        "copy everything: rclone copy of the whole show, 32 transfers; then a local directory",
        f"runs of stall_removed_by_lookahead: {PARTS} parts of the frames, dealt out by turns",
    ]
    results.show(console)
    document = results.as_json() | {"shot": told(outcomes, scale)}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    return publish(document, arguments)


def publish(document: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Show the figures, draw them, put them into the page; return the exit code."""
    shot_report.show(console, document["shot"])
    chart = arguments.chart or (CHART if arguments.doc else None)
    if chart is not None:
        shot_chart.draw(chart, document["shot"])
    if arguments.doc:
        try:
            shot_report.write_page(PAGE, document)
        except shot_report.BadPage as problem:
            console.print(str(problem), style="red", markup=False)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
