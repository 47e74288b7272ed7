"""Shows: which shows are mounted and which specification each of them follows."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import trio

from shotfs.config import Settings
from shotfs.errors import ConfigInvalid, ObjectNotFound, Problem
from shotfs.namespace.tier_pool import TierPool
from shotfs.pathspec import Specification, load
from shotfs.tiers.base import Span

log = logging.getLogger(__name__)

SPEC_BYTES_MAX = 16 * 1024 * 1024
"""The largest specification document that is read; `pathspec` has the same limit."""


@dataclass(frozen=True, slots=True)
class Show:
    """A show and its specification.

    Attributes:
        name: the directory's name below the mount point.
        spec: what its paths mean.
    """

    name: str
    spec: Specification


class ShowSet:
    """The shows of this mount, by name. Immutable."""

    def __init__(self, shows: Mapping[str, Show]) -> None:
        self._shows = dict(shows)

    def __iter__(self) -> Iterator[Show]:
        return iter(self._shows.values())

    def __len__(self) -> int:
        return len(self._shows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shows, sorted."""
        return tuple(sorted(self._shows))

    @property
    def origins(self) -> tuple[str, ...]:
        """Every origin URL that some template names, without repetition, in order."""
        return tuple(dict.fromkeys(url for show in self for url in show.spec.origins))

    def split(self, path: str) -> tuple[Show, str] | None:
        """Return the show of a mount-relative *path* and the rest; None for an unknown show."""
        name, _, rest = path.partition("/")
        show = self._shows.get(name)
        return None if show is None else (show, rest)


async def load_shows(settings: Settings, directory: str, tiers: TierPool) -> ShowSet:
    """Read and check the specification of every configured show.

    Args:
        settings: names the shows.
        directory: relative document paths start here (where the configuration file lies).
        tiers: where documents that live in an origin are read from.

    Raises:
        ConfigInvalid: a document cannot be read, or there is no show at all.
        SpecInvalid: a document has mistakes.
        TierError: an origin that holds a document cannot be read.
    """
    if not settings.shows:
        raise ConfigInvalid(
            "configuration",
            [Problem("shows", "no show is configured", 'add [shows.NAME] with spec = "FILE"')],
        )
    shows = {}
    for name, show in settings.shows.items():
        text, source = await _read_document(show.spec, directory, tiers)
        shows[name] = Show(name, load(text, source=source, show=name))
        log.info("show loaded", extra={"show": name, "spec": source})
    return ShowSet(shows)


async def _read_document(location: str, directory: str, tiers: TierPool) -> tuple[str, str]:
    """Return the text of the document at *location* and the name to call it by."""
    if "://" in location:
        root, _, key = location.rpartition("/")
        tier = await tiers.get(root)
        try:
            revision = await tier.stat(key)
        except ObjectNotFound as exc:
            raise _unreadable(location, "there is no such object") from exc
        if revision.size_bytes > SPEC_BYTES_MAX:
            raise _unreadable(location, f"larger than {SPEC_BYTES_MAX} bytes")
        data = bytes(await tier.read(revision, Span(0, revision.size_bytes)))
        try:
            return data.decode(), location
        except UnicodeDecodeError as exc:
            raise _unreadable(location, str(exc)) from exc
    path = os.path.join(directory, location)
    try:
        return await trio.to_thread.run_sync(_read_file, path), path
    except (OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, str(exc)) from exc


def _read_file(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(SPEC_BYTES_MAX + 1)


def _unreadable(location: str, reason: str) -> ConfigInvalid:
    return ConfigInvalid(
        location,
        [
            Problem(
                "spec",
                f"cannot read the path specification: {reason}",
                "set `spec` under [shows.NAME] to the file or URL of the JSON document",
            )
        ],
    )
