"""The chart of tools/bench/warm: how fast each system is beside a native directory, on a log scale.

Drawn with Pillow, which tests and demo need anyway; its built-in font is used, so that the picture
is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bench.warm_report import CPU, NAMES, BadPage, machine_lines, systems_in, workloads_in

NATIVE = "native"
COLOURS = {
    "bindfs": "#8c8c8c",
    "rclone": "#c9a227",
    "s3fs": "#a65a2e",
    "unprivileged": "#9ecae1",
    "privileged": "#1f6fb4",
    "zero-upcall": "#1b9e77",
}
OTHER_COLOUR = "#555555"

WIDTH = 1400
LABEL_WIDTH = 430
RIGHT = 80
BAR = 13
GAP = 14
TOP = 130
BOTTOM = 60
DECADES_MAX = 6
INK, FAINT, LINE = "#222222", "#777777", "#e2e2e2"


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one workload: system and its speed in native ones."""

    title: str
    bars: Sequence[tuple[str, float]]


def groups(document: Mapping[str, Any]) -> list[Group]:
    """Return what is drawn: workloads that native was measured on."""
    rows = {(row["workload"], row["system"]): row for row in document["rows"]}
    made = []
    for workload in workloads_in(document, cpu=False):
        native = rows.get((workload, NATIVE))
        if native is None or native["value"] <= 0:
            continue
        bars = []
        for system in systems_in(document):
            row = rows.get((workload, system))
            if system == NATIVE or row is None or row["value"] <= 0:
                continue
            ratio = row["value"] / native["value"]
            bars.append((system, 1 / ratio if row["unit"] == "s" else ratio))
        if bars:
            made.append(Group(workload.removesuffix(CPU), bars))
    return made


def draw(path: str, document: Mapping[str, Any]) -> None:
    """Write the chart to *path* (PNG).

    Raises:
        BadPage: there is nothing to compare.
    """
    shown = groups(document)
    if not shown:
        raise BadPage("no chart without native and another system; see --systems")
    values = [ratio for group in shown for _, ratio in group.bars]
    scale = _Scale(values)
    height = TOP + sum(len(one.bars) * BAR + GAP for one in shown) + BOTTOM
    image = Image.new("RGB", (WIDTH, height), "white")
    pen = _Pen(image)
    _heading(pen, document, [one for one in systems_in(document) if one != NATIVE])
    bottom = height - BOTTOM
    one = scale.x(1.0)
    for exponent in range(scale.low, scale.high + 1):
        x = scale.x(10.0**exponent)
        pen.draw.line([(x, TOP - 8), (x, bottom)], fill=LINE)
        text = f"{10**exponent:g}" if exponent >= 0 else f"1/{10**-exponent:,}"
        pen.write((x, bottom + 6), text, 14, FAINT, "ma")
    pen.write((one, bottom + 26), "native", 14, INK, "ma")
    at = TOP
    # Behind the bars: where one crosses the line, it is faster than native.
    pen.draw.line([(one, TOP - 8), (one, bottom)], fill=INK, width=2)
    for group in shown:
        block = len(group.bars) * BAR
        pen.write((LABEL_WIDTH - 12, at + block / 2), group.title, 15, INK, "rm")
        for system, ratio in group.bars:
            end = max(scale.x(ratio), LABEL_WIDTH + 1)
            colour = COLOURS.get(system, OTHER_COLOUR)
            pen.draw.rectangle([LABEL_WIDTH, at, end, at + BAR - 3], fill=colour)
            pen.write((end + 4, at + BAR / 2 - 1), f"{ratio:.2g}", 12, INK, "lm", on="white")
            at += BAR
        at += GAP
    image.save(path, format="PNG", optimize=True)


class _Scale:
    """Where a ratio lies: powers of ten that hold all, at most `DECADES_MAX` of them."""

    def __init__(self, values: Sequence[float]) -> None:
        self.high = max(0, math.ceil(math.log10(max(values)) - 0.05))
        self.low = min(-1, math.floor(math.log10(min(values))))
        self.low = max(self.low, self.high - DECADES_MAX)

    def x(self, ratio: float) -> float:
        share = (math.log10(ratio) - self.low) / (self.high - self.low)
        return LABEL_WIDTH + min(max(share, 0.0), 1.0) * (WIDTH - LABEL_WIDTH - RIGHT)


class _Pen:
    """Draws on an image, with text in any size."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self._fonts: dict[int, Any] = {}

    def write(
        self,
        place: tuple[float, float],
        text: str,
        size: int,
        colour: str,
        anchor: str,
        *,
        on: str | None = None,
    ) -> float:
        """Write *text*, on a colour of its own if need be; return its width."""
        font = self._fonts.get(size) or self._fonts.setdefault(size, ImageFont.load_default(size))
        if on is not None:
            left, top, right, bottom = self.draw.textbbox(place, text, font=font, anchor=anchor)
            self.draw.rectangle([left - 2, top, right + 2, bottom], fill=on)
        self.draw.text(place, text, fill=colour, font=font, anchor=anchor)
        return float(self.draw.textlength(text, font=font))


def _heading(pen: _Pen, document: Mapping[str, Any], systems: Sequence[str]) -> None:
    pen.write((24, 18), "Cached files: speed beside a native directory", 24, INK, "la")
    text = "Native is 1; longer is faster; logarithmic. "
    pen.write((24, 52), text + machine_lines(document)[0], 13, FAINT, "la")
    x = 24.0
    for system in systems:
        pen.draw.rectangle([x, 82, x + 16, 96], fill=COLOURS.get(system, OTHER_COLOUR))
        x += 22 + pen.write((x + 22, 89), NAMES.get(system, system), 15, INK, "lm") + 24
