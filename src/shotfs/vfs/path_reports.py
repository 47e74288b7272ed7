"""Reports on paths: what one is, where its bytes are, and what it waits for.

For people who ask why a file is slow. Asks the origin what stat would ask, for a short time only:
while it does not answer, what is known here is told. Changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from shotfs.cache import Asker, Cache
from shotfs.cache.index import Pin
from shotfs.cache.inspect import LimitReport, StreamReport
from shotfs.errors import NotPermitted, ShotfsError
from shotfs.namespace import TierPool
from shotfs.pathspec import Explanation, PathKind
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool
from shotfs.tiers.base import Revision
from shotfs.tiers.breaker import Reachability
from shotfs.vfs import paths
from shotfs.vfs.askers import Askers
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled
from shotfs.vfs.path_reasons import reasons
from shotfs.vfs.waiting import Waiting, WaitTable

log = logging.getLogger(__name__)

ORIGIN_WAIT_S = 3.0
"""How long the origin may take to say what lies under a path."""

WAITING_MAX = 100
"""The most waiting operations that a report lists."""

Permission = Callable[[Attributes], bool]
"""Whether who asks has a certain permission on a directory or file."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the specification says of a path.

    Attributes:
        template: what produces it; None if no template does.
        pattern: of the template; None likewise.
        line: of the document *source* where the template is declared; None likewise.
        fields: name to text.
        tiers: URLs of its tiers, the fastest first; () likewise.
        flow, immutable: of its policy; None likewise.
        ttl_s: how long what the origin said counts; None likewise.
        note: why nothing produces it, or what to ask instead; None where nothing is to be said.
        nearest: the templates that nearly match, and why they do not.
    """

    template: str | None = None
    pattern: str | None = None
    source: str | None = None
    line: int | None = None
    fields: Mapping[str, str] | None = None
    tiers: tuple[str, ...] = ()
    flow: str | None = None
    immutable: str | None = None
    ttl_s: float | None = None
    note: str | None = None
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """A pin: why a file is not evicted.

    Attributes:
        owner: who wants it kept.
        until_s: until when, seconds since the epoch; None: until somebody unpins it.
    """

    owner: str
    until_s: float | None


@dataclass(frozen=True, slots=True)
class PathReport:
    """What a path is and where its bytes are.

    Attributes:
        path: mount-relative.
        kind: file, spool, directory, alias, missing, impossible; unknown while the origin does not
            say.
        state: of a file: cached, partial, remote; of an output: open, sealed, uploading, ...;
            retracted: it is missing because its version was taken back; None of everything else.
        meaning: what the specification says of it.
        origin: URL of the object, or of the directory; None where there is none.
        tier: where the bytes come from: cache, spool, or a tier's name; None likewise.
        version: generation or ETag of the revision; None where it is not known.
        mtime_ns: of the revision.
        size_bytes: of the whole.
        bytes_present: how many are here.
        digest: 32 hex digits; None if it is not known, or not to be told.
        digest_proven: its bytes were hashed here; else whoever wrote the object says so.
        problem: why the origin could not be asked; None: it could, or need not.
        waiting: who waits for it, the longest first.
        stream: how it comes in; None: it does not.
        readers: who has it open.
        reachability: of its origin; None where nothing is known.
        limits: what the configuration lets its origin do now; None where it has none.
        pins: who keeps it, and until when.
        retracted: that its version, or the one that it points to, was taken back, by whom, when
            and why; None: it was not.
        reasons: what all this means, in sentences.
    """

    path: str
    kind: str
    meaning: Meaning
    state: str | None = None
    origin: str | None = None
    tier: str | None = None
    version: str | None = None
    mtime_ns: int | None = None
    size_bytes: int | None = None
    bytes_present: int | None = None
    digest: str | None = None
    digest_proven: bool = False
    problem: str | None = None
    waiting: tuple[Waiting, ...] = ()
    stream: StreamReport | None = None
    readers: tuple[Asker, ...] = ()
    reachability: Reachability | None = None
    limits: LimitReport | None = None
    pins: tuple[Keep, ...] = ()
    retracted: str | None = None
    reasons: tuple[str, ...] = ()


class PathReports:
    """Answers questions about paths.

    Args:
        finder: what lies under a path.
        cache: published content.
        spool: outputs of this node.
        tiers: the origins.
        waits: operations that wait now.
        askers: who the kernel's callers are.
        pins_of: returns the pins of a revision.
    """

    def __init__(
        self,
        finder: NodeFinder,
        *,
        cache: Cache,
        spool: Spool,
        tiers: TierPool,
        waits: WaitTable,
        askers: Askers,
        pins_of: Callable[[Revision], Awaitable[Sequence[Pin]]],
    ) -> None:
        self._pins_of = pins_of
        self._waits = waits
        self._askers = askers
        self._finder = finder
        self._cache = cache
        self._spool = spool
        self._tiers = tiers

    async def why(self, path: str, *, may_search: Permission, may_read: Permission) -> PathReport:
        """Return what *path* is and what it waits for.

        Args:
            path: mount-relative.
            may_search: whether who asks may look names up in a directory.
            may_read: whether he may read a file: only then he is told its digest.

        Raises:
            NotPermitted: who asks may not search a directory above it.
        """
        self.check_way(path, may_search)
        report = await self._found(path, self._meaning(path), may_read)
        report = replace(
            report,
            waiting=tuple(await self._named(self._waits.of(path, WAITING_MAX))),
            reachability=self._reachability(path),
            retracted=await self.retracted(path),
        )
        if report.retracted is not None and report.kind == "missing":
            report = replace(report, state="retracted")
        return replace(report, reasons=tuple(reasons(report)))

    async def longest_waits(self, limit: int) -> list[Waiting]:
        """Return the *limit* operations that have waited longest, the longest first."""
        return await self._named(self._waits.longest(limit))

    async def _named(self, waiting: list[Waiting]) -> list[Waiting]:
        """Find out whose those are of which only the kernel's word is known."""
        return [
            one
            if one.caller is None
            else replace(one, asker=await self._askers.of(one.caller), caller=None)
            for one in waiting
        ]

    def _reachability(self, path: str) -> Reachability | None:
        resolution = self._finder.resolve(path)
        if resolution is None:
            return None
        tier = self._tiers.opened(resolution.template.policy.origin)
        breaker = None if tier is None else self._tiers.breakers.of(tier.name)
        return None if breaker is None else breaker.reachability

    async def _found(self, path: str, meaning: Meaning, may_read: Permission) -> PathReport:
        problem = f"its origin did not say within {ORIGIN_WAIT_S:g} s what it is"
        try:
            with trio.move_on_after(ORIGIN_WAIT_S):
                node = await self._finder.find(path)
                return await self._report(node, meaning, may_read)
        except ShotfsError as error:
            problem = str(error)
        return PathReport(path, "unknown", meaning, problem=problem)

    async def retracted(self, path: str) -> str | None:
        """Return that the version of *path*, or the one that it points to, was taken back, and why.

        None: it was not, as far as that can be found out in `ORIGIN_WAIT_S`.
        """
        try:
            with trio.move_on_after(ORIGIN_WAIT_S):
                match, where = self._finder.alias(path), ""
                if match is not None:
                    pointer = await self._finder.aliases.find(path, match)
                    if pointer is None:
                        return None
                    path = paths.join(paths.parent(path), pointer.target)
                    where = f"{path} was "
                finder = self._finder
                if not finder.seals.may_be_retracted(finder.resolve(path), finder.match(path)):
                    return None
                found = await finder.seal_of(path)
                if found is not None and found[0].retracted is not None:
                    return f"{where}{found[0].retracted}"
        except ShotfsError as error:
            log.info("not known whether it was taken back: %s", error, extra={"path": path})
        return None

    def check_way(self, path: str, may_search: Permission) -> None:
        """Refuse what stat(2) would refuse. From memory: it must not depend on an origin.

        Raises:
            NotPermitted: who asks may not search a directory above *path*.
        """
        above = ""
        for name in path.split("/")[:-1]:
            above = paths.join(above, name)
            match, made = self._finder.match(above), self._spool.get(above)
            if made is not None and made.kind is not EntryKind.DIRECTORY:
                return
            directory = Directory(above, match, made)
            if not may_search(self._finder.directory_attributes(directory)):
                raise NotPermitted(
                    f"{path}: you may not search {above}", fix="ask somebody who may"
                )

    def _meaning(self, path: str) -> Meaning:
        place = self._finder.shows.split(path)
        if not path:
            return Meaning(note="the mount itself; below it are the shows")
        if place is None:
            names = ", ".join(self._finder.shows.names)
            return Meaning(note=f"there is no such show; there are {names}")
        return _meaning_of(place[0].spec.explain(place[1]))

    async def _report(self, node: Node, meaning: Meaning, may_read: Permission) -> PathReport:
        if isinstance(node, Published):
            return await self._published(node, meaning, may_read)
        if isinstance(node, Spooled):
            return self._spooled(node, meaning, may_read)
        if isinstance(node, Alias):
            url = f"{node.match.origin.rstrip('/')}/{node.match.key}"
            return PathReport(node.path, "alias", meaning, origin=url)
        if isinstance(node, Directory):
            return PathReport(node.path, "directory", meaning, origin=_origin_of(node))
        return PathReport(node.path, _kind_of(node), meaning)

    async def _published(
        self, node: Published, meaning: Meaning, may_read: Permission
    ) -> PathReport:
        revision, policy = node.entry.revision, node.resolution.template.policy
        inspector = self._cache.inspector
        status = await self._cache.status_of(revision)
        digest, proven = await self._cache.digest_of(revision), True
        if digest is None:
            digest, proven = revision.checksums.xxh128, False
        if not may_read(self._finder.published_attributes(node)):
            digest, proven = None, False
        cached = status.state == "cached"
        return PathReport(
            node.path,
            "file",
            meaning,
            state=status.state,
            origin=f"{policy.origin.rstrip('/')}/{node.resolution.key}",
            tier="cache" if cached else self._tiers.serving(policy, revision),
            version=revision.version,
            mtime_ns=revision.mtime_ns,
            size_bytes=revision.size_bytes,
            bytes_present=status.bytes_present,
            digest=digest,
            digest_proven=proven and digest is not None,
            stream=None if cached else inspector.stream_of(revision),
            readers=inspector.readers_of(revision),
            limits=inspector.limits_of(revision.tier),
            pins=tuple(Keep(pin.owner, pin.until_s) for pin in await self._pins_of(revision)),
        )

    def _spooled(self, node: Spooled, meaning: Meaning, may_read: Permission) -> PathReport:
        entry = node.entry
        readable = may_read(self._finder.spooled_attributes(entry))
        origin = None
        if entry.kind is EntryKind.FILE and entry.terms is not None:
            origin = f"{entry.terms.origin.rstrip('/')}/{entry.terms.key}"
        return PathReport(
            node.path,
            "spool",
            meaning,
            state="scratch" if entry.scratch else entry.state.value,
            origin=origin,
            tier="spool",
            mtime_ns=entry.mtime_ns,
            size_bytes=entry.size_bytes,
            bytes_present=entry.size_bytes,
            digest=entry.digest if readable else None,
            digest_proven=readable and entry.digest is not None,
        )


def _origin_of(node: Directory) -> str | None:
    """Return where the first of its origins has what lies in a directory."""
    if node.match is None or not node.match.origins:
        return None
    rest = node.path.partition("/")[2]
    return f"{node.match.origins[0].rstrip('/')}/{rest}"


def _meaning_of(explanation: Explanation) -> Meaning:
    template = explanation.template
    if template is None:
        # Of a directory or an alias, what does not match it is no news.
        misses = explanation.misses if explanation.kind is PathKind.NONE else ()
        nearest = tuple(f"{miss.template}: {miss.reason}" for miss in misses)
        return Meaning(note=explanation.note, nearest=nearest)
    policy = template.policy
    return Meaning(
        template=template.name,
        pattern=template.pattern,
        source=explanation.template_source,
        line=explanation.template_line,
        fields={field.name: field.text for field in explanation.fields},
        tiers=policy.tiers,
        flow=policy.flow.value,
        immutable=policy.immutable.value,
        ttl_s=policy.ttl_s,
        note=explanation.note,
    )


def _kind_of(node: Missing) -> str:
    return "missing" if node.possible else "impossible"
