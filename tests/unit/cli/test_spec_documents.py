"""`shotfs spec` with documents: check, schema, explain, diff; files, includes, sites, URLs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.servers.http import HttpServer

from .spec_world import SHARED, STEREO, data, shotfs_spec, told, write_spec


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    with HttpServer(str(tmp_path)) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that is valid and names no show."""
    config = tmp_path / "shotfs.toml"
    config.write_text("")
    monkeypatch.setenv("SHOTFS_CONFIG", str(config))
    return config


def test_schema_is_one_that_takes_the_documents() -> None:
    schema = json.loads(told("schema"))
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(STEREO)
    assert not validator.is_valid({**STEREO, "shows": 1})


def test_check_reads_included_documents_beside_the_one_that_includes_them(spec: Path) -> None:
    answer = data("check", spec)
    assert answer["valid"]
    assert answer["documents"] == [str(spec), str(spec.parent / "shared/fields.json")]
    assert "2 documents" in told("check", spec)


def test_check_places_each_mistake_in_its_document(spec: Path) -> None:
    shared = spec.parent / "shared/fields.json"
    shared.write_text(json.dumps({**SHARED, "fields": {**SHARED["fields"], "udim": {}}}, indent=2))
    spec.write_text(json.dumps({**STEREO, "usge": "x"}, indent=2))
    mistakes = data("check", spec, code=3)["mistakes"]
    assert {one["where"] for one in mistakes} == {"/usge", "/fields/udim"}
    for one in mistakes:
        document = Path(one["source"] or spec).read_text().splitlines()
        assert one["where"].split("/")[-1] in document[one["line"] - 1]
        assert one["column"] >= 1
    assert f"{shared}:" in told("check", spec, code=3)


def test_check_says_which_include_is_not_there(spec: Path) -> None:
    (spec.parent / "shared/fields.json").unlink()
    answer = data("check", spec, code=3)
    assert any(one["where"] == "/include/0" for one in answer["mistakes"])


def test_check_takes_several_documents_and_the_worst_decides(spec: Path, tmp_path: Path) -> None:
    bad, absent = tmp_path / "bad.json", tmp_path / "absent.json"
    bad.write_text("{")
    answer = data("check", spec, bad, code=3)
    assert [one["valid"] for one in answer["documents"]] == [True, False]
    assert answer["valid"] is False
    done = shotfs_spec("check", absent, spec)
    assert done.exit_code == 1
    assert f"{absent}: No such file" in done.stderr
    assert "in order" in done.stdout
    assert shotfs_spec("check", absent).exit_code == 1
    assert shotfs_spec("check").exit_code == 2


def test_check_can_count_warnings(spec: Path) -> None:
    spec.write_text(json.dumps({**STEREO, "fields": {"unused": {"type": "int"}}}))
    assert "unused" in told("check", spec)
    assert data("check", spec, "--strict", code=1)["valid"] is True


@pytest.mark.parametrize(
    ("site", "origin"), [("lon", "gs://ant-lon/ant"), ("bom", "s3://ant-bom/ant")]
)
def test_site_decides_about_the_roots(spec: Path, site: str, origin: str) -> None:
    assert data("check", spec, "--site", site)["origins"] == [origin]
    answer = data("explain", "tex/a/v001/a.1001.tif", "-s", spec, "--site", site)
    assert answer["template"]["policy"]["origin"] == origin


def test_documents_at_urls_are_read_with_what_they_include(
    spec: Path, server: HttpServer, here: Path
) -> None:
    url = f"{server.endpoint}/ant.json"
    answer = data("check", url)
    assert answer["documents"] == [url, f"{server.endpoint}/shared/fields.json"]
    assert "template texture" in told("explain", "ant/tex/a/v001/a.1001.tif", "-s", url)
    assert "every path means the same" in told("diff", spec, url)
    shutil.rmtree(spec.parent / "shared")
    assert data("check", url, code=3)["mistakes"][0]["where"] == "/include/0"


def test_origin_that_does_not_answer_is_exit_6(server: HttpServer, here: Path) -> None:
    server.go_down()
    here.write_text("[network]\nattempts_max = 1\n")
    done = shotfs_spec("check", f"{server.endpoint}/ant.json", "--config", here)
    assert done.exit_code == 6, done.output
    assert server.endpoint in done.stderr


def test_configuration_names_specification_and_site(spec: Path, here: Path) -> None:
    here.write_text('[node]\nsite = "bom"\n[shows.ant]\nspec = "ant.json"\n')
    path = "/shows/ant/tex/a/v001/a.1001.tif"
    assert data("explain", path)["template"]["policy"]["origin"] == "s3://ant-bom/ant"
    assert data("explain", path, "--site", "lon")["site"] == "lon"
    assert shotfs_spec("format", "texture", "--show", "bee").exit_code == 1


def test_explain_says_document_and_line_of_every_value(spec: Path) -> None:
    answer = data("explain", "/shows/ant/render/ab010_v001/left/beauty.1001.exr", "-s", spec)
    assert answer["kind"] == "file"
    settings = {one["key"]: one for one in answer["settings"]}
    assert settings["ttl"]["where"] == "/defaults/ttl"
    lines = spec.read_text().splitlines()
    assert '"ttl"' in lines[settings["ttl"]["line"] - 1]
    fields = {one["name"]: one for one in answer["fields"]}
    assert fields["view"]["source"] == str(spec.parent / "shared/fields.json")
    text = told("explain", "render/ab010_v001/left/beauty.1001.exr", "-s", spec)
    assert " shared/fields.json:" in text


def test_explain_of_directories_aliases_tokens_and_wrong_paths(spec: Path) -> None:
    assert data("explain", "render", "-s", spec)["kind"] == "directory"
    assert "exists always" in told("explain", "render", "-s", spec)
    alias = data("explain", "render/ab010_latest", "-s", spec)
    assert (alias["kind"], alias["alias"]["alias"]) == ("alias", "latest")
    text = told("explain", "render/ab010_approved", "-s", spec)
    assert "ab010_VERSION" in text
    assert "moves by hand" in text
    tokens = data("explain", "render/ab010_v001/%V/beauty.####.exr", "-s", spec)
    assert (tokens["kind"], tokens["open"]) == ("sequence", ["view", "frame"])
    assert tokens["template"]["name"] == "frames"
    wrong = data("explain", "render/ab010_v1/left/beauty.1001.exr", "-s", spec, code=1)
    assert wrong["suggestion"] == "render/ab010_v001/left/beauty.1001.exr"
    assert wrong["misses"][0]["template"] == "frames"


def test_explain_says_why_no_template_could_ever_produce_a_path(spec: Path) -> None:
    text = told("explain", ".shotfs/aliases/x", "-s", spec, code=1)
    assert "what shotfs itself keeps" in text


def test_explain_says_when_a_path_is_let_pass(spec: Path) -> None:
    spec.write_text(json.dumps({**STEREO, "unmatched": "pass"}, indent=2))
    assert "outside every template" in told("explain", "anything/else", "-s", spec)


def test_diff_ends_with_1_and_shows_examples(spec: Path, tmp_path: Path) -> None:
    made = json.loads(json.dumps(STEREO))
    made["templates"]["frames"]["path"] = "render/{shot}_{version}/{layer}.{frame}.exr"
    made["templates"]["texture"]["ttl"] = "9s"
    other = tmp_path / "next.json"
    other.write_text(json.dumps(made, indent=2))
    assert data("diff", spec, spec)["same_meaning"] is True
    answer = data("diff", spec, other, code=1)
    changes = {one["name"]: one for one in answer["templates"]}
    assert changes["frames"]["paths"] == "shrank"
    assert changes["frames"]["examples"][0]["path"].split("/")[2] in ("left", "right")
    text = told("diff", spec, other, code=1)
    assert "ttl: 30 s" in text
    assert "9 s" in text
    assert "frames -> impossible" in text
    told("diff", spec, tmp_path / "absent.json", code=1)
