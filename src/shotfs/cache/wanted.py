"""Which blocks of a stream are fetched next. Pure.

Three wishes, in this order: what readers are blocked on, what their access patterns (or fetches of
parts) promise, the rest of the file. A wish names blocks whether they are here or not; only what is
missing is fetched, and each block once, because whoever fetches it claims it in the `BlockMap`. A
wish belongs to whoever has it and goes with him.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.cache.asker import Asker
from shotfs.cache.blocks import BlockMap, Run
from shotfs.cache.scheduling import FetchClass


@dataclass(slots=True)
class _Demand:
    asker: Asker
    owners: set[object] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Need:
    """Blocks that are missing, and why they are wanted."""

    run: Run
    fetch_class: FetchClass
    asker: Asker


class Wanted:
    """The wishes of all readers of one stream.

    Attributes:
        position: the block from where on the rest is fetched, wrapping at the end.
    """

    __slots__ = ("_ahead", "_blocks", "_demands", "_fillers", "position")

    def __init__(self, blocks: BlockMap) -> None:
        self._blocks = blocks
        self._demands: dict[Run, _Demand] = {}
        self._ahead: dict[object, list[Need]] = {}
        self._fillers: dict[object, tuple[FetchClass, Asker]] = {}
        self.position = 0

    def demand(self, run: Run, owner: object, asker: Asker) -> None:
        """*owner* blocks on *run*: it goes before all that is wanted later."""
        self._demands.setdefault(run, _Demand(asker)).owners.add(owner)

    def ahead(
        self,
        runs: list[Run],
        owner: object,
        asker: Asker,
        fetch_class: FetchClass = FetchClass.LOOKAHEAD,
    ) -> None:
        """*owner* will read *runs* next, in this order, besides what he said before."""
        wishes = [one for one in self._ahead.get(owner, ()) if self._blocks.misses(one.run)]
        said = {one.run for one in wishes}
        wishes += [Need(run, fetch_class, asker) for run in runs if run not in said]
        self._ahead[owner] = wishes

    def fill(self, fetch_class: FetchClass, owner: object, asker: Asker) -> None:
        """*owner* wants the whole."""
        self._fillers[owner] = fetch_class, asker

    def fills(self, owner: object) -> bool:
        """Whether *owner* wants the whole."""
        return owner in self._fillers

    @property
    def fill_class(self) -> FetchClass | None:
        """The class at which the rest is fetched; None: it is not."""
        return min((one for one, _ in self._fillers.values()), default=None)

    def gone(self, owner: object) -> None:
        """*owner* wants nothing any more."""
        self._ahead.pop(owner, None)
        self._fillers.pop(owner, None)

    def demand_ended(self, run: Run, owner: object) -> None:
        """*owner* blocks on *run* no more, if he did."""
        found = self._demands.get(run)
        if found is not None:
            found.owners.discard(owner)
            if not found.owners:
                del self._demands[run]

    def failed(self, run: Run, *, demand: bool = True) -> None:
        """Who blocks on what touches *run* was told that it failed, if *demand*; nothing is fetched
        any more but for others who block.
        """
        for one in tuple(self._demands) if demand else ():
            if one.first < run.stop and run.first < one.stop:
                del self._demands[one]
        self._ahead.clear()
        self._fillers.clear()

    def demands(self, blocks_max: int) -> Iterator[Need]:
        """Yield what readers are blocked on, first come first, in requests of *blocks_max*."""
        for run, demand in self._demands.items():
            for missing in self._missing(run, blocks_max):
                yield Need(missing, FetchClass.DEMAND, demand.asker)

    def rest(self, blocks_max: int) -> Iterator[Need]:
        """Yield what nobody is blocked on, in requests of at most *blocks_max*."""
        wishes = [one for said in self._ahead.values() for one in said]
        if self._fillers:
            fetch_class, asker = min(self._fillers.values(), key=lambda one: one[0])
            rest = (Run(self.position, self._blocks.count), Run(0, self.position))
            wishes += [Need(part, fetch_class, asker) for part in rest]
        for wish in sorted(wishes, key=lambda one: one.fetch_class):
            for missing in self._missing(wish.run, blocks_max):
                yield Need(missing, wish.fetch_class, wish.asker)

    def _missing(self, run: Run, blocks_max: int) -> Iterator[Run]:
        first = run.first
        while missing := self._blocks.missing(Run(first, run.stop), blocks_max):
            yield missing
            first = missing.stop
