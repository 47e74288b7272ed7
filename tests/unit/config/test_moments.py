"""Moments as people write them."""

from __future__ import annotations

import pytest

from shotfs.config import load
from shotfs.config.mistake import Mistake
from shotfs.config.moments import format_moment, parse_moment
from shotfs.errors import ConfigInvalid

NOW_NS = 1_795_240_800 * 10**9  # 2026-11-21T06:00:00Z


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2026-11-21T05:59:59Z", NOW_NS - 10**9),
        ("2026-11-21T06:59:59+01:00", NOW_NS - 10**9),
        ("2026-11-21 05:59:59.000001Z", NOW_NS - 10**9 + 1000),
        ("-2h", NOW_NS - 7200 * 10**9),
        (" -1.5 min ", NOW_NS - 90 * 10**9),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_moment_is_read(text: str, at_ns: int) -> None:
    assert parse_moment(text, NOW_NS) == at_ns
    assert parse_moment(format_moment(at_ns), NOW_NS) == at_ns


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a time"),
        ("yesterday", "is not a time"),
        ("-2 fortnights", "is not a time"),
        ("--2h", "is not a time"),
        ("2026-11-21T05:00:00", "time zone"),
        ("2026-11-21", "time zone"),
        ("2026-11-21T06:00:00Z", "not in the past"),
        ("-0s", "not in the past"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("-100000d", "is not a time"),
    ],
)
def test_what_is_no_moment_of_the_past_is_a_mistake_with_an_example(text: str, said: str) -> None:
    with pytest.raises(Mistake, match=said) as mistake:
        parse_moment(text, NOW_NS)
    assert "-2h" in mistake.value.fix or "UTC" in mistake.value.fix


def test_the_configuration_refuses_a_bad_moment_with_its_line(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "shotfs.toml"
    file.write_text('[mount]\nat = "soon"\n')
    with pytest.raises(ConfigInvalid, match=r"shotfs.toml:2.*\n?.*mount.at"):
        load(str(file), {})
    file.write_text('[mount]\nat = "-1h"\npin = "job.pin.json"\n')
    settings = load(str(file), {}).settings
    assert settings.mount.pin == str(tmp_path / "job.pin.json")
