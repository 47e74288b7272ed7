"""`shotfs cache ls`, `pin`, `unpin`, `pins`, `evict`: what they ask and what they print."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shotfs.cli import main
from tests.unit.control.fake_reports import ENTRIES
from tests.unit.control.fake_service import FakeService


def shotfs(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))


def test_ls_shows_size_paths_and_what_keeps_a_file(service: FakeService) -> None:
    lines = shotfs("cache", "ls", "--limit", "6").stdout.splitlines()
    assert lines == [
        "---        0 B  ant/library/0.png",
        "p--    1.0 KiB  ant/library/1.png",
        "-o-    2.0 KiB  ant/library/2.png",
        "--?    3.0 KiB  ant/library/3.png",
        "---    4.0 KiB  (00000000000000000000000000000004, of no path now)",
        "---    5.0 KiB  ant/library/5.png  and 1 more paths",
    ]


def test_ls_asks_page_by_page_and_prints_a_document_a_line(service: FakeService) -> None:
    lines = shotfs("cache", "ls", "/shows/ant", "--json", "--limit", "0").stdout.splitlines()
    assert len(lines) == ENTRIES
    assert json.loads(lines[-1])["size_bytes"] == 1024 * (ENTRIES - 1)
    assert service.calls == [
        ("entries", "ant", after, 1000, "used") for after in ("", "1000", "2000")
    ]


def test_ls_of_an_order_that_is_none_says_which_there_are(configuration: Path) -> None:
    done = shotfs("cache", "ls", "--sort", "bogus")
    assert done.exit_code == 2
    assert "there is no order 'bogus'" in done.output
    for order in ("digest", "size", "used"):
        assert order in done.output
    assert "Value error" not in done.output


def test_ls_ends_at_its_limit(service: FakeService) -> None:
    report = json.loads(shotfs("cache", "ls", "--json", "--limit", "1200").stdout)
    assert len(report["entries"]) == 1200
    assert [call[3] for call in service.calls] == [1000, 200]


def test_pin_says_what_it_keeps_and_fetches(service: FakeService) -> None:
    done = shotfs("cache", "pin", "/shows/ant/library", "--owner", "xy_010", "--for", "3d")
    assert done.stdout == "3 files, 3.0 KiB, pinned for xy_010; 1 were here\n"
    _, paths, options = service.calls[-1]
    assert paths == ["ant/library"]
    assert (options["owner"], options["for_s"], options["fetch"]) == ("xy_010", 259_200.0, False)

    fetched = shotfs("cache", "pin", "ant/library", "--owner", "xy_010", "--fetch")
    assert fetched.exit_code == 1
    assert "1 fetched, 1 failed" in fetched.stdout
    assert "ant/b: origin is down" in fetched.output


@pytest.mark.parametrize("text", ["soon", "-3d", "0s"])
def test_pin_wants_a_time_that_is_one(configuration: Path, text: str) -> None:
    done = shotfs("cache", "pin", "ant/x", "--owner", "a", f"--for={text}")
    assert done.exit_code == 2
    assert "--for" in done.output


def test_pin_without_an_owner_is_a_wrong_command(configuration: Path) -> None:
    assert shotfs("cache", "pin", "ant/x").exit_code == 2


def test_unpin_says_how_many_and_fails_if_none(service: FakeService) -> None:
    assert shotfs("cache", "unpin", "--owner", "xy_010").stdout == "3 pins of xy_010 removed\n"
    none = shotfs("cache", "unpin", "ant/x", "--owner", "nobody")
    assert none.exit_code == 1
    assert "fix: shotfs cache pins" in none.output
    assert "0 pins" not in none.output
    assert none.stdout == ""


def test_pins_shows_all_pages(service: FakeService) -> None:
    text = shotfs("cache", "pins").stdout
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(1.7e9))
    assert f"{until}" in text
    assert "ant/library/oak.png" in text
    assert "gs://b/k" in text
    assert "unpinned" in text


def test_pins_are_sorted_by_owner_and_path(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = [("kim", "ant/b"), ("ann", None), ("kim", "ant/a"), ("ann", "ant/z")]
    rows = [
        {"owner": owner, "path": path, "tier": "gs://b", "key": "k", "size_bytes": 1,
         "until_s": None, "cached": True}
        for owner, path in pins
    ]  # fmt: skip
    monkeypatch.setattr("shotfs.cli.cache_pins._rows", lambda *_: iter(rows))
    text = shotfs("cache", "pins").stdout.splitlines()[1:]
    assert [(line.split()[0], line.split()[-1]) for line in text] == [
        ("ann", "ant/z"),
        ("ann", "gs://b/k"),
        ("kim", "ant/a"),
        ("kim", "ant/b"),
    ]
    assert [
        line.split()[-1] for line in shotfs("cache", "pins", "--limit", "2").stdout.splitlines()[1:]
    ] == [line.split()[-1] for line in text[:2]], (
        "the first ones of this order, whatever the order of the service is"
    )


def test_evict_takes_a_size_or_paths(service: FakeService) -> None:
    text = shotfs("cache", "evict", "/shows/ant/a", "ant/b", "--limit", "5").stdout
    assert "open    1" in text
    assert service.calls == [("evict_paths", ["ant/a", "ant/b"], 5)]
    assert shotfs("cache", "evict", "2KiB").exit_code == 0
    assert service.calls[-1] == ("evict", 2048)


@pytest.mark.parametrize("what", [("20GiB", "ant/x"), ("ant/x", "20GiB"), ("1GiB", "2GiB")])
def test_evict_takes_no_size_beside_paths(service: FakeService, what: tuple[str, str]) -> None:
    done = shotfs("cache", "evict", *what)
    assert done.exit_code == 2
    assert "a size or paths, not both" in done.output
    assert service.calls == []


def test_evict_of_a_word_says_what_a_path_is(configuration: Path) -> None:
    done = shotfs("cache", "evict", "lots")
    assert done.exit_code == 2
    assert "ant/render" in done.output


def test_pins_of_somebody_without_pins_says_whose(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shotfs.cli.cache_pins._rows", lambda *_: iter(()))
    assert shotfs("cache", "pins", "--owner", "kim").stdout == "Nothing is pinned for kim.\n"
    assert shotfs("cache", "pins").stdout == "Nothing is pinned.\n"


def test_verify_refuses_a_rate_that_never_ends(configuration: Path) -> None:
    done = shotfs("cache", "verify", "--rate", "5")
    assert done.exit_code == 2
    assert "too slow to end" in done.output


def test_ls_of_the_mount_point_shows_all(service: FakeService) -> None:
    assert shotfs("cache", "ls", "/shows", "--limit", "1").exit_code == 0
    assert service.calls == [("entries", "", "", 1, "used")]
