"""Places of keys: every form of TOML, checked against tomllib's own reading."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from shotfs.config.positions import KeyPath, Position, key_positions

EVERY_FORM = '''\
# comment with = and [brackets]
title = "a # b"   # comment
"quoted key" = 'it''s'
esc = "tab\\t \\"quoted\\" ]"
block = """
[not.a.table]
x = 1 \\"""
still"""  # after
raw = \'\'\'
# not a comment
y = 'z' \'\'\'
dotted.a."b.c" = 1
numbers = [ 1, # one
  2,
  [3, "]"],
]
inline = { x = 1, "y.z" = { deep = true } }
when = 1979-05-27 07:32:00Z
[table]
key = 1
  indented = 2
[table.sub."gs://bucket/x"]
region = 'eu'
[[shots]]
name = "one"
[shots.first]
a = 1
[[shots]]
name = "two"
[ spaced . out ]
z = 0x10
'''.replace("'it''s'", "'its'")


def paths(value: Any, at: KeyPath = ()) -> set[KeyPath]:
    found = {at} if at else set()
    if isinstance(value, dict):
        children: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    else:
        children = []
    return found.union(*(paths(child, (*at, key)) for key, child in children))


def test_every_key_of_every_form_has_a_place() -> None:
    assert set(key_positions(EVERY_FORM)) == paths(tomllib.loads(EVERY_FORM))


def test_a_table_that_only_its_sub_table_implies_stands_where_that_does() -> None:
    assert key_positions("\n[a.b]\nc = 1\n")["a",] == Position(2, 1)


@pytest.mark.parametrize(
    ("path", "line", "column", "starts"),
    [
        (("title",), 2, 1, "title"),
        (("quoted key",), 3, 1, '"quoted key"'),
        (("raw",), 9, 1, "raw"),
        (("dotted", "a", "b.c"), 12, 1, "dotted"),
        (("numbers", 2, 1), 15, 7, '"]"'),
        (("inline", "y.z", "deep"), 17, 29, "deep"),
        (("table",), 19, 1, "[table]"),
        (("table", "indented"), 21, 3, "indented"),
        (("table", "sub", "gs://bucket/x", "region"), 23, 1, "region"),
        (("shots", 0, "name"), 25, 1, "name"),
        (("shots", 0, "first", "a"), 27, 1, "a"),
        (("shots", 1, "name"), 29, 1, "name"),
        (("spaced", "out", "z"), 31, 1, "z"),
    ],
)
def test_a_place_is_where_the_key_is_written(
    path: KeyPath, line: int, column: int, starts: str
) -> None:
    place = key_positions(EVERY_FORM)[path]
    assert place == Position(line, column)
    assert EVERY_FORM.split("\n")[place.line - 1][place.column - 1 :].startswith(starts)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
SCALARS = st.booleans() | st.integers(-(2**60), 2**60) | TEXT | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_whatever_a_writer_makes_every_single_value_has_a_place(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    values = tomllib.loads(text)
    found = key_positions(text)
    assert set(found) == paths(values)
    lines = text.split("\n")
    for path, place in found.items():
        assert 1 <= place.line <= len(lines), path
        assert 1 <= place.column <= len(lines[place.line - 1]) + 1, path
