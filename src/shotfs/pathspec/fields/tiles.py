"""`udim`: texture tiles, as UDIM numbers (1001) or by their column and row (``u1_v1``)."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import Field, FieldValue, Heading, NoText, Tile
from shotfs.pathspec.fields.numbers import padded
from shotfs.pathspec.regex import Chars, Regex, Sequence
from shotfs.pathspec.section import Section

FIRST_UDIM = 1001
LAST_UDIM = 9999
STYLES = ("udim", "uvtile", "uv0")
UDIM_COLUMNS = 10
UDIM_ROWS = 899
"""Whole rows of tiles whose numbers have four digits."""
UV_TILES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Udims:
    """UDIM numbers: 1001 is the tile (0, 0), and each row has *columns* of its ten tiles."""

    def parse(self, text: str) -> int:
        """Return the number of the tile."""
        return int(text)

    def format(self, value: FieldValue) -> str:
        """Return the text of a number or of a `Tile`."""
        if isinstance(value, Tile):
            number = value.udim
            if number is None or value.u < 0 or value.v < 0:
                raise NoText("that tile has no UDIM number")
        elif isinstance(value, int):
            number = value
        else:
            raise NoText("it is no tile")
        if not FIRST_UDIM <= number <= LAST_UDIM:
            raise NoText(f"UDIM numbers go from {FIRST_UDIM} to {LAST_UDIM}")
        return str(number)


@dataclass(frozen=True, slots=True)
class UvTiles:
    """Tiles by column and row, counted from *first* in the text and from 0 in the value."""

    first: int

    def parse(self, text: str) -> Tile:
        """Return the tile."""
        column, row = text[1:].split("_v")
        return Tile(int(column) - self.first, int(row) - self.first)

    def format(self, value: FieldValue) -> str:
        """Return the text of a `Tile` or of a UDIM number."""
        if isinstance(value, int):
            if not FIRST_UDIM <= value <= LAST_UDIM:
                raise NoText(f"UDIM numbers go from {FIRST_UDIM} to {LAST_UDIM}")
            row, column = divmod(value - FIRST_UDIM, UDIM_COLUMNS)
            value = Tile(column, row)
        if not isinstance(value, Tile):
            raise NoText("it is no tile")
        if not (0 <= value.u < UV_TILES_MAX and 0 <= value.v < UV_TILES_MAX):
            raise NoText(f"columns and rows go from 0 to {UV_TILES_MAX - 1}")
        return f"u{value.u + self.first}_v{value.v + self.first}"


def udim_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `udim`, or None when it has mistakes."""
    style = section.word("style", STYLES) or STYLES[0]
    tiles = _tiles(section, style)
    if tiles is None:
        return None
    columns, rows = tiles
    if style == "udim":
        limits = "" if "tiles" not in section else f" in {columns} columns and {rows} rows"
        return heading.field(
            f"a UDIM tile from {FIRST_UDIM}{limits}",
            _udims(columns, rows) if "tiles" in section else padded(4, FIRST_UDIM, LAST_UDIM),
            Udims(),
        )
    first = 1 if style == "uvtile" else 0
    shape = Sequence(
        (
            regex.chars("u"),
            padded(1, first, first + columns - 1),
            regex.literal("_v"),
            padded(1, first, first + rows - 1),
        )
    )
    last = f"u{first + columns - 1}_v{first + rows - 1}"
    return heading.field(f"a tile from u{first}_v{first} to {last}", shape, UvTiles(first))


def _tiles(section: Section, style: str) -> tuple[int, int] | None:
    """Return how many columns and rows there may be."""
    if "tiles" not in section:
        return UDIM_COLUMNS, UDIM_ROWS
    limits = section.section("tiles")
    if limits is None:
        return None
    limits.only(("u", "v"))
    whole = style == "udim"
    columns = limits.integer("u", 1, UDIM_COLUMNS if whole else UV_TILES_MAX)
    rows = limits.integer("v", 1, UDIM_ROWS if whole else UV_TILES_MAX)
    return columns or UDIM_COLUMNS, rows or UDIM_ROWS


def _udims(columns: int, rows: int) -> Regex:
    if columns == UDIM_COLUMNS:
        return padded(4, FIRST_UDIM, FIRST_UDIM + 10 * rows - 1)
    # 1001 + u + 10 v with u below 9: the last digit is u + 1, the others count the rows.
    last = Chars(((ord("1"), ord("0") + columns),))
    return Sequence((padded(3, 100, 100 + rows - 1), last))
