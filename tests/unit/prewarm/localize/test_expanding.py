"""Which names a path with tokens stands for."""

from __future__ import annotations

import pytest

from shotfs.app.expanding import Sequence


@pytest.mark.parametrize(
    ("path", "name", "frame"),
    [
        ("ant/a.####.exr", "a.1001.exr", 1001),
        ("ant/a.####.exr", "a.0007.exr", 7),
        ("ant/a.####.exr", "a.12345.exr", 12345),
        ("ant/a.%04d.exr", "a.-0005.exr", -5),
        ("ant/a.$F4.exr", "a.0010.exr", 10),
        ("ant/a.#.exr", "a.9.exr", 9),
        ("ant/a.<UDIM>.tx", "a.1034.tx", None),
        ("ant/a_u<U>_v<V>.tx", "a_u1_v12.tx", None),
        ("ant/a_%V.####.exr", "a_left.1001.exr", 1001),
    ],
)
def test_a_name_of_the_sequence_is_one(path: str, name: str, frame: int | None) -> None:
    sequence = Sequence.of(path)
    assert sequence is not None
    assert sequence.directory == "ant"
    assert sequence.may_hold(f"ant/{name}", 0)
    assert sequence.frame_of(f"ant/{name}") == frame
    assert sequence.has_frames == (frame is not None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ant/a.####.exr", "a.101.exr"),
        ("ant/a.####.exr", "a.01001.exr"),
        ("ant/a.####.exr", "a.1001.exr.tmp"),
        ("ant/a.####.exr", "aX1001.exr"),
        ("ant/a.<UDIM>.tx", "a.0999.tx"),
        ("ant/a.<UDIM>.tx", "a.preview.tx"),
    ],
)
def test_another_name_is_none(path: str, name: str) -> None:
    sequence = Sequence.of(path)
    assert sequence is not None
    assert not sequence.may_hold(f"ant/{name}", 0)


def test_tokens_in_directories_are_followed() -> None:
    sequence = Sequence.of("ant/render/%V/beauty.####.exr")
    assert sequence is not None
    assert (sequence.directory, sequence.depth) == ("ant/render", 2)
    assert sequence.may_hold("ant/render/left", 0)
    assert sequence.frame_of("ant/render/left/beauty.1001.exr") == 1001
    assert sequence.moved("ant/v005").path == "ant/v005/%V/beauty.####.exr"


def test_a_path_without_tokens_is_no_sequence() -> None:
    assert Sequence.of("ant/a.1001.exr") is None
    assert Sequence.of("####/a.exr") is None
