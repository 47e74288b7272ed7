"""The chart of tools/bench/shot: how long a shot takes, and how long its frames stall.

Drawn with Pillow, as `warm_chart`, with its built-in font: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1400, 780
LEFT, RIGHT = 190, 150
BARS_TOP, BAR, BAR_GAP = 130, 30, 14
CURVES_TOP, CURVES_BOTTOM = 390, 710
INK, FAINT, LINE = "#222222", "#777777", "#e2e2e2"
COLOURS = {
    "cold on demand": "#c9a227",
    "look-ahead": "#1b9e77",
    "prewarmed": "#1f6fb4",
    "copy everything": "#8c8c8c",
}
BEFORE_COLOUR = "#d9d9d9"
TICKS = 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn of one system.

    Attributes:
        name: of the system.
        before_s: how long it took before the first frame began.
        seconds: from then to the end of the last one.
        moved_mb: what the origin sent.
        stalls: of each frame, all layers, in seconds.
    """

    name: str
    before_s: float
    seconds: float
    moved_mb: float
    stalls: Mapping[int, float]


class _Pen:
    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self._fonts: dict[int, Any] = {}

    def write(self, x: float, y: float, text: str, size: int, colour: str, anchor: str) -> float:
        """Write *text*; return its width."""
        font = self._fonts.get(size) or self._fonts.setdefault(size, ImageFont.load_default(size))
        self.draw.text((x, y), text, fill=colour, font=font, anchor=anchor)
        return float(self.draw.textlength(text, font=font))


def draw(path: str, shot: Mapping[str, Any]) -> None:
    """Write the chart of what `bench.shot` told to *path* (PNG)."""
    caption = shot["caption"]
    systems = [
        Drawn(
            one["name"], one["before_s"], one["seconds"], one["moved_mb"],
            {int(frame): seconds for frame, seconds in one["stalls"]},
        )
        for one in shot["systems"]
    ]  # fmt: skip
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = _Pen(image)
    pen.write(24, 18, "One shot on one node: where its files come from", 24, INK, "la")
    pen.write(24, 54, caption, 14, FAINT, "la")
    _bars(pen, systems)
    _curves(pen, systems)
    image.save(path, format="PNG", optimize=True)


def _bars(pen: _Pen, systems: list[Drawn]) -> None:
    most = max(one.before_s + one.seconds for one in systems)
    pen.write(LEFT, BARS_TOP - 30, "seconds until the last frame is there", 15, INK, "la")
    pen.write(WIDTH - 24, BARS_TOP - 30, "moved", 15, INK, "ra")
    at = BARS_TOP
    for one in systems:
        scale = (WIDTH - LEFT - RIGHT - 70) / most
        start, end = LEFT + one.before_s * scale, LEFT + (one.before_s + one.seconds) * scale
        pen.write(LEFT - 12, at + BAR / 2, one.name, 15, INK, "rm")
        if one.before_s:
            pen.draw.rectangle([LEFT, at, start, at + BAR], fill=BEFORE_COLOUR)
            pen.write(LEFT + 6, at + BAR / 2, f"{one.before_s:.0f} s before", 12, FAINT, "lm")
        pen.draw.rectangle([start, at, end, at + BAR], fill=COLOURS[one.name])
        pen.write(end + 6, at + BAR / 2, f"{one.before_s + one.seconds:.0f} s", 14, INK, "lm")
        pen.write(WIDTH - 24, at + BAR / 2, f"{one.moved_mb:,.0f} MB", 14, INK, "rm")
        at += BAR + BAR_GAP


def _curves(pen: _Pen, systems: list[Drawn]) -> None:
    frames = sorted(systems[0].stalls)
    # The first frame reads everything: it would flatten the others.
    most = max((s for one in systems for f, s in one.stalls.items() if f != frames[0]), default=1)
    most = most or 1.0
    width, height = WIDTH - LEFT - RIGHT, CURVES_BOTTOM - CURVES_TOP
    pen.write(
        LEFT, CURVES_TOP - 34,
        "seconds for which the processes of a frame wait for its files (the first goes beyond)",
        15, INK, "la",
    )  # fmt: skip
    for tick in range(TICKS + 1):
        y = CURVES_BOTTOM - height * tick / TICKS
        pen.draw.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=LINE)
        pen.write(LEFT - 8, y, f"{most * tick / TICKS:.2g}", 13, FAINT, "rm")
    for one in systems:
        points = [
            (
                LEFT + width * index / max(1, len(frames) - 1),
                CURVES_BOTTOM - height * min(1.0, one.stalls[frame] / most),
            )
            for index, frame in enumerate(frames)
        ]
        pen.draw.line(points, fill=COLOURS[one.name], width=3, joint="curve")
    x = float(LEFT)
    for one in systems:
        pen.draw.rectangle(
            [x, CURVES_BOTTOM + 34, x + 16, CURVES_BOTTOM + 48], fill=COLOURS[one.name]
        )
        x += 22 + pen.write(x + 22, CURVES_BOTTOM + 41, one.name, 15, INK, "lm") + 28
    for index in (0, len(frames) // 2, len(frames) - 1):
        x = LEFT + width * index / max(1, len(frames) - 1)
        pen.write(x, CURVES_BOTTOM + 6, str(frames[index]), 13, FAINT, "ma")
