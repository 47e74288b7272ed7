"""The specification cache: what a node keeps to start without its origin, and to start quickly."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from shotfs.digest import Digest
from shotfs.namespace import spec_cache as spec_cache_module
from shotfs.namespace.documents import DocumentSet
from shotfs.namespace.spec_cache import COMPILED_MAX, SpecCache

DOCUMENTS = DocumentSet(
    "gs://specs/ant.json",
    {"gs://specs/ant.json": '{"ü": "\udcff"}', "gs://specs/more.json": "{}"},
    {"gs://specs/ant.json": "1", "gs://specs/more.json": "2", "gs://specs/none.json": ""},
)
DIGESTS = {"gs://specs/ant.json": Digest("a" * 32)}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "specs"


@pytest.fixture
def cache(directory: Path) -> SpecCache:
    return SpecCache(str(directory))


def kept_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


def test_documents_come_back_as_they_were(cache: SpecCache, directory: Path) -> None:
    assert cache.last_good("ant", DOCUMENTS.location) is None
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)
    kept = SpecCache(str(directory)).last_good("ant", DOCUMENTS.location)
    assert kept is not None
    assert (kept.documents, kept.read_at_s) == (DOCUMENTS, 5.0)
    assert kept.documents.digests == DOCUMENTS.digests


def test_a_copy_is_of_one_show_at_one_place(cache: SpecCache) -> None:
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)
    assert cache.last_good("bee", DOCUMENTS.location) is None
    assert cache.last_good("ant", "gs://other/ant.json") is None


def test_others_cannot_read_what_is_kept(cache: SpecCache, directory: Path) -> None:
    before = os.umask(0)
    try:
        cache.keep("ant" * 85, DOCUMENTS, read_at_s=5.0)
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert kept_file(directory).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "link", "directory"])
def test_a_damaged_file_is_ignored_and_written_anew(
    cache: SpecCache,
    directory: Path,
    tmp_path: Path,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)
    path = kept_file(directory)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "flip":
        path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"shotfs-specs/9 " + data.partition(b" ")[2])
    else:
        path.unlink()
        if damage == "link":
            (tmp_path / "elsewhere").write_bytes(data)
            path.symlink_to(tmp_path / "elsewhere")
        else:
            path.mkdir()
    with caplog.at_level(logging.WARNING):
        assert cache.last_good("ant", DOCUMENTS.location) is None
    assert "ignored" in caplog.text
    if damage == "directory":
        path.rmdir()
    cache.keep("ant", DOCUMENTS, read_at_s=6.0)
    kept = cache.last_good("ant", DOCUMENTS.location)
    assert kept is not None
    assert kept.read_at_s == 6.0
    if damage == "link":
        assert (tmp_path / "elsewhere").read_bytes() == data


@pytest.mark.parametrize("payload", [b"[]", b"{}", b'{"show": "ant"}', b"\xff", b"null"])
def test_what_an_unknown_version_wrote_is_ignored(cache: SpecCache, payload: bytes) -> None:
    name = spec_cache_module._documents_name("ant", DOCUMENTS.location)
    cache._write(name, payload)
    assert cache.last_good("ant", DOCUMENTS.location) is None


def test_a_file_that_is_too_large_is_ignored(
    cache: SpecCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)
    monkeypatch.setattr(spec_cache_module, "FILE_BYTES_MAX", 10)
    assert cache.last_good("ant", DOCUMENTS.location) is None


def test_a_full_disk_costs_the_copy_and_nothing_else(
    cache: SpecCache,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        cache.keep("ant", DOCUMENTS, read_at_s=6.0)
    assert "No space left" in caplog.text
    kept = cache.last_good("ant", DOCUMENTS.location)
    assert kept is not None
    assert kept.read_at_s == 5.0, "the one before is whole"
    assert len(list(directory.iterdir())) == 1, "nothing is left behind"


def test_copies_are_bounded(
    cache: SpecCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec_cache_module, "COPIES_MAX", 2)
    for number in range(4):
        cache.keep(f"show{number}", DOCUMENTS, read_at_s=number)
        for place, path in enumerate(sorted(directory.iterdir(), key=os.path.getmtime)):
            os.utime(path, ns=(place, place))  # the clock may be coarser than this loop
    found = [n for n in range(4) if cache.last_good(f"show{n}", DOCUMENTS.location)]
    assert found == [2, 3]


def test_compiled_forms_are_of_their_documents_show_and_site(cache: SpecCache) -> None:
    cache.keep_compiled("ant", DIGESTS, "lon", b"compiled")
    assert cache.compiled("ant", DIGESTS, "lon") == b"compiled"
    assert cache.compiled("ant", DIGESTS, None) is None
    assert cache.compiled("bee", DIGESTS, "lon") is None
    assert cache.compiled("ant", {**DIGESTS, "x": Digest("b" * 32)}, "lon") is None
    assert cache.compiled("ant", {"gs://specs/ant.json": Digest("b" * 32)}, "lon") is None


def test_the_newest_compiled_forms_of_a_show_are_kept(cache: SpecCache, directory: Path) -> None:
    cache.keep("ant", DOCUMENTS, read_at_s=5.0)
    cache.keep_compiled("bee", DIGESTS, None, b"of another show")
    for number in range(COMPILED_MAX + 3):
        cache.keep_compiled("ant", DIGESTS, str(number), b"x")
        for place, path in enumerate(sorted(directory.iterdir(), key=os.path.getmtime)):
            os.utime(path, ns=(place, place))  # the clock may be coarser than this loop
    found = [number for number in range(9) if cache.compiled("ant", DIGESTS, str(number))]
    assert found == list(range(3, COMPILED_MAX + 3))
    assert cache.compiled("bee", DIGESTS, None) == b"of another show"
    assert cache.last_good("ant", DOCUMENTS.location) is not None
