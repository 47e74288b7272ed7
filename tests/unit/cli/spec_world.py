"""Specifications and deliveries on disk, for the commands of `shotfs spec`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from shotfs.cli.spec import app

STEREO: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "usage": "A stereo show",
    "include": ["shared/fields.json"],
    "roots": {
        "main": {
            "url": "gs://ant-main/ant",
            "sites": {"lon": "gs://ant-lon/ant", "bom": "s3://ant-bom/ant"},
        }
    },
    "defaults": {"origin": "main", "ttl": "30s"},
    "templates": {
        "frames": {
            "path": "render/{shot}_{version}[/{view}]/{layer}.{frame}.exr",
            "usage": "Rendered frames",
            "flow": "out",
            "immutable": "on-close",
        },
        "texture": {"path": "tex/{asset}/{version}/{asset}.{udim}.tif"},
        "review": {"path": "review/{day}/{id}.mov", "flow": "out"},
    },
}
SHARED: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "fields": {
        "shot": {"type": "str", "pattern": "[a-z]{2}[0-9]{3}", "usage": "Shot"},
        "version": {"type": "version", "aliases": ["latest", "approved"]},
        "view": {"type": "view"},
        "layer": {"type": "enum", "choices": {"beauty": "All lights", "shadow": "Shadows"}},
        "frame": {"type": "frame"},
        "asset": {"type": "str", "pattern": "[a-z]+"},
        "udim": {"type": "udim"},
        "day": {"type": "timestamp", "format": "%Y%m%d"},
        "id": {"type": "uuid"},
    },
}


def write_spec(directory: Path) -> Path:
    """Write the stereo show; return its main document."""
    (directory / "shared").mkdir()
    (directory / "shared/fields.json").write_text(json.dumps(SHARED, indent=2))
    path = directory / "ant.json"
    path.write_text(json.dumps(STEREO, indent=2))
    return path


def make(root: Path, *paths: str, content: bytes = b"x") -> None:
    """Write files below *root*."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def shotfs_spec(*arguments: object) -> Result:
    """Run ``shotfs spec``."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(*arguments: object, code: int = 0) -> str:
    """Return what the command prints, which must end with *code*."""
    done = shotfs_spec(*arguments)
    assert done.exit_code == code, done.output
    return done.stdout


def data(*arguments: object, code: int = 0) -> Any:
    """Return the JSON document of the command."""
    return json.loads(told(*arguments, "--json", code=code))
