"""The language of one expression without that of another: against lists of all short texts."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.pathspec import differences, regex
from shotfs.pathspec.automata import TooComplex, automaton_of
from shotfs.pathspec.differences import text_only_in

ALPHABET = "ab0"
TEXTS = ["".join(text) for size in range(5) for text in itertools.product(ALPHABET, repeat=size)]

PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "0", "[ab]", "[^a]", "."]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=5,
)


def only_in(one: str, other: str) -> str | None:
    return text_only_in(automaton_of(regex.parse(one)), automaton_of(regex.parse(other)))


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(regex.render(regex.parse(pattern)), text, re.ASCII) is not None


@given(PATTERNS, PATTERNS)
@settings(max_examples=150, deadline=None)
def test_text_is_in_one_and_not_in_the_other_and_none_means_none(one: str, other: str) -> None:
    found = only_in(one, other)
    if found is not None:
        assert matches(one, found)
        assert not matches(other, found)
    else:
        assert [text for text in TEXTS if matches(one, text) and not matches(other, text)] == []


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ("[a-z]{2,3}", "[a-z]{2}", "aaa"),
        ("[a-z]{2}", "[a-z]{2,3}", None),
        ("v[0-9]+", "v[0-9]{3}", "v0"),
        ("a|b|c", "[a-c]", None),
        ("[a-c]", "a|c", "b"),
        ("(ab)*c", "a?b?c|(ab)+c", "abababc"),
    ],
)
def test_shortest_text_is_found(one: str, other: str, text: str | None) -> None:
    found = only_in(one, other)
    if text == "abababc":  # the second has every (ab)+c
        assert found is None
    else:
        assert found is not None if text is not None else found is None
        assert len(found or "") == len(text or "")


def test_work_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "STEPS_MAX", 3)
    with pytest.raises(TooComplex):
        only_in("[a-z]{8}", "[a-z]{9}")
