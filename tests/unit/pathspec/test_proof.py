"""What is proven at load: overlaps, hidden files, bounded matching."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import overlap, regex
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


def refused(
    templates: dict[str, Any], fields: dict[str, Any] | None = None, **more: Any
) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        spec(templates, fields, **more)
    return caught.value.problems


def test_overlap_is_refused_with_a_path_that_both_templates_match() -> None:
    fields = {**NAME, "name2": NAME["name"]}
    (problem,) = refused({"one": "{name}/x_{name2}.y", "two": "a/x_{name}.y"}, fields)
    assert problem.where == "/templates/two/path"
    assert '"one" (line ' in problem.message
    assert '"two" (line ' in problem.message
    found = re.search(r"'(.*)'", problem.message)
    assert found is not None
    for path in ("{name}/x_{name2}.y", "a/x_{name}.y"):
        assert spec({"t": path}, fields).resolve(found[1]) is not None


@pytest.mark.parametrize(("winner", "loser"), [("one", "two"), ("two", "one")])
def test_before_settles_an_overlap_in_either_direction(winner: str, loser: str) -> None:
    paths = {"one": "{name}.png", "two": "th_{name}.png"}
    made = spec({**paths, winner: {"path": paths[winner], "before": [loser]}}, NAME)
    assert made.parse("th_x.png").template.name == winner
    assert made.warnings == ()


def test_before_reaches_over_others() -> None:
    templates = {
        "a": {"path": "{name}.x", "before": ["b"]},
        "b": {"path": "a{name}.x", "before": ["c"]},
        "c": "ab{name}.x",
    }
    made = spec(templates, NAME)
    assert made.parse("abc.x").template.name == "a"
    assert made.warnings == ()


def test_circle_of_before_is_refused() -> None:
    templates = {
        "a": {"path": "{name}.x", "before": ["b"]},
        "b": {"path": "a{name}.x", "before": ["c"]},
        "c": {"path": "ab{name}.x", "before": ["a"]},
    }
    (problem,) = refused(templates, NAME)
    assert problem.message == '"before" goes in a circle: a before b before c before a'


def test_before_without_an_overlap_is_warned_of() -> None:
    (warning,) = spec({"a": {"path": "a/x", "before": ["b"]}, "b": "b/x"}).warnings
    assert warning.where == "/templates/a/before"
    assert "not needed" in warning.message


def test_tree_overlaps_with_what_lies_below_its_directory() -> None:
    (problem,) = refused({"tree": "a/{rest}", "one": "a/b/c"}, {"rest": {"type": "tree"}})
    assert "'a/b/c'" in problem.message
    spec({"tree": "a/{rest}", "one": "b/c"}, {"rest": {"type": "tree"}})


def test_list_of_overlaps_is_cut_off_and_says_so() -> None:
    fields = {f"f{index}": {"type": "str"} for index in range(30)}
    problems = refused({f"t{index}": f"{{f{index}}}" for index in range(30)}, fields)
    assert len(problems) == 101
    assert any("more than 100 overlaps" in one.message for one in problems)


def test_comparison_that_is_given_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "PAIRS_MAX", 3)
    (problem,) = refused({"t": "{name}/a", "u": "{name}_/b"}, NAME)
    assert "too many paths to prove" in problem.message


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"type": "str", "exclusions": ["lib"]}, "lib"),
        ({"type": "str", "length": 4}, "lib"),
        ({"type": "str", "length": {"min": 2, "max": 3}}, "a"),
        ({"type": "str", "length": {"max": 3}}, "libs"),
        ({"type": "str", "case": "upper"}, "lib"),
        ({"type": "int", "min": 10, "max": 250}, "251"),
        ({"type": "int", "min": 10, "max": 250}, "9"),
        ({"type": "int", "pad": 3, "max": 99}, "100"),
        ({"type": "udim"}, "1000"),
        ({"type": "version"}, "v01"),
        ({"type": "timestamp"}, "20261121_240000"),
    ],
)
def test_what_a_field_refuses_is_no_overlap(one: dict[str, Any], two: str) -> None:
    assert spec({"one": "x/{f}", "two": f"x/{two}"}, {"f": one}).warnings == ()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"type": "str", "exclusions": ["lib", "li"]}, "libs"),
        ({"type": "str", "exclusions": ["lib", "libs"]}, "li"),
        ({"type": "str", "length": {"min": 2, "max": 3}}, "ab"),
        ({"type": "int", "min": 10, "max": 250}, "250"),
        ({"type": "udim"}, "1001"),
    ],
)
def test_what_a_field_allows_is_an_overlap(one: dict[str, Any], two: str) -> None:
    (problem,) = refused({"one": "x/{f}", "two": f"x/{two}"}, {"f": one})
    assert f"'x/{two}'" in problem.message
    assert "perhaps" not in problem.message


def test_repeated_field_is_looked_at_closely() -> None:
    fields = {"a": {"type": "str", "pattern": "[a-z]+"}, "b": {"type": "str", "pattern": "[a-z]+"}}
    # {a} must be "foo", and then the file is foo.x: no path of both.
    assert spec({"one": "{a}/{a}.x", "two": "foo/bar{b}.x"}, fields).warnings == ()
    (problem,) = refused({"one": "{a}/{a}.x", "two": "foo/f{b}.x"}, fields)
    assert "can produce both 'foo/foo.x'" in problem.message


def test_overlap_that_cannot_be_decided_says_so() -> None:
    fields = {"a": {"type": "str", "pattern": "[a-z]+"}, "b": {"type": "str", "pattern": "[a-z]+"}}
    (problem,) = refused({"one": "{a}/{a}.x", "two": "{b}/{b}z.x"}, fields)
    assert "can perhaps produce both" in problem.message
    assert "several times" in problem.message
    one = {"path": "{a}/{a}.x", "before": ["two"]}
    assert spec({"one": one, "two": "{b}/{b}z.x"}, fields).warnings == ()


def test_variants_of_one_template_must_not_meet() -> None:
    fields = {"name": {"type": "str"}, "view": {"type": "view"}}
    (problem,) = refused({"t": "{name}[_{view}].exr"}, fields)
    assert "in two ways: with and without optional parts" in problem.message
    narrow = {**fields, "name": {"type": "str", "pattern": "[a-z]+"}}
    assert spec({"t": "{name}[_{view}].exr"}, narrow).warnings == ()


VERSIONS = {
    "version": {"type": "version", "aliases": ["latest"]},
    "name": {"type": "str", "pattern": "[a-z_]+"},
}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("a_{name}", "a path of"),
        ("a_{name}/x", "a directory of"),
        ("a_latest", "a path of"),
        ("a_latest/b/c", "a directory of"),
    ],
)
def test_alias_must_be_no_other_path(other: str, words: str) -> None:
    (problem,) = refused({"t": "a_{version}/f", "other": other}, VERSIONS)
    assert problem.where == "/templates/t/path"
    assert "'a_latest', an alias of the versions" in problem.message
    assert words in problem.message


@pytest.mark.parametrize("other", ["a_{name}", "a_{name}/x"])
def test_before_settles_whether_a_path_is_an_alias(other: str) -> None:
    first = spec({"t": {"path": "a_{version}/f", "before": ["o"]}, "o": other}, VERSIONS)
    assert first.alias("a_latest") is not None
    assert first.resolve("a_latest") is None
    assert first.directory("a_latest") is None
    second = spec({"t": "a_{version}/f", "o": {"path": other, "before": ["t"]}}, VERSIONS)
    assert second.alias("a_latest") is None
    assert second.resolve("a_latest") or second.directory("a_latest")


def test_version_twice_in_a_name_has_no_alias() -> None:
    (problem,) = refused({"t": "{version}_{version}/x"}, VERSIONS)
    assert "stands twice in one name" in problem.message


CROSSED = {"version": {"type": "version"}, "any": {"type": "str", "pattern": "[a-z0-9]+"}}


def test_other_branches_know_the_version_directory_that_they_cross() -> None:
    templates = {
        "t": {"path": "{version}/{name}", "immutable": "on-version-publish"},
        "log": "{any}/log/{name}.txt",
    }
    fields = {**CROSSED, "name": VERSIONS["name"]}
    made = spec(templates, fields)
    assert made.parse("v001/log/a.txt").version_depth == 1
    assert made.parse("other/log/a.txt").version_depth is None
    match = made.directory("v001/log")
    assert match is not None
    assert match.version_depth == 1


def test_outermost_of_version_directories_that_cross_counts() -> None:
    templates = {
        "outer": {"path": "{version}/{name}", "immutable": "on-version-publish"},
        "inner": {"path": "{any}/{version}/{name}", "immutable": "on-version-publish"},
    }
    made = spec(templates, {**CROSSED, "name": VERSIONS["name"]})
    for path, depth in (("v001/v002/a", 1), ("x1/v002/a", 2), ("v001/v002", 1), ("x1/v002", 2)):
        match = made.resolve(path) or made.directory(path)
        assert match is not None
        assert match.version_depth == depth


def test_version_directory_has_one_origin_whoever_reaches_it() -> None:
    templates = {
        "t": {"path": "{version}/{name}", "immutable": "on-version-publish", "origin": "main"},
        "log": {"path": "{any}/log/{name}.txt", "origin": "other"},
    }
    fields = {**CROSSED, "name": VERSIONS["name"]}
    roots = {"main": "gs://bucket/ant", "other": "gs://other"}
    (problem,) = refused(templates, fields, roots=roots)
    assert problem.where == "/templates/log"
    assert "another origin" in problem.message
    apart = {**fields, "any": {"type": "str", "pattern": "[a-z]+"}}
    assert spec(templates, apart, roots=roots).warnings == ()


def test_paths_that_are_too_long_to_exist_are_refused() -> None:
    fields = {"a": {"type": "str", "length": 255}}
    (problem,) = refused({"t": "{a}.x"}, fields)
    assert "has no path that can exist" in problem.message
    assert spec({"t": "{a}"}, fields).warnings == ()


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


PIECES = {
    "a": {"type": "str", "pattern": "[ab]+"},
    "b": {"type": "str", "pattern": "[b_]+"},
    "c": {"type": "str", "pattern": "a|b_|_a"},
    "d": {"type": "str", "pattern": "[ab][_a]"},
    "e": {"type": "compound", "format": "{d}_{a}"},
}


@given(st.lists(st.sampled_from(["{a}", "{b}", "{c}", "{d}", "{e}", "_", "a", "."]), max_size=6))
@settings(max_examples=200)
def test_what_is_plainly_read_in_one_way_has_one_reading(parts: list[str]) -> None:
    path = "{a}" + "".join(parts)
    texts = {
        name: {
            "".join(one)
            for length in range(1, 4)
            for one in itertools.product("ab_", repeat=length)
            if re.fullmatch(PIECES[name]["pattern"], "".join(one))
        }
        for name in "abcd"
    }
    names = re.findall(r"\{(\w)\}", path.replace("{e}", "{d}_{a}"))
    assume(len(names) <= 4 and len(set(names)) == len(names))
    written: dict[str, tuple[str, ...]] = {}
    ambiguous = False
    for chosen in itertools.product(*(sorted(texts[name])[:12] for name in names)):
        rest = iter(chosen)
        text = re.sub(r"\{\w\}", lambda _, of=rest: next(of), path.replace("{e}", "{d}_{a}"))
        ambiguous = ambiguous or written.setdefault(text, chosen) != chosen
    if ambiguous:
        assert any(
            "two ways" in one.message or "long" in one.message
            for one in refused({"t": path}, PIECES)
        )
