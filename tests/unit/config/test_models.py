"""The models on their own: defaults, limits, the choice of an origin."""

from __future__ import annotations

import socket

import pytest
from pydantic import ValidationError

from shotfs.config import (
    CacheSettings,
    MountSettings,
    NetworkSettings,
    NodeSettings,
    OriginSettings,
    Settings,
    ShowSettings,
    SpoolSettings,
)


def test_the_defaults_are_valid_and_are_those_that_the_other_parts_were_promised() -> None:
    settings = Settings()
    assert settings.node == NodeSettings(name=socket.gethostname(), site="", preemptible=False)
    assert settings.mount == MountSettings(
        allow_other=False,
        read_only=False,
        request_deadline_s=60,
        requests_max=2000,
        blocked_reads_max=1000,
        readahead_bytes=2**20,
        attribute_ttl_s_max=86400,
    )
    assert settings.cache == CacheSettings(
        directory="/var/cache/shotfs",
        bytes_max=100 * 2**30,
        files_max=1_000_000,
        free_bytes_min=2 * 2**30,
        catalog_paths_max=1_000_000,
    )
    assert settings.spool == SpoolSettings(
        directory=None, bytes_max=100 * 2**30, free_bytes_min=2**30, scratch_ttl_s=86400
    )
    assert settings.network.range_bytes == 8 * 2**20
    assert settings.control.socket == "/run/shotfs/control.sock"
    assert settings.spool_directory == "/var/cache/shotfs/spool"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CacheSettings().bytes_max = 5


def test_every_field_says_what_it_is() -> None:
    for section, info in Settings.model_fields.items():
        model = info.annotation
        for name, field in getattr(model, "model_fields", {}).items():
            assert field.description, f"{section}.{name}"
            assert field.description.endswith("."), f"{section}.{name}"


def test_units_stand_last_in_the_names_of_sizes_and_durations() -> None:
    names = {name for name in NetworkSettings.model_fields if "_s" in name or "bytes" in name}
    assert {"metadata_timeout_s", "range_bytes", "backoff_s_max"} <= names


def test_code_that_makes_settings_may_use_units() -> None:
    assert CacheSettings.model_validate({"bytes_max": "8MiB"}).bytes_max == 8 * 2**20
    assert NetworkSettings.model_validate({"progress_timeout_s": "1 min"}).progress_timeout_s == 60


def settings_with(*prefixes: str) -> Settings:
    return Settings(
        origins={prefix: OriginSettings(region=prefix.rstrip("/")) for prefix in prefixes}
    )


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("gs://a", "gs://a"),
        ("gs://a/", "gs://a"),
        ("gs://a/x", "gs://a"),
        ("gs://a/b", "gs://a/b"),
        ("gs://a/b/c", "gs://a/b"),
        ("gs://a/bc", "gs://a"),
        ("gs://ab", "gs:"),
        ("s3://a", None),
    ],
)
def test_the_longest_prefix_that_ends_at_a_path_element_wins(url: str, prefix: str | None) -> None:
    settings = settings_with("gs://", "gs://a/", "gs://a/b")
    assert settings.origin_for(url).region == prefix


def test_without_a_fitting_section_an_origin_has_the_defaults() -> None:
    assert Settings().origin_for("gs://any/thing") == OriginSettings()


@pytest.mark.parametrize("name", ["demo", "Über", "a b", "x.y", "_1", "夜"])
def test_a_show_may_have_any_name_that_a_directory_may_have(name: str) -> None:
    assert name in Settings(shows={name: ShowSettings(spec="x")}).shows


def test_more_shows_than_anybody_has_are_refused() -> None:
    shows = {f"show{number}": ShowSettings(spec="x") for number in range(1001)}
    with pytest.raises(ValidationError, match="too_long"):
        Settings(shows=shows)


def test_a_bandwidth_after_one_that_holds_all_day_is_a_mistake() -> None:
    assert OriginSettings(bandwidth=["08:00-20:00 20 MiB", "200 MiB"]).rates[1].start_min is None
    with pytest.raises(ValidationError, match="holds all day"):
        OriginSettings(bandwidth=["200 MiB", "08:00-20:00 20 MiB"])
