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
    """When a path's bytes stop changing for ever.

    ON_VERSION_PUBLISH: when somebody publishes the version directory that the path lies in; until
    then the path behaves as NEVER.
    """

    NEVER = "never"
    ON_CLOSE = "on-close"
    ON_VERSION_PUBLISH = "on-version-publish"


class Durability(StrEnum):
    """Where an output is safe when close() has returned 0 (promise S4)."""

    NODE = "node"
    ORIGIN = "origin"


class Rewrite(StrEnum):
    """What happens when a finished file is renamed onto a published immutable path (S2)."""

    REFUSE = "refuse"
    COMPARE = "compare"


class SealOn(StrEnum):
    """When an output counts as finished, and may be published.

    CLOSE: when its last writer has closed it, and the grace is over. RENAME: when it was also
    renamed to its name, from a scratch name or another one. JOB_END: when its job has ended, too.
    """

    CLOSE = "on-close"
    RENAME = "on-rename"
    JOB_END = "on-job-end"


class Retract(StrEnum):
    """Who may take a published version back (`shotfs version retract`).

    NEVER: nobody; nodes then need not ask whether somebody did. ADMIN: who may change the service.
    PUBLISHER: also whoever published it.
    """

    NEVER = "never"
    ADMIN = "admin"
    PUBLISHER = "publisher"


class Fill(StrEnum):
    """Whether the rest of a file is fetched too, when a part of it was read.

    AUTO: of small files always, of large ones if they are read from end to end. RANGES: only what
    is read, and what comes next.
    """

    AUTO = "auto"
    WHOLE = "whole"
    RANGES = "ranges"


@dataclass(frozen=True, slots=True)
class Lookahead:
    """What a job that opens one file of a template will most likely open next.

    Attributes:
        frames: how many following frames; 0 for none, None for what is learned of the job.
        udims: how many following tiles, in the order of their numbers; 0 and None likewise.
    """

    frames: int | None = None
    udims: int | None = None

    @property
    def off(self) -> bool:
        """Whether nothing of the template is ever fetched because of what is opened."""
        return self.frames == 0 and self.udims == 0


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files are worth keeping. None means: no limit.

    Attributes:
        days: after their last change.
        versions: the newest ones of each version field's siblings.
    """

    days: float | None = None
    versions: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a template says about its files.

    Attributes:
        origin: root URL of the tier of record, without a trailing slash.
        tiers: root URLs from which bytes may be read, the first that has them wins; the last is
            the origin. Existence, size and mtime always come from the origin (S16).
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
        prewarm: what to fetch ahead when a file is opened.
        retention: how long files are worth keeping.
        stale_if_error_s: how long beyond `ttl_s` what is known of a mutable path may still be shown
            while its origin cannot be reached, in seconds.
        fill: whether the rest of a file is fetched when a part of it was read.
        seal: what an output waits for before it is published, besides its last close.
        retract: who may take back the published version that a file lies in.
    """

    origin: str
    tiers: tuple[str, ...]
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
    prewarm: Lookahead = Lookahead()
    retention: Retention = Retention()
    stale_if_error_s: float = 0.0
    fill: Fill = Fill.AUTO
    seal: SealOn = SealOn.CLOSE
    retract: Retract = Retract.NEVER

    @property
    def settles(self) -> bool:
        """Whether the template's files stop changing some day."""
        return self.immutable is not Immutable.NEVER


@dataclass(frozen=True, slots=True)
class Template:
    """One path pattern with its policy.

    Attributes:
        name: its key in the document; "unmatched" for paths outside all others, where the
            document lets them pass.
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
        version_depth: how many of the path's elements name the version directory that it lies in,
            where that is published as a whole (`Immutable.ON_VERSION_PUBLISH`); else None. Holds
            for every template with files in such a directory.
    """

    template: Template
    fields: Mapping[str, str]
    key: str
    scratch: bool
    version_depth: int | None = None


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
        version_depth: as `Resolution.version_depth`; the path itself may be the version directory.
        aliases: version aliases may lie directly in it.
        immutable: when the files below stop changing; every way that some template below has.
        retract: who may take back the published version that it is or lies in.
        holds_retractable: version directories that can be taken back may lie directly in it.
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
    version_depth: int | None = None
    aliases: bool = False
    immutable: frozenset[Immutable] = frozenset(Immutable)
    retract: Retract = Retract.NEVER
    holds_retractable: bool = False


@dataclass(frozen=True, slots=True)
class AliasMatch:
    """What the specification says of one path that names a version by an alias.

    The path is a symbolic link beside the versions; where it points is an object in the origin.

    Attributes:
        alias: the alias's name, like ``latest``.
        usage: what it is for; may be empty.
        follows_publish: it moves by itself when a version is published.
        field: the version field whose place it takes.
        origin: root URL of the tier that holds its object.
        key: of that object, below `RESERVED`.
        before, after: text of the path's last element around the version.
        directory: the versions are directories; otherwise files.
        writable: some template of these versions has flow out or inout.
        ttl_s: how long a known target is trusted, in seconds.
        negative_ttl_s: how long it is remembered that the alias points nowhere, in seconds.
    """

    alias: str
    usage: str
    follows_publish: bool
    field: str
    origin: str
    key: str
    before: str
    after: str
    directory: bool
    writable: bool
    ttl_s: float
    negative_ttl_s: float

    def target(self, version: str) -> str:
        """Return the name of the sibling that *version* has: what the link reads."""
        return f"{self.before}{version}{self.after}"


RESERVED = ".shotfs"
"""The directory at the top of each origin that holds what shotfs itself keeps there: aliases
(``.shotfs/aliases/PATH.json``), version manifests (``.shotfs/versions/PATH.json``) and what was
taken back of them (``.shotfs/retracted/PATH.json``). No template produces a path in it, and no
listing shows it."""
