"""Tokens in paths, and the sequences that they and single files belong to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fileseq import PAD_STYLE_HASH1, FileSequence
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec import Specification
from shotfs.pathspec.fields import FieldValue, Tile
from shotfs.pathspec.sequences import (
    STYLES,
    SequencePattern,
    find_tokens,
    ranges,
    sequence_of,
    tokens_for,
)
from tests.unit.pathspec.documents import spec

from .declare import field

FIELDS: dict[str, Any] = {
    "shot": {"type": "str", "pattern": "[a-z]+[0-9]*"},
    "version": {"type": "version"},
    "name": {"type": "str"},
    "frame": {"type": "frame"},
    "wide": {"type": "frame", "pad": 6},
    "plain": {"type": "frame", "pad": 1},
    "late": {"type": "frame", "min": 1001},
    "free": {"type": "frame", "strict": False},
    "sub": {"type": "frame", "subframes": {"digits": 2, "fixed": True}},
    "tick": {"type": "frame", "subframes": 3},
    "tile": {"type": "udim"},
    "uv": {"type": "udim", "style": "uvtile"},
    "uv0": {"type": "udim", "style": "uv0"},
    "view": {"type": "view"},
    "eye": {"type": "view", "form": "short"},
    "camera": {"type": "view", "choices": ["witness"]},
    "pair": {"type": "compound", "format": "{name}.{frame}"},
}
TEMPLATES = {
    "frame": "frame/{shot}_{version}/{name}.{frame}.exr",
    "twice": "twice/{shot}.{frame}/{name}.{frame}.exr",
    "wide": "wide/{name}.{wide}.exr",
    "plain": "plain/{name}.{plain}.exr",
    "late": "late/{name}.{late}.exr",
    "free": "free/{name}.{free}.exr",
    "sub": "sub/{name}.{sub}.exr",
    "tick": "tick/{name}.{tick}.vdb",
    "tile": "tile/{name}.{tile}.tif",
    "uv": "uv/{name}_{uv}.tif",
    "uv0": "uv0/{name}_{uv0}.tif",
    "view": "view/{view}/{name}.{eye}.{frame}.exr",
    "long": "long/{name}_{view}.exr",
    "short": "short/{name}_{eye}.exr",
    "camera": "camera/{camera}/{name}.exr",
    "both": "both/{name}.{tile}.{frame}.tif",
    "pair": "pair/{pair}.exr",
    "optional": "optional/{name}[.{view}].{frame}.exr",
    "anything": "anything/{text}.{frame}.exr",
    "note": "note/{name}.txt",
    "top": "{frame}",
}
MADE: Specification = spec(TEMPLATES, {**FIELDS, "text": {"type": "str", "pattern": "[^.]+"}})


def sequence(path: str) -> SequencePattern:
    found = sequence_of(MADE, path)
    assert found is not None
    return found


def opened(found: SequencePattern) -> list[str]:
    return [one.name for one in found.open]


TOKENS = [
    # (path, template, open fields)
    ("frame/ab1_v003/beauty.####.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.#.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.@@@@.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.%04d.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.$F4.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.<F4>.exr", "frame", ["frame"]),
    ("frame/ab1_v003/beauty.<F>.exr", "frame", ["frame"]),
    ("twice/ab.####/beauty.%04d.exr", "twice", ["frame"]),
    ("wide/beauty.######.exr", "wide", ["wide"]),
    ("wide/beauty.$F6.exr", "wide", ["wide"]),
    ("plain/beauty.$F.exr", "plain", ["plain"]),
    ("plain/beauty.%d.exr", "plain", ["plain"]),
    ("plain/beauty.@.exr", "plain", ["plain"]),
    ("late/beauty.$F.exr", "late", ["late"]),
    ("late/beauty.%d.exr", "late", ["late"]),
    ("free/beauty.@@.exr", "free", ["free"]),
    ("sub/beauty.####.##.exr", "sub", ["sub"]),
    ("sub/beauty.#.exr", "sub", ["sub"]),
    ("tick/smoke.####.vdb", "tick", ["tick"]),
    ("tile/body.<UDIM>.tif", "tile", ["tile"]),
    ("tile/body.<udim>.tif", "tile", ["tile"]),
    ("tile/body.%(UDIM)d.tif", "tile", ["tile"]),
    ("uv/body_<UVTILE>.tif", "uv", ["uv"]),
    ("uv/body_%(UVTILE)d.tif", "uv", ["uv"]),
    ("uv/body_u<U>_v<V>.tif", "uv", ["uv"]),
    ("uv0/body_u<u>_v<v>.tif", "uv0", ["uv0"]),
    ("view/%V/beauty.%v.####.exr", "view", ["view", "eye", "frame"]),
    ("view/left/beauty.l.####.exr", "view", ["frame"]),
    ("view/%V/beauty.l.1001.exr", "view", ["view"]),
    ("long/beauty_%V.exr", "long", ["view"]),
    ("short/beauty_%v.exr", "short", ["eye"]),
    ("camera/%V/beauty.exr", "camera", ["camera"]),
    ("both/body.<UDIM>.####.tif", "both", ["tile", "frame"]),
    ("both/body.<UDIM>.1001.tif", "both", ["tile"]),
    ("both/body.1001.####.tif", "both", ["frame"]),
    ("pair/beauty.####.exr", "pair", ["frame"]),
    ("optional/beauty.####.exr", "optional", ["frame"]),
    ("optional/beauty.%V.####.exr", "optional", ["view", "frame"]),
    ("anything/a#b%04dc.####.exr", "anything", ["frame"]),
    ("####", "top", ["frame"]),
]


@pytest.mark.parametrize(("path", "template", "fields"), TOKENS[:-2] + TOKENS[-1:])
def test_token_stands_for_the_field_in_whose_place_it_is(
    path: str, template: str, fields: list[str]
) -> None:
    found = sequence(path)
    assert found.template.name == template
    assert opened(found) == fields
    for one in fields:
        assert one not in found.fields
    again = sequence(found.with_tokens(STYLE_OF.get(template, "hash")))
    assert again.parts == found.parts


STYLE_OF = {"uv0": "maya"}

FILES = [
    # (path, open field, value, directory, depth)
    ("frame/ab1_v003/beauty.1001.exr", "frame", 1001, "frame/ab1_v003", 1),
    ("twice/ab.1001/beauty.1001.exr", "frame", 1001, "twice", 2),
    ("view/left/beauty.l.1001.exr", "frame", 1001, "view/left", 1),
    ("sub/beauty.0007.50.exr", "sub", Decimal("7.5"), "sub", 1),
    ("tick/smoke.1001.25.vdb", "tick", Decimal("1001.25"), "tick", 1),
    ("tile/body.1002.tif", "tile", 1002, "tile", 1),
    ("uv/body_u2_v1.tif", "uv", Tile(1, 0), "uv", 1),
    ("both/body.1002.0005.tif", "frame", 5, "both", 1),
    ("camera/witness/beauty.exr", "camera", "witness", "camera", 2),
    ("short/beauty_l.exr", "eye", "left", "short", 1),
    ("pair/beauty.0001.exr", "frame", 1, "pair", 1),
    ("optional/beauty.0001.exr", "frame", 1, "optional", 1),
    ("anything/%04d.0001.exr", "frame", 1, "anything", 1),
    ("anything/####.0001.exr", "frame", 1, "anything", 1),
    ("0001", "frame", 1, "", 1),
]


@pytest.mark.parametrize(("path", "name", "value", "directory", "depth"), FILES)
def test_file_belongs_to_the_sequence_of_its_frame_or_tile_or_view(
    path: str, name: str, value: FieldValue, directory: str, depth: int
) -> None:
    found = sequence(path)
    assert opened(found) == [name]
    assert found.values_of(path) == {name: value}
    assert found.path({name: value}) == path
    assert (found.directory, found.depth) == (directory, depth)


def test_sequence_makes_and_recognises_its_paths_only() -> None:
    found = sequence("view/%V/beauty.%v.####.exr")
    assert (found.directory, found.depth) == ("view", 2)
    values: dict[str, FieldValue] = {"view": "right", "eye": "right", "frame": 7}
    assert found.path(values) == "view/right/beauty.r.0007.exr"
    assert found.values_of("view/right/beauty.r.0007.exr") == values
    assert found.fields == {"name": "beauty"}
    for other in ("view/right/shadow.r.0007.exr", "view/right/beauty.r.7.exr", "note/beauty.txt",
                  "nothing", "", "frame/ab_v001/beauty.0001.exr"):  # fmt: skip
        assert found.values_of(other) is None


def test_sequence_without_the_optional_part_has_no_files_with_it() -> None:
    without, with_view = sequence("optional/a.####.exr"), sequence("optional/a.left.####.exr")
    assert without.values_of("optional/a.0001.exr") == {"frame": 1}
    assert without.values_of("optional/a.left.0001.exr") is None
    assert with_view.values_of("optional/a.0001.exr") is None
    assert with_view.values_of("optional/a.right.0001.exr") is None
    assert with_view.values_of("optional/a.left.0001.exr") == {"frame": 1}


def test_scratch_names_are_of_no_sequence() -> None:
    made = spec({"t": {"path": "{frame}", "flow": "out"}}, {"frame": {"type": "frame"}})
    found = sequence_of(made, "####")
    assert found is not None
    resolution = made.resolve("0001.tmp")
    assert resolution is not None
    assert resolution.scratch
    assert found.values_of("0001.tmp") is None
    assert sequence_of(made, "0001.tmp") is None


def test_compound_that_holds_the_open_field_is_not_fixed() -> None:
    found = sequence("pair/beauty.####.exr")
    assert found.fields == {"name": "beauty"}
    assert found.values_of("pair/beauty.0002.exr") == {"frame": 2}
    assert found.values_of("pair/shadow.0002.exr") is None


def test_path_of_a_sequence_needs_exactly_the_open_fields() -> None:
    found = sequence("both/body.<UDIM>.####.tif")
    with pytest.raises(InvalidArgument, match='needs the field "frame"'):
        found.path({"tile": 1001})
    with pytest.raises(InvalidArgument, match='not open in "fame"') as caught:
        found.path({"tile": 1001, "fame": 1})
    assert caught.value.fix == 'write "frame"'
    with pytest.raises(InvalidArgument, match='field "tile" cannot be 1000'):
        found.path({"tile": 1000, "frame": 1})


@pytest.mark.parametrize(
    "path",
    [
        "note/read.txt", "note/read.####.txt", "no/such.####.exr", "frame/ab1_v003/####", "",
        "frame/ab1_v003/beauty.1001.exr.tmp", "/frame/ab1_v003/beauty.####.exr", "####/####",
        "tile/body.####.tif", "frame/ab1_v003/beauty.<UDIM>.exr", "frame/####_v003/beauty.1001.exr",
        "frame/ab1_v###/beauty.1001.exr", "frame/%V_v003/beauty.1001.exr",
        "frame/ab1_v003/beauty.1###.exr",
        "frame/ab1_v003/####.####.####.exr",
        "x" * 5000, "####/" * 800,
    ],
)  # fmt: skip
def test_path_that_is_of_no_sequence(path: str) -> None:
    assert sequence_of(MADE, path) is None


@pytest.mark.parametrize(
    ("path", "message", "fix"),
    [
        ("frame/ab1_v003/beauty.#####.exr", '"#####" pads to 5 digits, the field', "####"),
        ("frame/ab1_v003/beauty.@.exr", '"@" pads to 1 digits', "####"),
        ("frame/ab1_v003/beauty.%d.exr", '"%d" pads to 1 digits', "####"),
        ("frame/ab1_v003/beauty.$F.exr", '"$F" pads to 1 digits', "####"),
        ("frame/ab1_v003/beauty.%06d.exr", '"%06d" pads to 6 digits', "####"),
        ("frame/ab1_v003/beauty.%099d.exr", '"%099d" pads to 99 digits', "####"),
        ("frame/ab1_v003/beauty.####.##.exr", "has 2 digits behind the point", "####"),
        ("plain/beauty.####.exr", '"####" pads to 4 digits, the field "plain" to 1', "#"),
        ("late/beauty.%06d.exr", '"%06d" pads to 6 digits', "####"),
        ("sub/beauty.####.exr", '"####" has no point', "####.##"),
        ("sub/beauty.####.###.exr", "has 3 digits behind the point", "####.##"),
        ("long/beauty_%v.exr", '"%v" is a view of the form short', "%V"),
        ("short/beauty_%V.exr", '"%V" is a view of the form long', "%v"),
        ("tile/body.<UVTILE>.tif", "of the form uvtile", "<UDIM>"),
        ("uv0/body_u<U>_v<V>.tif", "of the form uvtile", "u<u>_v<v>"),
    ],
)  # fmt: skip
def test_token_that_contradicts_its_field_is_told(path: str, message: str, fix: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        sequence_of(MADE, path)
    assert message in caught.value.message
    assert caught.value.message.startswith(path)
    assert caught.value.fix == f'write "{fix}"'


def test_frames_of_a_directory_are_told_as_ranges() -> None:
    found = sequence("frame/ab1_v003/beauty.####.exr")
    assert found.with_tokens("houdini") == "frame/ab1_v003/beauty.$F4.exr"
    names = [*(f"beauty.{frame}.exr" for frame in (1001, 1002, 1003, 1010)), "x.tmp", "a.1004.exr"]
    frames = [found.values_of(f"{found.directory}/{name}") for name in names]
    assert ranges(one["frame"] for one in frames if one is not None) == "1001-1003,1010"


WRITTEN = [
    # a field, a style, the token
    ("frame", "hash", "####"), ("frame", "at", "@@@@"), ("frame", "printf", "%04d"),
    ("frame", "houdini", "$F4"), ("frame", "nuke", "%04d"), ("frame", "arnold", "####"),
    ("frame", "maya", "####"), ("frame", "redshift", "<F4>"),
    ("plain", "houdini", "$F"), ("plain", "printf", "%d"), ("plain", "at", "@"),
    ("wide", "houdini", "$F6"), ("wide", "nuke", "%06d"),
    ("sub", "hash", "####.##"), ("sub", "printf", None), ("tick", "hash", "####"),
    ("tile", "arnold", "<UDIM>"), ("tile", "maya", "<UDIM>"), ("tile", "printf", "%(UDIM)d"),
    ("uv", "hash", "<UVTILE>"), ("uv", "maya", "u<U>_v<V>"), ("uv", "arnold", None),
    ("uv0", "maya", "u<u>_v<v>"), ("uv0", "hash", None),
    ("view", "nuke", "%V"), ("eye", "nuke", "%v"), ("view", "houdini", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "style", "token"), WRITTEN)
def test_field_is_written_as_the_application_reads_it(
    name: str, style: str, token: str | None
) -> None:
    made = MADE.fields[name]
    if token is None:
        with pytest.raises(InvalidArgument, match=f'{style} has no token for the field "{name}"'):
            tokens_for(made, style)
    else:
        assert tokens_for(made, style) == token


def test_style_and_field_that_have_no_tokens_are_told() -> None:
    with pytest.raises(InvalidArgument, match="no style of tokens") as caught:
        tokens_for(MADE.fields["frame"], "houdiny")
    assert caught.value.fix == 'write "houdini"'
    with pytest.raises(InvalidArgument, match="tokens stand for frame, udim, view"):
        tokens_for(MADE.fields["name"], "nuke")


@pytest.mark.parametrize("style", STYLES)
@given(pad=st.integers(1, 12))
@settings(max_examples=12, deadline=None)
def test_token_that_is_written_is_read_back_with_its_padding(style: str, pad: int) -> None:
    made = field("frame", pad=pad)
    text = tokens_for(made, style)
    (token,) = find_tokens(f"a/b.{text}.exr")
    assert token.text == text
    assert token.pad == pad or text == "#"
    if style != "redshift":  # fileseq does not know <F4>
        read = FileSequence(f"/a/b.{text}.exr", pad_style=PAD_STYLE_HASH1)
        assert read.zfill() == pad
        assert read.padding() == text


@given(st.text("#@%$<>()FUDIMVTLE0124dvu_/.ab", max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_sequence_or_none_or_an_error(text: str) -> None:
    try:
        found = sequence_of(MADE, text)
    except InvalidArgument as refused:
        assert refused.fix  # noqa: PT017 - the other outcomes are right too
        return
    tokens = find_tokens(text)
    assert all(text[token.start : token.end] == token.text for token in tokens)
    if found is not None:
        assert found.open
