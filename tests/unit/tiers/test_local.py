"""file://: what only a directory has: links, foreign files, attributes, locks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shotfs.config import Settings
from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, PreconditionFailed, RevisionChanged, TierError
from shotfs.tiers.base import Revision, Span
from shotfs.tiers.cloud.directory import Directory
from shotfs.tiers.cloud.local import LocalTier
from shotfs.tiers.registry import open_adapter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def tier(root: Path) -> LocalTier:
    opened = open_adapter(f"file://{root}", Settings())
    assert isinstance(opened, LocalTier)
    return opened


async def put(tier: LocalTier, key: str, data: bytes, expect: Revision | None = None) -> Revision:
    sums = Checksums(xxh128=digest_bytes(data))
    return await tier.put(
        key, data, expect=expect, checksums=sums, mtime_ns=1_000_000_000, metadata={}
    )


async def names(tier: LocalTier, prefix: str = "") -> list[str]:
    found: list[str] = []
    async for page in tier.list(prefix):
        found += [one.key for one in page.objects] + [f"{one}/" for one in page.prefixes]
    return found


async def test_nothing_of_ours_is_left_or_listed(root: Path, tier: LocalTier) -> None:
    made = await put(tier, "a", b"1")
    await put(tier, "a", b"2", expect=made)
    with pytest.raises(PreconditionFailed):
        await put(tier, "a", b"3")
    assert sorted(os.listdir(root)) == [".shotfs-lock", "a"]
    assert await names(tier) == ["a"]
    with pytest.raises(ObjectNotFound):
        await tier.stat(".shotfs-lock")
    with pytest.raises(TierError, match="ours"):
        await put(tier, "dir/.shotfs-x", b"1")


async def test_links_are_followed_inside_the_root_and_never_out_of_it(
    root: Path, tier: LocalTier
) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    (root / "real").write_bytes(b"12345")
    (root / "inside").symlink_to("real")
    (root / "absolute").symlink_to(root / "real")
    (root / "outside").symlink_to("../secret")
    (root / "dangling").symlink_to("nothing")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to("..", target_is_directory=True)
    assert await names(tier) == ["absolute", "inside", "real"]
    assert bytes(await tier.read(await tier.stat("inside"), Span(0, 5))) == b"12345"
    for key in ("outside", "dangling", "loop", "up/secret"):
        with pytest.raises(ObjectNotFound):
            await tier.stat(key)
    with pytest.raises(TierError) as caught:
        await put(tier, "up/written", b"x")
    assert caught.value.errno == errno.EACCES
    assert not (root.parent / "written").exists()


async def test_special_files_are_no_objects_and_block_nobody(root: Path, tier: LocalTier) -> None:
    os.mkfifo(root / "fifo")
    assert await names(tier) == []
    with pytest.raises(ObjectNotFound):
        await tier.stat("fifo")


async def test_s06_a_digest_of_bytes_that_were_changed_in_place_is_not_claimed(
    root: Path, tier: LocalTier
) -> None:
    made = await put(tier, "a", b"12345")
    assert (await tier.stat("a")).checksums.xxh128 == digest_bytes(b"12345")
    with (root / "a").open("r+b") as file:
        file.write(b"54321")
    assert (await tier.stat("a")).checksums.xxh128 is None
    with pytest.raises(RevisionChanged):
        await tier.read(made, Span(0, 5))


async def test_files_and_directories_in_the_way_are_named(root: Path, tier: LocalTier) -> None:
    await put(tier, "a", b"1")
    with pytest.raises(TierError, match="is a file") as caught:
        await put(tier, "a/b/c", b"1")
    assert caught.value.errno == errno.ENOTDIR
    (root / "dir").mkdir()
    with pytest.raises(TierError, match="is a directory") as caught:
        await put(tier, "dir", b"1")
    assert caught.value.errno == errno.EISDIR


async def test_a_directory_of_many_entries_comes_in_pages_and_in_key_order(
    root: Path, tier: LocalTier
) -> None:
    for number in range(2500):
        (root / f"{number}").touch()
    pages = [page async for page in tier.list("")]
    assert [len(page.objects) for page in pages] == [1000, 1000, 500]
    keys = [one.key for page in pages for one in page.objects]
    assert keys == sorted(str(number) for number in range(2500))


async def test_s18_create_only_holds_where_links_are_not_supported(
    root: Path, tier: LocalTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    await put(tier, "a", b"first")
    with pytest.raises(PreconditionFailed):
        await put(tier, "a", b"second")
    assert (root / "a").read_bytes() == b"first"
    assert sorted(os.listdir(root)) == [".shotfs-lock", "a"]


async def test_a_replace_through_a_link_keeps_the_link(root: Path, tier: LocalTier) -> None:
    (root / "real").write_bytes(b"1")
    (root / "link").symlink_to("real")
    await put(tier, "link", b"2", expect=await tier.stat("link"))
    assert (root / "link").is_symlink()
    assert (root / "real").read_bytes() == b"2"


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    (root / "a").write_bytes(b"1")
    link = root.parent / "link"
    link.symlink_to(root)
    assert Directory(str(link)).stat("a").size_bytes == 1


class Swap:
    """Puts a link out of the root in place of a directory, just before a name in it is opened."""

    def __init__(self, directory: Path, outside: Path, part_of_name: str) -> None:
        self._directory = directory
        self._outside = outside
        self._part = part_of_name
        self._real = os.open
        self.done = False

    def __call__(self, path: str, *args: int, **options: int) -> int:
        if self._part in os.path.basename(path) and not self.done:
            self.done = True
            self._directory.rename(self._directory.with_name("moved"))
            self._directory.symlink_to(self._outside)
        return self._real(path, *args, **options)


@pytest.fixture
def outside(root: Path) -> Path:
    path = root.parent / "outside"
    path.mkdir()
    (path / "file").write_bytes(b"secret")
    return path


async def test_s12_a_directory_that_becomes_a_link_while_it_is_read_leads_nowhere_else(
    root: Path, outside: Path, tier: LocalTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "dir").mkdir()
    (root / "dir" / "file").write_bytes(b"public")
    revision = await tier.stat("dir/file")
    swap = Swap(root / "dir", outside, "file")
    monkeypatch.setattr(os, "open", swap)
    assert bytes(await tier.read(revision, Span(0, 6))) == b"public"
    assert swap.done
    with pytest.raises(ObjectNotFound):
        await tier.stat("dir/file")


async def test_s12_a_directory_that_becomes_a_link_while_it_is_written_leads_nowhere_else(
    root: Path, outside: Path, tier: LocalTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "dir").mkdir()
    swap = Swap(root / "dir", outside, ".shotfs-tmp-")
    monkeypatch.setattr(os, "open", swap)
    await put(tier, "dir/new", b"ours")
    assert swap.done
    assert os.listdir(outside) == ["file"]
    assert os.listdir(root / "moved") == ["new"]


async def test_s12_nothing_outside_is_deleted_through_a_link(
    root: Path, outside: Path, tier: LocalTier
) -> None:
    (root / "dir").symlink_to(outside)
    with pytest.raises(ObjectNotFound):
        await tier.delete("dir/file", expect=None)
    assert os.listdir(outside) == ["file"]


async def test_links_to_directories_inside_the_root_are_followed_for_everything(
    root: Path, tier: LocalTier
) -> None:
    (root / "real" / "deep").mkdir(parents=True)
    (root / "relative").symlink_to("./real//deep/")
    (root / "real" / "absolute").symlink_to(root / "real" / "deep")
    (root / "real" / "back").symlink_to("../real/absolute")
    (root / "self").symlink_to(".")
    await put(tier, "relative/a", b"1")
    await put(tier, "real/back/new/b", b"2")
    assert (root / "real" / "deep" / "new" / "b").read_bytes() == b"2"
    assert await names(tier) == ["real/", "relative/"]
    assert await names(tier, "relative") == ["relative/a", "new/"]
    revision = await tier.stat("real/absolute/a")
    assert bytes(await tier.read(revision, Span(0, 1))) == b"1"
    await tier.delete("relative/a", expect=None)
    assert os.listdir(root / "real" / "deep") == ["new"]


def test_a_directory_that_goes_while_it_is_listed_has_no_entries(root: Path) -> None:
    (root / "dir").mkdir()
    (root / "dir" / "a").touch()
    directory = Directory(str(root))
    listed = directory.names("dir")
    (root / "dir" / "a").unlink()
    (root / "dir").rmdir()
    assert listed == ["a"]
    assert directory.look("dir", listed) == ([], [])
