"""Files of a show as files of this host: whole, read-only, fetched once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import shotfs
from shotfs import localizing
from shotfs.localizing import (
    LocalizeFailed,
    Localizer,
    NotOurs,
    NotThere,
    ServiceAway,
)
from tests.unit.prewarm.localize.served import SHOT, Served, let_through

NOBODY = 65534


def test_a_file_comes_whole_and_read_only_with_the_time_of_the_original(
    served: Served, localizer: Localizer
) -> None:
    original = served.put("ant/library/tex/bark.tx", b"bark" * 1000)
    os.utime(original, ns=(0, 1_700_000_000_123_456_789))
    found = localizer.fetch("/shows/ant/library/tex/bark.tx")
    assert (found.fetched, found.fetched_bytes) == (1, 4000)
    local = Path(found.path)
    assert local == Path(localizer.tree.root) / "ant/library/tex/bark.tx"
    assert local.read_bytes() == b"bark" * 1000
    assert local.stat().st_mode & 0o777 == 0o444
    assert local.stat().st_mtime_ns == original.stat().st_mtime_ns
    assert local.stat().st_nlink == 1, "never a link to the blob of the cache"


def test_what_is_here_is_not_fetched_again_by_another_process(
    served: Served, localizer: Localizer
) -> None:
    served.put("ant/library/tex/leaf.tx", b"leaf")
    inode = os.stat(localizer.localize("ant/library/tex/leaf.tx")).st_ino
    other = Localizer(served.socket, localizer.tree.root)
    found = other.fetch("ant/library/tex/leaf.tx")
    assert (found.fetched, os.stat(found.path).st_ino) == (0, inode)


def test_a_sequence_of_which_somebody_removed_a_file_is_whole_again(
    served: Served, localizer: Localizer
) -> None:
    for frame in (1001, 1002, 1003):
        served.put(f"ant/library/gap/p.{frame}.tx", b"%d" % frame)
    localizer.fetch("ant/library/gap/p.####.tx")
    Localizer(served.socket, localizer.tree.root).release(["ant/library/gap/p.1002.tx"])
    found = localizer.fetch("ant/library/gap/p.####.tx")
    assert [Path(one).read_bytes() for one in found.files] == [b"1001", b"1002", b"1003"]


def test_a_file_that_somebody_damaged_is_fetched_again(
    served: Served, localizer: Localizer
) -> None:
    served.put("ant/library/tex/moss.tx", b"moss")
    local = Path(localizer.localize("ant/library/tex/moss.tx"))
    local.chmod(0o600)
    local.write_bytes(b"MOSS!")
    other = Localizer(served.socket, localizer.tree.root)
    assert Path(other.localize("ant/library/tex/moss.tx")).read_bytes() == b"moss"


def test_a_sequence_comes_with_its_tokens_and_the_frames_that_were_asked_for(
    served: Served, localizer: Localizer
) -> None:
    for frame in range(1001, 1006):
        served.put(f"{SHOT}/beauty.{frame}.exr", b"%d" % frame)
    found = localizer.fetch(f"/shows/{SHOT}/beauty.####.exr", "1002-1003,1006")
    assert found.path.endswith("/beauty.####.exr")
    assert [Path(one).name for one in found.files] == ["beauty.1002.exr", "beauty.1003.exr"]
    assert found.missing == "1006"
    whole = localizer.fetch(f"{SHOT}/beauty.%04d.exr")
    assert (len(whole.files), whole.fetched, whole.missing) == (5, 3, "")
    assert whole.path.endswith("/beauty.%04d.exr")


def test_tiles_of_a_tree_template_are_found_by_their_names(
    served: Served, localizer: Localizer
) -> None:
    for name in ("oak.1001.tx", "oak.1012.tx", "oak.preview.tx", "elm.1001.tx"):
        served.put(f"ant/library/udim/{name}", name.encode())
    found = localizer.fetch("ant/library/udim/oak.<UDIM>.tx")
    assert [Path(one).name for one in found.files] == ["oak.1001.tx", "oak.1012.tx"]


def test_a_directory_brings_all_below_it(served: Served, localizer: Localizer) -> None:
    for name in ("a.txt", "below/b.txt", "below/deep/c.txt"):
        served.put(f"ant/library/kit/{name}", name.encode())
    found = localizer.fetch("ant/library/kit")
    assert [os.path.relpath(one, found.path) for one in found.files] == [
        "a.txt",
        "below/b.txt",
        "below/deep/c.txt",
    ]


def test_a_name_with_a_sign_that_looks_like_a_token_is_a_name(
    served: Served, localizer: Localizer
) -> None:
    served.put("ant/library/notes #one.txt", b"one")
    assert Path(localizer.localize("ant/library/notes #one.txt")).read_bytes() == b"one"


def test_s03_a_mutable_file_that_changed_is_replaced(served: Served, localizer: Localizer) -> None:
    served.put("ant/config/tools.json", b"old")
    local = Path(localizer.localize("ant/config/tools.json"))
    with local.open("rb") as reader:
        served.put("ant/config/tools.json", b"newer")
        assert Path(localizer.localize("ant/config/tools.json")).read_bytes() == b"newer"
        assert reader.read() == b"old", "who has it open keeps the revision"


def test_a_thousand_lookups_ask_the_service_once(served: Served, localizer: Localizer) -> None:
    served.put("ant/library/tex/often.tx", b"often")
    for _ in range(1000):
        localizer.localize("ant/library/tex/often.tx")
    # Somebody who asks nobody any more.
    localizer._connection = None  # type: ignore[assignment]
    assert localizer.localize("ant/library/tex/often.tx").endswith("often.tx")
    os.unlink(localizer.localize("ant/library/tex/often.tx"))
    with pytest.raises(AttributeError):
        localizer.localize("ant/library/tex/often.tx")


def test_s07_what_never_changes_is_found_while_no_service_runs(
    served: Served, localizer: Localizer, tmp_path: Path
) -> None:
    served.put("ant/library/tex/kept.tx", b"kept")
    served.put("ant/config/kept.json", b"{}")
    local = localizer.localize("ant/library/tex/kept.tx")
    localizer.localize("ant/config/kept.json")
    alone = Localizer(str(tmp_path / "no.sock"), localizer.tree.root)
    assert alone.localize("ant/library/tex/kept.tx") == local
    with pytest.raises(ServiceAway, match="shotfs serve"):
        alone.localize("ant/config/kept.json")


def test_paths_that_are_no_files_of_a_show_are_told_apart(localizer: Localizer) -> None:
    for path in ("/elsewhere/a.exr", "ant/../../etc/passwd", "/shows/../etc/passwd", "..", ""):
        with pytest.raises(NotOurs):
            localizer.localize(path)
    for path in ("ant/library/nothing", "ant/impossible", "other/a", "ant/library/none.####.exr"):
        with pytest.raises(NotThere):
            localizer.localize(path)


def test_too_many_files_are_refused_before_any_comes(served: Served, localizer: Localizer) -> None:
    for index in range(4):
        served.put(f"ant/library/many/{index}.txt", b"x")
    with pytest.raises(LocalizeFailed, match="more than 3 files"):
        localizer.fetch("ant/library/many", limit=3)
    assert not os.path.exists(os.path.join(localizer.tree.root, "ant/library/many"))


def test_release_removes_copies_and_empty_directories_only(
    served: Served, localizer: Localizer
) -> None:
    served.put("ant/library/gone/a.txt", b"aa")
    served.put("ant/library/stay.txt", b"s")
    localizer.localize("ant/library/gone")
    stay = localizer.localize("ant/library/stay.txt")
    assert localizer.release(["/shows/ant/library/gone"]) == (1, 2)
    assert not os.path.exists(os.path.join(localizer.tree.root, "ant/library/gone"))
    assert os.path.exists(stay)
    assert localizer.release() == (1, 1)
    assert sorted(os.listdir(localizer.tree.root)) == [".shotfs-localized"]
    assert localizer.fetch("ant/library/stay.txt").fetched == 1
    shutil.rmtree(localizer.tree.root)
    assert localizer.fetch("ant/library/stay.txt").fetched == 1, "somebody removed all of it"


def as_application(directory: Path, script: str, *, uid: int | None = None) -> list[str]:
    """Run *script* as the Python of an application would: none of our packages, nor of others."""
    package = directory / "app" / "shotfs_localizing"
    if not package.exists():
        shutil.copytree(Path(localizing.__file__).parent, package)
    program = f"import sys; sys.path.insert(0, {str(package.parent)!r})\n{script}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_client_runs_without_any_of_our_dependencies(served: Served, tmp_path: Path) -> None:
    served.put("ant/library/tex/plain.tx", b"plain")
    script = f"""
import shotfs_localizing
localizer = shotfs_localizing.Localizer({served.socket!r}, {str(tmp_path / "tree")!r})
print(localizer.localize("/shows/ant/library/tex/plain.tx"))
print(sorted(name for name in sys.modules if name in ("httpx", "trio", "shotfs", "xxhash")))
"""
    local, imported = as_application(tmp_path, script)
    assert Path(local).read_bytes() == b"plain"
    assert imported == "[]"


def test_processes_that_localize_one_path_at_once_fetch_it_once(
    served: Served, tmp_path: Path
) -> None:
    served.put("ant/library/tex/shared.tx", os.urandom(3_000_000))
    script = f"""
import shotfs_localizing, threading
localizers = [
    shotfs_localizing.Localizer({served.socket!r}, {str(tmp_path / "tree")!r}) for _ in range(6)
]
results = []
def run(one):
    results.append(one.fetch("ant/library/tex/shared.tx"))
threads = [threading.Thread(target=run, args=[one]) for one in localizers]
[one.start() for one in threads]
[one.join() for one in threads]
print(len(results), sum(one.fetched for one in results))
"""
    assert as_application(tmp_path, script) == ["6 1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")
def test_s12_another_user_gets_the_bytes_and_only_what_he_may_read(
    served: Served, tmp_path: Path
) -> None:
    content = os.urandom(2_500_000)
    served.put("ant/library/tex/his.tx", content)
    served.put("ant/secret/plan.txt", b"secret")
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, NOBODY, NOBODY)
    let_through(tmp_path)
    let_through(served.node.directory)
    script = f"""
import shotfs_localizing
localizer = shotfs_localizing.Localizer({served.socket!r}, {str(shared / "tree")!r})
print(localizer.localize("ant/library/tex/his.tx"))
try:
    localizer.localize("ant/secret/plan.txt")
except shotfs_localizing.LocalizeFailed as error:
    print(error.message)
"""
    local, refused = as_application(tmp_path, script, uid=NOBODY)
    assert Path(local).read_bytes() == content
    assert os.stat(local).st_uid == NOBODY
    assert "uid 65534 may not read it" in refused


def test_the_api_of_the_package_is_lazy_and_takes_its_settings_from_the_environment(
    served: Served, tmp_path: Path
) -> None:
    served.put("ant/library/tex/api.tx", b"api")
    script = """
import sys, shotfs
assert "shotfs.localizing" not in sys.modules
print(shotfs.localize("/mnt/shows/ant/library/tex/api.tx"))
print(list(shotfs.localize_many(["/shows/ant/library/tex/api.tx"]).values())[0])
"""
    env = {
        **os.environ,
        "SHOTFS_CONTROL__SOCKET": served.socket,
        "SHOTFS_LOCALIZE_DIR": str(tmp_path / "tree"),
        "SHOTFS_LOCALIZE_PREFIX": "/shows:/mnt/shows",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "tree/ant/library/tex/api.tx")] * 2
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        shotfs.nothing  # noqa: B018


def test_the_command_prints_local_paths_and_says_what_is_missing(
    served: Served, tmp_path: Path
) -> None:
    shot = SHOT.replace("v005", "v006")
    served.put(f"{shot}/depth.1001.exr", b"depth")
    tree = str(tmp_path / "tree")
    done = served.node.command(
        "localize", f"/shows/{shot}/depth.####.exr", "--frames", "1001-1002", "--into", tree,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"{tree}/{shot}/depth.####.exr"]
    assert "frames 1002 do not exist" in done.stderr
    done = served.node.command("localize", f"{shot}/depth.1001.exr", "--into", tree, "--json")
    (told,) = json.loads(done.stdout)["localized"]
    assert (told["fetched"], told["bytes"], told["missing"]) == (0, 5, "")
    done = served.node.command("localize", "--clean", "--into", tree)
    assert done.stdout == "1 file, 5 B, removed\n"
    done = served.node.command(
        "localize", "ant/nothing/here", f"{shot}/depth.1001.exr", "ant/library/none",
        "--into", tree, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"{tree}/{shot}/depth.1001.exr"]
    assert "shotfs: ant/nothing/here: there is no such file" in done.stderr
    assert "warning: ant/library/none: there is no such file" in done.stderr


def test_the_command_starts_a_service_where_none_runs_and_ends_it(tmp_path: Path) -> None:
    served = Served(tmp_path / "alone")
    served.put("ant/library/a.tx", b"alone")
    done = served.node.command("localize", "ant/library/a.tx", "--into", str(tmp_path / "tree"))
    assert Path(done.stdout.strip()).read_bytes() == b"alone"
    assert "no service runs: started one" in done.stderr
    assert served.node.command("status", check=False).returncode == 4
