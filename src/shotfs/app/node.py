"""Node: everything below the mount, built in the order in which it depends on each other.

What must travel upward (a corrupt revision, a publication) is a callable given to a constructor.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from shotfs.app.hooks import Hooks
from shotfs.app.recording import NodeRecording
from shotfs.app.recovery import recover_paths
from shotfs.app.views import open_past, see
from shotfs.cache import Cache, open_cache
from shotfs.cache.scheduling import limits_of
from shotfs.config import Loaded, Settings
from shotfs.errors import ShotfsError, TierUnavailable
from shotfs.namespace import Namespace, ShowSet, SpecLoader, TierPool
from shotfs.namespace.catalog import open_catalog
from shotfs.namespace.kept_listings import open_kept_listings
from shotfs.namespace.spec_cache import SpecCache
from shotfs.namespace.tier_pool import tier_name
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification, compiled
from shotfs.prewarm.lookahead import LookAhead
from shotfs.prewarm.watching import OpenWatch
from shotfs.publish import Publisher, Spool, SpoolEntry, open_spool
from shotfs.tiers.base import Revision, Tier
from shotfs.vfs import FileSystem
from shotfs.vfs.attributes import spool_identity
from shotfs.vfs.job_watch import JobWatch

log = logging.getLogger(__name__)

ORIGIN_CHECK_S = 10.0
"""How long the start waits for an origin to answer before it goes on without."""

CORRUPT_REVISIONS_MAX = 1_000
"""Corrupt revisions whose pages wait to be dropped."""


@dataclass(frozen=True, slots=True)
class Node:
    """The running parts of this node.

    Attributes:
        loaded: the configuration.
        metrics: what is counted.
        shows: what is mounted.
        loader: where its specifications come from.
        tiers: the origins.
        cache: published content.
        spool: outputs.
        publisher: takes them to the origin.
        filesystem: what the mount serves.
        corrupt: revisions whose bytes were wrong after some may have been read.
        recording: learns from what jobs open.
        lookahead: fetches what they open next.
    """

    loaded: Loaded
    metrics: Metrics
    shows: ShowSet
    loader: SpecLoader
    tiers: TierPool
    cache: Cache
    spool: Spool
    publisher: Publisher
    filesystem: FileSystem
    corrupt: trio.MemoryReceiveChannel[Revision]
    recording: NodeRecording
    lookahead: LookAhead

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings


@asynccontextmanager
async def open_node(loaded: Loaded, metrics: Metrics, *, read_only: bool) -> AsyncIterator[Node]:
    """Build the node for the block, and take it down again in the opposite order.

    Raises:
        ShotfsError: whatever keeps it from starting; nothing is left behind.
    """
    settings = loaded.settings
    corrupt_in, corrupt_out = trio.open_memory_channel[Revision](CORRUPT_REVISIONS_MAX)
    tiers = TierPool(settings, metrics)

    def corrupt(revision: Revision) -> None:
        tiers.distrust(revision)
        _offer(corrupt_in, revision)

    hooks = Hooks(settings.hooks, settings.node.name, metrics)
    try:
        async with (
            open_cache(
                settings.cache,
                settings.network,
                metrics,
                deadline_s=settings.mount.request_deadline_s,
                on_corrupt=corrupt,
                # The tier is not to blame.
                on_damaged=partial(_offer, corrupt_in),
                limits_of=partial(limits_of, settings),
            ) as cache,
            open_catalog(
                os.path.join(settings.cache.directory, "catalog"),
                paths_max=settings.cache.catalog_paths_max,
            ) as catalog,
            open_past(settings) as past,
            open_spool(settings.spool, spool_directory(settings), metrics, hooks.tell) as spool,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(tiers.breakers.run)
            nursery.start_soon(hooks.run)
            loader = SpecLoader(
                settings,
                os.path.dirname(loaded.path or ""),
                tiers,
                SpecCache(os.path.join(settings.cache.directory, "specs")),
                compiled=compiled,
            )
            shows = await loader.load_all()
            await check_origins([show.spec for show in shows], tiers)
            kept = open_kept_listings(settings.cache.directory)
            nursery.start_soon(kept.run)
            namespace = Namespace(catalog, tiers, nursery, metrics, kept=kept)

            seen = await see(settings, shows, tiers, nursery, metrics, namespace, past)

            async def published(entry: SpoolEntry, revision: Revision) -> None:
                identity = spool_identity(spool.identity, entry.serial)
                seen.namespace.published(entry.path, revision, identity=identity)

            def conflict(entry: SpoolEntry) -> None:
                # The path belongs to whoever published first: ask the origin who that is.
                seen.namespace.removed(entry.path)

            publisher = Publisher(
                spool,
                tiers.get,
                cache.adopt,
                published,
                settings.network,
                metrics,
                conflict=conflict,
                removed=seen.namespace.removed,
                seal_of=seen.seal_today,
                scratch_ttl_s=settings.spool.scratch_ttl_s,
                turn=cache.uploads.turn,
                emergency=settings.spool.emergency,
                node=settings.node.name,
                gone=lambda url: tiers.breakers.refuses(tier_name(url)),
            )
            recording = NodeRecording(settings, shows, tiers, cache, metrics, read_only=read_only)
            lookahead = LookAhead(settings, shows, cache, metrics)
            watches: tuple[OpenWatch, ...] = (*recording.watches, lookahead)
            filesystem = FileSystem(
                settings,
                shows,
                namespace=seen.namespace,
                aliases=seen.aliases,
                versions=seen.versions,
                retractions=seen.retractions,
                view=seen.view,
                cache=cache,
                spool=spool,
                publisher=publisher,
                tiers=tiers,
                metrics=metrics,
                nursery=nursery,
                read_only=read_only,
                watches=watches,
            )
            nursery.start_soon(check_emergency, settings.spool.emergency, shows.origins, tiers)
            nursery.start_soon(publisher.run)
            nursery.start_soon(spool.watch_lent)
            nursery.start_soon(JobWatch(publisher.jobs, settings.node.job_variables).run)
            nursery.start_soon(recover_paths, cache, catalog, shows)
            nursery.start_soon(recording.run)
            nursery.start_soon(lookahead.run, filesystem.prewarm_finder, recording.recordings)
            yield Node(
                loaded,
                metrics,
                shows,
                loader,
                tiers,
                cache,
                spool,
                publisher,
                filesystem,
                corrupt_out,
                recording,
                lookahead,
            )
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await tiers.aclose()


def spool_directory(settings: Settings) -> str:
    """Return where the spool is: its own directory, or one below the cache's."""
    return settings.spool.directory or os.path.join(settings.cache.directory, "spool")


def _offer(channel: trio.MemorySendChannel[Revision], revision: Revision) -> None:
    try:
        channel.send_nowait(revision)
    except trio.WouldBlock:
        log.warning("pages of a corrupt file stay in memory", extra={"key": revision.key})
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        # The mount is gone and its pages with it; the cache finishes what it had begun.
        log.info("no mount to drop the pages of a corrupt file", extra={"key": revision.key})


async def check_origins(specs: Iterable[Specification], tiers: TierPool) -> None:
    """Ask every root that *specs* name whether it works.

    Raises:
        ShotfsError: an origin needs a person to mend it. One that is only away is logged, and so is
            a faster tier, whatever is wrong with it.
    """
    origins: dict[str, None] = {}
    nears: dict[str, None] = {}
    for spec in specs:
        records = dict.fromkeys(one.policy.origin for one in spec.templates.values())
        origins |= records
        nears |= dict.fromkeys(url for url in spec.origins if url not in records)
    problems: list[ShotfsError] = []

    async def check_origin(url: str) -> None:
        # Kept for the caller instead of raised: an exception group says less.
        answered = True
        try:
            answered = await _check(await tiers.get(url), url)
        except TierUnavailable as exc:
            answered = False
            log.warning("origin unreachable; what is cached still works: %s", exc)
        except ShotfsError as exc:
            problems.append(exc)
        if not answered:
            # So that the first jobs do not find out one by one.
            tiers.breakers.doubt(tier_name(url))

    async def check_near(url: str) -> None:
        near = await tiers.near(url)
        if near is None:
            return
        try:
            await _check(near.tier, url)
        except ShotfsError as exc:
            log.warning("faster tier %s does not work; its origins serve: %s", url, exc)

    async with trio.open_nursery() as nursery:
        for url in origins:
            nursery.start_soon(check_origin, url)
        for url in nears:
            nursery.start_soon(check_near, url)
    if problems:
        raise problems[0]


async def check_emergency(url: str | None, origins: Iterable[str], tiers: TierPool) -> None:
    """Log what is wrong with the emergency place *url*, now and not when it is needed."""
    if url is None:
        return
    for origin in origins:
        if f"{url}/".startswith(f"{origin.rstrip('/')}/"):
            log.warning("spool.emergency lies in %s: its copies are paths of the show", origin)
    try:
        await _check(await tiers.get(url), url)
    except ShotfsError as exc:
        log.warning("the emergency place %s does not work: %s", url, exc)


async def _check(tier: Tier, url: str) -> bool:
    """Ask *tier* whether it works; False if it does not answer.

    Raises:
        ShotfsError: it does not work.
    """
    with trio.move_on_after(ORIGIN_CHECK_S) as scope:
        await tier.check()
    if scope.cancelled_caught:
        log.warning("%s does not answer; what is cached still works", url)
    return not scope.cancelled_caught
