"""Shows: which shows are mounted and which specification each of them follows now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shotfs.pathspec import Specification


@dataclass(frozen=True, slots=True)
class Show:
    """A show and its specification.

    Attributes:
        name: the directory's name below the mount point.
        spec: what its paths mean.
        stamps: of the documents by location, when they were read (`DocumentSet.stamps`).
        loaded_at_s: when the specification came into force, seconds since the epoch.
        copy_of_s: when the documents were read whose kept copy this is, because they could not be
            read again; None: they were.
        problem: why they could not; None: they could.
    """

    name: str
    spec: Specification
    stamps: Mapping[str, str] = field(default_factory=dict)
    loaded_at_s: float = 0.0
    copy_of_s: float | None = None
    problem: str | None = None


class ShowSet:
    """The shows of this mount, by name. Which they are never changes; each can be replaced.

    Attributes:
        generation: how many were replaced. An answer that began under another generation may speak
            of a specification that is not in force any more. Event loop only.
    """

    def __init__(self, shows: Mapping[str, Show]) -> None:
        self._shows = dict(shows)
        self.generation = 0

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
        """Every root URL that some template names, without repetition, in order."""
        return tuple(dict.fromkeys(url for show in self for url in show.spec.origins))

    def get(self, name: str) -> Show | None:
        """Return the show *name*."""
        return self._shows.get(name)

    def digest_of(self, name: str) -> str:
        """Return the digest of the specification in force for the show *name*; "" without one."""
        show = self._shows.get(name)
        return "" if show is None else show.spec.digest

    def replace(self, show: Show) -> None:
        """Put *show* in the place of the one of the same name: from now on everybody sees it.

        Raises:
            KeyError: there is no such show; shows are not added while a mount runs.
        """
        self.renew(show)
        self.generation += 1

    def renew(self, show: Show) -> None:
        """As `replace`, where the specification is the same: no answer becomes wrong."""
        if show.name not in self._shows:
            raise KeyError(show.name)
        self._shows[show.name] = show

    def split(self, path: str) -> tuple[Show, str] | None:
        """Return the show of a mount-relative *path* and the rest; None for an unknown show."""
        name, _, rest = path.partition("/")
        show = self._shows.get(name)
        return None if show is None else (show, rest)
