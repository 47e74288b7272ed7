"""Whatever stands in the file: settings, or mistakes that each have a place and a fix."""

from __future__ import annotations

import tempfile
from typing import Any

import tomlkit
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shotfs.config import Loaded, Settings, load
from shotfs.config.overrides import section_models
from shotfs.errors import ConfigInvalid

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.sampled_from(["", "/x", "10 GiB", "5 min", "info", "~", "gs://b", "obstore", "A_KEY"])
    | st.booleans()
    | st.integers(-5, 2**62)
    | st.floats()
    | st.dates()
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FIELDS = sorted(
    {name for model in section_models().values() for name in model.model_fields}
    | {"spec", "region", "options", "anonymous", "access_key_env", "endpoint_url", "extra"}
)
TABLES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5) | VALUES
DOCUMENTS = st.dictionaries(
    st.sampled_from(list(Settings.model_fields)) | TEXT,
    TABLES | st.dictionaries(st.sampled_from(["a", "gs://b", "gs://b/", ""]), TABLES, max_size=3),
    max_size=5,
)
ENVIRONMENTS = st.dictionaries(
    st.builds(
        "SHOTFS_{}__{}".format,
        st.sampled_from([name.upper() for name in Settings.model_fields]) | TEXT,
        st.sampled_from([name.upper() for name in FIELDS]) | TEXT,
    ),
    TEXT | st.sampled_from(["true", "5", "1 GiB", "{}", "[", "info"]),
    max_size=3,
)


def outcome(document: dict[str, Any], environ: dict[str, str]) -> Loaded | ConfigInvalid:
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8", newline="") as file:
        file.write(tomlkit.dumps(document))
        file.flush()
        try:
            return load(file.name, environ)
        except ConfigInvalid as exc:
            return exc


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, ENVIRONMENTS)
@example({"cache": [{"bytes_max": 1}]}, {"SHOTFS_CACHE__BYTES_MAX": "x"})
@example({"shows": {"a": 5}, "origins": [1]}, {"SHOTFS_SHOWS__a__SPEC": "x"})
@example({"origins": {"gs://b": 1, "gs://b/": 2}}, {})
@example({"shows": {"": {"spec": "x", "extra": 1}}}, {})
def test_any_document_gives_settings_or_mistakes_with_a_place_and_a_fix(
    document: dict[str, Any], environ: dict[str, str]
) -> None:
    result = outcome(document, environ)
    if isinstance(result, Loaded):
        assert set(result.sources) >= {"cache.bytes_max", "log.level"}
        return
    assert result.problems
    for problem in result.problems:
        assert problem.message
        assert problem.fix, problem
        assert problem.line is not None or "environment variable" in problem.where, problem
