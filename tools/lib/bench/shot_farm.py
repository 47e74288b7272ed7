"""A farm of one node: renders a shot, frame after frame, all layers of each, some at once."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from running import interrupts

from bench.shot_site import SHOT, SHOW, Scale, frames, layers

RENDER_TIMEOUT_S = 120.0
RENDERER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "shot_renderer.py")


class RenderFailed(Exception):
    """A renderer ended with an error; the message has what it said."""


@dataclass(slots=True)
class Rendered:
    """What became of a shot.

    Attributes:
        seconds: from the first start to the last end.
        renders: what each process said of itself, in the order of their ends.
    """

    seconds: float = 0.0
    renders: list[dict[str, Any]] = field(default_factory=list)

    def stall_s(self, layer: str | None = None, *, after_first: bool = False) -> float:
        """Return how long renderers waited in opens and reads, all together.

        Args:
            layer: of this one only.
            after_first: from its second frame on.
        """
        first = min(one["frame"] for one in self.renders)
        return sum(
            one["stall_s"]
            for one in self.renders
            if layer in (None, one["layer"]) and not (after_first and one["frame"] == first)
        )

    @property
    def files(self) -> int:
        """How many files were opened, each as often as it was."""
        return sum(one["files"] for one in self.renders)

    def by_frame(self) -> dict[int, float]:
        """Return the stall of each frame, all layers."""
        found: dict[int, float] = {}
        for one in self.renders:
            found[one["frame"]] = found.get(one["frame"], 0.0) + one["stall_s"]
        return dict(sorted(found.items()))


def render(root: str, output: str, scale: Scale) -> Rendered:
    """Render the shot from the show's directory *root* into *output*.

    The second frame begins when the first has ended: else its processes would wait for what the
    first one reads of files that all frames share.

    Raises:
        RenderFailed: a renderer ended with an error or took too long.
    """
    first, *others = frames(scale)
    rendered = Rendered()
    for part in ([first], others):
        _render_frames(part, root, output, scale, rendered)
    return rendered


def _render_frames(
    numbers: Sequence[int], root: str, output: str, scale: Scale, rendered: Rendered
) -> None:
    """Render *numbers* and add what became of them to *rendered*."""
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for frame in numbers:
        for layer in layers(scale):
            waiting.put((layer, frame))
    failures: list[str] = []
    lock = threading.Lock()
    running: set[subprocess.Popen[bytes]] = set()
    stopping = threading.Event()

    def slot() -> None:
        while not stopping.is_set() and not failures:
            try:
                layer, frame = waiting.get_nowait()
            except queue.Empty:
                return
            with lock:
                if stopping.is_set():
                    return
                process = _start(root, output, layer, frame, scale)
                running.add(process)
            try:
                said, errors = process.communicate(timeout=RENDER_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said, errors = process.communicate()
            with lock:
                running.discard(process)
                if process.returncode:
                    failures.append(
                        f"the renderer of {layer}, frame {frame}, ended with"
                        f" {process.returncode}: {errors.decode('utf-8', 'replace')[-500:]}"
                    )
                else:
                    rendered.renders.append(json.loads(said))

    began = time.monotonic()
    slots = [threading.Thread(target=slot, name=f"slot {n}") for n in range(scale.slots)]
    try:
        with interrupts.held():
            for one in slots:
                one.start()
        _join(slots)
    finally:
        stopping.set()
        with lock:
            for process in running:
                process.kill()
        _join(slots)
    if failures:
        raise RenderFailed(failures[0])
    rendered.seconds += time.monotonic() - began


def _join(threads: Iterable[threading.Thread]) -> None:
    for one in threads:
        while one.is_alive():
            one.join(0.05)  # signals are looked at in between


def _start(root: str, output: str, layer: str, frame: int, scale: Scale) -> subprocess.Popen[bytes]:
    identity = {
        "SHOTFS_SHOW": SHOW,
        "SHOTFS_SHOT": SHOT,
        "SHOTFS_TASK": layer,
        "SHOTFS_FRAME": str(frame),
        "SHOTFS_JOB": f"{SHOT}-{layer}",
    }
    arguments = [root, output, SHOT, layer, str(frame), str(scale.render_s)]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", RENDERER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **identity},
        start_new_session=True,
    )
