"""Addresses to listen on: what is one, and which need permission."""

from __future__ import annotations

import pytest

from shotfs.config.addresses import parse_address
from shotfs.config.mistake import Mistake
from shotfs.config.models import ControlSettings


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        ("127.0.0.1:9400", "127.0.0.1:9400", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("[::1]:65535", "[::1]:65535", True),
        ("0.0.0.0:9400", "0.0.0.0:9400", False),
        ("[::]:9400", "[::]:9400", False),
        ("10.1.2.3:80", "10.1.2.3:80", False),
    ],
)
def test_addresses_are_understood(text: str, shown: str, loopback: bool) -> None:
    address = parse_address(text)
    assert (str(address), address.loopback) == (shown, loopback)


@pytest.mark.parametrize(
    "text",
    ["", ":9400", "9400", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9400", "a.example:80",
     "127.0.0.1:94 00", "[::1:9400", "[127.0.0.1:9400", "127.0.0.1:-1"],
)  # fmt: skip
def test_anything_else_is_a_mistake_that_says_what_to_write(text: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse_address(text)
    assert caught.value.fix


def test_an_address_of_others_needs_a_second_setting() -> None:
    with pytest.raises(ValueError, match="not of this machine alone"):
        ControlSettings(metrics_listen="0.0.0.0:9400")
    settings = ControlSettings(metrics_listen="0.0.0.0:9400", metrics_public=True)
    assert settings.metrics_listen == "0.0.0.0:9400"
