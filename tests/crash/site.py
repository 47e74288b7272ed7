"""The nodes of the campaign: their specification and their configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHOW = "ant"

PART_BYTES = 5 << 20
"""`network.upload_part_bytes`, the smallest that there is: larger files go in parts."""

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": SHOW,
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main", "ttl": "0s", "negative_ttl": "0s"},
    "fields": {
        "name": {"type": "str", "pattern": "[^/]+"},
        "frame": {"type": "frame", "pad": 4},
        "layer": {"type": "str", "pattern": "[a-z0-9]+"},
    },
    "templates": {
        # Sealed as soon as it is closed: uploads are under way while others are written.
        "frames": {
            "path": "render/{name}.{frame}.exr",
            "flow": "out",
            "immutable": "on-close",
        },
        # Long after: what is closed may be patched, renamed and removed until the service drains.
        "passes": {
            "path": "passes/{layer}/{name}.{frame}.exr",
            "flow": "out",
            "immutable": "on-close",
            "grace": "1h",
        },
        "config": {"path": "config/{name}.json", "flow": "inout"},
        "safe": {
            "path": "safe/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "durability": "origin",
        },
    },
}


def write_node(directory: Path, root: str, settings: str, *, spool: Path | None = None) -> Path:
    """Write the configuration of a node in *directory*; return where it is.

    Args:
        directory: made if it is missing; its cache lies in it.
        root: URL of the origin.
        settings: TOML of the origin's connection.
        spool: where its outputs are; None: below the cache.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "spec.json").write_text(json.dumps(SPEC).replace("ORIGIN", root))
    config = directory / "shotfs.toml"
    where = "" if spool is None else f'directory = "{spool}"'
    config.write_text(f"""
[node]
name = "{directory.name}"
[cache]
directory = "{directory}/cache"
free_bytes_min = 0
[spool]
free_bytes_min = 0
{where}
[network]
upload_part_bytes = {PART_BYTES}
attempts_max = 2
backoff_s = 0.02
backoff_s_max = 0.2
[shows.{SHOW}]
spec = "spec.json"
{settings}
""")
    return config
