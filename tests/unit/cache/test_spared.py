"""What is spared goes last, and only for the block that spares it."""

from __future__ import annotations

from shotfs.cache.spared import Either, Spared
from shotfs.digest import Digest, digest_bytes


def digests(count: int, of: bytes) -> list[Digest]:
    return [digest_bytes(of + b"%d" % number) for number in range(count)]


def test_what_was_added_is_spared_until_its_group_ends() -> None:
    spared = Spared()
    mine, others = digests(2_000, b"mine"), digests(2_000, b"other")
    assert not spared
    with spared.group() as group:
        for one in mine:
            group.add(one)
        assert spared
        assert all(one in spared for one in mine)
        assert sum(one in spared for one in others) < 20
        with spared.group() as other:
            other.add(others[0])
            assert others[0] in spared
        either = Either(frozenset(others[:1]), spared)
        assert mine[0] in either
        assert others[0] in either
    assert mine[0] not in spared
