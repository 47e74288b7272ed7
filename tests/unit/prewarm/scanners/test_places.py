"""From what scenes write to paths: variables, other systems, URLs, search paths."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.prewarm.scanners.places import MapRule, map_rule, openjd_rules, place


def placed(
    text: str, *, search: tuple[str, ...] = (), maps: tuple[str, ...] = (), **variables: str
):
    return place(text, "/shows/ant/020", search, variables, [map_rule(one) for one in maps])


def one(text: str, **options: object) -> str:
    found = placed(text, **options)  # type: ignore[arg-type]
    assert len(found.paths) == 1, found
    return found.paths[0]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/shows/a.exr", "/shows/a.exr"),
        (" /shows//b/../a.exr ", "/shows/a.exr"),
        ("//shows/a.exr", "/shows/a.exr"),
        ("tex/a.exr", "/shows/ant/020/tex/a.exr"),
        ("../a.exr", "/shows/ant/a.exr"),
        ("tex\\a.exr", "/shows/ant/020/tex/a.exr"),
        ("$SHOW/a.exr", "/shows/ant/a.exr"),
        ("${SHOW}/a.exr", "/shows/ant/a.exr"),
        ("%SHOW%/a.exr", "/shows/ant/a.exr"),
        ("[getenv SHOW]/a.exr", "/shows/ant/a.exr"),
        ('[getenv "SHOW"]/a.exr', "/shows/ant/a.exr"),
        ("$DEEP/a.exr", "/shows/ant/deep/a.exr"),
        ("/shows/a.$F4.exr", "/shows/a.$F4.exr"),
        ("/shows/a.####.exr", "/shows/a.####.exr"),
        ("file:///shows/a%20b.exr", "/shows/a b.exr"),
        ("file://localhost/shows/a.####.exr", "/shows/a.####.exr"),
        ("file:/shows/a.exr", "/shows/a.exr"),
        ("file:///shows/a.%04d%C3%A9.exr", "/shows/a.%04dé.exr"),
    ],
)
def test_a_text_means_one_path(text: str, path: str) -> None:
    assert one(text, SHOW="/shows/ant", DEEP="${SHOW}/deep") == path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a" * 5000, "longer than"),
        ("/a\x00b", "control characters"),
        ("/a\ud800b", "UTF-8"),
        ("$NOBODY/a.exr", "--define NOBODY="),
        ("${LOOP}/a.exr", "deep"),
        ("Z:\\shows\\a.exr", "--map 'Z:\\=/...'"),
        ("Z:/shows/a.exr", "--map 'Z:/=/...'"),
        ("\\\\filer\\shows\\a.exr", "--map '\\\\filer\\shows=/...'"),
        ("gs://bucket/a.exr", "no path of a file system"),
        ("https://example.org/a.exr", "no path of a file system"),
        ("file://filer/a.exr", "host"),
        ("~/a.exr", "home"),
        ("/proc/kmsg", "of a disk"),
        ("../../../x/../dev/zero", "of a disk"),
    ],
)
def test_what_cannot_be_known_is_told_with_its_reason(text: str, why: str) -> None:
    found = placed(text, LOOP="x${LOOP}")
    assert found.paths == ()
    assert why in found.unresolved


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Z:\\Shows\\Ant\\A.exr", "/mnt/Ant/A.exr"),
        ("z:/shows/ant/a.exr", "/mnt/ant/a.exr"),
        ("Z:/shows", "/mnt"),
        ("\\\\Filer\\proj\\a.exr", "/proj/a.exr"),
        ("//filer/proj/a.exr", "/proj/a.exr"),
        ("/old/a.exr", "/new/a.exr"),
        ("/old/deep/a.exr", "/deep/a.exr"),
        ("/older/a.exr", "/older/a.exr"),
        ("file:///Z:/shows/a.exr", "/mnt/a.exr"),
        ("$ROOT/a.exr", "/mnt/a.exr"),
    ],
)
def test_paths_of_other_systems_are_mapped_by_the_longest_rule(text: str, path: str) -> None:
    maps = ("Z:\\shows=/mnt", "\\\\filer\\proj=/proj", "/old=/new", "/old/deep=/deep")
    assert one(text, maps=maps, ROOT="Z:\\shows") == path


def test_search_paths_are_tried_in_order_and_not_for_explicit_paths() -> None:
    search = ("", "luts", "$LUTS", "$NOBODY", "/studio/luts")
    assert placed("a.cube", search=search, LUTS="/env").paths == (
        "/shows/ant/020/a.cube",
        "/shows/ant/020/luts/a.cube",
        "/env/a.cube",
        "/studio/luts/a.cube",
    )
    assert placed("./a.cube", search=search).paths == ("/shows/ant/020/a.cube",)


def test_rules_of_openjd_are_read() -> None:
    rule = {
        "source_path_format": "WINDOWS",
        "source_path": "C:\\assets",
        "destination_path": "/shows",
    }
    document = {"version": "pathmapping-1.0", "path_mapping_rules": [rule]}
    assert openjd_rules(json.dumps(document)) == [MapRule("C:\\assets", "/shows", windows=True)]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"version": "2"}',
        '{"version": "pathmapping-1.0"}',
        '{"version": "pathmapping-1.0", "path_mapping_rules": [1]}',
        '{"version": "pathmapping-1.0", "path_mapping_rules": [{"source_path_format": "POSIX"}]}',
    ],
)
def test_other_documents_are_refused(document: str) -> None:
    with pytest.raises(InvalidArgument):
        openjd_rules(document)


@pytest.mark.parametrize("text", ["", "a", "=/x", "/a=b"])
def test_rules_that_map_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="FROM=TO"):
        map_rule(text)


@given(st.text(alphabet="/.\\$%{}[]~:ABab #\n\x00é\ud800", max_size=40))
def test_whatever_is_written_paths_are_absolute_and_normal(text: str) -> None:
    found = placed(text, search=("", "x"), maps=("A:=/a",), A="/v", B="..")
    assert bool(found.paths) != bool(found.unresolved)
    for path in found.paths:
        assert path.startswith("/")
        assert ".." not in path.split("/")
        assert "//" not in path
