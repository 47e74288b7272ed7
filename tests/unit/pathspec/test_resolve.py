"""What `resolve`, `directory` and `implied_children` answer."""

from __future__ import annotations

import pytest

from shotfs.pathspec import Durability, Flow, Immutable, Rewrite

from .documents import FRAME, SHOT, dna, spec

NAME = {"name": {"type": "str"}}


def test_dna_shot_name_gives_all_its_fields_and_its_policy() -> None:
    found = dna().resolve(FRAME)
    assert found is not None
    assert found.template.name == "frames"
    assert found.fields == {
        "shot": "xy_1_100_030_00",
        "seq": "xy",
        "act": "1",
        "scene": "100",
        "cut": "030",
        "take": "00",
        "version": "v005",
        "layer": "beauty",
        "frame": "1001",
    }
    assert (found.key, found.scratch) == (FRAME, False)
    policy = found.template.policy
    assert policy.origin == "gs://ant-main/ant"
    assert (policy.flow, policy.immutable) == (Flow.OUT, Immutable.ON_CLOSE)
    assert (policy.durability, policy.rewrite) == (None, Rewrite.REFUSE)
    assert (policy.ttl_s, policy.negative_ttl_s, policy.mode) == (60.0, 5.0, 0o644)
    assert policy.owner_caller


@pytest.mark.parametrize(
    "path",
    [
        "",
        "render",
        f"render/{SHOT}",
        f"render/{SHOT}/beauty",
        FRAME.replace("beauty", "glory"),
        FRAME.replace("1001", "101"),
        FRAME.replace("1001", "01001"),  # %04d writes 1001 so: each number has one text
        FRAME.replace("xy_1", "xyz_1"),
        FRAME.replace(".png", "xpng"),
        FRAME + "/x",
        "/" + FRAME,
        FRAME.replace("/", "//"),
        FRAME + "\n",
        "./" + FRAME,
        "library/../x",
        "library/x\0y",
        "library/" + "x" * 256,
        "library/" + "é" * 128,
        "library/\udcff",
        f"render/{SHOT}/beauty/xy_1_100_030_00_v006.1001.png",
    ],
)
def test_s09_impossible_path_is_no_file(path: str) -> None:
    assert dna().resolve(path) is None


def test_name_of_255_bytes_is_possible() -> None:
    assert dna().resolve("library/" + "x" * 255) is not None
    assert dna().resolve("library/" + "é" * 127 + "x") is not None


def test_digits_of_other_scripts_are_no_digits() -> None:
    assert dna().resolve(FRAME.replace("1001", "١٠٠١")) is None


def test_literal_dead_end_falls_back_to_pattern() -> None:
    found = spec({"one": "a/b/c", "two": "a/{name}/d"}, NAME)
    assert found.parse("a/b/d").template.name == "two"
    assert found.resolve("a/b/x") is None


def test_field_used_twice_must_agree_across_and_within_elements() -> None:
    found = spec({"t": "{seq}/{seq}_{seq}.png"}, {"seq": {"type": "str", "pattern": "[a-z]{2}"}})
    assert found.parse("ab/ab_ab.png").fields == {"seq": "ab"}
    assert found.resolve("ab/ab_ac.png") is None
    assert found.resolve("ab/ac_ac.png") is None


def test_escaped_braces_are_literal() -> None:
    assert spec({"t": "{{x}}/{name}"}, NAME).parse("{x}/y").fields == {"name": "y"}


def test_nested_compound_gives_every_level() -> None:
    found = spec(
        {"t": "{whole}.x"},
        {
            "a": {"type": "int"},
            "b": {"type": "int"},
            "pair": {"type": "compound", "format": "{a}-{b}"},
            "whole": {"type": "compound", "format": "p{pair}"},
        },
    )
    assert found.parse("p1-2.x").fields == {"whole": "p1-2", "pair": "1-2", "a": "1", "b": "2"}
    assert found.format("t", {"pair": "1-2"}) == found.format("t", {"a": 1, "b": 2}) == "p1-2.x"


def test_tree_takes_any_depth_but_not_nothing() -> None:
    found = dna()
    assert found.parse("library/a").fields == {"rest": "a"}
    assert found.parse("library/a/b b/ç.inc").fields == {"rest": "a/b b/ç.inc"}
    assert found.resolve("library") is None


# --- scratch -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [f"{SHOT}.1001.png.tmp", f".{SHOT}.1001.png.swp", "x.pov-state", "x~", ".nfs001"]
)
def test_scratch_name_beside_outputs_is_scratch(name: str) -> None:
    found = dna().resolve(f"render/{SHOT}/beauty/{name}")
    assert found is not None
    assert (found.template.name, found.scratch) == ("frames", True)
    assert found.fields["layer"] == "beauty"
    assert "frame" not in found.fields


@pytest.mark.parametrize(
    "path",
    [
        "scenes/xy_1_100_030_00_v005/a.pov.tmp",  # flow in
        f"render/{SHOT}/glory/x.tmp",  # no such directory
        f"render/{SHOT}/x.tmp",  # no template's files are in this directory
        "x.tmp",
    ],
)
def test_scratch_name_elsewhere_is_impossible(path: str) -> None:
    assert dna().resolve(path) is None


def test_scratch_name_goes_to_the_template_whose_name_it_extends() -> None:
    found = spec(
        {"first": {"path": "d/{name}.txt"}, "second": {"path": "d/{name}.exr"}},
        NAME,
        defaults={"flow": "out"},
    )
    assert found.parse("d/x.exr.tmp").template.name == "second"
    assert found.parse("d/.x.exr.swp").template.name == "second"
    assert found.parse("d/x.unknown.tmp").template.name == "first"


def test_scratch_in_a_writable_tree_is_scratch_at_any_depth() -> None:
    found = spec({"t": {"path": "t/{rest}", "flow": "out"}}, {"rest": {"type": "tree"}})
    assert not found.parse("t/a/b").scratch
    deep = found.parse("t/a/b.tmp")
    assert (deep.scratch, deep.fields) == (True, {})
    assert found.parse("t/b.tmp").scratch


def test_no_scratch_patterns_means_no_scratch() -> None:
    found = spec({"t": {"path": "t/{name}.tmp", "flow": "out", "scratch": []}}, NAME)
    assert not found.parse("t/x.tmp").scratch
    assert found.resolve("t/x.part") is None


# --- directories ---------------------------------------------------------------------------------

LAYERS = {"layer": {"type": "enum", "choices": ["beauty", "matte"]}, **NAME}


def test_implied_directories_are_literals_and_enumerations() -> None:
    found = spec({"t": "render/{layer}/fin/{name}/x/{layer}.exr"}, LAYERS)
    assert found.implied_children("") == ("render",)
    assert found.implied_children("render") == ("beauty", "matte")
    assert found.implied_children("render/beauty") == ("fin",)
    assert found.implied_children("render/beauty/fin") == ()
    assert found.implied_children("render/beauty/fin/shot") == ()
    for path, implied in (("render/matte/fin", True), ("render/matte/fin/shot", False)):
        match = found.directory(path)
        assert match is not None
        assert match.implied is implied
    assert found.directory("render/beauty/fin/shot/x") is not None
    assert found.directory("render/glory") is None
    assert found.directory("render/beauty/fin/shot/x/beauty.exr") is None


def test_implied_children_of_a_repeated_enumeration_agree_with_it() -> None:
    found = spec({"t": "{layer}/{layer}_x/{name}"}, LAYERS)
    assert found.implied_children("matte") == ("matte_x",)
    assert found.directory("matte/beauty_x") is None


def test_files_are_no_implied_directories() -> None:
    assert spec({"t": "a/readme.txt"}).implied_children("a") == ()
    assert spec({"t": "{layer}"}, LAYERS).implied_children("") == ()


def test_directory_is_as_cautious_as_the_most_cautious_template_below() -> None:
    found = spec(
        {
            "in": {"path": "d/{name}/i", "ttl": 5, "directory_mode": "0750", "gid": 5},
            "out": {
                "path": "d/{name}/o",
                "flow": "out",
                "negative_ttl": 1,
                "gid": 5,
                "uid": 7,
                "owner": "caller",
                "origin": "s3://other/x/",
            },
        },
        NAME,
    )
    match = found.directory("d/x")
    assert match is not None
    assert (match.mode, match.uid, match.gid, match.owner_caller) == (0o750, None, 5, False)
    assert (match.ttl_s, match.negative_ttl_s, match.writable) == (5.0, 1.0, True)
    assert match.origins == ("gs://bucket/ant", "s3://other/x") == found.origins


def test_directories_below_a_tree_exist_only_by_their_files() -> None:
    found = dna()
    for path in ("library/a", "library/a/b"):
        match = found.directory(path)
        assert match is not None
        assert not match.implied
        assert not match.writable


def test_durability_and_rewrite_reach_the_policy() -> None:
    found = spec({"t": {"path": "t", "durability": "origin", "rewrite": "compare", "grace": "2s"}})
    policy = found.templates["t"].policy
    assert (policy.durability, policy.rewrite) == (Durability.ORIGIN, Rewrite.COMPARE)
    assert policy.grace_s == 2.0


# --- what no template produces -------------------------------------------------------------------

LOOSE = {"unmatched": {"ttl": 3, "flow": "inout", "scratch": ["*.tmp"]}}
VERSIONS = {
    "version": {"type": "version", "aliases": ["latest"]},
    "kind": {"type": "enum", "choices": ["a", "b"]},
}


def test_unmatched_paths_pass_where_nothing_else_matches() -> None:
    made = spec({"t": "x/{version}/{kind}.png"}, VERSIONS, **LOOSE)
    found = made.resolve("x/v001/other.png")
    assert found is not None
    assert (found.template.name, found.key, dict(found.fields)) == (
        "unmatched",
        "x/v001/other.png",
        {},
    )
    assert found.template.policy.ttl_s == 3
    assert made.parse("x/v001/a.png").template.name == "t"
    assert made.parse("anywhere/at/all").template.name == "unmatched"
    assert made.parse("x.tmp").scratch


def test_unmatched_is_no_alias_no_implied_directory_and_not_reserved() -> None:
    made = spec({"t": "x/{version}/{kind}.png"}, VERSIONS, **LOOSE)
    for path in ("x/latest", "x", ".shotfs", ".shotfs/aliases/x", "a//b", ""):
        assert made.resolve(path) is None
    assert made.alias("x/latest") is not None
    assert made.directory("x/latest") is None


def test_every_directory_may_hold_unmatched_files() -> None:
    made = spec({"t": {"path": "x/{version}/{kind}.png", "ttl": 60}}, VERSIONS, **LOOSE)
    for path, implied in (("", True), ("x", True), ("x/v001", False), ("y/z", False)):
        match = made.directory(path)
        assert match is not None
        assert (match.implied, match.ttl_s, match.writable) == (implied, 3, True)
    assert made.implied_children("") == ("x",)


def test_unmatched_files_in_a_version_directory_know_it() -> None:
    published = {"path": "x/{version}/{kind}.png", "immutable": "on-version-publish"}
    made = spec({"t": published}, VERSIONS, **LOOSE)
    assert made.parse("x/v001/notes/a.txt").version_depth == 2
    assert made.parse("x/notes/a.txt").version_depth is None
    match = made.directory("x/v001/notes")
    assert match is not None
    assert match.version_depth == 2
