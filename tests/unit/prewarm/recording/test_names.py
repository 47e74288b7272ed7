"""Subjects come from environments: no name of theirs leaves its directory, or meets another."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.names import (
    DIRECTORY,
    ELEMENT_BYTES_MAX,
    element_of,
    frame_of_name,
    is_element,
    key_of,
    name_of,
    text_of_element,
)

ODD = [
    "", ".", "..", "_", "__", "~", "a/b", "../../etc/passwd", "/", "%2F", "a b", "\u00fc", "\udc80",
    "-", "con", ".x", "x" * 500, "\u00fc" * 100, "a\0b", "%", "_x", "job:1;rm -rf *",
]  # fmt: skip


@given(st.one_of(st.sampled_from(ODD), st.text(max_size=300)))
def test_an_element_is_one_plain_name(text: str) -> None:
    element = element_of(text)
    assert is_element(element)
    assert "/" not in element
    assert element not in (".", "..", "")
    assert not element.startswith(".")
    assert len(os.fsencode(element)) <= ELEMENT_BYTES_MAX
    if "~" not in element:
        assert text_of_element(element) == text


@given(st.text(max_size=400), st.text(max_size=400))
def test_two_texts_have_two_elements(one: str, other: str) -> None:
    assert (element_of(one) == element_of(other)) == (one == other)


def test_odd_texts_have_different_elements() -> None:
    assert len({element_of(text) for text in ODD}) == len(ODD)


def test_a_key_lies_below_the_directory_of_recordings() -> None:
    key = key_of(Subject("ant", "../x", "a/b", "1001", "", "../job"))
    assert key == f"{DIRECTORY}/%2E.%2Fx/a%2Fb/_/1001.jsonl"


def test_only_names_of_frames_are_read_back() -> None:
    assert [frame_of_name(name_of(frame)) for frame in ("", "1001", "-5")] == ["", "1001", "-5"]
    assert [frame_of_name(one) for one in ("1001", "x.jsonl", "1001.jsonl.new", "")] == [None] * 4
