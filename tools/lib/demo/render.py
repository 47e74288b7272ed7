"""Rendering frames with POV-Ray, every path inside the mount, and measuring what each one cost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from running.service import Counters, Mounted

from demo import show

FRAME_TIMEOUT_S = 120.0

PUBLISHED_STATES = ("cached", "partial", "remote")
"""What `user.shotfs.state` says of a file that is in the bucket: where it is besides."""


class RenderFailed(Exception):
    """POV-Ray ended with an error; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One rendering of the whole shot, into a version of its own."""

    title: str
    node: Mounted
    version: int


@dataclass(slots=True)
class FrameResult:
    """What one frame (all of its layers) cost.

    Attributes:
        wall_s: from starting the renderer to its end, seconds, summed over the layers.
        opened: how many files were opened through the mount.
        fetched_bytes: read from the bucket.
        hits: opens that the cache answered.
        misses: opens that needed the bucket.
        states: of the outputs when the renderer had ended, then when the pass was published.
    """

    title: str
    node: str
    version: int
    frame: int
    wall_s: float
    opened: int
    fetched_bytes: int
    hits: int
    misses: int
    states: tuple[str, ...]

    @property
    def hit_ratio(self) -> float | None:
        """Share of the opens that the cache answered; None if nothing was opened."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None

    def as_json(self) -> dict[str, object]:
        """Return it for ``summary.json``."""
        return {**asdict(self), "hit_ratio": self.hit_ratio}


def render_pass(one: Pass, log: str, progress: Callable[[FrameResult], None]) -> list[FrameResult]:
    """Render every frame of the shot; then wait until all of it is in the bucket."""
    for layer in show.LAYERS:
        os.makedirs(_absolute(one.node, show.output_directory(layer, one.version)))
    results = []
    for frame in show.FRAMES:
        result = _render_frame(one, frame, log)
        results.append(result)
        progress(result)
    one.node.wait_until_published(60)
    for result in results:
        result.states = (*result.states, _state(one, result.frame))
    return results


def _render_frame(one: Pass, frame: int, log: str) -> FrameResult:
    before = one.node.counters()
    started = time.monotonic()
    for layer in show.LAYERS:
        _run_povray(one, layer, frame, log)
    wall_s = time.monotonic() - started
    after = one.node.counters()
    return FrameResult(
        title=one.title,
        node=one.node.name,
        version=one.version,
        frame=frame,
        wall_s=wall_s,
        opened=_grown(before, after, "shotfs_opens_total"),
        fetched_bytes=_grown(before, after, "shotfs_tier_read_bytes_total"),
        hits=_grown(before, after, "shotfs_cache_hits_total"),
        misses=_grown(before, after, "shotfs_cache_misses_total"),
        states=(_state(one, frame),),
    )


def _grown(before: Counters, after: Counters, name: str) -> int:
    return int(after.total(name) - before.total(name))


def _state(one: Pass, frame: int) -> str:
    """Return the states of a frame's outputs, joined where its layers differ."""
    states = set()
    for layer in show.LAYERS:
        path = _absolute(one.node, show.output(layer, one.version, frame))
        state = os.getxattr(path, "user.shotfs.state").decode()
        states.add(f"published, {state}" if state in PUBLISHED_STATES else state)
    return " / ".join(sorted(states))


def _run_povray(one: Pass, layer: show.Layer, frame: int, log: str) -> None:
    """Render one layer of one frame.

    Debian's POV-Ray may read below the home directory and read and write in the working directory,
    and nowhere else (/etc/povray/3.7/povray.conf, which a user can only make stricter). So the
    mount is its home and the frames' directory its working directory; no system file is changed.
    POVINI replaces /etc's povray.ini, which would search the includes on this machine first.
    """
    output = _absolute(one.node, show.output(layer, one.version, frame))
    command = [
        "povray",
        f"+I{_absolute(one.node, show.layer_scene(layer))}",
        *(f"+L{_absolute(one.node, directory)}" for directory in show.library_path(layer)),
        f"+K{show.clock(frame):.4f}",
        f"+O{output}",
    ]
    environment = {
        **os.environ,
        "HOME": one.node.mountpoint,
        "POVINI": _absolute(one.node, show.RENDER_SETTINGS),
        "SHOTFS_JOB": f"{show.SHOT}_v{one.version:03d}",
        "SHOTFS_FRAME": str(frame),
    }
    done = subprocess.run(
        command,
        check=False,
        cwd=os.path.dirname(output),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=FRAME_TIMEOUT_S,
        start_new_session=True,
    )
    with open(log, "ab") as file:
        file.write(done.stdout.replace(b"\r", b"\n"))
    if done.returncode != 0:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-15:])
        raise RenderFailed(
            f"POV-Ray ended with {done.returncode} on {layer.name}, frame {frame}, "
            f"{one.title}; all of its output is in {log}\n{tail}"
        )


def _absolute(node: Mounted, path: str) -> str:
    return f"{node.mountpoint}/{show.SHOW}/{path}"
