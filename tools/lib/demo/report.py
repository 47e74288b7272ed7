"""What the demo shows at the end: the table, the contact sheet, the summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont
from rich.table import Table

from demo import show
from demo.check import CheckedFrame
from demo.render import FrameResult, Pass

_MARGIN = 12
_LABEL_WIDTH = 190
_HEAD_HEIGHT = 64
_THUMB = (240, 135)
_BACKGROUND, _INK, _FAINT = (24, 26, 30), (235, 235, 235), (150, 155, 165)


def table(results: Sequence[FrameResult]) -> Table:
    """Return a row for each frame and a total for each pass."""
    shown = Table(title=f"{show.SHOT}: {len(show.FRAMES)} frames x {len(show.LAYERS)} layers")
    shown.add_column("pass", no_wrap=True)
    for heading in ("frame", "wall\ntime", "files\nopened", "bytes\nfetched", "hit\nratio"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("output")
    for title in dict.fromkeys(result.title for result in results):
        rows = [result for result in results if result.title == title]
        for row in rows:
            shown.add_row(
                f"{row.title} v{row.version:03d}", str(row.frame), *_costs([row]), _output(row)
            )
        total = [f"[bold]{text}[/bold]" for text in (title, "all", *_costs(rows))]
        shown.add_row(*total, "", end_section=True)
    return shown


def _costs(rows: Sequence[FrameResult]) -> tuple[str, ...]:
    hits, misses = sum(row.hits for row in rows), sum(row.misses for row in rows)
    return (
        f"{sum(row.wall_s for row in rows):.2f} s",
        str(sum(row.opened for row in rows)),
        f"{sum(row.fetched_bytes for row in rows):,}",
        f"{100 * hits / (hits + misses):.0f} %" if hits + misses else "-",
    )


def _output(row: FrameResult) -> str:
    """Return the states of the output, one after the other."""
    return " → ".join(dict.fromkeys(row.states))


def contact_sheet(
    path: str,
    passes: Sequence[Pass],
    checked: Sequence[CheckedFrame],
    content_of: Callable[[str], bytes],
) -> None:
    """Write a PNG with a row for each pass and layer, and a column for each frame.

    The pictures are those in the bucket, as *content_of* (key to bytes) downloads them.
    """
    rows = [(one, layer) for one in passes for layer in show.LAYERS]
    width = _LABEL_WIDTH + len(show.FRAMES) * (_THUMB[0] + _MARGIN) + _MARGIN
    height = _HEAD_HEIGHT + len(rows) * (_THUMB[1] + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(18), ImageFont.load_default(13)
    draw.text((_MARGIN, _MARGIN), f"{show.SHOW} / {show.SHOT}", fill=_INK, font=large)
    for column, frame in enumerate(show.FRAMES):
        draw.text((_left(column), _HEAD_HEIGHT - 22), str(frame), fill=_FAINT, font=small)
    by_place = {(one.version, one.layer, one.frame): one for one in checked}
    for row, (one, layer) in enumerate(rows):
        top = _HEAD_HEIGHT + row * (_THUMB[1] + _MARGIN)
        for offset, (text, colour, font) in enumerate(
            (
                (f"v{one.version:03d}", _INK, large),
                (layer.name, _INK, small),
                (one.title, _FAINT, small),
            )
        ):
            draw.text((_MARGIN, top + 8 + 24 * offset), text, fill=colour, font=font)
        for column, frame in enumerate(show.FRAMES):
            found = by_place[one.version, layer.name, frame]
            with Image.open(BytesIO(content_of(found.key))) as image:
                sheet.paste(image.convert("RGB").resize(_THUMB), (_left(column), top))
    sheet.save(path)


def _left(column: int) -> int:
    return _LABEL_WIDTH + column * (_THUMB[0] + _MARGIN)
