"""Many shows, specifications that live in an origin, and what changes under a running mount."""

from __future__ import annotations

import copy
import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from shotfs.control.client import Client
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

Document = dict[str, Any]


def _requests(gcs: GcsBucket) -> int:
    return sum(gcs.server.journal.counts(bucket=gcs.bucket).values())


class SpecInOrigin:
    """A node whose specification is an object in the bucket that it mounts."""

    def __init__(self, new_node: NewNode, gcs: GcsBucket, *, settings: str = "") -> None:
        self.gcs = gcs
        self.document: Document = copy.deepcopy(SPEC)
        self.document["roots"] = {"main": f"gs://{gcs.bucket}/ant"}
        self.document["templates"]["frames"]["ttl"] = "1h"
        self.put()
        self.node: ShotfsNode = new_node(
            "unused://",
            settings=gcs_settings(gcs)
            + f'[shows.ant]\nspec = "gs://{gcs.bucket}/specs/ant.json"\n'
            + "[network]\nspec_check_s = 0\n"
            + settings,
        )

    def put(self, text: str | None = None) -> None:
        """Publish the document, or *text* in its place."""
        data = (json.dumps(self.document) if text is None else text).encode()
        self.gcs.put("specs/ant.json", data)

    def reload(self) -> Document:
        """Have the node look at its specifications; return what it found of the show."""
        with Client(self.node.socket) as client:
            (found,) = client.reload_specs()
        return found


@pytest.fixture
def spec(new_node: NewNode, gcs: GcsBucket) -> SpecInOrigin:
    gcs.put("ant/library/oak.png", b"oak")
    gcs.put("ant/config/scene.json", b"{}")
    made = SpecInOrigin(new_node, gcs)
    made.node.mount()
    return made


def _missing(path: Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    return False


# --- reload --------------------------------------------------------------------------------------


def test_s09_what_was_impossible_appears_after_a_reload_at_once(spec: SpecInOrigin) -> None:
    spec.gcs.put("ant/plates/sky.dpx", b"sky")
    path = spec.node.show / "plates/sky.dpx"
    before = _requests(spec.gcs)
    for _ in range(3):
        assert _missing(path)
        assert _missing(path.parent)
    assert _requests(spec.gcs) == before, "impossible paths cost nothing"
    spec.document["templates"]["plates"] = {"path": "plates/{name}.dpx"}
    spec.put()
    found = spec.reload()
    assert found["outcome"] == "changed"
    assert path.read_bytes() == b"sky"
    assert os.listdir(path.parent) == ["sky.dpx"]


def test_what_was_possible_is_not_there_after_a_reload(spec: SpecInOrigin) -> None:
    path = spec.node.show / "config/scene.json"
    assert path.read_bytes() == b"{}"
    with path.open("rb") as before:
        del spec.document["templates"]["config"]
        spec.put()
        spec.reload()
        requests = _requests(spec.gcs)
        assert _missing(path)
        assert _missing(path.parent)
        assert before.read() == b"{}", "what is open keeps the terms that it was opened with"
        assert os.fstat(before.fileno()).st_size == 2
        assert _requests(spec.gcs) == requests
        assert "config" not in os.listdir(spec.node.show)


def test_mode_and_immutability_are_in_force_after_a_reload(spec: SpecInOrigin) -> None:
    path = spec.node.show / "config/scene.json"
    assert path.stat().st_mode & 0o777 == 0o644
    with path.open("r+b") as file:
        file.write(b"[]")
    spec.node.wait_published()
    spec.document["templates"]["config"] |= {"mode": "0600", "immutable": "on-close"}
    spec.put()
    spec.reload()
    assert path.stat().st_mode & 0o777 == 0o400
    with pytest.RaisesExc(OSError, check=lambda exc: exc.errno == errno.EEXIST):
        os.close(os.open(path, os.O_WRONLY))


def test_a_directory_that_somebody_works_in_gets_its_new_mode(spec: SpecInOrigin) -> None:
    directory = spec.node.show / "library"
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert os.fstat(descriptor).st_mode & 0o777 == 0o555
        spec.document["templates"]["library"] |= {"flow": "out", "directory_mode": "0777"}
        spec.put()
        spec.reload()
        assert os.fstat(descriptor).st_mode & 0o777 == 0o777
        os.close(os.open("new.png", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    finally:
        os.close(descriptor)


def test_s16_a_cached_file_of_an_unchanged_template_keeps_its_inode_and_needs_no_request(
    spec: SpecInOrigin,
) -> None:
    path = spec.node.show / "library/oak.png"
    assert path.read_bytes() == b"oak"
    wait_until(lambda: spec.node.xattr(path, "state") == "cached")
    inode = path.stat().st_ino
    spec.document["templates"]["plates"] = {"path": "plates/{name}.dpx"}
    spec.put()
    assert spec.reload()["outcome"] == "changed"
    requests = len(spec.gcs.requests(object="ant/library/oak.png"))
    assert path.stat().st_ino == inode
    assert path.read_bytes() == b"oak"
    assert spec.node.xattr(path, "state") == "cached"
    assert len(spec.gcs.requests(object="ant/library/oak.png")) == requests


def test_an_output_in_the_spool_keeps_the_terms_that_it_was_created_with(
    spec: SpecInOrigin,
) -> None:
    path = spec.node.show / "notes/a.txt"
    with path.open("wb") as file:
        file.write(b"first ")
        spec.document["templates"]["notes"] = {"path": "notes/{rest}", "flow": "in"}
        spec.put()
        spec.reload()
        file.write(b"second")
    assert path.read_bytes() == b"first second"
    spec.node.unmount()
    assert spec.gcs.read("ant/notes/a.txt") == b"first second"


def test_a_specification_with_mistakes_is_refused_and_the_old_one_stays(
    spec: SpecInOrigin,
) -> None:
    path = spec.node.show / "library/oak.png"
    before = spec.node.status()["shows"]["ant"]
    assert before["state"] == "in force"
    spec.put('{"spec": "shotfs-path/1",\n "show": "ant", "rots": {}}')
    found = spec.reload()
    assert found["outcome"] == "refused"
    assert any(":2:" in mistake and "rots" in mistake for mistake in found["mistakes"])
    status = spec.node.status()["shows"]["ant"]
    assert status["state"].startswith("refused: ")
    assert "still using the one of" in status["state"]
    assert status["mistakes"] == found["mistakes"]
    assert status["digest"] == before["digest"]
    assert path.read_bytes() == b"oak"
    spec.node.wait_logged("the new one is refused")
    done = spec.node.command("spec", "reload", "ant", check=False)
    assert done.returncode == 1
    assert "ant: refused" in done.stdout
    assert "rots" in done.stdout
    spec.put()
    found = spec.reload()
    assert found["outcome"] == "unchanged"
    assert spec.node.status()["shows"]["ant"]["state"] == "in force"
    assert "ant: unchanged" in spec.node.command("spec", "reload").stdout
    assert spec.node.command("spec", "reload", "bee", check=False).returncode == 1


def test_sighup_looks_at_the_specifications(spec: SpecInOrigin) -> None:
    spec.gcs.put("ant/plates/sky.dpx", b"sky")
    path = spec.node.show / "plates/sky.dpx"
    assert _missing(path)
    spec.document["templates"]["plates"] = {"path": "plates/{name}.dpx"}
    spec.put()
    assert spec.node.pid is not None
    os.kill(spec.node.pid, signal.SIGHUP)
    wait_until(lambda: not _missing(path))


def test_a_changed_specification_is_found_without_being_asked_for(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    spec = SpecInOrigin(new_node, gcs)
    config = spec.node.config.read_text()
    spec.node.config.write_text(config.replace("spec_check_s = 0", "spec_check_s = 0.2"))
    spec.node.mount()
    gcs.put("ant/plates/sky.dpx", b"sky")
    path = spec.node.show / "plates/sky.dpx"
    assert _missing(path)
    spec.document["templates"]["plates"] = {"path": "plates/{name}.dpx"}
    spec.put()
    wait_until(lambda: not _missing(path))
    reads = len(gcs.requests(object="specs/ant.json"))
    wait_until(lambda: spec.node.metric("shotfs_spec_checks_total") > reads)
    kinds = {record.operation for record in gcs.requests(object="specs/ant.json")}
    assert len(kinds) == 2, f"looking is one kind of request, reading another: {kinds}"


@pytest.fixture
def older_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next service uses what kernels before 6.16 have."""
    directory = tmp_path / "older"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        "import shotfs.fuse.forgetting as forgetting\nforgetting.INC_EPOCH = 99\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{directory}:{os.environ.get('PYTHONPATH', '')}")
    assert sys.version_info >= (3, 11)


def test_s09_the_kernel_forgets_names_where_it_knows_no_epochs(
    older_kernel: None, new_node: NewNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/config/scene.json", b"{}")
    gcs.put("ant/plates/deep/sky.dpx", b"sky")
    spec = SpecInOrigin(new_node, gcs)
    spec.node.mount()
    path = spec.node.show / "plates/deep/sky.dpx"
    gone = spec.node.show / "config/scene.json"
    descriptor = os.open(spec.node.show, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = os.open("config", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        try:
            assert _missing(path)
            assert _missing(path.parent)
            assert _missing(path.parent.parent)
            assert gone.read_bytes() == b"{}"
            spec.document["templates"]["plates"] = {"path": "plates/deep/{name}.dpx"}
            del spec.document["templates"]["config"]
            spec.put()
            spec.reload()
            assert path.read_bytes() == b"sky"
            assert _missing(gone)
            with pytest.raises(FileNotFoundError):
                os.stat("scene.json", dir_fd=inside)
            os.stat("plates/deep/sky.dpx", dir_fd=descriptor)
        finally:
            os.close(inside)
    finally:
        os.close(descriptor)


# --- the origin of the specification is gone -----------------------------------------------------


def test_a_node_starts_with_the_last_good_copy_while_the_origin_is_gone(
    spec: SpecInOrigin,
) -> None:
    path = spec.node.show / "library/oak.png"
    assert path.read_bytes() == b"oak"
    wait_until(lambda: spec.node.xattr(path, "state") == "cached")
    spec.node.unmount()
    spec.gcs.server.go_down()
    try:
        spec.node.mount()
        assert path.read_bytes() == b"oak", "cached, and found without its origin"
        status = spec.node.status()["shows"]["ant"]
        assert status["from_cache"] is True
        assert "copy" in status["state"]
        spec.node.wait_logged("starts with the copy of")
    finally:
        spec.gcs.server.come_up()
    # A look that began in the outage may still be under way, and tells what it found.
    wait_until(lambda: spec.reload()["outcome"] == "unchanged")
    status = spec.node.status()["shows"]["ant"]
    assert (status["from_cache"], status["state"]) == (False, "in force")


# --- many shows ----------------------------------------------------------------------------------


def test_several_shows_each_with_its_specification_its_policy_and_its_origin(
    new_node: NewNode, gcs: GcsBucket, tmp_path: Path
) -> None:
    disk = tmp_path / "bee-origin"
    (disk / "any/where").mkdir(parents=True)
    (disk / "any/where/note.txt").write_bytes(b"bee")
    gcs.put("ant/library/oak.png", b"ant")
    gcs.put("ant/stray/file.txt", b"no template says this")
    gcs.put("cat/free/form.txt", b"cat")
    gcs.put("cat/library/oak.png", b"cat's oak")
    node = new_node(
        f"gs://{gcs.bucket}/ant",
        settings=gcs_settings(gcs)
        + '[shows.bee]\nspec = "bee.json"\n'
        + f'[shows.cat]\nspec = "gs://{gcs.bucket}/specs/cat.json"\n',
    )
    templates = {"reports": {"path": "reports/{name}.txt", "flow": "out", "immutable": "on-close"}}
    fields = {"name": {"type": "str", "pattern": "[a-z]+"}, "rest": {"type": "tree"}}
    bee: Document = {
        "spec": "shotfs-path/1",
        "show": "bee",
        "roots": {"disk": f"file://{disk}"},
        "fields": fields,
        "templates": templates,
        "unmatched": {"flow": "inout", "mode": "0600", "ttl": "0s"},
    }
    cat: Document = {
        "spec": "shotfs-path/1",
        "show": "cat",
        "roots": {"main": f"gs://{gcs.bucket}/cat"},
        "fields": fields,
        "templates": {"library": {"path": "library/{rest}", "mode": "0640"}},
        "unmatched": "pass",
    }
    (node.directory / "bee.json").write_text(json.dumps(bee))
    gcs.put("specs/cat.json", json.dumps(cat).encode())
    node.mount()
    shows = node.mountpoint
    assert sorted(os.listdir(shows)) == ["ant", "bee", "cat"]

    # ant denies: what no template says is not there, and costs nothing.
    assert (shows / "ant/library/oak.png").read_bytes() == b"ant"
    before = _requests(gcs)
    assert _missing(shows / "ant/stray/file.txt")
    assert _missing(shows / "ant/stray")
    assert _missing(shows / "dog")
    with pytest.RaisesExc(OSError, check=lambda exc: exc.errno == errno.EPERM):
        (shows / "ant/stray.txt").write_bytes(b"x")
    assert _requests(gcs) == before
    assert "stray" not in os.listdir(shows / "ant")

    # bee lets pass, with a policy of its own beside the one of its template.
    note = shows / "bee/any/where/note.txt"
    assert note.read_bytes() == b"bee"
    assert note.stat().st_mode & 0o777 == 0o600
    assert os.listdir(shows / "bee/any") == ["where"]
    assert node.xattr(note, "template") == "unmatched"
    new = shows / "bee/some/new.dat"
    new.parent.mkdir()
    new.write_bytes(b"new")
    (shows / "bee/reports").mkdir(exist_ok=True)
    (shows / "bee/reports/day.txt").write_bytes(b"report")
    node.wait_published()
    assert (disk / "some/new.dat").read_bytes() == b"new"
    new.write_bytes(b"newer")
    node.wait_published()
    assert (disk / "some/new.dat").read_bytes() == b"newer"
    with pytest.RaisesExc(OSError, check=lambda exc: exc.errno == errno.EEXIST):
        os.close(os.open(shows / "bee/reports/day.txt", os.O_WRONLY))
    assert node.xattr(shows / "bee/reports/day.txt", "template") == "reports"

    # cat lets pass what is read only, from an origin of its own.
    assert (shows / "cat/free/form.txt").read_bytes() == b"cat"
    assert (shows / "cat/library/oak.png").read_bytes() == b"cat's oak"
    assert (shows / "cat/library/oak.png").stat().st_mode & 0o777 == 0o440
    assert sorted(os.listdir(shows / "cat")) == ["free", "library"]
    with pytest.RaisesExc(OSError, check=lambda exc: exc.errno == errno.EROFS):
        (shows / "cat/free/new.txt").write_bytes(b"x")

    status = node.status()["shows"]
    assert [status[name]["templates"] for name in ("ant", "bee", "cat")]
    assert {status[name]["state"] for name in status} == {"in force"}


def test_a_faster_tier_serves_through_the_mount(new_node: NewNode, gcs: GcsBucket) -> None:
    content = os.urandom(300_000)
    gcs.put("ant/library/oak.png", content)
    gcs.put("near/library/oak.png", content)
    document = copy.deepcopy(SPEC)
    document["roots"] = {"main": f"gs://{gcs.bucket}/ant", "near": f"gs://{gcs.bucket}/near"}
    document["templates"]["library"]["tiers"] = ["near", "main"]
    node = new_node("unused://", spec=document, settings=gcs_settings(gcs)).mount()
    assert (node.show / "library/oak.png").read_bytes() == content
    assert gcs.requests("read", object="near/library/oak.png")
    assert not gcs.requests("read", object="ant/library/oak.png")
    assert node.status()["origins"][f"gs://{gcs.bucket}/near"]["faster_tier"] is True
