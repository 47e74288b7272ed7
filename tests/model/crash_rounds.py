"""kill -9 at random points, again and again: a process that streams, admits, adopts and evicts.

Each round forks a process that opens the cache that the round before left, checks everything, says
so, and then works until it is killed. What is random comes from one seed, which a failure names;
the moment of the kill is random in time, so a seed repeats the work and not the instant.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import trio

from shotfs.cache import Cache
from shotfs.digest import Buffer, Checksums, digest_bytes
from shotfs.errors import CacheFull
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, checksums_of, content_of, read_all

BYTES_MAX = 12 * MIB
FILES_MAX = 24
SMALL = tuple(f"small{n}" for n in range(100, 124))
LARGE = tuple(f"large{n}" for n in range(200, 204))
OUTPUTS = tuple(f"output{n}" for n in range(300, 308))
WORK_S_MAX = 0.3
"""How long a round works at most before it is killed."""

PATIENCE_S = 60.0
"""How long a check may take on a busy machine."""


class CrashFound(AssertionError):
    """A round found something wrong; the message names the seed."""


@dataclass
class SlowTier(FakeTier):
    """Answers after a moment, so that kills meet streams half done."""

    random: random.Random | None = None

    async def _read(self, revision: Revision, span: Span) -> bytes:
        assert self.random is not None
        await trio.sleep(self.random.random() * 0.004)
        return await super()._read(revision, span)


def content_at(key: str, version: str) -> bytes:
    """The bytes of the object *key* in its *version*: known for ever, from the name alone."""
    number = int(key.lstrip("smalrgeoutp")) + 1000 * int(version)
    if key in LARGE:
        return content_of(2 * MIB + number % 7 * 600 * KIB, number)
    return content_of(number * 7919 % (200 * KIB), number)


def tier_at(round_: int, seed: int) -> SlowTier:
    """The origin as it is in a round: some objects are replaced from round to round."""
    tier = SlowTier(random=random.Random(f"{seed}/{round_}/tier"))
    for number, key in enumerate((*SMALL, *LARGE, *OUTPUTS)):
        version = str(round_ // (2 + number % 5))
        tier.add(key, content_at(key, version), version, checksums=Checksums())
    return tier


def revision_of(tier: FakeTier, key: str) -> Revision:
    """The object's revision, with the checksums that a good store gives for half of them."""
    revision, content = tier.objects[key]
    if int(revision.version) % 2:
        return revision
    return replace(revision, checksums=replace(checksums_of(content), xxh128=None))


async def check(cache: Cache, directory: Path, tier: FakeTier, chance: random.Random) -> None:
    """Everything that is kept is right, counted and within the limits, and every file reads."""
    with trio.fail_after(PATIENCE_S):
        while cache._holdings.rebuilds_unfinished:  # noqa: ASYNC110  # it tells nobody
            await trio.sleep(0.001)
    found = [path for path in (directory / "blobs").rglob("*") if path.is_file()]
    for path in found:
        assert digest_bytes(path.read_bytes()) == path.name, f"blob {path.name} is wrong"
        assert path.stat().st_mode & 0o777 == 0o400, f"blob {path.name} can be written"
        for origin in cache._blobs.origins(path.name):  # type: ignore[arg-type]  # it is a digest
            right = digest_bytes(content_at(origin.key, origin.version))
            assert right == path.name, f"blob {path.name} claims to be {origin}"
    stats = cache.stats()
    kept = sum(path.stat().st_size for path in found)
    assert (stats.files, stats.bytes) == (len(found), kept), "index and disk differ"
    assert stats.files <= FILES_MAX, "more files than files_max"
    assert stats.bytes <= BYTES_MAX, "more bytes than bytes_max"
    for key in chance.sample(SMALL, 6) + chance.sample(OUTPUTS, 3) + chance.sample(LARGE, 2):
        revision = revision_of(tier, key)
        right = await read_all(cache, tier, revision, 700 * KIB)
        assert right == tier.objects[key][1], f"{key} reads wrong"


async def work(cache: Cache, directory: Path, tier: FakeTier, chance: random.Random) -> None:
    """Do everything that changes the cache, until killed."""
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(_fetch, cache, tier, chance)
        nursery.start_soon(_read_parts, cache, tier, chance)
        nursery.start_soon(_adopt, cache, directory, tier, chance)
        nursery.start_soon(_evict, cache, chance)


async def _fetch(cache: Cache, tier: FakeTier, chance: random.Random) -> None:
    while True:
        file = await cache.open(tier, revision_of(tier, chance.choice(SMALL + LARGE)))
        try:
            await file.complete()
        except CacheFull:
            await trio.sleep(0.001)
        finally:
            file.close()


async def _read_parts(cache: Cache, tier: FakeTier, chance: random.Random) -> None:
    while True:
        key = chance.choice(LARGE)
        content: Buffer = tier.objects[key][1]
        file = await cache.open(tier, revision_of(tier, key))
        for _ in range(chance.randrange(1, 4)):
            start = chance.randrange(len(content))
            span = Span(start, min(len(content), start + chance.randrange(1, MIB)))
            assert await file.read(span) == content[span.start : span.stop], "a part reads wrong"
        file.close()


async def _adopt(cache: Cache, directory: Path, tier: FakeTier, chance: random.Random) -> None:
    source = directory.parent / "output"
    while True:
        revision, content = tier.objects[chance.choice(OUTPUTS)]
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        await cache.adopt(str(source), digest_bytes(content), len(content), revision)
        await trio.sleep(chance.random() * 0.01)


async def _evict(cache: Cache, chance: random.Random) -> None:
    while True:
        await trio.sleep(chance.random() * 0.05)
        await cache.evict(chance.choice((None, MIB, 100 * KIB)))


def run(
    rounds: int, seed: int, directory: Path, told: Callable[[int], None] = lambda _: None
) -> int:
    """Run so many rounds in *directory*; return how many there were.

    Args:
        rounds: how many.
        seed: of all that is random.
        directory: empty; left as the last round left it.
        told: called with the number of each round that ended.

    Raises:
        CrashFound: one found something wrong.
    """
    waits = random.Random(f"{seed}/kills")
    for number in range(rounds + 1):
        # The last one only checks.
        _round(directory, seed, number, waits.random() * WORK_S_MAX if number < rounds else 0)
        told(number)
    return rounds


def _round(directory: Path, seed: int, number: int, work_s: float) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(directory, seed, number, writer)
    os.close(writer)
    try:
        said = _first_line(reader)
        if said == b"checked\n":
            time.sleep(work_s)
            said += _rest(reader)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    if said != b"checked\n":
        text = said.decode(errors="replace") or "nothing within its time"
        raise CrashFound(f"seed {seed}, round {number} in {directory}: {text}")


def _first_line(reader: int) -> bytes:
    said = b""
    while not said.endswith(b"\n") and select.select([reader], [], [], PATIENCE_S)[0]:
        more = os.read(reader, 65536)
        if not more:
            break
        said += more
    return said


def _rest(reader: int) -> bytes:
    return os.read(reader, 65536) if select.select([reader], [], [], 0)[0] else b""


def _child(directory: Path, seed: int, number: int, writer: int) -> NoReturn:
    async def live() -> None:
        chance = random.Random(f"{seed}/{number}")
        tier = tier_at(number, seed)
        cache_directory = directory / "cache"
        async with cache_in(cache_directory, bytes_max=BYTES_MAX, files_max=FILES_MAX) as cache:
            await check(cache, cache_directory, tier, chance)
            os.write(writer, b"checked\n")
            await work(cache, cache_directory, tier, chance)

    try:
        trio.run(live)
    except BaseException:  # noqa: BLE001  # all of it goes to the parent
        os.write(writer, traceback.format_exc().encode() + b"\n")
    os._exit(1)  # nothing of the parent's may run here
