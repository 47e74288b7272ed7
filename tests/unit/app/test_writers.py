"""Who writes a file, as /proc tells it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from shotfs.app.writers import writers_of


def test_a_process_that_has_it_open_for_writing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "frame.exr"
    with path.open("wb"):
        (found,) = writers_of(str(path))
    assert (found.pid, found.uid, found.how) == (os.getpid(), os.getuid(), "open")
    assert found.name
    assert writers_of(str(path)) == []


def test_a_reader_is_no_writer(tmp_path: Path) -> None:
    path = tmp_path / "frame.exr"
    path.write_bytes(b"x")
    with path.open("rb"):
        assert writers_of(str(path)) == []


def test_a_process_that_has_it_mapped_can_write_too(tmp_path: Path) -> None:
    path = tmp_path / "a frame.exr"
    path.write_bytes(b"x" * 4096)
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 4096)
    # CPython keeps a duplicate of the descriptor, so it is "open" first.
    (found,) = writers_of(str(path))
    assert found.pid == os.getpid()
    mapped.close()
    assert writers_of(str(path)) == []


def test_where_there_is_no_proc_nobody_is_named(tmp_path: Path) -> None:
    assert writers_of("/x", proc=str(tmp_path / "none")) == []
