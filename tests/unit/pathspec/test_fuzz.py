"""Whatever the texts are: a specification, or mistakes with their places. No other end."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import Specification, include_locations, load

from .documents import document
from .full_form import FULL

FIELDS: dict[str, Any] = {
    "a": {"type": "str", "pattern": "[a-z]+"},
    "b": {"type": "version"},
    "c": {"type": "compound", "format": "{a}-{b}"},
    "t": {"type": "tree"},
}
PIECES = st.sampled_from([
    "{a}", "{b}", "{c}", "{t}", "{no}", "{@r}", "{@s}", "{@x}", "{@no}", "{", "}", "[", "]", "[[",
    "]]",    "/", ".", "..", "_", "x", "a", ".shotfs", "ä", "\0", "{{", "}}", "@",
])  # fmt: skip
TEXT = st.lists(PIECES, max_size=8).map("".join)
NAMES = ["a.json", "b.json", "c.json", "../d.json", "gs://b/e.json", "", "/f.json"]


def attempt(text: str, **more: Any) -> Specification | None:
    try:
        made = load(text, source="dir/fuzz.json", **more)
    except SpecInvalid as refused:
        assert refused.problems  # noqa: PT017 - both ends are right, no other error is
        for problem in refused.problems:
            assert problem.line is not None
            assert problem.column is not None
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.where.startswith("/")
            assert problem.message
        return None
    assert made.templates
    return made


@settings(max_examples=300, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_any_template_texts_load_or_are_refused(one: str, other: str, third: str) -> None:
    templates = {
        "r": {"path": one, "abstract": True}, "s": {"path": other}, "x": {"path": third},
    }  # fmt: skip
    made = attempt(json.dumps(document(templates, FIELDS)))
    if made is not None:
        for name, pattern in made.patterns.items():
            written = {variant.elements for variant in pattern.variants}
            assert len(written) == len(pattern.variants)
            assert made.explain(name).path == name


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES[:5]), st.lists(st.sampled_from(NAMES), max_size=4)))
def test_any_web_of_includes_loads_or_is_refused(web: dict[str, list[str]]) -> None:
    texts = {
        "d.json" if name.startswith("..") else name if "://" in name else f"dir/{name}": json.dumps(
            {
                "spec": "shotfs-path/1",
                "include": include,
                "fields": {"shared": {"type": "int", "min": number}},
            }
        )
        for number, (name, include) in enumerate(web.items())
    }
    main = json.dumps({**document({"t": "t"}), "include": web.get("a.json", [])})
    made = attempt(main, documents=texts)
    if made is not None:
        reached = ["dir/fuzz.json"]
        for location in reached:
            text = main if location == "dir/fuzz.json" else texts[location]
            reached += [one for one in include_locations(text, location) if one not in reached]
        assert sorted(place for place, _ in made.documents) == sorted(reached)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_text_of_a_document_loads_or_is_refused(data: st.DataObject) -> None:
    text = json.dumps(FULL, indent=1)
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 40))
    noise = data.draw(st.text('{}[]",:x0\\\n', max_size=4) | st.text(max_size=3))
    broken = text[:start] + noise + text[end:]
    include_locations(broken, "dir/fuzz.json")
    studio = '{"spec": "shotfs-path/1", "fields": {"studio": {"type": "int"}}}'
    attempt(broken, documents={"dir/studio.json": studio})
