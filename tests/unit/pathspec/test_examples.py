"""The examples of the documentation are real specifications: no mistakes, and all of it works."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shotfs.pathspec import Specification, include_locations, json_schema, load
from shotfs.pathspec.importers import convert
from shotfs.pathspec.tokens import FieldRef, Literal, Token

EXAMPLES = Path(__file__).parents[3] / "docs/examples"
DOCUMENTS = ("dna.json", "tk-default.json", "ayon-default.json")
SHOT = "xy_1_100_030_00"


def example(name: str, site: str | None = None) -> Specification:
    """The example *name* with what it includes."""
    text = (EXAMPLES / name).read_text()
    documents = {one: (EXAMPLES / one).read_text() for one in include_locations(text, name)}
    return load(text, source=name, site=site, documents=documents)


def texts_of(tokens: tuple[Token, ...], specification: Specification, seed: int) -> dict[str, str]:
    """Texts for all fields in *tokens*."""
    values = random.Random(seed)
    found: dict[str, str] = {}
    for token in tokens:
        if isinstance(token, Literal):
            continue
        field = specification.fields[token.name]
        if field.tokens:
            found |= texts_of(field.tokens, specification, seed)
        elif field.choices is not None:
            found[token.name] = values.choice(field.choices)
        else:
            found[token.name] = next(one for one in CANDIDATES if field.problem(one) is None)
    return found


CANDIDATES = (
    "1001", "v012", "xy", "ab12", "2", "010", "00", "u1_v2", "2026-11-21",
    "lon-01J8ZQ5Y3N4V6W7X8Y9ZABCDEF", "01J8ZQ5Y3N4V6W7X8Y9ZABCDEF", "main.exr", "1920",
    "123e4567-e89b-42d3-a456-426614174000", "a", "2026", "11", "2026-11-21-06-05-04",
)  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_example_loads_without_mistakes_or_warnings(name: str) -> None:
    specification = example(name)
    assert specification.warnings == ()
    schema = jsonschema.Draft202012Validator(json_schema())
    assert list(schema.iter_errors(json.loads((EXAMPLES / name).read_text()))) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_variant_of_every_template_reads_what_it_wrote(name: str) -> None:
    specification = example(name)
    wrong: list[Any] = []
    for pattern in specification.patterns.values():
        for number, variant in enumerate(pattern.variants):
            tokens = tuple(token for element in variant.elements for token in element)
            fields = texts_of(tokens, specification, number)
            names = {token.name for token in tokens if isinstance(token, FieldRef)}
            path = specification.format(pattern.template.name, fields)
            resolution = specification.resolve(path)
            if (
                resolution is None
                or resolution.template.name != pattern.template.name
                or not names <= resolution.fields.keys()
                or any(resolution.fields[one] != text for one, text in fields.items())
            ):
                wrong.append((pattern.template.name, path, resolution))
    assert wrong == []
    assert len(specification.patterns) >= 3


def test_dna_example_has_the_full_form() -> None:
    london, bombay = example("dna.json", "lon"), example("dna.json", "bom")
    frame = f"render/{SHOT}_v005/beauty/left/{SHOT}_v005.1001.png"
    for specification, near in ((london, "gs://ant-london/ant"), (bombay, "s3://ant-bombay/ant")):
        resolution = specification.resolve(frame)
        assert resolution is not None
        assert resolution.template.policy.tiers == (near, "gs://ant-main/ant")
        assert resolution.template.policy.prewarm.frames == 8
    for path in (f"render/{SHOT}_latest", "publish/bob/approved", "textures/bob/latest"):
        assert london.alias(path) is not None
    model = london.resolve("publish/bob/v003/body.left.abc")
    assert model is not None
    assert model.version_depth == 3
    crash = london.resolve("crash/2026-11-21/123e4567-e89b-42d3-a456-426614174000.dmp")
    assert crash is not None
    assert crash.template.policy.retention.days == 7
    assert london.resolve("textures/bob/v003/skin.u1_v2.tif") is not None
    assert london.resolve(f"plates/{SHOT}/lon-01J8ZQ5Y3N4V6W7X8Y9ZABCDEF/{SHOT}_right.1001.exr")
    assert london.resolve("anything/else.png") is None


@pytest.mark.parametrize(
    ("system", "source", "made"),
    [
        ("tk-core", "tk-default.yml", "tk-default.json"),
        ("ayon", "ayon-default-anatomy.json", "ayon-default.json"),
    ],
)
def test_finished_example_has_every_template_that_the_importer_makes(
    system: str, source: str, made: str
) -> None:
    text = (EXAMPLES / source).read_text()
    document, report = convert(system, text, source=source, show="ant")
    assert report.mistakes == ()
    finished = json.loads((EXAMPLES / made).read_text())
    assert set(document["templates"]) <= set(finished["templates"])


TK_PATHS = [
    "sequences/sq010/sq010_sh020/light/work/maya/main.v003.ma",
    "sequences/sq010/sq010_sh020/light/work/maya/snapshots/main.v003.2026-11-21-06-00-00.mb",
    "sequences/sq010/sq010_sh020/comp/publish/nuke/main.v003.nk",
    (
        "sequences/sq010/sq010_sh020/comp/work/images/main/v003/1920x1080/"
        "sq010_sh020_main_beauty_v003.1001.exr"
    ),
    (
        "sequences/sq010/sq010_sh020/comp/publish/elements/main/v003/1920x1080/"
        "sq010_sh020_main_beauty_left_v003.1001.exr"
    ),
    (
        "sequences/sq010/sq010_sh020/light/work/houdini/cache/alembic/main/out1/v001/"
        "sq010_sh020_main_v001.abc"
    ),
    "sequences/sq010/sq010_sh020/anim/review/playblasts/sq010_sh020_main_v003.mov",
    "sequences/sq010/sq010_sh020/finishing/renders/bg01_v002/sq010_sh020_bg01_v002.0001.dpx",
    "assets/Character/bob/model/publish/maya/main.v010.ma",
    "assets/Character/bob/texture/publish/mari/main_diffuse.v002.1001.tif",
    "assets/Character/bob/texture/publish/mari/main_diffuse_base.v002.1001.tif",
    "editorial/work/cut_v001.hrox",
]


@pytest.mark.parametrize("path", TK_PATHS)
def test_paths_of_a_toolkit_show_resolve(path: str) -> None:
    specification = example("tk-default.json")
    resolution = specification.resolve(path)
    assert resolution is not None
    assert specification.format(resolution.template.name, dict(resolution.fields)) == path
