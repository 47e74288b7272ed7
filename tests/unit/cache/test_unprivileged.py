"""The cache of a service that is not root, which no permission of a file spares."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cache.fakes import FakeTier, cache_in, content_of, keep, read_all

NOBODY = 65534

# Becomes somebody else after everything was imported, and once used: another user may not be
# able to read an interpreter below /root.
PROGRAM = """
import os, shutil, sys, trio
from tests.unit.cache.fakes import MIB, FakeTier, cache_in, content_of, keep

async def main(directory):
    tier = FakeTier()
    revisions = [tier.add("small", content_of(5000)), tier.add("synced", content_of(16 * MIB))]
    async with cache_in(directory) as cache:
        for revision in revisions:
            await keep(cache, tier, revision)
        assert (cache.stats().files, cache.stats().unkept) == (2, 0), cache.stats()
    shutil.rmtree(directory + "/index")
    async with cache_in(directory) as cache:
        while cache.stats().files < 2:
            await trio.lowlevel.checkpoint()
        for revision in revisions:
            assert await cache.known(revision) or await cache.digest_of(revision) is not None

trio.run(main, sys.argv[1] + "/warm")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
trio.run(main, sys.argv[1] + "/own/c")
print("done as", os.geteuid())
"""


@pytest.fixture
def common_path() -> Iterator[Path]:
    """A directory that another user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="shotfs-test-") as made:
        path = Path(made)
        path.chmod(0o755)
        (path / "own").mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path / "own", NOBODY, NOBODY)
        yield path


def test_s08_a_service_without_privileges_keeps_and_finds_again_what_it_fetched(
    common_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(common_path), str(NOBODY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    expected = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert ended.stdout == f"done as {expected}\n"
    assert "not kept" not in ended.stderr


async def test_a_disk_without_extended_attributes_keeps_blobs_and_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", unsupported)
    tier = FakeTier()
    contents = [content_of(1000, number) for number in range(3)]
    revisions = [tier.add(f"f{number}", content) for number, content in enumerate(contents)]
    with caplog.at_level(logging.WARNING, "shotfs.cache"):
        async with cache_in(tmp_path / "c") as cache:
            for revision in revisions:
                await keep(cache, tier, revision)
            assert cache.stats().files == 3
            for revision, content in zip(revisions, contents, strict=True):
                assert await read_all(cache, tier, revision) == content
    assert len(tier.reads) == 3
    told = [one for one in caplog.records if "extended attributes" in one.message]
    assert len(told) == 1
