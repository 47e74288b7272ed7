"""Paths as people give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from shotfs.cli.shown_paths import within_mount
from shotfs.control.client import Client
from shotfs.errors import InvalidArgument


def client(mountpoint: str | None) -> Client:
    class Answers:
        def status(self) -> dict[str, Any]:
            return {"mountpoint": mountpoint}

    return cast("Client", Answers())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/shows/ant/render/x", "ant/render/x"),
        ("/shows//ant/./render/x/", "ant/render/x"),
        ("ant/render/x", "ant/render/x"),
        ("ant/render/../x", "ant/x"),
    ],
)
def test_absolute_ones_are_below_the_mount_point_and_others_of_a_show(text: str, path: str) -> None:
    assert within_mount(client("/shows"), text) == path


def test_relative_ones_are_of_the_current_directory_in_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "shows" / "ant" / "render"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert within_mount(client(str(tmp_path / "shows")), "x_v001") == "ant/render/x_v001"
    assert within_mount(client(str(tmp_path / "shows")), "../a") == "ant/a"
    assert within_mount(client("/elsewhere"), "ant/a") == "ant/a"


def test_links_are_not_followed(tmp_path: Path) -> None:
    show = tmp_path / "ant"
    show.mkdir()
    (show / "latest").symlink_to("v001")
    assert within_mount(client(str(tmp_path)), str(show / "latest")) == "ant/latest"


@pytest.mark.parametrize("text", ["/elsewhere/x", "/showsx/y", "/"])
def test_what_is_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not below the mount point: it is /shows"):
        within_mount(client("/shows"), text)


@pytest.mark.parametrize("text", ["/shows", "/shows/", "/shows/ant/.."])
def test_the_mount_itself_is_named_as_what_it_is(text: str) -> None:
    assert within_mount(client("/shows"), text, or_mount=True) == ""
    with pytest.raises(InvalidArgument, match="is the mount itself"):
        within_mount(client("/shows"), text)


def test_a_dot_in_the_mount_is_the_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert within_mount(client(str(tmp_path)), ".", or_mount=True) == ""


def test_without_a_mount_paths_begin_with_a_show() -> None:
    assert within_mount(client(None), "ant/x") == "ant/x"
    with pytest.raises(InvalidArgument, match="has no mount"):
        within_mount(client(None), "/ant/x")
