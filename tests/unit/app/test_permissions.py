"""Who may publish a version, or ask about a path: owner, group and mode decide."""

from __future__ import annotations

import pytest

from shotfs.app.permissions import SEARCH, WRITE, may
from shotfs.control.access import Peer
from shotfs.vfs import Attributes, Kind


def directory(mode: int) -> Attributes:
    return Attributes(1, Kind.DIRECTORY, mode, 1000, 2000, 0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "mode", "allowed"),
    [
        (1000, 1, (), 0o755, True),
        (1000, 1, (), 0o575, False),  # as the kernel: the owner's bits, not the group's
        (1000, 2000, (2000,), 0o075, False),
        (1, 2000, (), 0o775, True),
        (1, 1, (7, 2000), 0o775, True),
        (1, 2000, (), 0o757, False),
        (1, 1, (), 0o777, True),
        (1, 1, (), 0o775, False),
    ],
)
def test_s12_owner_group_and_mode_decide(
    uid: int, gid: int, groups: tuple[int, ...], mode: int, allowed: bool
) -> None:
    peer = Peer(uid=uid, gid=gid, pid=1, groups=frozenset(groups))
    assert may(peer, WRITE, admin=False)(directory(mode)) is allowed


def test_s12_an_admin_may_always() -> None:
    peer = Peer(uid=1, gid=1, pid=1, groups=frozenset())
    assert may(peer, WRITE, admin=True)(directory(0o555))


def test_s12_searching_needs_its_own_bit() -> None:
    peer = Peer(uid=1, gid=2000, pid=1, groups=frozenset())
    assert may(peer, SEARCH, admin=False)(directory(0o710))
    assert not may(peer, SEARCH, admin=False)(directory(0o767))
