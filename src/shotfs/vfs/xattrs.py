"""Extended attributes: what shotfs knows of a file, for scripts (`getfattr -d FILE`)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from shotfs.cache import Cache
from shotfs.errors import NoAttribute
from shotfs.namespace import TierPool
from shotfs.pathspec import Resolution
from shotfs.publish import Kind as EntryKind
from shotfs.publish import SpoolEntry, State
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled

PREFIX = "user.shotfs."

NAMES = tuple(
    PREFIX + name for name in ("digest", "fields", "origin", "safe", "state", "template", "tier")
)
"""All names, sorted; a file has those that mean something for it."""


class ExtendedAttributes:
    """Answers listxattr and getxattr.

    Args:
        cache: knows the state and the digest of published files.
        tiers: knows which of its tiers serves a file.
        resolve: returns what the specification says of a path.
        retracted: returns why the version that a path lies in was taken back; None: it was not.
        lost: whether an output of this node lost the race for a path.
    """

    def __init__(
        self,
        cache: Cache,
        tiers: TierPool,
        resolve: Callable[[str], Resolution | None],
        retracted: Callable[[str], Awaitable[str | None]],
        lost: Callable[[str], bool],
    ) -> None:
        self._lost = lost
        self._retracted = retracted
        self._cache = cache
        self._tiers = tiers
        self._resolve = resolve

    async def all(self, node: Node) -> dict[str, str]:
        """Return name to value of every attribute of *node*.

        ``state`` is one of: open, sealed, uploading, quarantined, failed, scratch (in the spool);
        cached, partial, remote (published); retracted (published and taken back; only what is
        pinned is still seen then); made, directory (directories).

        ``safe`` says of a file where its bytes survive, as far as this node knows: origin; node
        (closed, and on this node's disk only); no (still being written, scratch, not whole, or
        what this node wrote lost a race: the path shows somebody else's).
        """
        if isinstance(node, Missing):
            return {}
        if isinstance(node, Directory):
            return {PREFIX + "state": "directory" if node.made is None else "made"}
        if isinstance(node, Alias):
            url = f"{node.match.origin.rstrip('/')}/{node.match.key}"
            return {PREFIX + "origin": url, PREFIX + "state": "alias"}
        if isinstance(node, Spooled):
            return self._of_spooled(node)
        values = await self._of_published(node)
        if node.pinned and await self._retracted(node.path) is not None:
            values[PREFIX + "state"] = "retracted"
        return values

    async def get(self, node: Node, name: str) -> str:
        """Return the value of *name*.

        Raises:
            NoAttribute: *node* does not have it.
        """
        if name in NAMES:
            value = (await self.all(node)).get(name)
            if value is not None:
                return value
        raise NoAttribute(f"{node.path}: no extended attribute {name!r}")

    def _of_spooled(self, node: Spooled) -> dict[str, str]:
        entry = node.entry
        values = {"state": "scratch" if entry.scratch else entry.state.value, "tier": "spool"}
        if entry.kind is EntryKind.FILE:
            values["safe"] = _safe(entry)
        if entry.kind is EntryKind.FILE and entry.terms is not None:
            values["template"] = entry.terms.template
            values["origin"] = f"{entry.terms.origin.rstrip('/')}/{entry.terms.key}"
            resolution = self._resolve(node.path)
            if resolution is not None:
                values["fields"] = _fields(resolution)
        if entry.digest is not None:
            values["digest"] = entry.digest
        return {PREFIX + name: value for name, value in values.items()}

    async def _of_published(self, node: Published) -> dict[str, str]:
        revision = node.entry.revision
        template = node.resolution.template
        state = (await self._cache.status_of(revision)).state
        values = {
            "fields": _fields(node.resolution),
            "origin": f"{template.policy.origin.rstrip('/')}/{node.resolution.key}",
            "safe": "no" if self._lost(node.path) else "origin",
            "state": state,
            "template": template.name,
            "tier": (
                "cache" if state == "cached" else self._tiers.serving(template.policy, revision)
            ),
        }
        # The digest of bytes that were hashed here; else the one that the object's writer claims.
        digest = await self._cache.digest_of(revision) or revision.checksums.xxh128
        if digest is not None:
            values["digest"] = digest
        return {PREFIX + name: value for name, value in values.items()}


def _safe(entry: SpoolEntry) -> str:
    """Return where the bytes of *entry* survive."""
    if entry.state is State.PUBLISHED or entry.pristine:
        return "origin"
    closed = entry.clean and not entry.half_written and entry.damaged is None
    return "node" if closed and not entry.scratch else "no"


def _fields(resolution: Resolution) -> str:
    return json.dumps(dict(resolution.fields), sort_keys=True, ensure_ascii=False)
