"""Every path that AYON would write from an anatomy, the imported templates accept.

`formatted` says what AYON's path templates do with data, written from reading path_templates.py:
an optional part that lacks a value vanishes, numbers are padded.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import ImportInvalid
from shotfs.pathspec.importers import Severity, convert

from .imports import accepts, imported, refused, said

TEMPLATES: dict[str, Any] = {
    "version_padding": 3,
    "version": "v{version:0>{@version_padding}}",
    "frame_padding": 4,
    "frame": "{frame:0>{@frame_padding}}",
    "work": [
        {
            "name": "default",
            "directory": "{root[work]}/{project[name]}/{hierarchy}/{folder[name]}/work/"
            "{task[name]}",
            "file": "{folder[name]}_{task[short]}_{@version}<_{comment}>.{ext}",
        }
    ],
    "publish": [
        {
            "name": "render",
            "directory": "{root[work]}/{project[name]}/{hierarchy}/{folder[name]}/publish/"
            "{product[type]}/{product[name]}/{@version}",
            "file": "{product[name]}_{@version}<.{@frame}><.{udim}>.{ext}",
        }
    ],
    "others": [
        {"name": "daily", "value": "{root[work]}/{project[name]}/review/{yyyy}{mm}{dd}.mov"}
    ],
}
ANATOMY = {
    "roots": [{"name": "work", "linux": "/mnt/projects", "windows": "P:/"}],
    "templates": TEMPLATES,
}


def formatted(text: str, data: dict[str, Any]) -> str | None:
    """The path that AYON makes of *text*, or None where a value is missing."""
    inner = re.search(r"<([^<>]*\{[^<>]*)>", text.replace("0>", "0)"))
    while inner is not None:
        part = text[inner.start() + 1 : inner.end() - 1]
        made = formatted(part, data)
        text = text[: inner.start()] + (made or "") + text[inner.end() :]
        inner = re.search(r"<([^<>]*\{[^<>]*)>", text.replace("0>", "0)"))
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        name, spec = found.group(1), found.group(2)
        if name not in data:
            missing = True
            return ""
        return f"{data[name]:{spec}}" if spec else str(data[name])

    made = re.sub(r"\{([^{}:]+)(?::([^{}]*))?\}", value, text)
    return None if missing else made


def linked(template: dict[str, str]) -> str:
    text = f"{template['directory']}/{template['file']}"
    for name, shown in (("version", "v{version:0>3}"), ("frame", "{frame:0>4}")):
        text = text.replace(f"{{@{name}}}", shown)
    return text.removeprefix("{root[work]}/{project[name]}/")


NAMES = st.from_regex(r"[a-z]{1,3}(_?[a-z0-9]){0,3}", fullmatch=True)
PLAIN = st.from_regex(r"[a-z]{1,3}[0-9]{0,2}", fullmatch=True)
DATA = st.fixed_dictionaries(
    {
        "hierarchy": st.one_of(NAMES, st.tuples(NAMES, NAMES).map("/".join)),
        "folder[name]": NAMES,
        "task[name]": PLAIN,
        "task[short]": PLAIN,
        "product[type]": PLAIN,
        "product[name]": PLAIN,
        "version": st.integers(0, 12_000),
        "ext": st.sampled_from(["ma", "exr", "bgeo.sc"]),
    },
    optional={
        "comment": PLAIN,
        "frame": st.integers(0, 99_999),
        "udim": st.integers(1001, 1999),
    },
)


@given(DATA)
@settings(max_examples=150, deadline=None)
def test_paths_that_ayon_writes_are_accepted(data: dict[str, Any]) -> None:
    if "frame" in data:
        data.pop("udim", None)  # .1001.exr could be either, in AYON as well
    for category in ("work", "publish"):
        path = formatted(linked(TEMPLATES[category][0]), data)
        assert path is not None
        assert accepts(SPECIFICATION, path), path


SPECIFICATION, REPORT = imported("ayon", json.dumps(ANATOMY), roots={"work": "gs://ant/ant"})


@pytest.mark.parametrize(
    "path",
    [
        "bob/work/anim/bob_ani_v001.ma",
        "a/b/c/bob/work/anim/bob_ani_v001.ma",
        "assets/bob/work/anim/bob_ani_v1.ma",
        "assets/bob/work/anim/jim_ani_v001.ma",
        "assets/chars/bob/publish/render/main/v001/main_v002.1001.exr",
        "review/20261301.mov",
    ],
)
def test_paths_that_ayon_never_writes_are_refused(path: str) -> None:
    assert not accepts(SPECIFICATION, path)


def test_depth_of_the_hierarchy_is_told_as_narrowed() -> None:
    assert "/templates/work/default" in said(REPORT, Severity.NARROWED)
    assert not REPORT.complete


@pytest.mark.parametrize("form", ["project", "mapping", "categories"])
def test_anatomy_is_found_in_every_form(form: str) -> None:
    mapped = {
        "common": {key: value for key, value in TEMPLATES.items() if isinstance(value, str | int)},
        "work": {"default": {k: v for k, v in TEMPLATES["work"][0].items() if k != "name"}},
        "publish": {"render": {k: v for k, v in TEMPLATES["publish"][0].items() if k != "name"}},
    }
    roots = {"work": {"linux": "/mnt/projects"}}
    forms: dict[str, dict[str, Any]] = {
        "project": {"name": "ant", "config": {"roots": roots, "templates": mapped}},
        "mapping": {"roots": roots, "templates": mapped},
        "categories": mapped,
    }
    whole = forms[form]
    document, report = convert("ayon", json.dumps(whole), source="project.json", show=None)
    assert report.mistakes == ()
    assert any(name.startswith("publish_render") for name in document["templates"])
    if form == "project":
        assert document["show"] == "ant"
        assert document["roots"] == {"work": "file:///mnt/projects/ant"}


def test_nested_optional_parts_become_templates() -> None:
    anatomy = {
        "templates": {
            "publish": {
                "x": {
                    "directory": "{root[work]}/{project[name]}/pub/{product[name]}",
                    "file": "a<_{output}<-{comment}>>.exr",
                }
            }
        }
    }
    document, report = convert(
        "ayon", json.dumps(anatomy), source="a.json", show="ant", roots={"work": "gs://a/b"}
    )
    assert report.mistakes == ()
    assert len(document["templates"]) == 2
    specification, _ = imported("ayon", json.dumps(anatomy), roots={"work": "gs://a/b"})
    accepted = ["pub/p/a.exr", "pub/p/a_o.exr", "pub/p/a_o-c.exr", "pub/p/a-c.exr"]
    assert [accepts(specification, one) for one in accepted] == [True, True, True, False]


def test_keys_that_differ_in_case_are_different_fields() -> None:
    anatomy = {
        "templates": {"others": {"x": {"value": "{root[work]}/{project[name]}/{mm}-{MM}.x"}}}
    }
    specification, report = imported("ayon", json.dumps(anatomy), roots={"work": "gs://a/b"})
    assert accepts(specification, "12-59.x")
    assert not accepts(specification, "59-12.x")
    assert len(said(report, Severity.RENAMED)) == 1


MISTAKES = [
    ('{"templates": {"work": {"a": {"directory": "{@gone}", "file": "x"}}}}', "unknown key"),
    ('{"templates": {"a": "{@b}", "b": "{@a}", "work": {"x": {"path": "{@a}"}}}}', "to itself"),
    ('{"templates": {"work": {"a": {"usage": "x"}}}}', "no directory and no file"),
    ('{"templates": {"work": {"a": {"path": "x/{b"}}}}', "is no key"),
    ('{"templates": {"work": {"a": {"path": "x/{root[work]}"}}}}', "root in the middle"),
    ('{"folders": []}', "no anatomy"),
    ('{"templates": {}}', "holds no templates"),
    ("[1]", "no anatomy"),
    ("{", "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistake_of_the_source_is_refused(text: str, message: str) -> None:
    with pytest.raises(ImportInvalid, match=re.escape(message)):
        convert("ayon", text, source="anatomy.json")


@given(st.recursive(
    st.one_of(st.none(), st.integers(0, 9), st.text("{}<>@:0ab/[]!", max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["templates", "work", "roots", "name", "file", "directory", "common"]),
            inner, max_size=3)),
    max_leaves=8,
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_source_crashes_the_importer(value: Any) -> None:
    problems = refused("ayon", json.dumps({"templates": value}))
    assert all(one.message and one.where for one in problems)
