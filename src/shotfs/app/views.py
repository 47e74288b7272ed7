"""Views: builds what `--at` and `--pin` put between the mount and the origins."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from shotfs.config import Settings
from shotfs.config.moments import parse_moment
from shotfs.namespace import Namespace, ShowSet, TierPool
from shotfs.namespace.aliases import Aliases
from shotfs.namespace.catalog import Catalog, open_catalog
from shotfs.namespace.past import PastPool
from shotfs.namespace.pin_reading import read_pins
from shotfs.namespace.records import Records
from shotfs.namespace.retractions import Retractions
from shotfs.namespace.versions import Seal, Versions
from shotfs.namespace.view import (
    SteadyAliases,
    SteadyVersions,
    View,
    WithoutVersions,
    view_directory,
)
from shotfs.namespace.viewed import Lookup, ViewedNamespace
from shotfs.observe.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Past:
    """The moment that a mount shows, and what this node learned of it.

    Attributes:
        at_ns: nanoseconds since the epoch.
        directory: for what is learned.
        catalog: of the paths, apart from today's.
    """

    at_ns: int
    directory: str
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Seen:
    """What a mount shows of the origins.

    Attributes:
        view: what is pinned.
        namespace: what the origins have.
        aliases: where version aliases point.
        versions: which versions are published.
        versions_today: likewise, whatever is pinned: what is uploaded must not get into them.
        retractions: which published versions were taken back.
        retractions_today: likewise, whatever is pinned.
    """

    view: View
    namespace: Lookup
    aliases: Aliases
    versions: Versions
    versions_today: Versions
    retractions: Retractions
    retractions_today: Retractions

    async def seal_today(self, origin: str, version: str) -> Seal:
        """Return how far a version is now, for what is uploaded late.

        Raises:
            TierError: its origin could not answer.
            RecordInvalid: what says so is damaged.
        """
        seal = await self.versions_today.ask(origin, version)
        if seal.snapshot is None:
            return seal
        line = await self.retractions_today.ask(origin, version)
        return replace(seal, retracted=line) if line is not None and line.hides else seal


@asynccontextmanager
async def open_past(settings: Settings) -> AsyncIterator[Past | None]:
    """Open the catalog of the moment that `mount.at` names; None if the mount shows today.

    Raises:
        CacheError: the disk does not let us.
    """
    if settings.mount.at is None:
        yield None
        return
    at_ns = parse_moment(settings.mount.at, time.time_ns())
    directory = await view_directory(settings.cache.directory, at_ns)
    async with open_catalog(
        os.path.join(directory, "catalog"), paths_max=settings.cache.catalog_paths_max
    ) as catalog:
        yield Past(at_ns, directory, catalog)


async def see(
    settings: Settings,
    shows: ShowSet,
    tiers: TierPool,
    nursery: trio.Nursery,
    metrics: Metrics,
    live: Namespace,
    past: Past | None,
) -> Seen:
    """Return what the mount shows: today, or what the settings pin.

    Raises:
        PinInvalid: the pin file has mistakes.
        Unsupported: an origin keeps no versions, and the settings say that this is not to be.
        TierError: an origin cannot say whether it does.
    """
    pin = settings.mount.pin
    view = View(
        shows,
        at_ns=None if past is None else past.at_ns,
        without_versions=WithoutVersions(settings.mount.at_without_versions),
        pins=None if pin is None else await trio.to_thread.run_sync(read_pins, pin),
    )
    await view.learn_origins(tiers)
    records = Records(os.path.join(settings.cache.directory, "records"))
    today = Versions(tiers, nursery, records)
    back = Retractions(tiers, nursery, records)
    if past is None:
        return Seen(view, live, Aliases(tiers, nursery, records), today, today, back, back)
    then = PastPool(tiers, past.at_ns, view.is_past)
    records_then = Records(os.path.join(past.directory, "records"))
    namespace = Namespace(past.catalog, then, nursery, metrics)
    return Seen(
        view,
        ViewedNamespace(view, shows, live=live, past=namespace, tiers=tiers),
        SteadyAliases(then, nursery, records_then, at_ns=past.at_ns),
        SteadyVersions(then, nursery, records_then, past=view.is_past),
        today,
        Retractions(then, nursery, records_then, at_ns=past.at_ns),
        back,
    )
