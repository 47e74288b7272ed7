"""What a vendor gets: enough to deliver, and nothing of the studio."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any

import pytest

from shotfs.errors import InvalidArgument
from shotfs.pathspec import load
from shotfs.pathspec.declarations import declarations
from shotfs.pathspec.samples import example_path
from shotfs.pathspec.vendor import ROOTS, VendorSpec, export
from shotfs.pathspec.vendor_guide import guide
from shotfs.pathspec.vendor_pages import markdown, page

from .documents import document
from .small_dna import TEXT

SECRETS = [
    "gs://",
    "s3://",
    "secret-bucket",
    "bombay",
    "31337",
    "31338",
    "render-admin",
    "10.1.2.3",
]

SHARED: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "roots": {
        "fast": {
            "usage": "render-admin",
            "sites": {"lon": "gs://secret-bucket-lon/ant", "bombay": "s3://secret-bom"},
        }
    },
    "fields": {
        "name": {"type": "str", "usage": "Like gs://secret-bucket-lon/ant/x, ask Bombay"},
        "version": {"type": "version", "aliases": {"latest": {"usage": "render-admin"}}},
    },
    "templates": {"base": {"path": "work/{name}_{version}", "abstract": True}},
}
STUDIO: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "usage": "Mail bombay or see http://10.1.2.3/wiki",
    "include": ["shared.json"],
    "roots": {"main": "gs://secret-bucket/ant"},
    "defaults": {"origin": "main", "uid": 31337, "gid": 31338, "tiers": ["fast", "main"]},
    "fields": {
        "frame": {"type": "frame"},
        "tile": {"type": "udim"},
        "view": {"type": "view"},
        "unused": {"type": "str"},
        "layer": {"type": "enum", "choices": {"beauty": "seen in bombay", "matte": "<b>|`"}},
    },
    "templates": {
        "plate": {
            "path": "{@base}/{layer}[/{view}]/{name}.{frame}.exr",
            "usage": "Plates | as <script>alert(1)</script> shot",
            "flow": "out",
            "immutable": "on-close",
            "owner": "caller",
            "priority": 7,
            "retention": {"days": 3},
            "scratch": ["*.busy"],
        },
        "texture": {"path": "tex/{name}.{tile}.tif", "ttl": "3h"},
        "private": {"path": "private/{unused}", "usage": "gs://secret-bucket"},
    },
    "unmatched": "pass",
}


def studio() -> tuple[Any, Any]:
    texts = {"a.json": json.dumps(STUDIO), "shared.json": json.dumps(SHARED)}
    made = load(
        texts["a.json"],
        source="a.json",
        site="lon",
        documents={"shared.json": texts["shared.json"]},
    )
    return made, declarations("a.json", texts)


def exported(**wanted: Any) -> VendorSpec:
    return export(*studio(), **wanted)


def documents_of(made: VendorSpec) -> tuple[str, str, str]:
    blocks = guide(made.specification)
    return made.text, markdown(blocks), page(blocks, "ant")


def test_nothing_secret_leaks() -> None:
    made = exported(templates=["plate", "texture"])
    for text in documents_of(made):
        assert [secret for secret in SECRETS if secret.casefold() in text.casefold()] == []
        assert re.search(r"\blon\b", text, re.IGNORECASE) is None
    removed = {leak.what.casefold() for leak in made.leaks if leak.removed}
    assert {"bombay", "http://10.1.2.3/wiki"} <= removed


def test_only_listed_keys_go_out() -> None:
    document = json.loads(exported().text)
    assert set(document) == {"spec", "show", "usage", "roots", "fields", "templates"}
    assert document["roots"] == dict(ROOTS)
    keys = {key for one in document["templates"].values() for key in one}
    assert keys <= {"path", "usage", "flow", "immutable", "scratch", "before"}
    assert "aliases" not in document["fields"]["version"]


def test_references_and_includes_are_one_document_that_loads_alone() -> None:
    made = exported(templates=["plate"])
    document = json.loads(made.text)
    assert document["templates"]["plate"]["path"] == (
        "work/{name}_{version}/{layer}[/{view}]/{name}.{frame}.exr"
    )
    assert set(document["fields"]) == {"name", "version", "frame", "view", "layer"}
    loaded = load(made.text, source="vendor.json")
    assert loaded.warnings == ()
    original, _ = studio()
    for variant in (0, 1):
        path = example_path(loaded, loaded.patterns["plate"], variant=variant)
        assert path is not None
        found, known = original.resolve(path), loaded.resolve(path)
        assert found is not None
        assert known is not None
        assert (found.template.name, found.fields) == (known.template.name, known.fields)


def test_templates_are_chosen_by_name_and_by_flow() -> None:
    assert list(exported(flow="out").specification.templates) == ["plate"]
    assert list(exported(flow="in").specification.templates) == ["texture", "private"]
    delivered = exported(flow="out", deliver=["texture"]).specification
    assert delivered.templates["texture"].policy.flow == "out"
    assert exported(show="secretproject").specification.show == "secretproject"
    with pytest.raises(InvalidArgument, match="plates") as caught:
        exported(templates=["plates"])
    assert caught.value.fix == 'write "plate"'
    with pytest.raises(InvalidArgument, match="no template is left"):
        exported(templates=["texture"], flow="out")


def test_name_that_stands_in_a_path_stays_and_is_told() -> None:
    made = json.loads(TEXT)
    made["roots"] = {"main": {"sites": {"render": "gs://x/ant"}}}
    texts = {"dna.json": json.dumps(made)}
    leaks = export(
        load(texts["dna.json"], source="dna.json"), declarations("dna.json", texts)
    ).leaks
    assert ("/templates/frames/path", "render", False) in [
        (one.where, one.what, one.removed) for one in leaks
    ]


class Page(html.parser.HTMLParser):
    """Notes tags and text, and that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_escapes_what_people_wrote_and_needs_nothing_from_outside() -> None:
    _, _, text = documents_of(exported(templates=["plate", "texture"]))
    parsed = Page()
    parsed.feed(text)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert "Plates | as <script>alert(1)</script> shot" in parsed.text
    assert {name for name, _ in parsed.attributes} <= {
        "charset", "lang", "http-equiv", "content", "name"
    }  # fmt: skip
    assert "@media print" in text


def test_documents_show_usage_choices_and_paths_that_fit() -> None:
    made = exported(templates=["plate", "texture"])
    _, text, _ = documents_of(made)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    counts = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert counts <= {3, 4, 5, 6}, "a bar in a text must not make another column"
    assert r"\<b\>" in text
    examples = [line for block in text.split("```")[1::2] for line in block.split("\n") if line]
    paths = [one for one in examples if "{" not in one and not one.startswith("shotfs ")]
    assert len(paths) >= 3
    for path in paths:
        assert made.specification.resolve(path) is not None, path
    assert "| Nuke | `%04d` | `<UDIM>` | `%V` |" in text
    assert "`*.busy`" in text
    assert text.index("## What you deliver") < text.index("## What you receive")


def test_all_templates_are_exported_where_none_is_named() -> None:
    made = export(load(TEXT, source="dna.json"), declarations("dna.json", {"dna.json": TEXT}))
    assert made.leaks == ()
    assert list(made.specification.templates) == list(load(TEXT, source="x").templates)


def test_compound_is_shown_as_it_is_written() -> None:
    text = json.dumps(
        document(
            {"t": "{shot}/x"},
            {
                "seq": {"type": "enum", "choices": ["ab", "cd"]},
                "number": {"type": "int", "pad": 3, "min": 10, "max": 10},
                "shot": {"type": "compound", "format": "{seq}-{number}"},
            },
        )
    )
    made = export(load(text, source="a.json"), declarations("a.json", {"a.json": text}))
    _, shown, _ = documents_of(made)
    assert "| `shot` | `{seq}-{number}`, as `ab-010` |" in shown
