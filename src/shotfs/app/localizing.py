"""Localizing: files of the shows for processes that cannot use a mount, over the control socket.

Everything goes by the file system's own operations, so that what a path is, who may read it, and
what is fetched first are decided where they are for the mount.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import trio
import xxhash

from shotfs.app.node import Node
from shotfs.app.permissions import READ, SEARCH, may
from shotfs.cache import FileState
from shotfs.control.access import Peer
from shotfs.control.localize_service import Content
from shotfs.errors import (
    CacheFull,
    DigestMismatch,
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    ShotfsError,
)
from shotfs.pathspec import Immutable
from shotfs.pathspec.sequences import Question, TokenPath, expansion, lacking, ranges
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.vfs import Attributes, Caller, Handle, Missing
from shotfs.vfs.attributes import Kind
from shotfs.vfs.handles import PublishedHandle

log = logging.getLogger(__name__)

BLOCK_BYTES = 1024 * 1024
"""So much of each file is in memory at a time; the control server bounds how many files that is."""

LINKS_MAX = 16
"""Version aliases and symbolic links in one path; beyond it is a loop."""

DIRECTORIES_MAX = 10_000
"""Directories that one question looks into."""


class NodeLocalizing:
    """Implements `control.localize_service.LocalizeService` on a `Node`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._files = node.filesystem

    async def files(
        self, path: str, *, frames: str, limit: int, peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        """Return which files *path* stands for."""
        asked = parse_frames(frames)
        caller = _caller(peer)
        # First: who may not look into a directory is not told what is in it either.
        self._files.path_reports.check_way(path, may(peer, SEARCH, admin=admin))
        pattern = TokenPath.of(path)
        missing: frozenset[int] = frozenset()
        found: dict[str, Attributes] = {}
        if pattern is not None and pattern.directory:
            directory, _ = await self._followed(pattern.directory, caller)
            pattern = replace(pattern, directory=directory)
            found, missing = await self._of_pattern(pattern, asked, limit, caller)
            path = pattern.path
        if not found:
            # Without tokens; or with a sign in its name that only looks like one.
            path, attributes = await self._followed(path, caller)
            found = await _bounded(self._all(path, attributes, caller), path, limit)
        for one, attributes in found.items():
            self._check(one, attributes, peer, admin=admin)
        return {
            "path": path,
            "shares": peer.uid in {0, os.geteuid()},
            "missing": ranges(missing),
            "files": [self._told(one, found[one]) for one in sorted(found)],
        }

    async def blob(self, path: str, revision: str, *, peer: Peer) -> Mapping[str, Any]:
        """Fetch a file and return where its bytes are in the cache."""
        if peer.uid not in {0, os.geteuid()}:
            raise NotPermitted(
                f"{path}: the cache belongs to the service's user",
                fix="ask for the content instead",
            )
        handle = await self._files.open(
            path, os.O_RDONLY, identity=int(revision, 16), caller=_caller(peer)
        )
        nowhere = {"path": None, "device": None, "inode": None}
        try:
            if not isinstance(handle, PublishedHandle):
                return nowhere
            try:
                digest = await handle.cached.complete()
            except CacheFull:
                return nowhere
            place = self._node.cache.blob_path(digest)
            status = os.stat(place)
        except FileNotFoundError:
            return nowhere
        finally:
            with trio.CancelScope(shield=True):
                await handle.close()
        return {"path": place, "device": status.st_dev, "inode": status.st_ino}

    async def content(self, path: str, revision: str, *, peer: Peer, admin: bool) -> Content:
        """Return the bytes of a file."""
        handle = await self._files.open(
            path, os.O_RDONLY, identity=int(revision, 16), caller=_caller(peer)
        )
        try:
            self._check(path, handle.attributes(), peer, admin=admin)
        except BaseException:
            with trio.CancelScope(shield=True):
                await handle.close()
            raise
        size_bytes = handle.attributes().size_bytes
        return Content(size_bytes, _blocks(path, handle, size_bytes), handle.close)

    # --- what a path stands for ------------------------------------------------------------------

    async def _followed(self, path: str, caller: Caller) -> tuple[str, Attributes]:
        """Return where *path* leads, links followed, and what is there.

        Raises:
            PathNotFound: nothing is.
        """
        for _ in range(LINKS_MAX):
            found = await self._files.lookup(path, caller)
            if not isinstance(found, Missing):
                if found.kind is not Kind.SYMLINK:
                    return path, found
                path = _joined(path, await self._files.read_link(path), "")
                continue
            link, rest = await self._link_above(path, caller)
            path = _joined(link, await self._files.read_link(link), rest)
        raise PathNotFound(f"{path}: leads through more than {LINKS_MAX} links")

    async def _link_above(self, path: str, caller: Caller) -> tuple[str, str]:
        """Return the first link in *path*, and what of it comes behind that."""
        parts = path.split("/")
        for count in range(2, len(parts)):
            above = "/".join(parts[:count])
            found = await self._files.lookup(above, caller)
            if isinstance(found, Missing):
                break
            if found.kind is Kind.SYMLINK:
                return above, "/".join(parts[count:])
        raise PathNotFound(
            f"{path}: there is no such file or directory", fix=f"look: shotfs why {path}"
        )

    async def _all(
        self, path: str, attributes: Attributes, caller: Caller
    ) -> AsyncGenerator[tuple[str, Attributes], None]:
        """Yield the file *path*, or all files below that directory; links are left out."""
        if attributes.kind is Kind.FILE:
            yield path, attributes
            return
        waiting = [path]
        for count in range(DIRECTORIES_MAX + 1):
            if not waiting:
                return
            if count == DIRECTORIES_MAX:
                break
            directory = waiting.pop()
            async for name, child in self._listed(directory, caller):
                if child.kind is Kind.DIRECTORY:
                    waiting.append(f"{directory}/{name}")
                elif child.kind is Kind.FILE:
                    yield f"{directory}/{name}", child
        raise InvalidArgument(
            f"{path}: has more than {DIRECTORIES_MAX} directories", fix="name a smaller directory"
        )

    async def _of_pattern(
        self, pattern: TokenPath, asked: frozenset[int], limit: int, caller: Caller
    ) -> tuple[dict[str, Attributes], frozenset[int]]:
        """Return the files that *pattern* stands for, and which of the frames *asked* none has."""
        steps = expansion(
            pattern, asked or None, (), files_max=limit + 1, directories_max=DIRECTORIES_MAX
        )
        files: dict[str, Attributes] = {}
        names: list[str] | None = None
        while True:
            try:
                question = next(steps) if names is None else steps.send(names)
            except StopIteration as end:
                matches = end.value
                break
            names = []
            wanted = Kind.FILE if question.last else Kind.DIRECTORY
            async for name, child in self._named(question, caller):
                if child.kind is wanted and question.fits(name):
                    names.append(name)
                    if question.last:
                        files[f"{question.directory}/{name}"] = child
        if len(matches) > limit:
            raise _too_many(pattern.path, limit)
        return {one.path: files[one.path] for one in matches}, lacking(matches, asked)

    async def _named(
        self, question: Question, caller: Caller
    ) -> AsyncGenerator[tuple[str, Attributes], None]:
        """Yield what there is in a directory, or the one thing in it that is asked for."""
        if not question.only:
            async for one in self._listed(question.directory, caller):
                yield one
            return
        found = await self._files.lookup(f"{question.directory}/{question.only}", caller)
        if not isinstance(found, Missing):
            yield question.only, found

    async def _listed(
        self, directory: str, caller: Caller
    ) -> AsyncGenerator[tuple[str, Attributes], None]:
        snapshot = await self._files.snapshot(directory, caller)
        for index in range(len(snapshot)):
            await snapshot.prepare(index)
            entry = snapshot.entry(index)
            if entry is not None:
                yield entry

    # --- what is told of a file ------------------------------------------------------------------

    def _check(self, path: str, attributes: Attributes, peer: Peer, *, admin: bool) -> None:
        self._files.path_reports.check_way(path, may(peer, SEARCH, admin=admin))
        if not may(peer, READ, admin=admin)(attributes):
            raise NotPermitted(
                f"{path}: uid {peer.uid} may not read it",
                fix="its template says who may: mode, uid, gid",
            )

    def _told(self, path: str, attributes: Attributes) -> Mapping[str, Any]:
        return {
            "path": path,
            "size_bytes": attributes.size_bytes,
            "mtime_ns": attributes.mtime_ns,
            "revision": f"{attributes.identity:032x}",
            "ttl_s": attributes.ttl_s,
            "immutable": self._never_changes(path),
        }

    def _never_changes(self, path: str) -> bool:
        place = self._node.shows.split(path)
        if place is None or self._node.spool.get(path) is not None:
            return False
        resolution = place[0].spec.resolve(place[1])
        return resolution is not None and resolution.template.policy.immutable is Immutable.ON_CLOSE


async def _bounded(
    files: AsyncGenerator[tuple[str, Attributes], None], path: str, limit: int
) -> dict[str, Attributes]:
    found: dict[str, Attributes] = {}
    async with aclosing(files):
        async for one, attributes in files:
            found[one] = attributes
            if len(found) > limit:
                raise _too_many(path, limit)
    return found


def _too_many(path: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        f"{path}: there are more than {limit} files",
        fix="ask for some of the frames, or for a smaller directory",
    )


def _caller(peer: Peer) -> Caller:
    return Caller(peer.uid, peer.gid, peer.pid)


def _joined(link: str, target: str, rest: str) -> str:
    """Return where *rest* lies behind the link *link* to *target*, within the mount.

    Raises:
        PathNotFound: it leads out of the mount.
    """
    if target.startswith("/"):
        raise PathNotFound(f"{link}: is a link to {target}, which is not within the mount")
    path = os.path.normpath("/".join(filter(None, (os.path.dirname(link), target, rest))))
    if path == ".." or path.startswith("../"):
        raise PathNotFound(f"{link}: is a link that leads out of the mount")
    return path


async def _blocks(path: str, handle: Handle, size_bytes: int) -> AsyncIterator[bytes]:
    """Yield the bytes of *handle*, the last ones only once all are known to be right.

    Of content that the cache keeps it says so; of other content the digest is worked out here.
    """
    warm = isinstance(handle, PublishedHandle) and handle.cached.state is FileState.COMPLETE
    hashed = None if warm else xxhash.xxh3_128()
    offset = 0
    try:
        while offset < size_bytes:
            block = bytes(await handle.read(offset, min(BLOCK_BYTES, size_bytes - offset)))
            if not block:
                raise DigestMismatch(f"{path}: ended after {offset} of {size_bytes} bytes")
            offset += len(block)
            if hashed is not None:
                hashed.update(block)
            if offset == size_bytes and isinstance(handle, PublishedHandle):
                await _verify(path, handle, hashed)
            yield block
    except ShotfsError as error:
        log.warning("localize: %s", error.message, extra={"path": path})
        raise


async def _verify(path: str, handle: PublishedHandle, hashed: xxhash.xxh3_128 | None) -> None:
    try:
        await handle.cached.complete()
    except CacheFull:
        known = handle.cached.revision.checksums.xxh128
        if hashed is not None and known is not None and hashed.hexdigest() != known:
            raise DigestMismatch(f"{path}: its bytes are not those that were published") from None
