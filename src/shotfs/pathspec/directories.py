"""What a specification says of a directory: the most cautious of all templates below."""

from __future__ import annotations

from collections.abc import Collection

from shotfs.pathspec.model import DirectoryMatch, Policy, Retract


def merge(
    policies: Collection[Policy],
    *,
    implied: bool,
    version_depth: int | None,
    aliases: bool,
    holds_retractable: bool,
) -> DirectoryMatch:
    """Return what *policies*, which are not empty, say together.

    Args:
        policies: of all templates below, in the order of the document.
        implied: as in `DirectoryMatch`, like the others.
        version_depth: ditto.
        aliases: ditto.
        holds_retractable: ditto.
    """
    mode = 0o777
    for policy in policies:
        mode &= policy.directory_mode
    owners = {policy.uid for policy in policies}
    groups = {policy.gid for policy in policies}
    return DirectoryMatch(
        implied=implied,
        origins=tuple(dict.fromkeys(policy.origin for policy in policies)),
        writable=any(policy.flow.writable for policy in policies),
        mode=mode,
        uid=owners.pop() if len(owners) == 1 else None,
        gid=groups.pop() if len(groups) == 1 else None,
        owner_caller=all(policy.owner_caller for policy in policies),
        ttl_s=min(policy.ttl_s for policy in policies),
        negative_ttl_s=min(policy.negative_ttl_s for policy in policies),
        version_depth=version_depth,
        aliases=aliases,
        immutable=frozenset(policy.immutable for policy in policies),
        retract=min((policy.retract for policy in policies), key=list(Retract).index),
        holds_retractable=holds_retractable,
    )
