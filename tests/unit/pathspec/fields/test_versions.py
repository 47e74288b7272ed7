"""Schemes and aliases of versions, and the next version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec.fields import Field, VersionAlias, next_version, version_key

from .declare import field, mistakes

RANDOM = bytes(range(10))
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NOW_MS = 1_800_000_000_000


def after(made: Field, existing: list[str], **more: Any) -> str:
    given = {"site": "lon", "now_ms": NOW_MS, "randomness": RANDOM, **more}
    return next_version(made, existing, **given)


def test_listed_alias_called_latest_follows_publishing_and_others_move_by_hand() -> None:
    assert field("version", aliases=["latest", "approved"]).aliases == (
        VersionAlias("latest", "", follows_publish=True),
        VersionAlias("approved", "", follows_publish=False),
    )


def test_described_alias_says_what_moves_it() -> None:
    described = {"latest": {"moves": "by-hand"}, "daily": {"usage": "U", "moves": "on-publish"},
                 "a": {}}  # fmt: skip
    assert field("version", aliases=described).aliases == (
        VersionAlias("latest", "", follows_publish=False),
        VersionAlias("daily", "U", follows_publish=True),
        VersionAlias("a", "", follows_publish=False),
    )
    assert field("version", aliases={"latest": {}}).aliases[0].follows_publish


@pytest.mark.parametrize(
    ("keys", "where", "message"),
    [
        ({"aliases": ["v001"]}, "", '"v001" is a version of the scheme itself'),
        ({"aliases": {"v1000": {}}}, "", '"v1000" is a version'),
        ({"scheme": "ulid", "aliases": ["7ZZZ"]}, "", "cannot name an alias"),
        ({"aliases": ["a/b"]}, "", "cannot name an alias"),
        ({"aliases": ["-a"]}, "", "cannot name an alias"),
        ({"aliases": ["x" * 65]}, "", "cannot name an alias"),
        ({"aliases": [f"a{i}" for i in range(65)]}, "", "more than 64 aliases"),
        ({"aliases": {f"a{i}": {} for i in range(65)}}, "", "more than 64 aliases"),
        ({"aliases": ["a", "a"]}, "/1", "twice"),
        ({"aliases": "latest"}, "", "must be a list"),
        ({"aliases": {"latest": "newest"}}, "/latest", "must be an object"),
        ({"aliases": {"latest": {"moves": "never"}}}, "/latest/moves", 'cannot be "never"'),
        ({"aliases": {"latest": {"move": "by-hand"}}}, "/latest/move", 'unknown name "move"'),
    ],
)
def test_alias_that_cannot_be_is_a_mistake(keys: dict[str, Any], where: str, message: str) -> None:
    (problem,) = mistakes("version", **keys)
    assert problem.where == f"/fields/f/aliases{where}"
    assert message in problem.message


def test_text_of_the_scheme_without_its_padding_may_be_an_alias() -> None:
    assert [one.name for one in field("version", aliases=["v1", "v01"]).aliases] == ["v1", "v01"]


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], "v001"),
        (["v001", "v007", "v003"], "v008"),
        (["v999"], "v1000"),
        (["latest", "v0005", "v12", "notes.txt", "v002.tmp", "", "v002"], "v003"),
        (["v000"], "v001"),
    ],
)
def test_next_number_is_the_highest_and_one(existing: list[str], expected: str) -> None:
    assert after(field("version"), existing) == expected


def test_ulid_holds_the_time_and_the_randomness() -> None:
    # The example of the ULID specification: its time in milliseconds, its random bits.
    made = field("version", scheme="ulid")
    randomness = bytes.fromhex("d63a2f1eb7a64c8bb5ab")
    first = after(made, [], now_ms=0, randomness=bytes(10))
    assert first == "0" * 26
    assert after(made, [], now_ms=2**48 - 1, randomness=b"\xff" * 10) == "7" + "Z" * 25
    assert after(made, [], now_ms=1_469_918_176_385, randomness=randomness).startswith("01ARYZ6S41")


def test_ulid_of_a_site_begins_with_its_name() -> None:
    made = field("version", scheme="site-ulid")
    assert after(made, [], site="bom").startswith("bom-01")
    assert made.problem(f"lon-{ULID}") is None
    for wrong in (ULID, f"-{ULID}", f"lon{ULID}", f"{'a' * 17}-{ULID}", f"lon-{ULID.lower()}"):
        assert made.problem(wrong) is not None


@given(
    st.lists(st.tuples(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10)), max_size=6),
    st.integers(0, 2**48 - 2),
    st.binary(min_size=10, max_size=10),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_next_ulid_sorts_after_all_that_exist_whatever_the_clock_says(
    others: list[tuple[int, bytes]], now_ms: int, randomness: bytes, sites: bool
) -> None:
    made = field("version", scheme="site-ulid" if sites else "ulid")
    existing: list[str] = []
    for index, (time_ms, random) in enumerate(others):
        site = ("lon", "bom")[index % 2]
        existing.append(after(made, [], site=site, now_ms=time_ms, randomness=random))
    new = after(made, existing, now_ms=now_ms, randomness=randomness)
    assert made.problem(new) is None
    assert all(version_key(made, one) < version_key(made, new) for one in existing)


def test_ulid_of_the_same_millisecond_and_the_same_chance_is_another() -> None:
    made = field("version", scheme="ulid")
    one = after(made, [])
    other = after(made, [one])
    assert one != other
    assert one[:10] == other[:10]
    # When the random bits run over, the time goes on.
    full = after(made, [], randomness=b"\xff" * 10)
    assert after(made, [full]) == after(made, [], now_ms=NOW_MS + 1, randomness=bytes(10))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"site": None}, "begin with the name of the site"),
        ({"site": "LON"}, "cannot begin versions"),
        ({"site": "a" * 17}, "cannot begin versions"),
        ({"site": ""}, "cannot begin versions"),
        ({"now_ms": -1}, "no time that a ULID can hold"),
        ({"now_ms": 2**48}, "no time that a ULID can hold"),
        ({"randomness": b"short"}, "takes 10 random bytes"),
    ],
)
def test_version_that_cannot_be_made_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        after(field("version", scheme="site-ulid"), [], **more)


def test_there_is_nothing_after_the_last_ulid() -> None:
    with pytest.raises(InvalidArgument, match="no ULID after"):
        after(field("version", scheme="ulid"), ["7" + "Z" * 25])


def test_other_fields_have_no_next_version() -> None:
    with pytest.raises(InvalidArgument, match='field "f" is no version'):
        after(field("int"), [])


def test_versions_sort_by_number_not_by_text() -> None:
    made = field("version")
    texts = ["v1000", "v002", "v999"]
    assert sorted(texts, key=lambda text: version_key(made, text)) == ["v002", "v999", "v1000"]
    with pytest.raises(InvalidArgument):
        version_key(made, "latest")
