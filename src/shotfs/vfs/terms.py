"""Terms: what the policy of a path lets an application do, and how its output is published."""

from __future__ import annotations

import errno
from typing import NamedTuple

from shotfs.errors import NoTemplate, NotPermitted, PublishedImmutable, ReadOnly
from shotfs.pathspec import (
    DirectoryMatch,
    Durability,
    Flow,
    Immutable,
    Policy,
    Resolution,
    Rewrite,
    SealOn,
)
from shotfs.publish import PublishTerms
from shotfs.publish.provenance import metadata
from shotfs.tiers.base import Revision
from shotfs.vfs.attributes import Caller
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.paths import cut
from shotfs.vfs.work_gate import WorkGate


class Owner(NamedTuple):
    """Permission bits, owner and group of something new."""

    mode: int
    uid: int
    gid: int


class Terms:
    """Decides who may write where, and under which terms a file leaves the spool.

    Args:
        finder: knows the specifications.
        read_only: the mount refuses every change.
        durability: what close() promises where the template leaves it to the node.
        node: this node's name, recorded in what it publishes.
        site: the name of its site, likewise; "" for none.
        gate: closed while this node takes no new work.

    Attributes:
        gate: as given.
    """

    def __init__(
        self,
        finder: NodeFinder,
        *,
        read_only: bool,
        durability: Durability,
        node: str,
        site: str = "",
        gate: WorkGate,
    ) -> None:
        self.gate = gate
        self._finder = finder
        self._read_only = read_only
        self._durability = durability
        self._node = node
        self._site = site

    def check_writable(self, path: str) -> None:
        """Raise `ReadOnly` if the whole mount is, or if a view says what *path* is."""
        if self._read_only:
            raise ReadOnly(f"{path}: the mount is read-only", fix="mount without --read-only")
        refusal = self._finder.view.refusal(path)
        if refusal is not None:
            raise refusal

    def check_no_alias(self, path: str) -> None:
        """Raise `NotPermitted` if *path* is that of a version alias, wherever it points."""
        if self._finder.alias(path) is not None:
            raise alias_refused(path)

    async def check_unsealed(self, path: str, *, onto: bool = False, now: bool = False) -> None:
        """Return unless *path* is, or lies in, a version that is published or just being so.

        Args:
            path: mount-relative.
            onto: something published lies there, which would be overwritten.
            now: ask the origin, unless it is known; otherwise the policy's TTL counts.

        Raises:
            PublishedImmutable: it is; with errno EEXIST for *onto*.
            TierError: the origin had to be asked and could not answer.
        """
        found = await self._finder.seal_of(path, now=now)
        if found is None:
            return
        seal, _ = found
        state = "published" if seal.snapshot is not None else "being published"
        if seal.retracted is not None:
            raise PublishedImmutable(
                f"{path}: its version was {seal.retracted}; nothing is published as it again",
                fix=f"write into the next version: shotfs version new {path}",
                errno=errno.EEXIST if onto else errno.EPERM,
            )
        raise PublishedImmutable(
            f"{path}: its version is {state} (by {seal.by}, {seal.at}); nothing in it changes",
            fix=f"write into the next version: shotfs version new {path}",
            errno=errno.EEXIST if onto else errno.EPERM,
        )

    def writable_file(self, path: str) -> Resolution:
        """Return what the specification says of *path*, if files may be written there.

        Raises:
            ReadOnly: the mount or the template is.
            NoTemplate: no template can produce it.
            NotPermitted: it is the path of a version alias.
        """
        self.check_writable(path)
        self.check_no_alias(path)
        resolution = self._finder.resolve(path)
        if resolution is None:
            raise no_template(path)
        if resolution.template.policy.flow is Flow.IN:
            raise ReadOnly(
                f"{path}: template {resolution.template.name!r} has flow 'in'",
                fix="set its flow to 'out' or 'inout' in the specification",
            )
        return resolution

    def writable_directory(self, path: str) -> DirectoryMatch:
        """Return what the specification says of the directory *path*, if it may be made.

        Raises: as `writable_file`.
        """
        self.check_writable(path)
        self.check_no_alias(path)
        match = self._finder.match(path)
        if match is None:
            raise no_template(path)
        if not match.writable:
            raise ReadOnly(f"{path}: every template below it has flow 'in'")
        return match

    def of(self, path: str, resolution: Resolution, base: Revision | None) -> PublishTerms:
        """Return under which terms the file *path* is published.

        Args:
            path: mount-relative.
            resolution: what the specification says of it.
            base: the revision that it replaces; None creates.
        """
        policy = resolution.template.policy
        show, _, rest = path.partition("/")
        depth = resolution.version_depth
        return PublishTerms(
            template=resolution.template.name,
            origin=policy.origin,
            key=resolution.key,
            scratch=resolution.scratch,
            immutable=policy.immutable is Immutable.ON_CLOSE,
            version="" if depth is None else cut(rest, depth)[0],
            rewrite_compare=policy.rewrite is Rewrite.COMPARE,
            durability_origin=self._waits_for_origin(policy),
            grace_s=policy.grace_s,
            seal=policy.seal,
            renamed=base is not None,  # it stands for what is published under this name
            priority=policy.priority,
            base=base,
            metadata=metadata(
                {
                    "node": self._node,
                    "site": self._site,
                    "show": show,
                    "template": resolution.template.name,
                    "spec": self._finder.shows.digest_of(show),
                },
                resolution.fields.items(),
            ),
        )

    def _waits_for_origin(self, policy: Policy) -> bool:
        """Whether close() does. A node that may vanish waits by default, but not for a file that
        is not finished at its close: a drain takes care of that.
        """
        if policy.durability is None and policy.seal is not SealOn.CLOSE:
            return False
        return (policy.durability or self._durability) is Durability.ORIGIN

    def owner_of_file(self, policy: Policy, caller: Caller, mode: int) -> Owner:
        """Return who a new file belongs to: its creator, or whom its template says (S12).

        Args:
            policy: of the template.
            caller: who creates it.
            mode: what the caller asked for, umask applied.
        """
        if policy.owner_caller:
            return Owner(mode & 0o7777, caller.uid, caller.gid)
        return self._template_owner(policy.mode, policy.uid, policy.gid)

    def owner_of_directory(self, match: DirectoryMatch, caller: Caller, mode: int) -> Owner:
        """Return who a new directory belongs to; as `owner_of_file`."""
        if match.owner_caller:
            return Owner(mode & 0o7777, caller.uid, caller.gid)
        return self._template_owner(match.mode, match.uid, match.gid)

    def _template_owner(self, mode: int, uid: int | None, gid: int | None) -> Owner:
        return Owner(
            mode,
            self._finder.uid if uid is None else uid,
            self._finder.gid if gid is None else gid,
        )


def alias_refused(path: str) -> NotPermitted:
    """Return the error for a change of a version alias."""
    return NotPermitted(
        f"{path}: is a version alias, which nothing in the mount can change",
        fix=f"shotfs version alias {path} VERSION",
    )


def no_template(path: str) -> NoTemplate:
    """Return the error for a path that the specification does not know."""
    return NoTemplate(
        f"{path}: no template of the specification can produce this path",
        fix=f"`shotfs spec explain {path}` says which template comes nearest",
    )
