"""A process that uses a spool and kills itself at a named point; run by `test_crash`.

``python -m tests.unit.publish.victim DIRECTORY POINT`` prints what its application was told.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from shotfs.publish import Spool
from shotfs.publish.journal import Journal
from tests.unit.publish.fakes import FakeTier, make, site_in, terms, write_file


def die() -> None:
    """Be killed as by kill -9."""
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


class StoredTier(FakeTier):
    """Objects that outlive the process, as files."""

    directory: Path

    @classmethod
    def in_directory(cls, directory: Path) -> StoredTier:
        tier = cls()
        tier.directory = directory
        directory.mkdir(exist_ok=True)
        for path in sorted(directory.iterdir()):
            FakeTier.add(tier, path.name, path.read_bytes())
        return tier

    def add(self, key: str, content: bytes) -> Any:
        (self.directory / key).write_bytes(content)
        return super().add(key, content)


def kill_in_commit(*, after: bool) -> None:
    """Die in the next transaction of the journal, before or after it is durable."""
    write = Journal._transaction

    def transaction(self: Journal, batch: Any) -> Any:
        if after:
            write(self, batch)
        die()

    Journal._transaction = transaction  # type: ignore[method-assign]


async def before_flush(spool: Spool) -> None:
    """Written, never closed."""
    file = await make(spool, "show/a.exr")
    await file.write(0, b"half")
    die()


async def in_flush_before_commit(spool: Spool) -> None:
    """Data on disk, no record: close has not answered."""
    file = await make(spool, "show/a.exr")
    await file.write(0, b"whole")
    kill_in_commit(after=False)
    await file.flush()


async def in_flush_after_commit(spool: Spool) -> None:
    """The record is durable, close has not answered yet: either is right, whole it must be."""
    file = await make(spool, "show/a.exr")
    await file.write(0, b"whole")
    kill_in_commit(after=True)
    await file.flush()


async def after_flush(spool: Spool) -> None:
    """close() returned 0, RELEASE has not come."""
    file = await make(spool, "show/a.exr")
    await file.write(0, b"whole")
    await file.flush()
    print("closed show/a.exr whole")
    die()


async def empty_file(spool: Spool) -> None:
    """touch."""
    await write_file(spool, "show/a.exr", b"")
    print("closed show/a.exr ")
    die()


async def written_again(spool: Spool) -> None:
    """Closed, opened again to patch it, killed while patching."""
    entry = await write_file(spool, "show/a.exr", b"whole", grace_s=100.0)
    file = await spool.open(entry, writable=True)
    await file.write(0, b"W")
    die()


async def in_rename_before_commit(spool: Spool) -> None:
    """The name changes with the record, not before."""
    await write_file(spool, "show/a.tmp", b"whole", scratch=True)
    kill_in_commit(after=False)
    await spool.rename("show/a.tmp", "show/a.exr", terms("a.exr"))


async def in_rename_after_commit(spool: Spool) -> None:
    """As far as the disk knows it is renamed, and the replaced file is gone."""
    await write_file(spool, "show/a.exr", b"old", grace_s=100.0)
    await write_file(spool, "show/a.tmp", b"whole", scratch=True)
    print("closed show/a.exr whole")
    kill_in_commit(after=True)
    await spool.rename("show/a.tmp", "show/a.exr", terms("a.exr"))


async def in_unlink_after_commit(spool: Spool) -> None:
    """The record is gone, the data file is not yet."""
    await write_file(spool, "show/a.exr", b"gone", grace_s=100.0)
    kill_in_commit(after=True)
    await spool.unlink("show/a.exr")


async def publish_and_die(directory: Path, arm: Callable[[Any], None]) -> None:
    """Publish one file; *arm* sets the trap."""
    tier = StoredTier.in_directory(directory / "origin")
    async with site_in(directory, tier) as site:
        arm(site)
        await write_file(site.spool, "show/a.exr", b"whole")
        print("closed show/a.exr whole", flush=True)
        await trio.sleep(30)


def before_put(site: Any) -> None:
    site.tier.before = lambda _key: die()


def after_put(site: Any) -> None:
    site.tier.after = lambda _key: die()


def before_published(site: Any) -> None:
    async def published(_entry: Any, _revision: Any) -> None:
        die()

    site.publisher._published = published


def in_adopt_after_the_move(site: Any) -> None:
    async def adopt(path: str, *_rest: Any) -> bool:
        os.unlink(path)
        die()
        return True

    site.publisher._adopt = adopt


SPOOL_POINTS = {
    one.__name__: one
    for one in (
        before_flush,
        in_flush_before_commit,
        in_flush_after_commit,
        after_flush,
        empty_file,
        written_again,
        in_rename_before_commit,
        in_rename_after_commit,
        in_unlink_after_commit,
    )
}
PUBLISH_POINTS = {
    one.__name__: one for one in (before_put, after_put, before_published, in_adopt_after_the_move)
}


async def main(directory: Path, point: str) -> None:
    if point in PUBLISH_POINTS:
        await publish_and_die(directory, PUBLISH_POINTS[point])
        return
    async with site_in(directory, run=False) as site:
        await SPOOL_POINTS[point](site.spool)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2])
