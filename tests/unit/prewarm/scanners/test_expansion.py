"""Tokens against what directories hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shotfs.prewarm.scanners.expansion import Facts, Listings, expand, unknown_token


class Names:
    """`expansion.Files` of a tree of names; counts what it is asked."""

    def __init__(self, *paths: str) -> None:
        self.paths = set(paths)
        self.listed: list[str] = []

    def local(self, path: str) -> str:
        raise AssertionError(path)

    def names(self, directory: str) -> Sequence[str]:
        self.listed.append(directory)
        below = directory.rstrip("/") + "/"
        return list({p[len(below) :].split("/")[0] for p in self.paths if p.startswith(below)})

    def facts(self, path: str) -> Facts | None:
        return Facts(1, 1) if path in self.paths else None


def found(
    files: Names, path: str, numbers: Sequence[int] | None = None, views: Sequence[str] = ()
) -> list[str]:
    asked = None if numbers is None else frozenset(numbers)
    return [match.path for match in expand(Listings(files), path, asked, views)]


@pytest.mark.parametrize(
    ("token", "names", "fits"),
    [
        (
            "####",
            ["0001", "1001", "10001", "-0001", "001", "01001", "x001"],
            "0001 1001 10001 -0001",
        ),
        ("#", ["1", "0001", "1001", "-5", "x"], "1 0001 1001 -5"),
        ("%04d", ["0001", "-001", "1001", "101"], "0001 -001 1001"),
        ("%d", ["1", "1001", "01"], "1 1001"),
        ("@@@", ["001", "1001", "01"], "001 1001"),
        ("$F4", ["0001", "1001"], "0001 1001"),
        ("<F4>", ["0001", "1001"], "0001 1001"),
        ("<UDIM>", ["1001", "1011", "0999", "10010", "u1_v1"], "1001 1011"),
        ("<UVTILE>", ["u1_v1", "u10_v2", "1001"], "u1_v1 u10_v2"),
        ("%V", ["left", "right", "1"], "left right"),
        ("%v", ["l", "r", "left"], "l r"),
    ],
)
def test_a_token_stands_for_the_names_that_applications_write(
    token: str, names: list[str], fits: str
) -> None:
    files = Names(*(f"/s/a.{name}.exr" for name in names), "/s/b.1001.exr", "/s/a.1001.exr.tmp")
    assert found(files, f"/s/a.{token}.exr") == sorted(f"/s/a.{name}.exr" for name in fits.split())


def test_only_the_numbers_and_views_that_are_asked_for_are_found() -> None:
    files = Names(*(f"/s/a_{v}.{n}.exr" for v in ("left", "right") for n in range(1001, 1009)))
    assert found(files, "/s/a_%V.####.exr", [1002, 1009], ["right"]) == ["/s/a_right.1002.exr"]
    assert found(files, "/s/a_%v.####.exr", [1002]) == []


def test_tokens_of_one_kind_stand_for_one_value_in_a_path() -> None:
    files = Names("/s/left/1001/a.left.1001.exr", "/s/left/1001/a.right.1002.exr", "/s/x")
    assert found(files, "/s/%V/####/a.%V.####.exr") == ["/s/left/1001/a.left.1001.exr"]
    files = Names("/s/left/a.l.exr", "/s/left/a.r.exr")
    assert found(files, "/s/%V/a.%v.exr") == ["/s/left/a.l.exr"]


def test_what_follows_a_directory_with_a_token_has_to_be_there() -> None:
    files = Names("/s/left/a.exr", "/s/right/b.exr")
    assert found(files, "/s/%V/a.exr") == ["/s/left/a.exr"]


def test_a_file_that_is_named_like_a_token_is_meant() -> None:
    files = Names("/s/a#.exr", "/s/a1.exr", "/s/b@2.exr")
    assert found(files, "/s/a#.exr") == ["/s/a#.exr"]
    assert found(files, "/s/b@2.exr") == ["/s/b@2.exr"]


def test_a_directory_is_listed_once() -> None:
    files = Names(*(f"/s/a.{n}.exr" for n in range(1001, 1100)))
    listings = Listings(files)
    for n in range(100):
        assert expand(listings, "/s/a.####.exr", frozenset([1001 + n % 99]), ())
        assert not expand(listings, f"/s/b{n}.####.exr", None, ())
    assert files.listed == ["/s"]


def test_tokens_that_nobody_knows_are_seen() -> None:
    assert unknown_token("/s/a.<aov>.exr") == "<aov>"
    assert unknown_token("/s/[value x]/a.exr") == "[value x]"
    assert unknown_token("/s/a.<UDIM>.exr") == ""
    assert unknown_token("/s/a.exr") == ""
