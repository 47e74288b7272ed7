"""Permissions: what a peer of the control socket may do to a file, by its owner, group and mode."""

from __future__ import annotations

from collections.abc import Callable

from shotfs.control.access import Peer
from shotfs.vfs import Attributes

READ, WRITE, SEARCH = 0o4, 0o2, 0o1
"""Permission bits, as in the last digit of a mode."""


def may(peer: Peer, wanted: int, *, admin: bool) -> Callable[[Attributes], bool]:
    """Return what tells whether *peer* has the permission *wanted*, as the kernel decides it.

    Args:
        peer: who asks.
        wanted: one of `READ`, `WRITE`, `SEARCH`.
        admin: he may everything.
    """

    def allowed(attributes: Attributes) -> bool:
        if admin:
            return True
        if peer.uid == attributes.uid:
            return bool(attributes.mode & wanted << 6)
        if attributes.gid in {peer.gid, *peer.groups}:
            return bool(attributes.mode & wanted << 3)
        return bool(attributes.mode & wanted)

    return allowed
