"""Version aliases and version directories, as the specification knows them."""

from __future__ import annotations

from typing import Any

import pytest

from shotfs.errors import InvalidArgument, SpecInvalid
from shotfs.pathspec import AliasMatch, Specification

from .documents import spec

FIELDS: dict[str, Any] = {
    "shot": {"type": "str", "pattern": "[a-z]{2}_[0-9]+"},
    "version": {"type": "version", "aliases": ["latest", "approved"]},
    "plain": {"type": "version", "scheme": "p%02d"},
    "layer": {"type": "enum", "choices": ["beauty", "matte"]},
    "frame": {"type": "frame"},
    "name": {"type": "str", "pattern": "[a-z]+"},
    "take": {"type": "compound", "format": "{shot}_{version}"},
}
RENDER = "render/{shot}_{version}/{layer}/{shot}_{version}.{frame}.png"


def made(templates: dict[str, Any], **more: Any) -> Specification:
    return spec(templates, FIELDS, **more)


def alias(found: Specification, path: str) -> AliasMatch:
    match = found.alias(path)
    assert match is not None
    return match


def test_alias_stands_in_the_place_of_the_first_version() -> None:
    found = made({"t": {"path": RENDER, "flow": "out", "ttl": 7, "negative_ttl": 3}})
    match = alias(found, "render/xy_1_latest")
    assert match == AliasMatch(
        alias="latest",
        usage="",
        follows_publish=True,
        field="version",
        origin="gs://bucket/ant",
        key=".shotfs/aliases/render/xy_1_latest.json",
        before="xy_1_",
        after="",
        directory=True,
        writable=True,
        ttl_s=7,
        negative_ttl_s=3,
    )
    assert match.target("v005") == "xy_1_v005"
    assert not alias(found, "render/xy_1_approved").follows_publish


@pytest.mark.parametrize(
    "path",
    [
        "",
        "render",
        "render/xy_1_v005",
        "render/xy_1_lates",
        "render/xy_1_latest/beauty",
        "render/xy_1_latest/beauty/xy_1_latest.0001.png",
        "render/XY_1_latest",
        "other/xy_1_latest",
        "latest",
    ],
)
def test_other_paths_are_no_aliases(path: str) -> None:
    assert made({"t": RENDER}).alias(path) is None


def test_alias_is_neither_file_nor_directory() -> None:
    found = made({"t": RENDER, "file": "plates/{shot}_{version}.exr"})
    for path in ("render/xy_1_latest", "plates/xy_1_latest.exr"):
        assert found.alias(path) is not None
        assert found.resolve(path) is None
        assert found.directory(path) is None
    assert found.directory("render/xy_1_latest/beauty") is None


def test_alias_of_a_file_keeps_what_follows_the_version() -> None:
    match = alias(made({"t": "plates/{shot}_{version}.{frame}.exr"}), "plates/xy_1_latest.0001.exr")
    assert (match.before, match.after, match.directory) == ("xy_1_", ".0001.exr", False)
    assert match.target("v012") == "xy_1_v012.0001.exr"


def test_alias_within_a_compound_and_after_repeated_fields() -> None:
    found = made({"t": "{shot}/{take}/x"})
    assert alias(found, "xy_1/xy_1_latest").before == "xy_1_"
    assert found.alias("xy_1/xy_2_latest") is None


def test_version_without_aliases_has_none() -> None:
    found = made({"t": "{plain}/{version}/x"})
    assert found.alias("latest") is None
    assert alias(found, "p01/latest").field == "version"


def test_templates_that_share_versions_share_their_alias() -> None:
    found = made(
        {
            "a": {"path": "{version}/a", "ttl": 50, "negative_ttl": 2},
            "b": {"path": "{version}/b", "ttl": 5, "negative_ttl": 20, "flow": "out"},
        }
    )
    match = alias(found, "latest")
    assert (match.ttl_s, match.negative_ttl_s, match.writable) == (5, 2, True)


def test_directory_says_whether_aliases_may_lie_in_it() -> None:
    found = made({"t": RENDER})
    flags = [found.directory(path) for path in ("", "render", "render/xy_1_v001")]
    assert [one is not None and one.aliases for one in flags] == [False, True, False]


# --- version directories -------------------------------------------------------------------------


PUBLISHED = {"path": RENDER, "immutable": "on-version-publish"}


def depth(found: Specification, path: str) -> int | None:
    match = found.resolve(path) or found.directory(path)
    assert match is not None
    return match.version_depth


def test_everything_below_a_version_directory_knows_its_depth() -> None:
    found = made({"frames": PUBLISHED, "log": "render/{shot}_{version}/log/{name}.txt"})
    for path in (
        "render/xy_1_v005",
        "render/xy_1_v005/beauty",
        "render/xy_1_v005/beauty/xy_1_v005.0001.png",
        "render/xy_1_v005/log/a.txt",
    ):
        assert depth(found, path) == 2
    assert depth(found, "render") is None


def test_without_publishing_there_is_no_version_directory() -> None:
    found = made({"t": {"path": RENDER, "immutable": "on-close"}})
    assert depth(found, "render/xy_1_v005/beauty") is None


def test_outermost_version_directory_counts() -> None:
    published = {"immutable": "on-version-publish"}
    found = made(
        {
            "outer": {"path": "{version}/{name}", **published},
            "inner": {"path": "{version}/x/{plain}/{name}", **published},
        }
    )
    assert depth(found, "v001/x/p01/a") == 1
    assert depth(found, "v001/x/p01") == 1


def test_scratch_names_in_a_version_directory_know_its_depth() -> None:
    found = made({"frames": {**PUBLISHED, "flow": "out"}})
    match = found.resolve("render/xy_1_v005/beauty/x.tmp")
    assert match is not None
    assert (match.scratch, match.version_depth) == (True, 2)


# --- what shotfs keeps for itself ----------------------------------------------------------------


def test_nothing_in_the_reserved_directory_exists() -> None:
    found = spec({"all": {"path": "{rest}", "flow": "inout"}}, {"rest": {"type": "tree"}})
    for path in (".shotfs", ".shotfs/aliases/x.json", ".shotfs/x.tmp"):
        assert found.resolve(path) is None
        assert found.directory(path) is None
        assert found.alias(path) is None
        assert found.implied_children(path) == ()
    assert found.resolve("a/.shotfs") is not None


@pytest.mark.parametrize(
    ("path", "name"),
    [("{top}/x", ".shotfs"), (".{part}/x", ".shotfs"), ("a/{dots}/x", "."), ("{dot}.", "..")],
)
def test_choice_that_makes_a_name_which_cannot_be_is_refused(path: str, name: str) -> None:
    fields = {
        "top": {"type": "enum", "choices": ["a", ".shotfs"]},
        "part": {"type": "enum", "choices": ["a", "shotfs"]},
        "dots": {"type": "enum", "choices": ["a", "."]},
        "dot": {"type": "enum", "choices": ["a", "."]},
    }
    with pytest.raises(SpecInvalid, match="leave out the choice") as caught:
        spec({"t": path}, fields)
    (problem,) = caught.value.problems
    assert f'can be "{name}": ' in problem.message


def test_pattern_that_can_spell_the_reserved_directory_leaves_it_out() -> None:
    fields = {"top": {"type": "str", "pattern": r"\.shotfs|b"}}
    made = spec({"t": "{top}/x"}, fields)
    assert made.resolve(".shotfs/x") is None
    assert made.resolve("b/x") is not None
    with pytest.raises(InvalidArgument, match='which template "t" does not match'):
        made.format("t", {"top": ".shotfs"})
