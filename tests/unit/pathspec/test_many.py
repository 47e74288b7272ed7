"""Ten thousand templates, and the index that finds the one of a name among its siblings."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import Specification, load
from shotfs.pathspec import crowd as crowds
from shotfs.pathspec.compiled import dump, restore
from shotfs.pathspec.crowd import Crowd
from shotfs.pathspec.elements import Elements
from shotfs.pathspec.index import FEW, Index
from shotfs.pathspec.tokens import Token, tokenize
from shotfs.pathspec.trie import Edge, Node

from . import generated
from .documents import spec

TEMPLATES = 10_000


@pytest.fixture(scope="module")
def many() -> Specification:
    return load(generated.text(TEMPLATES), source="many.json")


def test_ten_thousand_templates_are_proven_and_read_back_what_is_written(
    many: Specification,
) -> None:
    assert len(many.templates) == TEMPLATES
    assert many.warnings == ()
    for path in itertools.islice(generated.paths(TEMPLATES, seed=1), TEMPLATES):
        found = many.parse(path.text)
        assert found.template.name == path.template
        assert {name: found.fields[name] for name in path.fields} == path.fields
    for path in itertools.islice(generated.paths(TEMPLATES, seed=2), 500):
        assert many.format(path.template, path.fields) == path.text


def test_compiled_form_of_ten_thousand_templates_answers_alike(many: Specification) -> None:
    restored = restore(dump(many), documents=dict(many.documents), site=None)
    assert restored is not None
    assert list(restored.templates) == list(many.templates)
    for path in itertools.islice(generated.paths(TEMPLATES, seed=3), 1000):
        for text in (path.text, path.text.rpartition("/")[0], path.text + "x", path.text[:-1]):
            assert restored.resolve(text) == many.resolve(text)
            assert restored.directory(text) == many.directory(text)
            assert restored.alias(text) == many.alias(text)


def test_one_overlap_among_ten_thousand_templates_is_found() -> None:
    made = generated.document(1000)
    made["fields"]["other"] = {"type": "str", "pattern": "[a-z]+"}
    made["templates"]["twin"] = {"path": "publish/{other}_k00077_{plain}.{frame}.exr"}
    with pytest.raises(SpecInvalid, match="can produce both") as caught:
        load(json.dumps(made), source="many.json")
    assert '"middle00077"' in str(caught.value)
    assert '"twin"' in str(caught.value)


# --- the index -----------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "w": {"type": "str", "pattern": "[ab]+"},
    "x": {"type": "str", "pattern": "[a_]{2}"},
    "c": {"type": "enum", "choices": ["a", "b1", "a_b"]},
    "n": {"type": "int", "pad": 2},
    "u": {"type": "str", "pattern": "[é_a]+", "exclusions": ["éa"]},
    "p": {"type": "compound", "format": "{w}_{c}"},
}
ELEMENT = st.lists(
    st.sampled_from(["a", "b", "_", "a1", "_b1_", "é", ".", *(f"{{{name}}}" for name in FIELDS)]),
    min_size=1,
    max_size=5,
).map("".join)
NAME = st.one_of(
    st.text("ab1_.é0", max_size=8),
    st.lists(
        st.sampled_from(["a", "b", "_", "a1", "b1", "_b1_", "é", ".", "a_b", "01"]), max_size=6
    ).map("".join),
)


def edges_of(elements: list[str]) -> list[Edge]:
    fields = spec({"t": "x"}, FIELDS).fields
    known = Elements(fields)
    merged: list[tuple[Token, ...]] = [tokenize(one) for one in elements]
    return [Edge(known.of(tokens), Node(implied=False, depth=1)) for tokens in merged]


def matching(edges: list[Edge], name: str) -> list[Edge]:
    return [edge for edge in edges if edge.element.find(name) is not None]


@given(st.lists(ELEMENT, min_size=FEW + 1, max_size=40, unique=True), st.lists(NAME, max_size=30))
@settings(max_examples=150, deadline=None)
def test_index_leaves_out_nothing_that_matches(elements: list[str], names: list[str]) -> None:
    edges = edges_of(elements)
    index = Index(edges)
    for name in names:
        found = index.candidates(name)
        assert len(set(found)) == len(found)
        assert set(matching(edges, name)) <= set(found)


@given(st.lists(ELEMENT, min_size=1, max_size=30, unique=True), st.lists(NAME, max_size=20))
@settings(max_examples=150, deadline=None)
def test_crowd_finds_what_matches(elements: list[str], names: list[str]) -> None:
    edges = edges_of(elements)
    crowd = Crowd(edges)
    for name in names:
        found = crowd.candidates(name)
        assert set(matching(edges, name)) <= set(found)
        repeated = [edge for edge in found if edge.element.find(name) is None]
        for edge in repeated:
            # A field that repeats is read as any text each time; the checks say the rest.
            shown = re.findall(r"Ref\(name='(\w)'", repr(edge.element.tokens))
            parts = "".join(shown).replace("p", "pwc")
            assert len(set(parts)) < len(parts)


def test_siblings_without_keys_and_with_glued_literals_are_found() -> None:
    keyless = ["{w}", "{x}", "{n}", "{u}", "{w}{n}", "{x}{n}", "{n}{x}", "{u}{n}", "{n}{w}"]
    for elements, names in (
        (keyless, ["aa", "a_", "_a", "01", "aa01", "01aa"]),
        ([f"{{w}}k{index:02d}_{{n}}" for index in range(20)], ["abk05_07", "bk19_01"]),
        ([f"{{n}}_k{index:02d}{{w}}" for index in range(20)], ["07_k05ab", "01_k19b"]),
        ([f"{{w}}.k{index:02d}é{{n}}" for index in range(20)], ["ab.k05é07"]),
    ):
        edges = edges_of(elements)
        index = Index(edges)
        for name in names:
            assert matching(edges, name)
            assert set(matching(edges, name)) <= set(index.candidates(name))


def test_crowd_forgets_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "STATES_MAX", 3)
    edges = edges_of(["{w}a1{n}", "{w}_{n}", "{x}b{n}"])
    crowd = Crowd(edges)
    for name in ("aba101", "ab_01", "_ab77", "zz", "a" * 300, "aba102"):
        assert set(matching(edges, name)) <= set(crowd.candidates(name))
        assert len(crowd._states) <= 5


def test_thousands_of_siblings_are_not_tried_one_after_another() -> None:
    paths = {
        "middle": "{name}_k%04d_{version}.x",
        "glued": "{two}k%04d{n}",
        "beginning": "k%04d{n}",
        "ending": "{name}.k%04d",
        "choice": "{name}.{c%04d}.x",
    }
    fields: dict[str, Any] = {
        "name": {"type": "str", "pattern": "[a-z]+"},
        "two": {"type": "str", "pattern": "[a-z]{2}"},
        "version": {"type": "version"},
        "n": {"type": "int"},
    }
    names = {"middle": "ab_k0123_v001.x", "glued": "abk01237", "beginning": "k01239"}
    names |= {"ending": "ab.k0123", "choice": "ab.c123.x"}
    for kind, path in paths.items():
        used = dict(fields)
        if kind == "choice":
            used |= {
                f"c{i:04d}": {"type": "enum", "choices": [f"c{i}", f"d{i}"]} for i in range(300)
            }
        made = spec({f"t{index}": path % index for index in range(300)}, used)
        root = made._matcher._root
        assert made.parse(names[kind]).template.name == "t123"
        assert len(root.candidates(names[kind])) <= FEW
        assert root.candidates("zzz") == []


def test_siblings_without_any_literal_share_one_automaton() -> None:
    letters = "abcdefghij"
    fields = {f"f{one}": {"type": "str", "pattern": f"[{one}]+[0-9]+"} for one in letters}
    fields |= {f"g{one}": {"type": "str", "pattern": f"[{one}]+x"} for one in letters}
    made = spec({name: f"{{{name}}}" for name in fields}, fields)
    root = made._matcher._root
    for one in letters:
        assert made.parse(f"{one}{one}12").template.name == f"f{one}"
        assert made.parse(f"{one}x").template.name == f"g{one}"
        assert len(root.candidates(f"{one}x")) == 1
    assert root.candidates("ab1") == []
