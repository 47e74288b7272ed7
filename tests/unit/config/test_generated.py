"""What is generated from the models: the starter file, the reference, the schema, the table."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from shotfs.config import Settings, load
from shotfs.config.loading import leaves
from shotfs.config.naming import nearest
from shotfs.config.provenance import in_force
from shotfs.config.reference import reference, schema
from shotfs.config.secrets import REDACTED, looks_secret, redacted
from shotfs.config.starter import starter

ROOT = Path(__file__).parents[3]

SETTING = re.compile(r"^#([a-z_]+ = .*)$", re.MULTILINE)
COMMENTED = [match.start() for match in SETTING.finditer(starter())]


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "shotfs.toml"
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def test_the_starter_is_in_order_and_means_the_defaults_plus_an_example(tmp_path: Path) -> None:
    settings = load(written(tmp_path, starter()), {}).settings
    assert settings.model_copy(update={"shows": {}, "origins": {}}) == Settings()
    assert settings.shows["demo"].spec == f"{tmp_path}/demo.json"
    assert list(settings.origins) == ["gs://studio-demo"]


def test_the_starter_is_without_warnings_once_its_specification_is_there(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    assert load(written(tmp_path, starter()), {}).warnings == ()


def test_every_setting_stands_in_the_starter() -> None:
    everything = tomllib.loads(SETTING.sub(r"\1", starter()))
    example = Settings.model_validate(
        {"shows": {"demo": {"spec": "x"}}, "origins": {"gs://studio-demo": {}}}
    )
    for path in leaves(example):
        table = everything
        for key in path:
            assert key in table, path
            table = table[key]


@pytest.mark.parametrize("start", COMMENTED)
def test_each_line_of_the_starter_can_be_uncommented(tmp_path: Path, start: int) -> None:
    text = starter()
    text = text[:start] + text[start + 1 :]
    if "_key_env = " in text[start:].split("\n")[0]:
        text = re.sub(r"^#(\w+_key_env = )", r"\1", text, flags=re.MULTILINE)  # they go together
    changed = load(written(tmp_path, text), {})
    assert [source for source in changed.sources.values() if source != "default"]


def test_the_starter_is_readable_in_a_terminal() -> None:
    assert max(len(line) for line in starter().split("\n")) <= 100


def test_the_reference_in_docs_is_in_step() -> None:
    committed = (ROOT / "docs/configuration.md").read_text()
    assert committed == reference(), "run: shotfs config reference > docs/configuration.md"


def test_the_reference_names_every_setting() -> None:
    text = reference()
    for section, info in Settings.model_fields.items():
        model = info.annotation if section not in {"shows", "origins"} else None
        for name in getattr(model, "model_fields", {}):
            assert f"### `{section}.{name}`" in text
            assert f"SHOTFS_{section}__{name}".upper() in text


def test_the_schema_in_docs_is_in_step() -> None:
    committed = json.loads((ROOT / "docs/schema/config.schema.json").read_text())
    assert committed == schema(), (
        "run: shotfs config schema --force --output docs/schema/config.schema.json"
    )


def test_the_schema_is_a_schema_and_does_not_tell_of_the_machine_that_made_it() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert "default" not in schema()["$defs"]["NodeSettings"]["properties"]["name"]


def test_the_schema_accepts_the_starter_with_everything_uncommented() -> None:
    everything = tomllib.loads(SETTING.sub(r"\1", starter()))
    jsonschema.validate(everything, schema())


@pytest.mark.parametrize(
    "text",
    [
        "[cahce]",
        "[cache]\nbytes_max = '10 gigs'",
        "[cache]\nbytes_max = -1",
        "[log]\nlevel = 'loud'",
        "[shows.a]",
        "[mount]\nread_only = 'yes'",
    ],
)
def test_the_schema_refuses_what_the_check_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema())


def test_what_is_in_force_hides_what_looks_like_a_secret(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "[origins.'s3://b'.options]\nsecret = 'hush'\nKEY = 'hush'\nkey_format = 'plain'\n"
        "proxy = 'http://me:hush@proxy/x'\nclient = { session_token = 'hush', hosts = ['a'] }\n",
    )
    (options,) = [item for item in in_force(load(path, {})) if item.name == "options"]
    assert options.value == {
        "secret": REDACTED,
        "KEY": REDACTED,
        "key_format": "plain",
        "proxy": f"http://{REDACTED}@proxy/x",
        "client": {"session_token": REDACTED, "hosts": ["a"]},
    }
    assert "hush" not in options.text


@pytest.mark.parametrize(
    "name", ["secret", "aws_secret_access_key", "token", "password", "account_key", "sas", "Key"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["region", "keyspace", "monkey_business", "retries", "basalt"])
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not looks_secret(name)


def test_lists_are_searched_for_secrets_too() -> None:
    assert redacted([{"token": "hush"}, 5]) == [{"token": REDACTED}, 5]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bytes_mx", "bytes_max"),
        ("Bytes-Max", "bytes_max"),
        ("dir", None),
        ("directory_path", "directory"),
        ("qqq", None),
    ],
)
def test_the_nearest_name_is_offered_only_if_it_is_near(name: str, meant: str | None) -> None:
    assert nearest(name, ["bytes_max", "files_max", "directory"]) == meant
