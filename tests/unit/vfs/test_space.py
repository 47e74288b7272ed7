"""What df shows, and names and paths at their limits."""

from __future__ import annotations

import os

import pytest

from shotfs.errors import NameNotEncodable, NameTooLong, PathNotFound
from shotfs.tiers.base import KEY_BYTES_MAX
from shotfs.vfs import paths
from shotfs.vfs.filesystem import Space
from tests.unit.vfs.world import World

GIB = 2**30


class Disk:
    """Stands for the result of statvfs: a disk with *free* bytes."""

    def __init__(self, free: int) -> None:
        self.f_frsize = 4096
        self.f_bavail = free // 4096


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """What os.statvfs says of every disk."""
    disk = Disk(1000 * GIB)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    return disk


async def test_df_shows_what_is_in_the_spool_and_what_its_limit_leaves(
    world: World, disk: Disk
) -> None:
    limit = world.node.settings.spool.bytes_max
    assert await world.fs.space() == Space(total_bytes=limit, free_bytes=limit, files=0)
    await world.write("ant/notes/a.txt", bytes(10_000))
    assert await world.fs.space() == Space(
        total_bytes=limit, free_bytes=limit - 10_000, files=1, name_bytes_max=255
    )


async def test_df_shows_what_the_disk_leaves_if_that_is_less(world: World, disk: Disk) -> None:
    await world.write("ant/notes/a.txt", bytes(10_000))
    disk.f_bavail = 5
    space = await world.fs.space()
    assert space.free_bytes == 5 * 4096
    assert space.total_bytes - space.free_bytes == 10_000, "used is what is there, and no more"


async def test_df_never_shows_less_than_nothing(world: World, disk: Disk) -> None:
    world.fs._settings = world.node.settings.model_copy(
        update={"spool": world.node.settings.spool.model_copy(update={"free_bytes_min": GIB})}
    )
    disk.f_bavail = 0
    assert (await world.fs.space()).free_bytes == 0


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"a", "Grüße-日本.exr".encode(), b"n" * 255, b"a b", b"#?%"])
def test_s17_names_up_to_255_bytes(name: bytes) -> None:
    assert paths.child("ant", name) == paths.new_child("ant", name) == f"ant/{name.decode()}"
    assert paths.parent(f"ant/{name.decode()}") == "ant"


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"\x7f", b"\x01"])
def test_s01_names_that_no_key_can_carry(name: bytes) -> None:
    with pytest.raises(NameNotEncodable) as caught:
        paths.new_child("ant", name)
    assert caught.value.fix is not None
    with pytest.raises(PathNotFound):
        paths.child("ant", name)


def test_s01_names_and_keys_that_are_too_long() -> None:
    for make in (paths.child, paths.new_child):
        with pytest.raises(NameTooLong, match="256 bytes"):
            make("ant", b"n" * 256)
    deep = "/".join(["d" * 255] * 4)
    with pytest.raises(NameTooLong, match=str(KEY_BYTES_MAX)):
        paths.new_child(f"ant/{deep}", b"n")
    with pytest.raises(PathNotFound):
        paths.child(f"ant/{deep}", b"n")
