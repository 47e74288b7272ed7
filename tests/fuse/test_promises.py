"""Promises of semantics.md, proven through a real mount."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import subprocess
from pathlib import Path

import pytest
import xxhash

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SHOT = "render/xy_1_100_030_00_v005"


def _fails_with(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.RaisesExc(OSError, check=lambda exc: exc.errno == number)


def _requests(gcs: GcsBucket) -> int:
    return sum(gcs.server.journal.counts(bucket=gcs.bucket).values())


def _put(origin: Path, key: str, data: bytes) -> Path:
    path = origin / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _write_frame(node: ShotfsNode, name: str = "beauty.1001.exr", data: bytes = b"frame") -> Path:
    directory = node.show / SHOT
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(data)
    return path


# --- S1: plain objects ---


def test_s01_a_file_is_the_plain_object_at_its_key(node: ShotfsNode, origin: Path) -> None:
    _put(origin, "library/wood/oak.png", b"oak")
    assert (node.show / "library/wood/oak.png").read_bytes() == b"oak"
    _write_frame(node, data=b"pixels")
    node.wait_published()
    assert (origin / SHOT / "beauty.1001.exr").read_bytes() == b"pixels"


def test_s01_written_objects_are_plain_in_a_bucket_too(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    path = _write_frame(gcs_node, data=b"pixels")
    gcs_node.wait_published()
    key = f"ant/{SHOT}/beauty.1001.exr"
    assert gcs.server.store.read(gcs.bucket, key) == b"pixels"
    stored = gcs.server.store.get(gcs.bucket, key)
    digest = xxhash.xxh3_128_hexdigest(b"pixels")
    assert stored.metadata["shotfs-xxh128"] == digest == gcs_node.xattr(path, "digest")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"\xff\xfe.1001.exr", errno.EILSEQ),
        (b"new\nline.1001.exr", errno.EILSEQ),
        (b"n" * 256 + b".1001.exr", errno.ENAMETOOLONG),
    ],
)
def test_s01_names_that_a_key_cannot_carry_are_refused_at_creation(
    node: ShotfsNode, name: bytes, number: int
) -> None:
    directory = node.show / SHOT
    directory.mkdir()
    with _fails_with(number):
        os.close(os.open(os.fsencode(directory) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert os.listdir(directory) == []


def test_s01_a_key_over_1024_bytes_is_refused(node: ShotfsNode) -> None:
    directory = os.fsencode(node.show / "notes")
    for _ in range(4):
        directory += b"/" + b"d" * 250
        os.mkdir(directory)
    with _fails_with(errno.ENAMETOOLONG):
        os.mkdir(directory + b"/" + b"d" * 250)


# --- S3: mutable paths are close-to-open


def test_s03_an_open_after_the_ttl_sees_the_newest_revision(node: ShotfsNode, origin: Path) -> None:
    _put(origin, "config/scene.json", b"first")
    path = node.show / "config/scene.json"
    assert path.read_bytes() == b"first"
    with open(path, "rb") as before:
        inode = os.fstat(before.fileno()).st_ino
        _put(origin, "config/scene.json", b"second!")
        assert path.read_bytes() == b"second!"
        assert path.stat().st_ino != inode, "a new revision is a new inode"
        assert os.fstat(before.fileno()).st_size == len(b"first")
        assert before.read() == b"first", "a descriptor never mixes two revisions"


def test_s03_a_writer_replaces_a_mutable_file_on_close(node: ShotfsNode, origin: Path) -> None:
    _put(origin, "config/scene.json", b"first")
    path = node.show / "config/scene.json"
    assert path.read_bytes() == b"first"
    path.write_bytes(b"rewritten")
    assert path.read_bytes() == b"rewritten"
    node.wait_published()
    assert (origin / "config/scene.json").read_bytes() == b"rewritten"


def test_s03_appending_to_a_published_mutable_file_keeps_what_was_there(
    node: ShotfsNode, origin: Path
) -> None:
    _put(origin, "config/log.json", b"one,")
    with open(node.show / "config/log.json", "ab") as file:
        file.write(b"two")
    node.wait_published()
    assert (origin / "config/log.json").read_bytes() == b"one,two"


# --- S9: impossible paths cost nothing


def test_s09_impossible_paths_make_no_request(gcs_node: ShotfsNode, gcs: GcsBucket) -> None:
    (gcs_node.show / SHOT).mkdir()
    before = _requests(gcs)
    for name in ("nonsense", "render/not_a_shot", f"{SHOT}/frame.exr", "library.old", "no/where"):
        with _fails_with(errno.ENOENT):
            os.stat(gcs_node.show / name)
    with _fails_with(errno.ENOENT):
        os.stat(gcs_node.mountpoint / "unknown-show")
    assert _requests(gcs) == before


def test_s09_creating_an_impossible_path_is_refused(node: ShotfsNode) -> None:
    (node.show / SHOT).mkdir()
    with _fails_with(errno.EPERM):
        (node.show / SHOT / "frame.exr").write_bytes(b"")
    with _fails_with(errno.EPERM):
        (node.show / "render/not_a_shot").mkdir()


def test_s09_a_missing_possible_path_is_remembered(new_node: NewNode, gcs: GcsBucket) -> None:
    spec = {**SPEC, "defaults": {**SPEC["defaults"], "negative_ttl": "1h"}}
    node = new_node(f"gs://{gcs.bucket}", spec=spec, settings=gcs_settings(gcs)).mount()
    with _fails_with(errno.ENOENT):
        os.stat(node.show / "library/missing.png")
    before = _requests(gcs)
    for _ in range(20):
        with _fails_with(errno.ENOENT):
            os.stat(node.show / "library/missing.png")
    assert _requests(gcs) == before


# --- S12: who may do what


def test_s12_modes_come_from_the_specification(node: ShotfsNode, origin: Path) -> None:
    _put(origin, "library/a.png", b"a")
    assert stat.S_IMODE((node.show / "library/a.png").stat().st_mode) == 0o444
    assert stat.S_IMODE((node.show / "render").stat().st_mode) == 0o777
    assert stat.S_IMODE((node.show / "library").stat().st_mode) == 0o555


def test_s12_other_users_are_kept_out_unless_the_mount_allows_them(
    new_node: NewNode, origin: Path, as_nobody: list[str]
) -> None:
    _put(origin, "library/a.png", b"a")
    closed = new_node(f"file://{origin}").mount()
    opened = new_node(f"file://{origin}", settings="[mount]\nallow_other = true").mount()

    def cat(node: ShotfsNode) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*as_nobody, "cat", str(node.show / "library/a.png")], capture_output=True, check=False
        )

    assert cat(closed).returncode != 0
    assert cat(opened).stdout == b"a"


def test_s12_the_cache_is_private(node: ShotfsNode) -> None:
    assert stat.S_IMODE((node.directory / "cache").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("owner", "uid", "mode"), [("caller", 65534, 0o640), ("service", 0, 0o664)]
)
def test_s12_outputs_belong_to_the_caller_or_to_whom_the_template_says(
    new_node: NewNode, origin: Path, as_nobody: list[str], owner: str, uid: int, mode: int
) -> None:
    frames = {**SPEC["templates"]["frames"], "owner": owner, "mode": "0664"}
    spec = {**SPEC, "templates": {**SPEC["templates"], "frames": frames}}
    allow = "[mount]\nallow_other = true"
    node = new_node(f"file://{origin}", spec=spec, settings=allow).mount()
    path = node.show / SHOT / "beauty.1001.exr"
    script = f"umask 027 && mkdir {path.parent} && echo one > {path}.tmp"
    subprocess.run([*as_nobody, "sh", "-c", script], check=True)
    found = path.with_name("beauty.1001.exr.tmp").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (uid, mode)
    subprocess.run([*as_nobody, "mv", f"{path}.tmp", str(path)], check=True)
    node.wait_published()
    assert path.read_bytes() == b"one\n"


# --- S13, S14: rename, unlink and attributes


def test_s13_a_scratch_name_is_renamed_onto_its_final_name(node: ShotfsNode, origin: Path) -> None:
    scratch = _write_frame(node, "beauty.1001.exr.tmp", b"whole")
    assert not (origin / SHOT).exists()
    final = scratch.with_name("beauty.1001.exr")
    os.rename(scratch, final)
    assert final.read_bytes() == b"whole"
    assert not scratch.exists()
    node.wait_published()
    assert (origin / SHOT / "beauty.1001.exr").read_bytes() == b"whole"


def test_s13_renaming_a_published_immutable_file_is_refused(node: ShotfsNode) -> None:
    path = _write_frame(node)
    node.wait_published()
    with _fails_with(errno.EPERM):
        os.rename(path, path.with_name("beauty.1002.exr"))
    assert path.read_bytes() == b"frame"


def test_s13_renaming_a_published_mutable_file_copies_then_deletes(
    node: ShotfsNode, origin: Path
) -> None:
    _put(origin, "config/old.json", b"settings")
    os.rename(node.show / "config/old.json", node.show / "config/new.json")
    assert (node.show / "config/new.json").read_bytes() == b"settings"
    node.wait_published()
    assert not (origin / "config/old.json").exists()
    assert (origin / "config/new.json").read_bytes() == b"settings"


def test_s13_a_directory_made_here_is_renamed_with_its_files(node: ShotfsNode) -> None:
    (node.show / "notes/draft/deep").mkdir(parents=True)
    (node.show / "notes/draft/deep/a.txt").write_bytes(b"a")
    os.rename(node.show / "notes/draft", node.show / "notes/final")
    assert (node.show / "notes/final/deep/a.txt").read_bytes() == b"a"
    assert os.listdir(node.show / "notes") == ["final"]


def test_s14_published_immutable_files_cannot_be_changed(node: ShotfsNode) -> None:
    path = _write_frame(node)
    node.wait_published()
    changes = {
        "unlink": lambda: os.unlink(path),
        "truncate": lambda: os.truncate(path, 0),
        "chmod": lambda: os.chmod(path, 0o600),
        "utime": lambda: os.utime(path, (1, 1)),
    }
    for change in changes.values():
        with _fails_with(errno.EPERM):
            change()
    with _fails_with(errno.EEXIST):
        os.open(path, os.O_WRONLY)
    assert path.read_bytes() == b"frame"


def test_s14_files_in_the_spool_do_what_posix_says(node: ShotfsNode) -> None:
    path = node.show / "notes/todo.txt"
    path.write_bytes(b"0123456789")
    os.truncate(path, 4)
    os.chmod(path, 0o640)
    os.utime(path, ns=(1_000_000_000, 2_000_000_000))
    found = path.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (4, 0o640)
    assert found.st_mtime_ns == 2_000_000_000
    with open(path, "rb") as file:
        os.unlink(path)
        assert file.read() == b"0123", "an unlinked file lives until its last close"
    assert not path.exists()


# --- S15: what you wrote you see at once


def test_s15_output_is_seen_before_it_is_published(node: ShotfsNode, origin: Path) -> None:
    path = node.show / "notes/today.txt"
    with open(path, "wb") as writer:
        writer.write(b"abc")
        writer.flush()
        assert path.stat().st_size == 3
        assert os.listdir(path.parent) == ["today.txt"]
        assert path.read_bytes() == b"abc"
        with open(path, "rb") as reader:
            view = mmap.mmap(reader.fileno(), 0, access=mmap.ACCESS_READ)
            assert view[:] == b"abc"
            view.close()
    assert not (origin / "notes").exists()


# --- S16: attributes are stable


def test_s16_attributes_survive_a_remount_and_listings_agree_with_stat(
    node: ShotfsNode, origin: Path
) -> None:
    _put(origin, "library/oak.png", b"oak")
    written = _write_frame(node)
    node.wait_published()
    # The kernel keeps what it was told for a second while a file is in the spool.
    wait_until(lambda: stat.S_IMODE(written.stat().st_mode) == 0o444)

    def seen() -> list[tuple[str, int, int, int]]:
        found = []
        for path in (node.show / "library/oak.png", written):
            single = path.stat()
            for entry in os.scandir(path.parent):
                listed = entry.stat()
                assert entry.inode() == single.st_ino
                assert (listed.st_size, listed.st_mtime_ns) == (single.st_size, single.st_mtime_ns)
            found.append((path.name, single.st_size, single.st_mtime_ns, single.st_ino))
        return found

    before = seen()
    node.remount()
    assert seen() == before


def test_s16_every_node_shows_the_same_size_and_mtime(new_node: NewNode, origin: Path) -> None:
    one, two = new_node(f"file://{origin}").mount(), new_node(f"file://{origin}").mount()
    path = _write_frame(one)
    one.wait_published()
    wait_until(lambda: stat.S_IMODE(path.stat().st_mode) == 0o444)
    there = two.show / SHOT / path.name
    assert there.read_bytes() == b"frame"
    assert (there.stat().st_size, there.stat().st_mtime_ns) == (
        path.stat().st_size,
        path.stat().st_mtime_ns,
    )


# --- S17: local POSIX behaviour


def test_s17_exclusive_create_and_append(node: ShotfsNode) -> None:
    path = node.show / "notes/lock.txt"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    with _fails_with(errno.EEXIST):
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    for part in (b"one ", b"two"):
        with open(path, "ab") as file:
            file.write(part)
    assert path.read_bytes() == b"one two"


def test_s17_shared_mmap_writes_reach_the_file(node: ShotfsNode) -> None:
    path = node.show / "notes/map.bin"
    with open(path, "w+b") as file:
        os.ftruncate(file.fileno(), 8192)
        view = mmap.mmap(file.fileno(), 8192)
        view[4096:4100] = b"mmap"
        view.flush()
        view.close()
        os.fsync(file.fileno())
    assert path.read_bytes() == bytes(4096) + b"mmap" + bytes(4092)


def test_s17_flock_excludes_on_one_node(node: ShotfsNode) -> None:
    path = node.show / "notes/flock.txt"
    path.write_bytes(b"")
    with open(path, "rb") as first, open(path, "rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        with _fails_with(errno.EWOULDBLOCK):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_s17_symbolic_links(node: ShotfsNode) -> None:
    (node.show / "notes/real.txt").write_bytes(b"real")
    link = node.show / "notes/link.txt"
    os.symlink("real.txt", link)
    assert os.readlink(link) == "real.txt"
    assert link.read_bytes() == b"real"
    assert sorted(os.listdir(node.show / "notes")) == ["link.txt", "real.txt"]
    os.unlink(link)
    assert not link.is_symlink()


def test_s17_what_objects_cannot_be_is_refused(node: ShotfsNode) -> None:
    path = node.show / "notes/a.txt"
    path.write_bytes(b"a")
    with _fails_with(errno.EPERM):
        os.link(path, path.with_name("b.txt"))
    with _fails_with(errno.ENOTSUP):
        os.mkfifo(path.with_name("pipe"))
    with _fails_with(errno.ENOTSUP):
        os.setxattr(path, "user.colour", b"red")


def test_s17_extended_attributes_say_what_shotfs_knows(node: ShotfsNode, origin: Path) -> None:
    _put(origin, "library/oak.png", b"oak")
    path = node.show / "library/oak.png"
    assert node.xattr(path, "state") == "remote"
    path.read_bytes()
    wait_until(lambda: node.xattr(path, "state") == "cached")
    assert node.xattr(path, "digest") == xxhash.xxh3_128_hexdigest(b"oak")
    assert node.xattr(path, "template") == "library"
    assert node.xattr(path, "origin") == f"file://{origin}/library/oak.png"
    assert node.xattr(path, "fields") == '{"rest": "oak.png"}'
    assert set(os.listxattr(path)) == {
        f"user.shotfs.{name}"
        for name in ("digest", "fields", "origin", "safe", "state", "template", "tier")
    }
    with _fails_with(errno.ENODATA):
        os.getxattr(path, "security.capability")


def test_s17_names_of_255_bytes(node: ShotfsNode) -> None:
    path = node.show / "notes" / ("n" * 255)
    path.write_bytes(b"long")
    assert path.read_bytes() == b"long"
    with _fails_with(errno.ENAMETOOLONG):
        path.with_name("n" * 256).write_bytes(b"")
    with _fails_with(errno.ENAMETOOLONG):
        os.stat(path.with_name("n" * 256))


def test_s17_a_directory_of_100000_entries_lists_completely(node: ShotfsNode, origin: Path) -> None:
    directory = origin / "library/many"
    directory.mkdir(parents=True)
    for index in range(100_000):
        os.close(os.open(directory / f"{index:06}.txt", os.O_CREAT | os.O_WRONLY))
    entries = list(os.scandir(node.show / "library/many"))
    assert len(entries) == 100_000
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert node.metric("shotfs_upcalls_total") < 5_000, "attributes come with the listing"
    assert all(entry.stat(follow_symlinks=False).st_size == 0 for entry in entries[:1000])


def test_s03_opening_for_writing_without_a_change_publishes_nothing(
    node: ShotfsNode, origin: Path
) -> None:
    stored = _put(origin, "config/scene.json", b"first")
    before = stored.stat()
    with open(node.show / "config/scene.json", "r+b") as file:
        assert file.read() == b"first"
    node.wait_published()
    wait_until(lambda: node.status()["spool"]["entries"] == 0)
    assert (stored.stat().st_ino, stored.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
