"""`shotfs manifest`, in this process: what it says, what it writes, how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shotfs.cli import main
from shotfs.digest import Digest, digest_bytes
from shotfs.prewarm.manifest import (
    Entry,
    Head,
    Source,
    Subject,
    Use,
    open_manifest,
    write_manifest,
)
from tests.unit.cli.test_commands import shotfs
from tests.unit.control.fake_service import FakeService

ONE, OTHER = Digest("1" * 32), Digest("2" * 32)

ENTRIES = [
    Entry("ant/a/x.1001.exr", ONE, 10, 5, "1001", ("left",), (Source.SCANNED,), ("usd",), 0.5),
    Entry("ant/a/x.1002.exr", ONE, 10, 5, "1002", use=Use(1, 1, 1.5), sources=(Source.RECORDED,)),
    Entry("ant/b\n\udcff", None, None),
]


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    return write(tmp_path / "m.jsonl", ENTRIES)


def write(path: Path, entries: list[Entry]) -> str:
    head = Head(Subject(show="ant", shot="010"), "2026-11-21T22:00:00Z", "render-07", "shotfs 1")
    write_manifest(str(path), head, entries)
    return str(path)


def read(path: Path | str) -> list[Entry]:
    with open_manifest(str(path)) as found:
        return list(found)


def answer(*arguments: str, code: int = 0) -> Any:
    done = shotfs("manifest", *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


# --- show ----------------------------------------------------------------------------------------


def test_show_says_what_a_manifest_is_about_and_who_wants_its_files(manifest: str) -> None:
    text = shotfs("manifest", "show", manifest).stdout
    assert "show ant, shot 010; made 2026-11-21T22:00:00Z on render-07 by shotfs 1" in text
    assert "scanned (usd)" in text
    assert "ant/b\\n\\udcff" in text
    assert "3 files, 20 B" in text


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--source", "recorded"], ["ant/a/x.1002.exr"]),
        (["--scanner", "usd"], ["ant/a/x.1001.exr"]),
        (["--frames", "1001-1001"], ["ant/a/x.1001.exr", "ant/b\n\udcff"]),
        (["--view", "right"], ["ant/a/x.1002.exr", "ant/b\n\udcff"]),
        (["--below", "ant/a/"], ["ant/a/x.1001.exr", "ant/a/x.1002.exr"]),
        (["--likely", "0.6"], ["ant/a/x.1002.exr", "ant/b\n\udcff"]),
        (["--limit", "1"], ["ant/a/x.1001.exr"]),
        (["--limit", "0"], [entry.path for entry in ENTRIES]),
    ],
)
def test_show_selects(manifest: str, options: list[str], shown: list[str]) -> None:
    report = answer("show", manifest, *options)
    assert [one["path"] for one in report["entries"]] == shown
    assert report["shown"] == len(shown)
    assert report["count"] == 3
    assert report["head"]["subject"] == {"show": "ant", "shot": "010"}


def test_a_narrow_terminal_gets_whole_paths_and_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "ant/library/" + "x" * 30 + ".1001.exr"
    manifest = write(tmp_path / "m.jsonl", [Entry(path, ONE, 10, frames="1001")])
    monkeypatch.setenv("COLUMNS", "60")
    lines = shotfs("manifest", "show", manifest).stdout.splitlines()
    assert path in lines
    assert "  size 10 B, frames 1001, views all, says who hand, likely 1, waited -" in lines


def test_what_cannot_be_written_is_named_as_it_was_asked_for(manifest: str, tmp_path: Path) -> None:
    done = shotfs("manifest", "merge", manifest, "-o", f"{tmp_path}/none/m.jsonl")
    assert done.exit_code == 1
    assert f"{tmp_path}/none/m.jsonl: No such file or directory" in done.stderr


def test_show_says_how_many_it_does_not_show(manifest: str) -> None:
    text = shotfs("manifest", "show", manifest, "--limit", "1", "--below", "ant/a").stdout
    assert "3 files, 20 B; 2 of them match; 1 are shown (--limit)" in text


@pytest.mark.parametrize(
    "options",
    [["--source", "me"], ["--frames", "x"], ["--below", "../x"], ["--below", "/"], ["--limit", "0"],
     ["--limit", "20000"], ["--likely", "2"]],
)  # fmt: skip
def test_a_wrong_selection_is_exit_2(manifest: str, options: list[str]) -> None:
    assert shotfs("manifest", "show", manifest, *options).exit_code == 2


@pytest.mark.parametrize("command", ["show", "stats", "verify"])
def test_a_damaged_manifest_is_exit_3_and_says_where(tmp_path: Path, command: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"format":"shotfs-manifest/1"}\n{"path":"../x"}\n')
    done = shotfs("manifest", command, str(path), *(["--form"] if command == "verify" else []))
    assert done.exit_code == 3
    assert "m.jsonl:2: '../x' leaves its directory" in done.stderr
    assert "fix: " in done.stderr


def test_standard_input_is_a_manifest_too(manifest: str) -> None:
    with open(manifest, "rb") as file:
        done = CliRunner().invoke(main.app, ["manifest", "show", "-"], input=file.read())
    assert "3 files, 20 B" in done.stdout
    done = CliRunner().invoke(main.app, ["manifest", "stats", "-"], input=b"junk")
    assert done.exit_code == 3
    assert "standard input" in done.stderr


# --- stats, diff, merge --------------------------------------------------------------------------


def test_stats_sums_up(manifest: str) -> None:
    report = answer("stats", manifest)
    assert (report["files"], report["size_bytes"], report["without_size"]) == (3, 20, 1)
    assert report["duplicates"] == {"files": 1, "size_bytes": 10}
    assert report["by_group"]["ant/a/x.#.exr"] == {"files": 2, "size_bytes": 20}
    assert report["by_source"]["recorded"]["files"] == 1
    assert report["by_frames"] == [{"first": 1001, "last": 1002, "files": 1}]
    text = shotfs("manifest", "stats", manifest, "--rows", "1").stdout
    assert "1 file with the bytes of another one: 10 B" in text
    assert "1 open found a file not here, and waited 1.5 s" in text
    assert "1001-1002" in text
    assert "more (--rows)" in text


def test_stats_and_diff_know_templates(manifest: str, configuration: Path) -> None:
    report = answer("stats", manifest, "--templates")
    assert report["by_group"] == {"(no such show)": {"files": 3, "size_bytes": 20}}
    done = shotfs("manifest", "stats", manifest, "--templates", "--config", "/nowhere.toml")
    assert done.exit_code != 0


def test_diff_ends_with_1_where_manifests_differ(manifest: str, tmp_path: Path) -> None:
    assert answer("diff", manifest, manifest)["same"]
    assert "The same files: 3 files." in shotfs("manifest", "diff", manifest, manifest).stdout
    changed = [
        Entry("ant/a/x.1001.exr", OTHER, 10),
        Entry("ant/a/x.1003.exr", ONE, 11),
        ENTRIES[2],
    ]
    other = write(tmp_path / "o.jsonl", changed)
    report = answer("diff", manifest, other, code=1)
    found = {one["path"]: one["change"] for one in report["differences"]}
    assert found == {
        "ant/a/x.1001.exr": "changed",
        "ant/a/x.1002.exr": "removed",
        "ant/a/x.1003.exr": "added",
    }
    assert report["by_group"] == {"ant/a/x.#.exr": {"added": 1, "removed": 1, "changed": 1}}
    text = shotfs("manifest", "diff", manifest, other, "--limit", "1").stdout
    assert "1 added, 1 removed, 1 changed, 1 same" in text
    assert "1 of 3 differences are shown (--limit)" in text
    assert answer("diff", manifest, other, "--below", "ant/c")["same"]


def test_diff_takes_two_manifests(manifest: str) -> None:
    for files in ([manifest], [manifest, manifest, manifest], ["-", "-"]):
        assert shotfs("manifest", "diff", *files).exit_code == 2


def test_merge_makes_one_of_several(manifest: str, tmp_path: Path) -> None:
    other = write(tmp_path / "o.jsonl", [Entry("ant/a/x.1001.exr", frames="1003", use=Use(2))])
    target = tmp_path / "all.json"
    report = answer("merge", manifest, other, "-o", str(target))
    assert report == {"file": str(target), "files": 3, "size_bytes": 20}
    first = read(target)[0]
    assert (first.digest, first.frames) == (ONE, "1001,1003")
    assert first.sources == (Source.HAND, Source.SCANNED)
    printed = shotfs("manifest", "merge", manifest, other, "-o", "-").stdout
    assert printed.count("\n") == 5
    assert shotfs("manifest", "merge", "-", "-", "-o", str(target)).exit_code == 2
    assert shotfs("manifest", "merge", *[manifest] * 501, "-o", str(target)).exit_code == 2


# --- verify --------------------------------------------------------------------------------------


def test_verify_reads_files_below_a_root(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "a").write_bytes(b"bytes")
    same = Entry("ant/a", digest_bytes(b"bytes"), 5)
    file = write(tmp_path / "m.jsonl", [same])
    report = answer("verify", file, "--root", str(tmp_path))
    assert (report["ok"], report["verdicts"], report["local"]) == (True, {"same": 1}, None)
    file = write(tmp_path / "m.jsonl", [same, Entry("ant/gone"), Entry("ant/\udcff")])
    report = answer("verify", file, "--root", str(tmp_path), "--limit", "1", code=1)
    assert report["verdicts"] == {"same": 1, "missing": 2}
    assert [one["path"] for one in report["items"]] == ["ant/gone"]
    text = shotfs("manifest", "verify", file, "--root", str(tmp_path), "--sizes").stdout
    assert "3 files: 1 size only, 2 missing" in text


def test_verify_asks_the_service_and_fetches_nothing(service: FakeService, tmp_path: Path) -> None:
    known = "ant/known"
    entries = [
        Entry("ant/known", Digest(f"{len(known):032x}"), len(known)),
        Entry("ant/local", ONE, 9),
        Entry("ant/missing"),
        Entry("ant/silent"),
        Entry("ant/size", None, 1),
        Entry("ant/xknown", ONE),
        Entry("ant/\udcff"),
    ]
    report = answer("verify", write(tmp_path / "m.jsonl", entries), code=1)
    assert report["verdicts"] == {
        "same": 1, "size only": 1, "missing": 2, "unreadable": 1, "other size": 1, "other bytes": 1,
    }  # fmt: skip
    assert report["local"] == {"files": 1, "size_bytes": 9}
    assert {call[0] for call in service.calls} == {"look"}
    good = write(tmp_path / "m.jsonl", entries[:2])
    assert answer("verify", good)["ok"]
    assert "1 of them are on this node, 9 B" in shotfs("manifest", "verify", good).stdout


def test_verify_asks_in_pages_that_fit(service: FakeService, tmp_path: Path) -> None:
    # Of the longest name that JSON makes of a path: twelve signs for one.
    entries = [Entry(f"ant/{index:05}/" + "\U0001f3ac" * 200) for index in range(300)]
    file = write(tmp_path / "m.jsonl", entries)
    assert answer("verify", file)["checked"] == 300
    asked = [call[1] for call in service.calls]
    assert [path for page in asked for path in page] == [entry.path for entry in entries]
    assert len(asked) > 10


def test_verify_of_the_form_asks_nobody(manifest: str) -> None:
    text = shotfs("manifest", "verify", manifest, "--form").stdout
    assert text == "The manifest is whole: 3 files, 20 B.\n"
    for options in (["--form", "--root", "/"], ["--sizes"], ["--form", "--sizes"]):
        assert shotfs("manifest", "verify", manifest, *options).exit_code == 2


def test_verify_without_a_service_is_exit_4(manifest: str, configuration: Path) -> None:
    assert shotfs("manifest", "verify", manifest).exit_code == 4


# --- import and export ---------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "shows"
    (root / "ant" / "tex").mkdir(parents=True)
    (root / "ant" / "tex" / "wood.1001.exr").write_bytes(b"wood")
    (root / "ant" / "scene.blend").write_bytes(b"blend")
    return root


def test_a_list_becomes_a_manifest_and_an_asset_manifest_and_comes_back(
    tree: Path, tmp_path: Path
) -> None:
    paths = tmp_path / "list.txt"
    paths.write_text(f"{tree}/ant/tex/wood.1001.exr\n{tree}/ant/scene.blend\n")
    ours, theirs, back = (str(tmp_path / name) for name in ("m.jsonl", "d.json", "b.jsonl"))
    report = answer(
        "import", str(paths), "-f", "plain", "--strip", str(tree), "-o", ours, "--shot", "010",
        "--source", "published",
    )  # fmt: skip
    assert report["files"] == 2
    assert [one.sources for one in read(ours)] == [(Source.PUBLISHED,)] * 2
    lacking = shotfs("manifest", "export", ours, "-f", "deadline", "-o", theirs, "--below", "ant")
    assert lacking.exit_code == 3
    assert "2 files have no digest, size or time" in lacking.stderr
    assert not os.path.exists(theirs), "half an asset manifest is worse than none"
    printed = shotfs("manifest", "export", ours, "-f", "deadline", "-o", "-", "--below", "ant")
    assert (printed.exit_code, printed.stdout) == (3, "")
    answer("export", ours, "-f", "deadline", "-o", theirs, "--below", "ant", "--root", str(tree))
    document = json.loads(Path(theirs).read_text())
    assert [one["path"] for one in document["paths"]] == ["scene.blend", "tex/wood.1001.exr"]
    assert document["totalSize"] == 9
    answer("import", theirs, "-f", "deadline", "--below", "ant", "-o", back)
    assert answer("verify", back, "--root", str(tree))["verdicts"] == {"same": 2}
    assert answer("diff", ours, back)["same"]


def test_a_mount_is_read_where_the_manifest_does_not_say(
    service: FakeService, tree: Path, tmp_path: Path
) -> None:
    service.mountpoint = str(tree)
    ours = write(tmp_path / "m.jsonl", [Entry("ant/scene.blend")])
    printed = shotfs("manifest", "export", ours, "-f", "shaman", "-o", "-", "--below", "ant")
    assert [one["path"] for one in json.loads(printed.stdout)["files"]] == ["scene.blend"]
    printed = shotfs("manifest", "export", ours, "-f", "deadline", "-o", "-")
    assert json.loads(printed.stdout)["paths"][0]["hash"] == digest_bytes(b"blend")
    service.mountpoint = None
    done = shotfs("manifest", "export", ours, "-f", "shaman", "-o", "-")
    assert done.exit_code == 1
    assert "the service has no mount" in done.stderr


def test_a_checkout_of_shaman_becomes_a_manifest(tree: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "s.json"
    row = {"sha": "a" * 64, "size": 4, "path": "tex/wood.1001.exr"}
    theirs.write_text(json.dumps({"files": [row]}))
    ours = str(tmp_path / "m.jsonl")
    answer("import", str(theirs), "-f", "shaman", "--below", "ant", "-o", ours)
    assert read(ours) == [Entry("ant/tex/wood.1001.exr", None, 4)]
    answer("import", str(theirs), "-f", "shaman", "--below", "ant", "-o", ours, "--root", str(tree))
    assert read(ours)[0].digest == digest_bytes(b"wood")


def test_lists_have_columns_and_nuls(manifest: str, tmp_path: Path) -> None:
    text = shotfs(
        "manifest", "export", manifest, "-f", "plain", "-o", "-", "--below", "ant/a",
        "--columns", "size,path",
    ).stdout  # fmt: skip
    assert text == "10\tx.1001.exr\n10\tx.1002.exr\n"
    done = shotfs("manifest", "export", manifest, "-f", "plain", "-o", "-")
    assert done.exit_code == 3
    assert "--null" in done.stderr
    target = tmp_path / "list"
    answer("export", manifest, "-f", "plain", "-o", str(target), "-0")
    assert target.read_bytes().endswith(b"ant/b\n\xff\0")
    back = str(tmp_path / "b.jsonl")
    answer("import", str(target), "-f", "plain", "-0", "-o", back)
    assert [one.path for one in read(back)] == [one.path for one in ENTRIES]


@pytest.mark.parametrize(
    "options",
    [["-f", "zip"], ["-f", "plain", "--columns", "size"], ["-f", "plain", "--columns", "path,x"],
     ["-f", "plain", "--source", "me"], ["-f", "plain", "--below", "../x"]],
)  # fmt: skip
def test_a_wrong_translation_is_exit_2(manifest: str, tmp_path: Path, options: list[str]) -> None:
    target = str(tmp_path / "o.jsonl")
    for command in ("import", "export"):
        assert shotfs("manifest", command, manifest, "-o", target, *options).exit_code == 2
    assert not os.path.exists(target)


def test_an_import_of_paths_that_escape_writes_nothing(tmp_path: Path) -> None:
    theirs = tmp_path / "list.txt"
    theirs.write_text("ant/a\n../../etc/passwd\n")
    target = tmp_path / "m.jsonl"
    done = shotfs("manifest", "import", str(theirs), "-f", "plain", "-o", str(target))
    assert done.exit_code == 3
    assert "list.txt:2: '../../etc/passwd' leaves its directory" in done.stderr
    assert not target.exists()
