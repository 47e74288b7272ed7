"""Checking pin files: what became of each pinned file in its origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import trio

from shotfs.config import Settings
from shotfs.errors import ObjectNotFound, RevisionChanged, ShotfsError
from shotfs.namespace.listing import list_origin
from shotfs.namespace.pinning import with_tiers
from shotfs.namespace.pins import Pins
from shotfs.namespace.tier_pool import TierPool, TierSource
from shotfs.tiers.base import Revision, Span

READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one pinned file.

    Attributes:
        path: relative to the show.
        state: ``same``: it is what its origin has now; ``kept``: it was replaced or deleted, and
            can still be read; ``gone``: it cannot be read any more.
        reason: why it is gone; "" otherwise.
    """

    path: str
    state: str
    reason: str = ""


async def verify(pins: Pins, tiers: TierSource, tell: Callable[[Verdict], None]) -> None:
    """Tell what became of each pinned file, a directory after the other.

    One request for each directory, and one more for each file that was replaced or deleted.

    Raises:
        TierError: an origin could not answer.
    """
    for directory, files in _by_directory(pins):
        now: dict[str, Mapping[str, Revision]] = {}
        for url in dict.fromkeys(revision.tier for _, revision in files):
            now[url] = (await list_origin(await tiers.get(url), url, directory)).objects
        old = []
        for path, pinned in files:
            today = now[pinned.tier].get(path.rpartition("/")[2])
            if today is not None and today.identity == pinned.identity:
                tell(Verdict(path, "same"))
            else:
                old.append((path, pinned))
        for start in range(0, len(old), READS_AT_ONCE):
            for verdict in await _probe(tiers, old[start : start + READS_AT_ONCE]):
                tell(verdict)


def _by_directory(pins: Pins) -> Iterable[tuple[str, list[tuple[str, Revision]]]]:
    here: list[tuple[str, Revision]] = []
    current = None
    for path in pins.files:
        directory = path.rpartition("/")[0]
        if here and directory != current:
            yield current or "", here
            here = []
        current = directory
        revision = pins.files.find(path)
        assert revision is not None
        here.append((path, revision))
    if here:
        yield current or "", here


async def _probe(tiers: TierSource, some: Sequence[tuple[str, Revision]]) -> list[Verdict]:
    found: dict[str, Verdict] = {}
    problems: list[ShotfsError] = []

    async def one(path: str, revision: Revision) -> None:
        # Problems are kept for the caller instead of raised: an exception group says less.
        try:
            tier = await tiers.get(revision.tier)
            await tier.read(revision, Span(0, min(1, revision.size_bytes)))
            found[path] = Verdict(path, "kept")
        except (ObjectNotFound, RevisionChanged) as exc:
            found[path] = Verdict(path, "gone", exc.message)
        except ShotfsError as exc:
            problems.append(exc)

    async with trio.open_nursery() as nursery:
        for path, revision in some:
            nursery.start_soon(one, path, revision)
    if problems:
        raise problems[0]
    return [found[path] for path, _ in some]


def verify_blocking(pins: Pins, settings: Settings, tell: Callable[[Verdict], None]) -> None:
    """As `verify`: opens what it needs and closes it again."""

    async def run(tiers: TierPool) -> None:
        await verify(pins, tiers, tell)

    with_tiers(settings, run)
