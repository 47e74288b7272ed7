"""What the doctor checks: each mistake is found, named, and has a fix."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from shotfs.config import Settings
from shotfs.control import checks, origin_checks
from shotfs.control.checks import Finding, Node, Verdict


def settings(tmp_path: Path, **sections: Any) -> Settings:
    cache = {"directory": str(tmp_path / "cache"), "free_bytes_min": 0}
    given = {"cache": cache, "control": {"socket": str(tmp_path / "s")}, **sections}
    return Settings.model_validate(given)


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_missing_fuse_device_is_wrong_and_containers_are_told_what_to_pass(tmp_path: Path) -> None:
    node = Node(fuse_device=str(tmp_path / "fuse"))
    found = by_check(checks.check_node(None, node))["/dev/fuse"]
    assert found.verdict is Verdict.WRONG
    assert "--device /dev/fuse" in str(found.fix)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a device node")
def test_device_that_only_root_may_open_is_wrong_for_others_only(tmp_path: Path) -> None:
    device = str(tmp_path / "fuse")
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(10, 229))
    for uid, verdict in ((0, Verdict.OK), (1000, Verdict.WRONG)):
        found = by_check(checks.check_node(None, Node(fuse_device=device, uid=uid)))["/dev/fuse"]
        assert found.verdict is verdict
        assert "0600" in found.message


def test_missing_fusermount3_is_wrong_for_who_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for uid, verdict in ((0, Verdict.NOTE), (1000, Verdict.WRONG)):
        found = by_check(checks.check_node(None, Node(uid=uid)))["fusermount3"]
        assert found.verdict is verdict
        assert found.fix == "apt install fuse3"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("# comment\nuser_allow_other\n", Verdict.OK),
        ("#user_allow_other\n", Verdict.WRONG),
        ("", Verdict.WRONG),
        (None, Verdict.WRONG),
    ],
)
def test_allow_other_needs_the_line_in_fuse_conf(
    tmp_path: Path, text: str | None, verdict: Verdict
) -> None:
    path = tmp_path / "fuse.conf"
    if text is not None:
        path.write_text(text)
    node = Node(fuse_configuration=str(path), uid=1000)
    asked = settings(tmp_path, mount={"allow_other": True})
    assert by_check(checks.check_node(asked, node))["allow_other"].verdict is verdict
    assert "allow_other" not in by_check(checks.check_node(settings(tmp_path), node))


def directory_finding(tmp_path: Path, node: Node | None = None, **cache: Any) -> dict[str, Finding]:
    given = {"directory": str(tmp_path / "cache"), "free_bytes_min": 0, **cache}
    return by_check(checks.check_directories(settings(tmp_path, cache=given), node or Node()))


def test_s12_cache_that_others_may_enter_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o750)
    found = directory_finding(tmp_path)["cache directory"]
    assert found.verdict is Verdict.WRONG
    assert found.fix == f"chmod 700 {tmp_path}/cache"


def test_s12_cache_of_another_user_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    found = directory_finding(tmp_path, Node(uid=os.geteuid() + 1))["cache directory"]
    assert found.verdict is Verdict.WRONG
    assert "belongs to" in found.message


def test_cache_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert "not a directory" in directory_finding(tmp_path)["cache directory"].message


def test_cache_that_is_not_there_yet_is_made_by_mounting(tmp_path: Path) -> None:
    found = directory_finding(tmp_path)
    assert found["cache directory"].verdict is Verdict.NOTE
    assert found["cache directory: room"].verdict is Verdict.OK


def test_disk_below_the_floor_is_wrong_and_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    found = directory_finding(tmp_path, free_bytes_min=2**50)["cache directory: room"]
    assert found.verdict is Verdict.WRONG
    assert "cache.free_bytes_min" in str(found.fix)


def test_spool_on_a_disk_of_its_own_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    asked = settings(tmp_path, spool={"directory": str(tmp_path / "spool"), "free_bytes_min": 0})
    found = by_check(checks.check_directories(asked, Node()))["spool directory"]
    assert found.verdict is Verdict.WRONG


def test_service_that_does_not_run_is_a_note(tmp_path: Path) -> None:
    (found,) = checks.check_service(settings(tmp_path))
    assert found.verdict is Verdict.NOTE


def specification(tmp_path: Path, root: str) -> str:
    path = tmp_path / "demo.json"
    document = {
        "spec": "shotfs-path/1",
        "show": "demo",
        "roots": {"main": root},
        "fields": {"name": {"type": "str"}},
        "templates": {"one": {"path": "{name}.exr"}},
    }
    path.write_text(json.dumps(document))
    return str(path)


def test_origin_that_answers_is_ok(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    root = f"file://{tmp_path}/bucket"
    asked = settings(tmp_path, shows={"demo": {"spec": specification(tmp_path, root)}})
    found = by_check(origin_checks.check_origins(asked))
    assert found["specification of demo"].verdict is Verdict.OK
    assert found[f"origin {root}"].verdict is Verdict.OK


def test_specification_in_the_origin_is_read_from_there(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    specification(bucket, f"file://{bucket}")
    asked = settings(tmp_path, shows={"demo": {"spec": f"file://{bucket}/demo.json"}})
    found = by_check(origin_checks.check_origins(asked))
    assert found["specification of demo"].verdict is Verdict.OK


def test_origin_that_does_not_exist_is_wrong(tmp_path: Path) -> None:
    root = f"file://{tmp_path}/nothing"
    asked = settings(tmp_path, shows={"demo": {"spec": specification(tmp_path, root)}})
    assert by_check(origin_checks.check_origins(asked))[f"origin {root}"].verdict is Verdict.WRONG


def test_origin_that_never_answers_is_given_up_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        root = f"http://127.0.0.1:{silent.getsockname()[1]}/bucket"
        asked = settings(
            tmp_path,
            shows={"demo": {"spec": specification(tmp_path, root)}},
            network={"metadata_timeout_s": 0.2, "attempts_max": 1},
        )
        found = by_check(origin_checks.check_origins(asked, timeout_s=2))[f"origin {root}"]
    assert found.verdict is Verdict.WRONG
    assert found.fix


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "UTF-8"),
        (b"{", "demo.json:1"),
        (b"{}", "mistake"),
    ],
)
def test_bad_specification_is_wrong_and_does_not_hide_the_rest(
    tmp_path: Path, content: bytes | None, names: str
) -> None:
    path = tmp_path / "demo.json"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "good").mkdir()
    root = f"file://{tmp_path}"
    shows = {
        "demo": {"spec": str(path)},
        "good": {"spec": specification(tmp_path / "good", root)},
    }
    text = Path(shows["good"]["spec"]).read_text().replace('"show": "demo"', '"show": "good"')
    Path(shows["good"]["spec"]).write_text(text)
    found = by_check(origin_checks.check_origins(settings(tmp_path, shows=shows)))
    assert found["specification of demo"].verdict is Verdict.WRONG
    assert names in found["specification of demo"].message
    assert found["specification of good"].verdict is Verdict.OK
    assert found[f"origin {root}"].verdict is Verdict.OK


def test_configuration_without_a_show_is_wrong(tmp_path: Path) -> None:
    found = by_check(origin_checks.check_origins(settings(tmp_path)))
    assert found["shows"].verdict is Verdict.WRONG


def test_a_specification_is_read_with_what_it_includes(tmp_path: Path) -> None:
    path = Path(specification(tmp_path, f"file://{tmp_path}"))
    document = json.loads(path.read_text())
    shared = {"spec": document["spec"], "fields": document.pop("fields", {})}
    path.write_text(json.dumps({**document, "include": ["shared.json"]}))
    (tmp_path / "shared.json").write_text(json.dumps(shared))
    shows = {"demo": {"spec": str(path)}}
    found = by_check(origin_checks.check_origins(settings(tmp_path, shows=shows)))
    assert found["specification of demo"].verdict is Verdict.OK, found
