"""Expanding, against a reference that writes every name that an application could write."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument
from shotfs.pathspec.sequences import (
    Match,
    PathToken,
    TokenPath,
    expansion,
    find_tokens,
    lacking,
)

Value = int | tuple[int, int] | str

TOKENS = [
    "<UDIM>", "<udim>", "%(UDIM)d", "<UVTILE>", "u<U>_v<V>", "u<u>_v<v>",
    "%04d", "%d", "%012d", "####", "#", "###.##", "$F4", "$F", "@@@", "<F4>", "<F>", "%V", "%v",
]  # fmt: skip
LOOKALIKES = ["<frame>", "<aov>", "<Udim>", "%4d", "%%", "$G4", "%s", "u<U>", "{frame}"]
LITERALS = ["a", "1", "0", "-", "(+)", "[x]", "^$", "*", "u1", "é", *LOOKALIKES]
VIEWS = ["left", "right", "cam_a", "l"]


# --- the reference -------------------------------------------------------------------------------


def written(token: PathToken, value: Value, behind: Iterable[str]) -> set[str]:
    """What applications may write in place of *token*; *behind* is behind a point."""
    if isinstance(value, int):
        sign, digits = "-" * (value < 0), str(abs(value))
        if len(digits) > 10:
            return set()
        if token.pad is None:
            return {sign + digits.zfill(pad) for pad in range(1, 11)}
        texts = {sign + digits.zfill(token.pad), f"{value:0{token.pad}d}"}
        if token.digits is None:
            return texts
        texts |= {"-" + one for one in texts if not value}  # -0.5
        if not value and token.pad > 1:
            texts.add("-" + "0" * (token.pad - 1))
        return {f"{one}.{more}" for one in texts for more in behind if len(more) == token.digits}
    if isinstance(value, str):
        return {value[0] if token.form == "short" else value}
    column, row = value
    if token.form == "udim":
        number = 1001 + column + 10 * row
        return {str(number)} if 0 <= column < 10 and 1001 <= number <= 9999 else set()
    base = 1 if token.form == "uvtile" else 0
    return {
        f"u{one}_v{other}" for one in digits_of(column + base) for other in digits_of(row + base)
    }


def digits_of(number: int) -> set[str]:
    """A column or row as it may be written."""
    sign = "-" * (number < 0)
    return {sign + str(abs(number)).zfill(pad) for pad in range(1, 5) if abs(number) < 10_000} | (
        {"-" + "0" * pad for pad in range(1, 5)} if not number else set()
    )


def values_in(path: str, kind: str, views: Sequence[str]) -> set[Value]:
    """All values of *kind* that any part of *path* may stand for."""
    parts = {path[i:j] for i in range(len(path)) for j in range(i + 1, len(path) + 1)}
    if kind == "frame":
        return {int(one) for one in parts if re.fullmatch("-?[0-9]{1,16}", one, re.ASCII)}
    if kind == "view":
        return set(views) or {
            one for one in parts if re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", one, re.ASCII)
        }
    found: set[Value] = {
        ((int(one) - 1001) % 10, (int(one) - 1001) // 10)
        for one in parts
        if re.fullmatch("[1-9][0-9]{3}", one, re.ASCII)
    }
    for one in parts:
        if re.fullmatch("u-?[0-9]{1,4}_v-?[0-9]{1,4}", one, re.ASCII):
            column, row = (int(text) for text in one[1:].split("_v"))
            found |= {(column, row), (column - 1, row - 1)}
    return found


def readings(
    pattern: str, path: str, numbers: frozenset[int] | None, views: Sequence[str]
) -> Iterator[dict[str, Value]]:
    """All ways in which *path* is what *pattern* stands for."""
    if pattern.count("/") != path.count("/"):
        return
    tokens = find_tokens(pattern)
    kinds = sorted({token.kind for token in tokens})
    behind = {path[i : i + 2] for i in range(len(path)) if path[i : i + 2].isdigit()}
    among = []
    for kind in kinds:
        ours = [token for token in tokens if token.kind == kind]
        among.append(
            [
                value
                for value in values_in(path, kind, views)
                if (kind != "frame" or numbers is None or value in numbers)
                and all(any(t in path for t in written(one, value, behind)) for one in ours)
            ]
        )
    for values in itertools.product(*among):
        by_kind = dict(zip(kinds, values, strict=True))
        elements = zip(pattern.split("/"), path.split("/"), strict=True)
        if all(text in all_written(one, text, by_kind, behind) for one, text in elements):
            yield by_kind


def all_written(
    element: str, name: str, values: dict[str, Value], behind: Iterable[str]
) -> Iterator[str]:
    """All that *element* may be written as, of tokens written as something that is in *name*."""
    tokens = find_tokens(element)
    different = sorted({token.text: token for token in tokens}.items())
    texts_of = [
        [text for text in written(token, values[token.kind], behind) if text in name]
        for _, token in different
    ]
    for texts in itertools.product(*texts_of):
        chosen = dict(zip((text for text, _ in different), texts, strict=True))
        made, index = "", 0
        for token in tokens:
            made += element[index : token.start] + chosen[token.text]
            index = token.end
        yield made + element[index:]


# --- the callers ---------------------------------------------------------------------------------


def expanded(
    tree: Iterable[str],
    pattern: str,
    numbers: frozenset[int] | None = None,
    views: Sequence[str] = (),
    **limits: int,
) -> list[Match]:
    """The matches of *pattern* in *tree*, of which each directory is listed when asked for."""
    paths = set(tree)
    cut = TokenPath.of(pattern)
    assert cut is not None
    limits = {"files_max": 1000, "directories_max": 1000, **limits}
    steps = expansion(cut, numbers, views, **limits)
    names: list[str] | None = None
    while True:
        try:
            question = next(steps) if names is None else steps.send(names)
        except StopIteration as end:
            return list(end.value)
        below = question.directory.rstrip("/") + "/"
        names = sorted({p[len(below) :].split("/")[0] for p in paths if p.startswith(below)})
        if question.last:
            names = [one for one in names if below + one in paths]
        assert all(one.startswith(question.prefix) for one in names if question.fits(one))


@st.composite
def elements(draw: Any) -> str:
    """A name with up to three tokens, apart from each other."""
    parts = [draw(st.sampled_from(["", *LITERALS]))]
    for _ in range(draw(st.integers(0, 3))):
        parts.append(draw(st.sampled_from([".", "_", "_v", ".(b)_", "_1."])))
        parts.append(draw(st.sampled_from(TOKENS)))
    parts.append(draw(st.sampled_from(["", ".exr", ".tx", ".1.exr", *LITERALS])))
    return "".join(parts) or "x"


@st.composite
def trees(draw: Any) -> tuple[str, list[str]]:
    """A pattern, and paths like it: right ones, contradictions, and near misses."""
    pattern = "/s/" + "/".join(draw(st.lists(elements(), min_size=1, max_size=3)))
    if not find_tokens(pattern):
        pattern += "/a.####.exr"
    numbers = st.one_of(
        st.integers(-12, 12), st.sampled_from([101, 1001, 9999, 10_000, 123_456, 10**10])
    )
    tiles = st.tuples(st.integers(-1, 11), st.integers(-1, 11))
    values = st.fixed_dictionaries(
        {"frame": numbers, "udim": tiles, "view": st.sampled_from(VIEWS)}
    )
    paths = [pattern] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 5))):
        alike = draw(st.booleans())
        value = draw(values)
        made, index = "", 0
        for token in find_tokens(pattern):
            if not alike and draw(st.booleans()):
                value = draw(values)
            texts = sorted(written(token, value[token.kind], ["25", "00"])) or ["1"]
            made += pattern[index : token.start] + draw(st.sampled_from(texts))
            index = token.end
        made += pattern[index:]
        if draw(st.integers(0, 4)) == 0:
            at = draw(st.integers(3, len(made)))
            made = made[:at] + draw(st.sampled_from("01a-._")) + made[at + draw(st.booleans()) :]
        paths.append(made)
    return pattern, [one for one in paths if "//" not in one and not one.endswith("/")]


@settings(max_examples=150, deadline=None)
@given(
    trees(),
    st.one_of(st.none(), st.frozensets(st.integers(-12, 12), min_size=5)),
    st.sampled_from([(), ("left",), ("left", "right"), ("cam_a", "l")]),
)
def test_it_finds_what_applications_could_have_written_and_nothing_else(
    tree: tuple[str, list[str]], numbers: frozenset[int] | None, views: Sequence[str]
) -> None:
    pattern, paths = tree
    expected = {
        path: found for path in paths if (found := list(readings(pattern, path, numbers, views)))
    }
    itself = {pattern: [{}]} if pattern in paths else {}
    if itself and all(token.text[0] in "#@" for token in find_tokens(pattern)):
        expected = itself
    expected = expected or itself
    matches = expanded(paths, pattern, numbers, views)
    assert [match.path for match in matches] == sorted(expected)
    for match in matches:
        values = [(one.get("frame"), one.get("view", "")) for one in expected[match.path]]
        short = find_tokens(pattern) and all(
            token.form == "short" for token in find_tokens(pattern) if token.kind == "view"
        )
        said = [(number, view[:1] if short else view) for number, view in values]
        assert (match.number, match.view) in said


# --- what can be said in a line ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names", "fits"),
    [
        ("a.<UDIM>.tx", "a.1001.tx a.1000.tx a.0999.tx a.10010.tx", "a.1001.tx"),
        ("a.<udim>.tx", "a.1011.tx a.u1_v1.tx", "a.1011.tx"),
        ("a.<Udim>.<UDIM>.tx", "a.1001.1001.tx a.<Udim>.1001.tx", "a.<Udim>.1001.tx"),
        ("a_u<U>_v<V>.<UDIM>.tx", "a_u2_v1.1002.tx a_u2_v1.1001.tx", "a_u2_v1.1002.tx"),
        ("a_u<u>_v<v>.<UVTILE>.tx", "a_u0_v0.u1_v1.tx a_u1_v1.u1_v1.tx", "a_u0_v0.u1_v1.tx"),
        ("a.%04d.exr", "a.-001.exr a.-0001.exr a.-1.exr a.-0000.exr", "a.-0001.exr a.-001.exr"),
        ("a.%04d.exr", "a.12345.exr a.01234.exr a.12345678901.exr", "a.12345.exr"),
        ("a.%012d.exr", "a.000000001001.exr a.1001.exr", "a.000000001001.exr"),
        ("a.##.##.exr", "a.07.25.exr a.7.25.exr a.-00.50.exr", "a.-00.50.exr a.07.25.exr"),
        ("a.$F4.$F.exr", "a.0007.7.exr a.0007.8.exr", "a.0007.7.exr"),
        ("%V/%v_%V.exr", "left/l_left.exr left/r_left.exr left/l_list.exr", "left/l_left.exr"),
        ("a(+)[x].####.exr", "a(+)[x].1001.exr aa(+)x.1001.exr", "a(+)[x].1001.exr"),
        ("a.<frame>.####.exr", "a.1001.1001.exr a.<frame>.1001.exr", "a.<frame>.1001.exr"),
        ("a.%4d.%d.exr", "a.%4d.5.exr a.0005.5.exr", "a.%4d.5.exr"),
        ("50%d.exr", "501.exr 50%d.exr", "501.exr"),
        ("50%d.exr", "50x.exr 50%d.exr", "50%d.exr"),
        ("a#.exr", "a1.exr a#.exr", "a#.exr"),
        ("%V/cam/####/a.exr", "left/cam/1001/a.exr left/cam/x/a.exr", "left/cam/1001/a.exr"),
        ("a.١.####.exr", "a.١.1001.exr a.١.١٠٠١.exr", "a.١.1001.exr"),
    ],
)  # fmt: skip
def test_patterns_and_names(pattern: str, names: str, fits: str) -> None:
    tree = [f"/s/{one}" for one in names.split(" ")]
    assert [one.path for one in expanded(tree, f"/s/{pattern}")] == [
        f"/s/{one}" for one in fits.split(" ")
    ]


def test_a_path_that_begins_with_a_token_is_found_at_the_root() -> None:
    assert TokenPath.of("####/a.exr") == TokenPath("", ("####", "a.exr"))
    assert [one.path for one in expanded(["/1001/a.exr"], "/####/a.exr")] == ["/1001/a.exr"]
    assert TokenPath.of("ant/a.1001.exr") is None


def test_it_ends_at_its_limits() -> None:
    tree = [f"/s/{n}/a.{n}.exr" for n in range(1001, 1011)]
    assert len(expanded(tree, "/s/####/a.####.exr", files_max=3)) == 3
    with pytest.raises(InvalidArgument, match="in more than 9 directories"):
        expanded(tree, "/s/####/a.####.exr", directories_max=9)


def test_a_name_of_many_tokens_takes_no_time() -> None:
    # Were each free to be anything, 255 letters could be shared among them in 10^40 ways.
    names = ["/s/" + "a" * 255, "/s/" + "1" * 255]
    assert expanded(names, "/s/" + "%V" * 100 + ".x") == []
    assert expanded(names, "/s/" + "%d%04d$F@@@" * 20 + ".x") == []
    with pytest.raises(InvalidArgument, match="more than 4 different tokens"):
        expanded(names, "/s/%d%04d$F@@@$F4.x")


def test_frames_that_no_file_has_are_told_where_files_have_frames() -> None:
    assert lacking([Match("/a.1.exr", 1, "")], frozenset({1, 2})) == {2}
    assert lacking([Match("/a#.exr", None, "")], frozenset({1})) == frozenset()
    assert lacking([], frozenset({1})) == frozenset()
