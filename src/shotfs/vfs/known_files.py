"""Known files: which of a thousand paths are plain files that the catalog knows, as columns.

For checks of a million paths, which need no object for each. What this says of a path is what
`NodeFinder.find` says of it; whatever might be more than a plain file (aliases, published versions,
outputs, views, scratch, overlaps), or would need a question to an origin, is left to the long way
(`prewarm_finder`). Event loop only; the catalog has a thread of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from shotfs.namespace.catalog_columns import CatalogColumns, columns_of
from shotfs.namespace.catalog_store import Row
from shotfs.namespace.tier_pool import tier_name
from shotfs.pathspec import Policy, Template
from shotfs.prewarm.finding import Found, KnownFiles
from shotfs.publish import Spool
from shotfs.tiers.base import Tier
from shotfs.tiers.columns import RevisionColumns
from shotfs.vfs.finder import NodeFinder

RealDirectory = Callable[[str], Awaitable[bool]]
"""Whether a directory is one that who asks may see, and no alias leads to it."""


class KnownSearch:
    """One search for many paths.

    Args:
        finder: what lies under a path.
        spool: what this node wrote.
        opened_reader: where the bytes of a policy's files are read, if that was opened before.
        is_real: see `RealDirectory`.
        wanted: mount-relative paths as manifests may name them, a thousand or so.
    """

    def __init__(
        self,
        finder: NodeFinder,
        spool: Spool,
        opened_reader: Callable[[Policy], Tier | None],
        is_real: RealDirectory,
        wanted: Sequence[str],
    ) -> None:
        self._finder = finder
        self._spool = spool
        self._opened_reader = opened_reader
        self._is_real = is_real
        self._wanted = wanted

    async def run(self) -> list[KnownFiles]:
        """Return the files that are known, those of each template together."""
        finder, spool = self._finder, self._spool
        if not finder.view.live:
            return []
        generation = finder.shows.generation
        places = await self._by_template()
        if not places:
            return []
        wanted = self._wanted
        asked = [wanted[place] for _, some in places for place in some]
        rows = await finder.namespace.catalog.rows(asked)
        if finder.shows.generation != generation or spool.hides_any:
            return []  # these are what another specification says; or any may be hidden
        await trio.lowlevel.checkpoint()
        found = (self._known(template, some, rows) for template, some in places)
        return [one for one in found if one is not None]

    async def _by_template(self) -> list[tuple[Template, list[int]]]:
        """Return the places of what is a plain file if it is there, by template."""
        directories: dict[str, tuple[list[int], list[str]]] = {}
        for place, path in enumerate(self._wanted):
            directory, _, name = path.rpartition("/")
            known = directories.get(directory)
            if known is None:
                known = directories[directory] = ([], [])
            known[0].append(place)
            known[1].append(name)
        found: dict[int, tuple[Template, list[int]]] = {}
        for directory, (places, names) in directories.items():
            await trio.lowlevel.checkpoint()
            for place, template in zip(
                places, await self._templates(directory, names), strict=True
            ):
                if template is None:
                    continue
                some = found.get(id(template))
                if some is None:
                    some = found[id(template)] = (template, [])
                some[1].append(place)
        return list(found.values())

    async def _templates(self, directory: str, names: list[str]) -> Sequence[Template | None]:
        nothing = [None] * len(names)
        finder, place = self._finder, self._finder.shows.split(directory)
        match = finder.match(directory)
        if place is None or match is None or match.aliases:
            return nothing
        show, rest = place
        templates_of = show.spec.templates_in(rest)
        if templates_of is None or not await self._is_real(directory):
            return nothing
        templates = templates_of(names)
        implied = set(show.spec.implied_children(rest)).intersection(names)
        if implied:
            return [
                None if name in implied else one for one, name in zip(templates, names, strict=True)
            ]
        return templates

    def _known(
        self, template: Template, places: list[int], rows: dict[str, Row]
    ) -> KnownFiles | None:
        """Return those of *template* that nothing stands before."""
        policy = template.policy
        reader = self._opened_reader(policy)
        if reader is None:
            return None
        wanted = self._wanted
        places = [place for place in places if wanted[place] in rows]
        if self._stands_before(places):
            places = [place for place in places if not self._stands_before((place,))]
        origin = tier_name(policy.origin)
        columns = columns_of([rows[wanted[place]] for place in places], origin)
        if columns is None:
            places = [place for place in places if columns_of([rows[wanted[place]]], origin)]
            columns = columns_of([rows[wanted[place]] for place in places], origin)
            if columns is None:
                return None
        trusted = self._trusted(policy, columns)
        if trusted is not None:
            columns = columns.only(trusted)
            places = [place for place, one in zip(places, trusted, strict=True) if one]
            if not places:
                return None
        return self._made(template, reader, places, columns.revisions)

    def _made(
        self, template: Template, reader: Tier, places: list[int], revisions: RevisionColumns
    ) -> KnownFiles | None:
        path = self._wanted[places[0]]
        resolution = self._finder.resolve(path)
        if resolution is None or resolution.template is not template:
            return None  # the specification was replaced
        return KnownFiles(Found(path, revisions.first(), reader, resolution), places, revisions)

    def _stands_before(self, places: Sequence[int]) -> bool:
        """Whether some of *places* may be directories, or outputs of this node."""
        wanted, spool = self._wanted, self._spool
        knows_directory = self._finder.namespace.knows_directory
        written = len(spool) > 0
        return any(
            knows_directory(wanted[place])
            or (
                written
                and (spool.get(wanted[place]) is not None or spool.has_children(wanted[place]))
            )
            for place in places
        )

    def _trusted(self, policy: Policy, columns: CatalogColumns) -> list[bool] | None:
        """Return which of *columns* count; None: all."""
        trusts, checked_s = self._finder.namespace.trusts, columns.checked_s
        settled = all(columns.settled)
        # Whatever was learned between two times that count counts, too.
        if all(trusts(policy, edge(checked_s), settled=settled) for edge in (min, max)):
            return None
        return [
            trusts(policy, at_s, settled=one)
            for at_s, one in zip(checked_s, columns.settled, strict=True)
        ]
