"""The promises hold as the policy of each path says, wherever in the documents that was said.

One mount of a show in the full form: what is tested comes from a template, from the defaults of its
root, from the show's defaults, or from those of an included document.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

STUDIO: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "defaults": {"ttl": "1h", "negative_ttl": "1h", "mode": "0640", "directory_mode": "0777"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z]+"},
        "layer": {"type": "enum", "choices": ["beauty", "matte"]},
        "version": {"type": "version", "aliases": ["latest"]},
        "frame": {"type": "frame"},
    },
}

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "include": ["studio.json"],
    "roots": {
        "main": {"sites": {"dallas": "ORIGIN/main"}},
        "work": {
            "url": "ORIGIN/work",
            "defaults": {"immutable": "never", "flow": "inout", "mode": "0664"},
        },
    },
    "defaults": {"origin": "main", "flow": "out", "immutable": "on-close"},
    "templates": {
        "final": {"path": "final/{name}.exr"},
        "draft": {"path": "draft/{name}.exr", "origin": "work"},
        "kept": {
            "path": "kept/{name}.exr",
            "origin": "work",
            "immutable": "on-close",
            "mode": "0604",
            "uid": 1234,
            "gid": 2345,
        },
        "plate": {"path": "plates/{name}.dpx", "flow": "in"},
        "asset_root": {"path": "assets/{name}_{version}", "abstract": True},
        "asset": {
            "path": "{@asset_root}/{layer}[_{frame}].exr",
            "flow": "inout",
            "immutable": "on-version-publish",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Case:
    """A file and what its policy makes of it once it is published."""

    path: str
    immutable: bool
    mode: int
    uid: int | None = None
    gid: int | None = None


CASES = (
    Case("final/a.exr", immutable=True, mode=0o440),
    Case("draft/a.exr", immutable=False, mode=0o664),
    Case("kept/a.exr", immutable=True, mode=0o404, uid=1234, gid=2345),
    Case("assets/hero_v001/beauty_1001.exr", immutable=False, mode=0o640),
    Case("assets/hero_v002/beauty.exr", immutable=True, mode=0o440),
)
SEALED = "assets/hero_v002"
CONTENT = b"published bytes"


@pytest.fixture
def node(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    """A node at the site dallas with every case published."""
    settings = f'[node]\nsite = "dallas"\n{gcs_settings(gcs)}'
    node = new_node(f"gs://{gcs.bucket}", spec=SPEC, settings=settings)
    (node.directory / "studio.json").write_text(json.dumps(STUDIO))
    node.mount()
    for case in CASES:
        path = node.show / case.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    node.wait_published()
    node.command("version", "publish", str(node.show / SEALED))
    return node


def _errno_of(attempt: Any, *arguments: Any) -> int | None:
    try:
        attempt(*arguments)
    except OSError as exc:
        return exc.errno
    return None


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"changed")


def _truncate(path: Path) -> None:
    os.truncate(path, 3)


def test_s02_s13_s14_changes_are_refused_where_the_policy_says_immutable(node: ShotfsNode) -> None:
    for case in CASES:
        path = node.show / case.path
        scratch = path.with_name(f"{path.name}.tmp")
        found = {
            "open for writing": _errno_of(_overwrite, path),
            "truncate": _errno_of(_truncate, path),
            "unlink": _errno_of(path.unlink),
        }
        refusals = {
            "open for writing": errno.EEXIST,
            "truncate": errno.EPERM,
            "unlink": errno.EPERM,
        }
        assert found == (refusals if case.immutable else dict.fromkeys(refusals)), case.path
        if not case.immutable:
            continue
        other = path.with_name("matte.exr" if SEALED in case.path else "b.exr")
        assert _errno_of(path.rename, other) == errno.EPERM, case.path
        assert _errno_of(path.chmod, 0o600) == errno.EPERM, case.path
        if SEALED in case.path:
            assert _errno_of(scratch.write_bytes, b"late") == errno.EPERM
        else:
            scratch.write_bytes(b"another render")
            assert _errno_of(scratch.rename, path) == errno.EEXIST, case.path
        assert path.read_bytes() == CONTENT


def test_s12_mode_and_owner_come_from_whichever_document_says_them(node: ShotfsNode) -> None:
    for case in CASES:
        found = (node.show / case.path).stat()
        shown = (found.st_mode & 0o7777, found.st_uid, found.st_gid)
        wanted = (
            case.mode,
            os.getuid() if case.uid is None else case.uid,
            os.getgid() if case.gid is None else case.gid,
        )
        assert shown == wanted, case.path
    assert _errno_of((node.show / "plates/new.dpx").write_bytes, b"") in (
        errno.EROFS,
        errno.EACCES,
    )


def test_s09_what_no_template_produces_makes_no_request(node: ShotfsNode, gcs: GcsBucket) -> None:
    (node.show / "final").stat()
    before = gcs.server.journal.counts(bucket=gcs.bucket)
    impossible = ("final/A.exr", "assets/hero_v01", "assets/hero", ".shotfs/aliases", "other")
    for name in impossible:
        assert not (node.show / name).exists()
        assert _errno_of((node.show / name).write_bytes, b"") in (errno.EPERM, errno.ENOENT)
    assert gcs.server.journal.counts(bucket=gcs.bucket) == before
    assert sorted(os.listdir(node.show)) == ["assets", "draft", "final", "kept", "plates"]


def test_s16_what_is_immutable_looks_the_same_after_a_remount(node: ShotfsNode) -> None:
    def looks() -> dict[str, tuple[int, int, int]]:
        found = {case.path: (node.show / case.path).stat() for case in CASES if case.immutable}
        return {path: (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in found.items()}

    before = looks()
    node.remount()
    assert looks() == before
    for case in CASES:
        directory = node.show / os.path.dirname(case.path)
        listed = {one.name: one.stat() for one in os.scandir(directory)}
        name = os.path.basename(case.path)
        assert listed[name].st_ino == (directory / name).stat().st_ino


def test_policies_send_files_where_their_root_is(node: ShotfsNode, gcs: GcsBucket) -> None:
    keys = {key for key in gcs.server.store.names(gcs.bucket) if not key.startswith("main/.shotfs")}
    assert keys == {
        "main/final/a.exr",
        "work/draft/a.exr",
        "work/kept/a.exr",
        "main/assets/hero_v001/beauty_1001.exr",
        "main/assets/hero_v002/beauty.exr",
    }
    assert os.readlink(node.show / "assets/hero_latest") == "hero_v002"
