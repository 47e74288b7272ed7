"""Inodes: what the kernel's numbers stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shotfs.fuse.inodes import ROOT, InodeTable
from shotfs.vfs import Attributes, Kind
from shotfs.vfs.attributes import directory_identity

MASK = (1 << 63) - 1


def file(identity: int) -> Attributes:
    return Attributes(
        identity=identity, kind=Kind.FILE, mode=0o644, uid=1, gid=1, size_bytes=0,
        mtime_ns=0, ctime_ns=0, ttl_s=1.0,
    )  # fmt: skip


def directory(path: str) -> Attributes:
    return file(directory_identity(path))._replace(kind=Kind.DIRECTORY)


def table() -> InodeTable:
    return InodeTable(directory_identity(""))


def test_a_node_is_found_by_its_identity_and_so_is_the_root() -> None:
    inodes = table()
    root, shot = directory_identity(""), directory_identity("ant/shot")
    assert inodes.find(root) is inodes.get(ROOT)
    assert inodes.find(shot) is None
    node = inodes.remember("ant/shot", directory("ant/shot"))
    assert inodes.find(shot) is node
    inodes.forget(node.number, 1)
    assert inodes.find(shot) is None


def test_the_root_is_always_there() -> None:
    inodes = table()
    inodes.forget(ROOT, 100)
    root = inodes.get(ROOT)
    assert root is not None
    assert root.path == ""
    assert len(inodes) == 1


def test_s16_a_number_derives_from_the_identity() -> None:
    identity = 0xABCDEF << 64 | 0x1234_5678_9ABC_DEF0
    first, second = table(), table()
    second.remember("ant/other", file(77))
    for inodes in (first, second):
        assert inodes.remember("ant/a", file(identity)).number == identity & MASK
    assert first.number(identity) == identity & MASK


def test_numbers_are_never_those_of_the_protocol() -> None:
    inodes = table()
    for identity in (0, 1, 1 << 63, (5 << 64) | 1):
        assert inodes.number(identity) > ROOT
        assert inodes.number(identity) <= MASK


def test_two_identities_with_one_number_are_told_apart_while_the_first_is_known() -> None:
    inodes = table()
    one, two = 5000, 5000 + (1 << 64)
    first = inodes.remember("ant/a", file(one))
    second = inodes.remember("ant/b", file(two))
    assert (first.number, second.number) == (5000, 5001)
    assert inodes.number(one) == 5000
    assert inodes.number(two) == 5001
    inodes.forget(first.number, 1)
    assert inodes.get(5001) is second
    assert second.path == "ant/b"


def test_numbers_wrap_around_at_their_end() -> None:
    inodes = table()
    inodes.remember("ant/a", file(MASK))
    assert inodes.remember("ant/b", file(MASK + (1 << 64))).number == ROOT + 1


def test_a_node_goes_with_the_kernels_last_reference() -> None:
    inodes = table()
    number = inodes.remember("ant/a", file(9)).number
    assert inodes.remember("ant/a", file(9)).number == number
    inodes.forget(number, 1)
    node = inodes.get(number)
    assert node is not None
    assert node.lookups == 1
    inodes.forget(number, 1)
    assert inodes.get(number) is None
    inodes.forget(number, 1)
    assert len(inodes) == 1


def test_several_references_are_given_back_at_once() -> None:
    inodes = table()
    for _ in range(5):
        number = inodes.remember("ant/a", file(9)).number
    inodes.forget(number, 5)
    assert inodes.get(number) is None


def test_asking_for_a_number_is_no_reference() -> None:
    inodes = table()
    inodes.number(9)
    assert len(inodes) == 1


def test_a_renamed_file_keeps_its_number() -> None:
    inodes = table()
    node = inodes.remember("ant/a.tmp", file(9))
    inodes.moved("ant/a.tmp", "ant/a", 9, directory=False)
    assert inodes.get(node.number) is node
    assert node.path == "ant/a"
    assert inodes.remember("ant/a", file(9)) is node


def test_a_rename_of_what_the_kernel_does_not_know_changes_nothing() -> None:
    inodes = table()
    node = inodes.remember("ant/b", file(8))
    inodes.moved("ant/a", "ant/c", 9, directory=False)
    assert node.path == "ant/b"


def test_a_renamed_directory_takes_everything_below_it_along() -> None:
    inodes = table()
    old = inodes.remember("ant/d", directory("ant/d"))
    below = inodes.remember("ant/d/x", file(9))
    deep = inodes.remember("ant/d/e", directory("ant/d/e"))
    beside = inodes.remember("ant/d2", file(10))
    inodes.moved("ant/d", "ant/new", directory_identity("ant/d"), directory=True)
    assert [node.path for node in (old, below, deep, beside)] == [
        "ant/new",
        "ant/new/x",
        "ant/new/e",
        "ant/d2",
    ]


def test_a_directory_made_under_the_old_name_is_another_inode() -> None:
    """Somebody may still stand in the directory that was renamed."""
    inodes = table()
    moved = inodes.remember("ant/d", directory("ant/d"))
    deep = inodes.remember("ant/d/e", directory("ant/d/e"))
    inodes.moved("ant/d", "ant/new", directory_identity("ant/d"), directory=True)
    made = inodes.remember("ant/d", directory("ant/d"))
    made_deep = inodes.remember("ant/d/e", directory("ant/d/e"))
    assert made.number != moved.number
    assert made_deep.number != deep.number
    assert (moved.path, made.path) == ("ant/new", "ant/d")
    assert (deep.path, made_deep.path) == ("ant/new/e", "ant/d/e")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 3)), max_size=60))
def test_a_number_stands_for_one_identity_as_long_as_the_kernel_knows_it(
    steps: list[tuple[bool, int, int]],
) -> None:
    """Six identities that all want the same number."""
    inodes = table()
    identities = [4000 + (high << 64) for high in range(6)]
    references: dict[int, int] = {}
    stands_for: dict[int, int] = {}
    for looked_up, which, count in steps:
        if looked_up:
            number = inodes.remember(str(which), file(identities[which])).number
            assert stands_for.setdefault(number, which) == which
            references[number] = references.get(number, 0) + 1
        elif references:
            number = sorted(references)[which % len(references)]
            inodes.forget(number, min(count, references[number]))
            references[number] -= min(count, references[number])
            if not references[number]:
                del references[number], stands_for[number]
        assert {node.number: node.lookups for node in inodes if node.number != ROOT} == references
