"""Who may ask what: a connection's peer credentials, and the rights that they give.

The kernel vouches for the peer of a Unix socket (SO_PEERCRED: uid, gid and pid at connect;
SO_PEERGROUPS: its supplementary groups): there are no passwords, and the socket may be 0666.
"""

from __future__ import annotations

import grp
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

SO_PEERGROUPS = 59
"""<asm-generic/socket.h>, Linux 4.13; the socket module of Python 3.11 does not name it."""

AllowUsers = Callable[[int, int, int], bool]
"""Whether a process (uid, gid, pid) is a user of the mount."""


class Right(IntEnum):
    """What a peer may do; each right includes those before it."""

    NONE = 0
    READ = 1
    CHANGE = 2


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a connection, when it connected.

    Attributes:
        pid: 0 when it is in a pid namespace that this process cannot see.
        groups: supplementary groups; without `gid`.
    """

    uid: int
    gid: int
    pid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"uid {self.uid}, gid {self.gid}, pid {self.pid}"


def peer_of(connection: socket.socket) -> Peer:
    """Return the credentials of the process that connected.

    Raises:
        OSError: not a Unix socket, or it is closed.
    """
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return Peer(uid=uid, gid=gid, pid=pid, groups=_groups_of(connection))


def _groups_of(connection: socket.socket) -> frozenset[int]:
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
    except OSError:
        # ERANGE: more than 256 groups. Python's getsockopt takes at most 1,024 bytes, so such a
        # peer is known by its primary group only: fewer rights, never more.
        return frozenset()
    return frozenset(struct.unpack(f"{len(packed) // 4}I", packed))


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules: root, the service's user and the admin group change things, users read.

    Attributes:
        service_uid: the uid that the service runs as.
        admin_gid: gid of the admin group; None where there is no such group.
        allow_users: whether a process is a user of the mount.
    """

    service_uid: int
    admin_gid: int | None
    allow_users: AllowUsers

    def right_of(self, peer: Peer) -> Right:
        """Return what *peer* may do."""
        if peer.uid in {0, self.service_uid}:
            return Right.CHANGE
        if self.admin_gid is not None and self.admin_gid in {peer.gid, *peer.groups}:
            return Right.CHANGE
        if self.allow_users(peer.uid, peer.gid, peer.pid):
            return Right.READ
        return Right.NONE


def policy(admin_group: str, allow_users: AllowUsers) -> AccessPolicy:
    """Build the policy of this process. Blocks: the group may come from a directory service."""
    return AccessPolicy(
        service_uid=os.geteuid(), admin_gid=_gid_of(admin_group), allow_users=allow_users
    )


def _gid_of(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
