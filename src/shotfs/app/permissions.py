"""Permissions: what a peer of the control socket may do to a file, by its owner, group and mode."""

from __future__ import annotations

from collections.abc import Callable

from shotfs.control.access import Peer
from shotfs.vfs import Attributes

READ, WRITE, SEARCH = 0o4, 0o2, 0o1
"""Permission bits, as in the last digit of a mode."""

DIRECTORIES_MAX = 10_000
"""Directories of which `may_reach` remembers whether they may be searched."""


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


def may_reach(peer: Peer, attributes_of: Callable[[str], Attributes]) -> Callable[[str], bool]:
    """Return what tells whether *peer* may search a directory and all above it.

    Args:
        peer: who asks; no admin.
        attributes_of: from the mount-relative path of a directory to what stat shows of it.
    """
    search = may(peer, SEARCH, admin=False)
    known: dict[str, bool] = {}

    def reachable(directory: str) -> bool:
        if len(known) >= DIRECTORIES_MAX:
            known.clear()
        # No recursion: a path may have more elements than Python has frames.
        unknown: list[str] = []
        above: str | None = directory
        while above is not None and above not in known:
            unknown.append(above)
            above = above.rpartition("/")[0] if above else None
        found = above is None or known[above]
        for one in reversed(unknown):
            found = known[one] = found and search(attributes_of(one))
        return found

    return reachable
