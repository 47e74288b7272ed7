"""Temporary files of puts to a directory: the next put finds what the dead left, and only that."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shotfs.config import Settings
from shotfs.digest import Checksums
from shotfs.tiers.base import Tier
from shotfs.tiers.cloud import temporaries
from shotfs.tiers.registry import open_adapter
from shotfs.tiers.sessions import Fleeting, Token

KEY = "sh0100/beauty.exr"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "origin" / "sh0100").mkdir(parents=True)
    return tmp_path / "origin"


@pytest.fixture
def directory(root: Path) -> Iterator[int]:
    descriptor = os.open(root / "sh0100", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def tier_at(root: Path, **network: int) -> Tier:
    settings = Settings(network=network)  # type: ignore[arg-type]  # pydantic parses it
    return open_adapter(f"file://{root}", settings)


async def put(tier: Tier, content: bytes | str, session: Fleeting | None = None) -> None:
    await tier.put(
        KEY,
        content,
        expect=None,
        checksums=Checksums(),
        mtime_ns=1,
        metadata={},
        session=session,
    )


def names(root: Path) -> list[str]:
    return sorted(os.listdir(root / "sh0100"))


def test_a_name_is_given_back_at_the_end(root: Path, directory: int) -> None:
    with temporaries.temporary(directory, KEY, 0o600) as (place, descriptor):
        assert names(root) == [place.name]
        os.write(descriptor, b"half")
    assert names(root) == []


def test_writers_side_by_side_have_names_of_their_own(root: Path, directory: int) -> None:
    with temporaries.temporary(directory, KEY, 0o600) as (one, _):
        with temporaries.temporary(directory, KEY, 0o600) as (other, _):
            assert one.name != other.name
            assert names(root) == sorted([one.name, other.name])
        assert names(root) == [one.name]


def test_a_file_that_was_renamed_stays_and_so_does_who_has_its_name_now(
    root: Path, directory: int
) -> None:
    with temporaries.temporary(directory, KEY, 0o600) as (place, _):
        (root / "sh0100" / place.name).rename(root / "sh0100" / "final")
        (root / "sh0100" / place.name).write_bytes(b"of another writer")
    assert names(root) == sorted(["final", place.name])


def test_what_the_dead_left_is_removed_and_what_the_living_write_is_not(
    root: Path, directory: int
) -> None:
    with temporaries.temporary(directory, KEY, 0o600) as (place, _):
        first = place.name
    second = first[:-1] + "1"
    (root / "sh0100" / first).write_bytes(b"of a dead one")
    (root / "sh0100" / second).write_bytes(b"of another dead one")
    with temporaries.temporary(directory, KEY, 0o600) as (place, _):
        assert names(root) == [place.name] == [first]
        temporaries.sweep(directory, KEY)
        assert names(root) == [first]
    (root / "sh0100" / first).write_bytes(b"")
    living = os.open(root / "sh0100" / first, os.O_RDWR)
    fcntl.flock(living, fcntl.LOCK_EX)
    with temporaries.temporary(directory, KEY, 0o600) as (place, _):
        assert names(root) == [first, second]
        assert place.name == second
    assert names(root) == [first]
    os.close(living)
    temporaries.sweep(directory, KEY)
    assert names(root) == []


VICTIM = """
import os, sys, signal, trio
from shotfs.tiers.cloud import directory
from tests.unit.tiers.test_temporaries import put, tier_at
from pathlib import Path
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
directory._finish = die
trio.run(put, tier_at(Path(sys.argv[1])), b"half" * 1000)
"""


async def test_s05_a_killed_put_leaves_nothing_once_its_key_is_put_again(root: Path) -> None:
    died = subprocess.run([sys.executable, "-c", VICTIM, str(root)], check=False)  # noqa: ASYNC221
    assert died.returncode == -signal.SIGKILL
    assert len(names(root)) == 1
    assert names(root)[0].startswith(temporaries.PREFIX)
    await put(tier_at(root), b"whole")
    assert names(root) == ["beauty.exr"]
    assert (root / KEY).read_bytes() == b"whole"


async def test_a_large_copy_is_known_to_its_session_and_can_be_given_up(
    root: Path, tmp_path: Path
) -> None:
    tier = tier_at(root, upload_part_bytes=5 * 1024 * 1024)
    large = tmp_path / "large"
    large.write_bytes(bytes(5 * 1024 * 1024 + 1))
    saved = []

    class Watched(Fleeting):
        async def save(self, token: object) -> None:
            saved.append((token is not None, names(root)))
            await super().save(token)  # type: ignore[arg-type]

    await put(tier, str(large), Watched())
    assert saved == [(True, []), (False, ["beauty.exr"])]
    left = temporaries._name(KEY, 0)
    (root / "sh0100" / left).write_bytes(b"half")
    await tier.give_up(KEY, {"began": KEY})
    await tier.give_up("not/there", {"began": "not/there"})
    assert names(root) == ["beauty.exr"]


async def test_a_put_of_any_size_is_known_before_its_temporary_is_there(root: Path) -> None:
    saved: list[tuple[Token | None, list[str]]] = []

    class Noted(Fleeting):
        async def save(self, token: Token | None) -> None:
            saved.append((token, sorted(os.listdir(root / "sh0100"))))
            await super().save(token)

    tier = tier_at(root)
    await tier.put(
        KEY,
        b"few bytes",
        expect=None,
        checksums=Checksums(),
        mtime_ns=1,
        metadata={},
        session=Noted(),
    )
    await tier.aclose()
    # Whom a kill leaves behind knows what to sweep, though the key is never put again.
    assert saved == [({"began": KEY}, []), (None, ["beauty.exr"])]
