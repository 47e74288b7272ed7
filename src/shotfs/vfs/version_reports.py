"""Reports on versions: what one is, which comes next, whether its origin still is what it says."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import trio

from shotfs.errors import InvalidArgument, NoTemplate
from shotfs.namespace import TierPool
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.namespace.retraction_document import DIRECTORY as RETRACTED
from shotfs.namespace.retraction_document import Retraction, Standing
from shotfs.namespace.shows import Show
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.namespace.versions import Seal, SealState
from shotfs.pathspec import Specification
from shotfs.pathspec.fields.versions import RANDOMNESS_BYTES, next_version
from shotfs.pathspec.places import VersionPlace, version_place
from shotfs.publish import Spool
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.version_targets import VersionTarget, target_of

NAMED_MAX = 1_000
"""Files that a report names; their number is always told."""

UNFINISHED_MAX = 20
"""Versions that the status names because they are half deleted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a published version.

    Attributes:
        path: mount-relative.
        by, at: who published it, and when.
        files: in its manifest.
        intact: the origin has exactly these files, as they were.
        manifest: "intact", or what is wrong with the manifest's own object.
        missing, changed, extra: how many files are gone, are other revisions, or were not in it.
        named: the first of them: (what, path within the version).
        retracted: that it was taken back, by whom and why; "" if it was not.
    """

    path: str
    by: str
    at: str
    files: int
    intact: bool
    manifest: str
    missing: int
    changed: int
    extra: int
    named: tuple[tuple[str, str], ...]
    retracted: str = ""


class VersionReports:
    """Answers questions about versions; changes nothing.

    Args:
        finder: what lies under a path.
        spool: outputs of this node.
        tiers: the origins.
        site: the node's, for versions that begin with its name; "" where it has none.
        wall_s: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        finder: NodeFinder,
        *,
        spool: Spool,
        tiers: TierPool,
        site: str,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._finder = finder
        self._spool = spool
        self._tiers = tiers
        self._site = site
        self._wall_s = wall_s

    async def show(self, path: str) -> Mapping[str, Any]:
        """Return what the version directory *path* is; an alias is followed.

        Keys: ``path``, ``state`` (open, sealing, sealed; retracted, deleting, deleted), ``by``,
        ``at``, ``why`` (of the publish), ``files``, ``bytes``, ``unpublished`` (outputs of this
        node that are not in the origin), ``aliases`` (those that point here), ``retracted`` (that
        it was taken back or restored, by whom, when and why; "" if neither).

        Raises:
            InvalidArgument: it is no version directory that is published as a whole.
            TierError: its origin could not answer.
        """
        target = target_of(self._finder, await self._followed(path))
        seal = await self._finder.versions.ask(target.origin, target.version)
        if seal.snapshot is not None:
            files, size_bytes = len(seal.snapshot), seal.snapshot.size_bytes
        else:
            found = await target.files(await self._tiers.get(target.origin))
            files, size_bytes = len(found), sum(one.size_bytes for one in found.values())
        waiting = [one for one in self._spool.entries() if one.publishable]
        line = None if seal.snapshot is None else await self._line(target)
        hidden = line is not None and line.hides
        return {
            "path": target.path,
            "state": line.standing.value if line is not None and hidden else seal.state.value,
            "by": seal.by,
            "at": seal.at,
            "why": seal.why,
            "files": files,
            "bytes": size_bytes,
            "unpublished": sum(target.has(one.path) for one in waiting),
            "aliases": await self._aliases_of(target),
            "retracted": "" if line is None else str(line),
        }

    def taken_back(self) -> dict[str, Any]:
        """Return what this node knows of versions that were taken back, from memory.

        Keys: ``versions`` (how many), ``unfinished`` (the first of those, relative to their show,
        whose objects somebody began to delete, and did not finish).
        """
        known = self._finder.retractions.remembered()
        unfinished = (path for path, line in known.items() if line.standing is Standing.DELETING)
        return {"versions": len(known), "unfinished": sorted(unfinished)[:UNFINISHED_MAX]}

    async def _line(self, target: VersionTarget) -> Retraction | None:
        """Return the last line of what was taken back and restored of a published version."""
        return await self._finder.retractions.ask(target.origin, target.version)

    async def history(self, path: str) -> list[dict[str, str]]:
        """Return what happened to the version *path*, oldest first; an alias is followed.

        Keys of each: ``state`` (sealing, sealed, retracted, restored, deleting, deleted), ``at``,
        ``by``, ``why``.

        Raises: as `show`.
        """
        target = target_of(self._finder, await self._followed(path))
        seal = await self._finder.versions.ask(target.origin, target.version)
        rows = []
        if seal.state is not SealState.OPEN:
            rows.append((seal.state.value, seal.at, seal.by, seal.why))
        lines = await self._finder.retractions.history(target.origin, target.version)
        rows += [(line.standing.value, line.at, line.by, line.why) for line in lines]
        return [dict(zip(("state", "at", "by", "why"), row, strict=True)) for row in rows]

    async def _followed(self, path: str) -> str:
        match = self._finder.alias(path)
        if match is None:
            return path
        pointer = await self._finder.aliases.find(path, match)
        if pointer is None:
            raise InvalidArgument(f"{path}: this alias points nowhere")
        return paths.join(paths.parent(path), pointer.target)

    async def _aliases_of(self, target: VersionTarget) -> list[str]:
        place = version_place(target.show.spec, target.version)
        found = []
        for alias in () if place is None else place.field.aliases:
            assert place is not None
            path = place.sibling(alias.name)
            match = target.show.spec.alias(path)
            if match is None:
                continue
            pointer = await self._finder.aliases.find(f"{target.show.name}/{path}", match)
            if pointer is not None and pointer.version == place.version:
                found.append(f"{target.show.name}/{path}")
        return found

    async def next(self, path: str) -> str:
        """Return *path* with the next version in it; the file need not exist.

        Args:
            path: mount-relative, of a version directory or of a file or directory in one, or of
                an alias.

        Raises:
            NoTemplate: the specification does not know it.
            InvalidArgument: there is no version in it, the alias points nowhere, or this node has
                no site to name.
            TierError: an origin could not say which versions there are.
        """
        (following,) = await self.next_all([path])
        return following

    async def next_all(self, several: Sequence[str]) -> list[str]:
        """Return each path with the next version in it; those of one version get the same one.

        Raises: as `next`.
        """
        known: dict[tuple[str, str], str] = {}
        return [await self._next(path, known) for path in several]

    async def _next(self, path: str, known: dict[tuple[str, str], str]) -> str:
        path = await self._followed(path)
        place = self._finder.shows.split(path)
        if place is None:
            raise NoTemplate(f"{path}: there is no such show")
        show, rest = place
        version = version_place(show.spec, rest)
        if version is None:
            if show.spec.resolve(rest) is None and show.spec.directory(rest) is None:
                raise NoTemplate(
                    f"{path}: no template can produce this path",
                    fix=f"`shotfs spec explain {path}` says which template comes nearest",
                )
            raise InvalidArgument(
                f"{path} has no version in it",
                fix="name a version or something in one, as ant/publish/spider_v001",
            )
        text = known.get((show.name, version.path))
        if text is None:
            text = next_version(
                version.field,
                await self._existing(show, version),
                site=self._site or None,
                now_ms=int(self._wall_s() * 1000),
                randomness=secrets.token_bytes(RANDOMNESS_BYTES),
            )
            known[show.name, version.path] = text
        return f"{show.name}/{_with_version(show.spec, rest, version, text)}"

    async def _existing(self, show: Show, place: VersionPlace) -> Iterable[str]:
        """Return the versions beside the one at *place*: in the origins, and made here."""
        match = show.spec.directory(place.directory)
        names: set[str] = set()
        for origin in () if match is None else match.origins:
            tier = await self._tiers.get(origin)
            if not tier.properties.listable:
                continue
            async with aclosing(tier.list(place.directory)) as pages:
                async for page in pages:
                    names.update(page.prefixes)
                    names.update(paths.name(one.key) for one in page.objects)
            # What was deleted after it had been taken back: its number is never given again.
            async with aclosing(tier.list(paths.join(RETRACTED, place.directory))) as pages:
                async for page in pages:
                    names.update(paths.name(one.key).removesuffix(".json") for one in page.objects)
        here = f"{show.name}/{place.directory}" if place.directory else show.name
        names.update(self._spool.children(here))
        found = map(place.version_of, names)
        return [text for text in found if text is not None]

    async def verify(self, path: str) -> Verdict:
        """Compare what the origin has of the published version *path* with its manifest.

        Raises:
            InvalidArgument: it is no version directory, or not published.
            TierError: its origin could not answer.
        """
        target = target_of(self._finder, await self._followed(path))
        versions = self._finder.versions
        seal = await versions.ask(target.origin, target.version)
        if seal.snapshot is None:
            raise InvalidArgument(
                f"{target.path}: is not published", fix=f"shotfs version publish {target.path}"
            )
        line = await self._line(target)
        if line is not None and line.final:
            raise InvalidArgument(
                f"{target.path}: its objects were deleted: it was {line}",
                fix=f"shotfs version history {target.path}",
            )
        manifest = _manifest_state(await versions.look(target.origin, target.version), seal)
        found = await target.files(await self._tiers.get(target.origin))
        # In a thread: for 100,000 files it takes longer than the loop may stand still.
        missing, changed, extra = await trio.to_thread.run_sync(differences, target, seal, found)
        named = [("missing", name) for name in missing]
        named += [("changed", name) for name in changed]
        named += [("extra", name) for name in extra]
        return Verdict(
            path=target.path,
            by=seal.by,
            at=seal.at,
            files=len(seal.snapshot),
            intact=not named and manifest == "intact",
            manifest=manifest,
            missing=len(missing),
            changed=len(changed),
            extra=len(extra),
            named=tuple(named[:NAMED_MAX]),
            retracted=str(line) if line is not None and line.hides else "",
        )


def differences(
    target: VersionTarget, seal: Seal, found: Mapping[str, Revision]
) -> tuple[list[str], list[str], list[str]]:
    """Return what is missing, changed and extra in *found*, which is by key."""
    assert seal.snapshot is not None
    with beside_the_event_loop():
        start = len(target.version) + 1
        there = {key[start:]: one for key, one in found.items()}
        return _differences(seal.snapshot, there)


def _differences(
    snapshot: TreeSnapshot, there: Mapping[str, Revision]
) -> tuple[list[str], list[str], list[str]]:
    names = set(snapshot)
    missing = sorted(names - set(there))
    changed = sorted(name for name in names & set(there) if snapshot.find(name) != there[name])
    return missing, changed, sorted(set(there) - names)


def _manifest_state(now: Seal, known: Seal) -> str:
    if now.state is not SealState.SEALED:
        return "missing: it was deleted; publish again puts it back"
    same = (now.attempt, now.at, now.by) == (known.attempt, known.at, known.by)
    return "intact" if same else "changed: another publish replaced it"


def _with_version(spec: Specification, rest: str, place: VersionPlace, text: str) -> str:
    """Return *rest* with the version *text*, also where its other elements repeat the version."""
    path = place.sibling(text)
    if not place.rest:
        return path
    resolution = spec.resolve(rest)
    if resolution is not None and not resolution.scratch:
        fields = {
            name: value for name, value in resolution.fields.items() if not spec.fields[name].tokens
        }
        return spec.format(resolution.template.name, {**fields, place.field.name: text})
    for inner in (place.rest.replace(place.version, text), place.rest):
        whole = f"{path}/{inner}"
        if spec.directory(whole) is not None or spec.resolve(whole) is not None:
            return whole
    return path
