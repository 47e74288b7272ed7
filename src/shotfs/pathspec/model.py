"""What a path specification says, as plain values.

Nothing here parses or decides: `loader` makes these values, `specification` hands them out, and
every layer above reads them. All are immutable and shared between answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Flow(StrEnum):
    """Which way content moves: from the origin to jobs, from jobs to the origin, or both."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"

    @property
    def writable(self) -> bool:
        """Whether jobs may create files under such a template."""
        return self is not Flow.IN


class Immutable(StrEnum):
    """When a path's bytes stop changing for ever."""

    NEVER = "never"
    ON_CLOSE = "on-close"


class Durability(StrEnum):
    """Where an output is safe when close() has returned 0 (promise S4)."""

    NODE = "node"
    ORIGIN = "origin"


class Rewrite(StrEnum):
    """What happens when a finished file is renamed onto a published immutable path (S2)."""

    REFUSE = "refuse"
    COMPARE = "compare"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a template says about its files.

    Attributes:
        origin: root URL of the tier of record, without a trailing slash.
        durability: None leaves it to the node's configuration.
        ttl_s: how long a known revision of a mutable path is trusted, in seconds.
        negative_ttl_s: how long a missing path is remembered as missing, in seconds.
        mode: permission bits of files; `directory_mode` those of directories.
        uid: owner of the files; None is the user that the service runs as.
        gid: group of the files; None is the group that the service runs as.
        owner_caller: files belong to whoever creates them; `uid` and `gid` are then not used.
        scratch: fnmatch patterns of names that are never published.
        grace_s: how long after the last close a file may still be opened and changed, in seconds.
        priority: what moves first; higher goes first, 0 is ordinary.
    """

    origin: str
    flow: Flow
    immutable: Immutable
    durability: Durability | None
    rewrite: Rewrite
    ttl_s: float
    negative_ttl_s: float
    mode: int
    directory_mode: int
    uid: int | None
    gid: int | None
    owner_caller: bool
    scratch: tuple[str, ...]
    grace_s: float
    priority: int


@dataclass(frozen=True, slots=True)
class Template:
    """One path pattern with its policy.

    Attributes:
        name: its key in the document.
        pattern: the text as written, relative to the show's directory.
        usage: what these files are for, in the words of the pipeline engineer; may be empty.
    """

    name: str
    pattern: str
    usage: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the specification says of one path that a template can produce.

    Attributes:
        template: the template that produces it.
        fields: raw text of each field, compounds and their parts alike. Of a scratch name: the
            fields of its directory only.
        key: the origin key below `template.policy.origin`.
        scratch: a scratch name beside the template's files; never published.
    """

    template: Template
    fields: Mapping[str, str]
    key: str
    scratch: bool


@dataclass(frozen=True, slots=True)
class DirectoryMatch:
    """What the specification says of one directory.

    Where several templates lie below, each attribute is the most cautious of theirs.

    Attributes:
        implied: it exists without any object in it (literal parts and enumerations only).
        origins: roots that may hold objects below it, in the order of the document.
        writable: some template below has flow out or inout.
        mode: permission bits that all templates below allow.
        uid: the owner that all templates below agree on, or None.
        gid: the group that all templates below agree on, or None.
        owner_caller: all templates below say so.
        ttl_s: the shortest below, in seconds.
        negative_ttl_s: the shortest below, in seconds.
    """

    implied: bool
    origins: tuple[str, ...]
    writable: bool
    mode: int
    uid: int | None
    gid: int | None
    owner_caller: bool
    ttl_s: float
    negative_ttl_s: float
