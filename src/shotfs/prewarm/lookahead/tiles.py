"""Tiles: the other UDIMs of a texture of which one is read, as its directory lists them."""

from __future__ import annotations

from collections import OrderedDict

import trio

from shotfs.errors import ShotfsError
from shotfs.prewarm.finding import Finder

TILES_MAX = 128
"""Tiles of one set that are expected where no template says how many."""

SETS_MAX = 512
SET_TILES_MAX = 2_000
LISTED_S = 60.0
"""How long a listing is believed."""

Place = tuple[str, str]
"""What stands before and behind the tile in a name."""


class TileSets:
    """Which tiles there are. Event loop only.

    Args:
        finder: lists directories.
    """

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._opened: OrderedDict[tuple[str, Place], str] = OrderedDict()
        self._listed: OrderedDict[tuple[str, Place], tuple[float, list[str]]] = OrderedDict()

    def opened_again(self, path: str, place: Place) -> bool:
        """Note that *path* was opened; whether another tile of its set was before."""
        directory, _, name = path.rpartition("/")
        first = self._opened.setdefault((directory, place), name)
        if len(self._opened) > SETS_MAX:
            self._opened.popitem(last=False)
        return first != name

    async def others(self, path: str, place: Place) -> list[str]:
        """Return the paths of the other tiles: those behind *path*, then those before it.

        [] where they cannot be listed.
        """
        directory, _, name = path.rpartition("/")
        names = await self._names(directory, place)
        at = names.index(name) if name in names else -1
        return [f"{directory}/{one}" for one in (*names[at + 1 :], *names[: max(at, 0)])]

    async def _names(self, directory: str, place: Place) -> list[str]:
        key = (directory, place)
        listed_s, names = self._listed.get(key, (float("-inf"), []))
        if trio.current_time() - listed_s < LISTED_S:
            return names
        before, behind = place
        try:
            there = await self._finder.names(directory)
        except ShotfsError:
            there = []  # also remembered: an origin that is gone is not asked for each tile
        names = [
            one
            for one in there
            if one.startswith(before)
            and one.endswith(behind)
            and len(before) + len(behind) < len(one)
        ]
        # u2_v1 comes before u10_v1.
        names = sorted(names, key=lambda one: (len(one), one))[:SET_TILES_MAX]
        self._listed[key] = (trio.current_time(), names)
        if len(self._listed) > SETS_MAX:
            self._listed.popitem(last=False)
        return names
