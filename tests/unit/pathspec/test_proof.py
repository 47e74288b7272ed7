"""What is proven at load: overlaps, hidden files, bounded matching."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import proof, regex
from shotfs.pathspec.automata import automaton_of, common_text
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts

from .documents import dna, spec

NAME = {"name": {"type": "str"}}
PATTERN = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        inner.map(lambda one: f"({one})+"),
        inner.map(lambda one: f"({one})*"),
        inner.map(lambda one: f"({one}){{1,2}}"),
    ),
    max_leaves=5,
)


def test_example_of_the_documentation_has_no_warnings() -> None:
    assert dna().warnings == ()


def test_overlap_is_warned_of_with_a_path_that_both_templates_match() -> None:
    made = spec(
        {"one": "{name}/x_{name2}.y", "two": "a/x_{name}.y"}, {**NAME, "name2": NAME["name"]}
    )
    (warning,) = made.warnings
    assert warning.where == "/templates/two/path"
    assert '"one" and "two" may both produce' in warning.message
    found = re.search(r"'(.*)'", warning.message)
    assert found is not None
    assert made.parse(found[1]).template.name == "two"


def test_tree_overlaps_with_what_lies_below_its_directory() -> None:
    made = spec({"tree": "a/{rest}", "one": "a/b/c"}, {"rest": {"type": "tree"}})
    assert ["'a/b/c'" in one.message for one in made.warnings] == [True]
    apart = spec({"tree": "a/{rest}", "one": "b/c"}, {"rest": {"type": "tree"}})
    assert apart.warnings == ()


def test_comparison_that_is_given_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "COMPARISONS_MAX", 3)
    (warning,) = spec({"t": "a/b/c/d/{name}"}, NAME).warnings
    assert "not all templates were compared" in warning.message


def test_exclusion_settles_an_overlap_with_a_literal() -> None:
    fields = {"name": {"type": "str", "exclusions": ["lib"]}}
    assert spec({"one": "{name}/x", "two": "lib/x"}, fields).warnings == ()
    assert len(spec({"one": "{name}/x", "two": "lib/x"}, NAME).warnings) == 1


def test_files_that_their_own_scratch_patterns_hide_are_warned_of() -> None:
    made = spec({"t": {"path": "{name}.tmp", "flow": "out"}}, NAME)
    assert [one.where for one in made.warnings] == ["/templates/t/scratch"]


def test_field_without_use_is_warned_of() -> None:
    made = spec({"t": "x"}, NAME)
    assert [one.message for one in made.warnings] == ['no template uses the field "name"']


def test_pattern_over_the_bound_is_refused_also_where_only_the_element_is() -> None:
    fields = {name: {"type": "str", "pattern": "[^9]+"} for name in "abc"}
    with pytest.raises(SpecInvalid, match="could take very long"):
        spec({"t": "{a}x{b}x{c}9"}, fields)


@given(PATTERN, PATTERN)
@settings(max_examples=200)
def test_common_text_is_matched_by_both_and_none_means_none(one: str, other: str) -> None:
    text = common_text(automaton_of(regex.parse(one)), automaton_of(regex.parse(other)))
    first, second = re.compile(one), re.compile(other)
    if text is not None:
        assert first.fullmatch(text)
        assert second.fullmatch(text)
        return
    for candidate in ("", "a", "b", "c", "ab", "ba", "aa", "bb", "bc", "abc", "aab", "aba", "x"):
        assert not (first.fullmatch(candidate) and second.fullmatch(candidate))


def count_attempts(tree: regex.Regex, text: str) -> int:
    """Ways in which a backtracking matcher gets through a beginning of *text*, by brute force."""

    def ends(tree: regex.Regex, start: int) -> list[int]:
        match tree:
            case regex.Chars(ranges):
                hit = start < len(text) and regex.intersect(ranges, ((ord(text[start]),) * 2,))
                return [start + 1] if hit else []
            case regex.Sequence(parts):
                here = [start]
                for part in parts:
                    here = [end for place in here for end in ends(part, place)]
                return here
            case regex.Choice(branches):
                return [end for branch in branches for end in ends(branch, start)]
            case regex.Repeat(body, least, most):
                found, here = ([start] if least == 0 else []), [start]
                for count in range(1, (len(text) if most is None else most) + 1):
                    # An empty round ends the loop in `re` as well.
                    here = [end for place in here for end in ends(body, place) if end > place]
                    found += here if count >= least else []
                return found
            case regex.Group(_, body) | regex.Same(_, body):
                return ends(body, start)

    return len(ends(tree, 0))


@given(PATTERN, st.text("abc", max_size=7))
@settings(max_examples=200)
def test_bound_of_attempts_holds(pattern: str, text: str) -> None:
    tree = regex.Sequence((regex.parse(pattern), regex.literal("!")))
    bound = attempts(tree)
    # Of each way, every end of an open repeat may be passed on: hence the length of the text.
    assert count_attempts(regex.parse(pattern), text) <= bound * (len(text) + 1)


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(a?)*b", "(a*)*b", "(ab?)*(ba)*b*(ab)*b*c"]
)
def test_pattern_that_explodes_is_over_the_bound(pattern: str) -> None:
    assert attempts(regex.parse(pattern)) > ATTEMPTS_MAX


@pytest.mark.parametrize(
    "pattern", ["[a-z]+_[0-9]+", "[A-Za-z0-9_-]+", "(ab|cd)+x", "([a-z]+_)*v[0-9]{3}x", ".+[.]exr"]
)
def test_ordinary_pattern_is_within_the_bound(pattern: str) -> None:
    assert attempts(regex.parse(pattern)) <= ATTEMPTS_MAX
