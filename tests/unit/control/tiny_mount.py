"""A file system of one empty directory, served by a process that tests may kill or stop.

Run as ``tiny_mount.py MOUNTPOINT serve|hang UID``: prints "ready" when it is mounted.
It becomes UID by itself (empty: it stays who it is), because another user may not be able to run
our interpreter. With "hang", listing its root never answers, although the request was taken.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from typing import Any

import pyfuse3
import trio


class Tiny(pyfuse3.Operations):  # type: ignore[misc]  # pyfuse3 is untyped
    def __init__(self, *, hangs: bool) -> None:
        super().__init__()
        self._hangs = hangs

    async def getattr(self, inode: int, ctx: Any = None) -> pyfuse3.EntryAttributes:
        attributes = pyfuse3.EntryAttributes()
        attributes.st_mode = stat.S_IFDIR | 0o755
        attributes.st_nlink = 2
        attributes.st_ino = inode
        attributes.st_uid = os.getuid()
        attributes.st_gid = os.getgid()
        return attributes

    async def opendir(self, inode: int, ctx: Any) -> int:
        if self._hangs:
            await trio.sleep_forever()
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        return None


async def serve(
    mountpoint: str, ready: Callable[[], object], *, hangs: bool, options: set[str]
) -> None:
    pyfuse3.init(Tiny(hangs=hangs), mountpoint, {"fsname=shotfs", "subtype=shotfs", *options})
    try:
        ready()
        await pyfuse3.main()
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    if sys.argv[3]:
        user = int(sys.argv[3])
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    trio.run(
        lambda: serve(
            sys.argv[1],
            lambda: print("ready", flush=True),
            hangs=sys.argv[2] == "hang",
            options=set(),
        )
    )
