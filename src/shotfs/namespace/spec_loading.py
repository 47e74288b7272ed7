"""Loading: from the documents of a show to the specification in force, at the start and later.

Decides what happens when documents cannot be read: a node whose specification lives in an origin
starts with the last good copy. Reading is asynchronous; proving and compiling happen in a thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from shotfs.config import Settings
from shotfs.digest import Digest
from shotfs.errors import ConfigInvalid, Problem, ShotfsError, TierTimeout
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.namespace.documents import DocumentSet, Tiers, is_remote, read_documents, resolve
from shotfs.namespace.shows import Show, ShowSet
from shotfs.namespace.spec_cache import SpecCache
from shotfs.pathspec import Specification

log = logging.getLogger(__name__)

COPY_WAIT_S = 15.0
"""How long a start waits for an origin's documents when it has a copy of them: `shotfs mount` waits
90 s for all of the start, and an origin that answers at all answers in a fraction of this."""


class CompiledForm(Protocol):
    """The compiled form of a specification; `pathspec.compiled` is one."""

    def dump(self, spec: Specification, /) -> bytes:
        """Return the compiled form of *spec*."""
        ...

    def restore(
        self, data: bytes, /, *, documents: Mapping[str, Digest], site: str | None
    ) -> Specification | None:
        """Return the specification; None if it is of other documents, site or version."""
        ...


class SpecLoader:
    """Reads and loads the specifications of the configured shows.

    Args:
        settings: names the shows and the node's site.
        directory: relative document paths start here (where the configuration file lies).
        tiers: where documents that live in an origin are read from.
        cache: keeps copies and compiled forms; None keeps nothing.
        compiled: makes compiled forms; None makes none.
        wall_s: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        directory: str,
        tiers: Tiers,
        cache: SpecCache | None = None,
        *,
        compiled: CompiledForm | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self.tiers = tiers
        self._cache = cache
        self._compiled = compiled
        self._wall_s = wall_s
        # One after the other: proofs take memory and the GIL.
        self._thread = trio.CapacityLimiter(1)

    def location(self, show: str) -> str:
        """Return where the main document of *show* is."""
        return resolve(self._settings.shows[show].spec, self._directory)

    async def load_all(self) -> ShowSet:
        """Return all configured shows, at the start.

        Raises:
            ConfigInvalid: a document cannot be read, or there is no show at all.
            SpecInvalid: a document has mistakes.
            TierError: an origin that holds a document cannot be read, and there is no copy.
        """
        names = list(self._settings.shows)
        if not names:
            raise ConfigInvalid(
                "configuration",
                [Problem("shows", "no show is configured", 'add [shows.NAME] with spec = "FILE"')],
            )
        shows: dict[str, Show] = {}
        failures: list[ShotfsError] = []

        async def one(name: str) -> None:
            # Kept for the caller instead of raised: an exception group says less.
            try:
                shows[name] = await self._start(name)
            except ShotfsError as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(one, name)
        if failures:
            raise failures[0]
        return ShowSet({name: shows[name] for name in names})

    async def read(self, show: str) -> DocumentSet:
        """Return the documents of *show* as they are now; raises as `read_documents`."""
        return await read_documents(self.location(show), self.tiers)

    async def load(self, show: str, documents: DocumentSet) -> Show:
        """Return *show* with the specification that *documents* are; keeps a copy of good ones.

        Takes seconds for thousands of templates that were not compiled before. Cancelled, it leaves
        a thread behind that ends by itself.

        Raises:
            SpecInvalid: they have mistakes.
        """
        now_s = self._wall_s()
        spec = await self._in_thread(lambda: self._specify(show, documents, read_at_s=now_s))
        return Show(show, spec, documents.stamps, now_s)

    # --- at the start ----------------------------------------------------------------------------

    async def _start(self, name: str) -> Show:
        location = self.location(name)
        if not is_remote(location):
            show = await self.load(name, await self.read(name))
        else:
            show = await self._start_remote(name, location)
        log.info("show loaded", extra={"show": name, "spec": show.spec.source})
        return show

    async def _start_remote(self, name: str, location: str) -> Show:
        cache = self._cache
        kept = (
            None
            if cache is None
            else await trio.to_thread.run_sync(cache.last_good, name, location)
        )
        try:
            documents = await self._read_soon(name, COPY_WAIT_S if kept else float("inf"))
            return await self.load(name, documents)
        except ShotfsError as exc:
            if kept is None:
                raise
            problem = exc
        spec = await self._in_thread(lambda: self._specify(name, kept.documents, read_at_s=None))
        log.warning(
            "show %s starts with the copy of %s that was read at %s: %s",
            name,
            location,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(kept.read_at_s)),
            problem,
        )
        return Show(
            name,
            spec,
            kept.documents.stamps,
            self._wall_s(),
            copy_of_s=kept.read_at_s,
            problem=str(problem),
        )

    async def _read_soon(self, show: str, seconds: float) -> DocumentSet:
        with trio.move_on_after(seconds):
            return await self.read(show)
        raise TierTimeout(f"{self.location(show)}: could not be read within {seconds:g} s")

    # --- in the thread ---------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], Specification]) -> Specification:
        return await trio.to_thread.run_sync(work, limiter=self._thread, abandon_on_cancel=True)

    def _specify(
        self, show: str, documents: DocumentSet, *, read_at_s: float | None
    ) -> Specification:
        """Return the specification; with *read_at_s*, keep a copy of its documents."""
        with beside_the_event_loop():
            spec = self._restore(show, documents)
            if spec is None:
                spec = documents.load(show, self._settings)
                self._keep_compiled(show, documents, spec)
            if read_at_s is not None and self._cache is not None and is_remote(documents.location):
                self._cache.keep(show, documents, read_at_s=read_at_s)
            return spec

    def _restore(self, show: str, documents: DocumentSet) -> Specification | None:
        if self._cache is None or self._compiled is None:
            return None
        digests, site = documents.digests, self._settings.node.site
        data = self._cache.compiled(show, digests, site)
        if data is None:
            return None
        spec = self._compiled.restore(data, documents=digests, site=site)
        if spec is None or spec.show != show:
            log.info("the compiled specification of show %s is made anew", show)
            return None
        return spec

    def _keep_compiled(self, show: str, documents: DocumentSet, spec: Specification) -> None:
        if self._cache is None or self._compiled is None:
            return
        site = self._settings.node.site
        self._cache.keep_compiled(show, documents.digests, site, self._compiled.dump(spec))
