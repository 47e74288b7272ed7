"""The show of the tests of namespace and vfs: every kind of policy once."""

from __future__ import annotations

import json
from typing import Any

MAIN = "mem://main/ant"
SECOND = "mem://second/ant"

SHOT = "ant/render/xy_1_100_030_00_v005"
FRAME = f"{SHOT}/beauty.1001.exr"

DOCUMENT: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": MAIN, "second": SECOND},
    "defaults": {"origin": "main", "ttl": "60s", "negative_ttl": "5s"},
    "fields": {
        "seq": {"type": "str", "pattern": "[a-z]{2}"},
        "act": {"type": "int", "min": 1, "max": 9},
        "scene": {"type": "int", "pad": 3},
        "cut": {"type": "int", "pad": 3},
        "take": {"type": "int", "pad": 2},
        "shot": {"type": "compound", "format": "{seq}_{act}_{scene}_{cut}_{take}"},
        "version": {"type": "version", "scheme": "v%03d"},
        "kind": {"type": "enum", "choices": ["chars", "props"]},
        "name": {"type": "str", "pattern": "[a-z0-9-]+"},
        "frame": {"type": "frame", "pad": 4},
        "rest": {"type": "tree"},
    },
    "templates": {
        # A tree that is only read: each path may be a file and a directory.
        "library": {"path": "library/{rest}", "immutable": "on-close"},
        # Directories that exist without any object.
        "assets": {"path": "assets/{kind}/{name}.png", "immutable": "on-close"},
        # Mutable, read and written.
        "config": {"path": "config/{name}.json", "flow": "inout", "ttl": "10s"},
        # Mutable, only read.
        "notices": {"path": "notices/{name}.txt", "ttl": "10s"},
        "frames": {
            "path": "render/{shot}_{version}/{name}.{frame}.exr",
            "flow": "out",
            "immutable": "on-close",
            "directory_mode": "0775",
        },
        "compared": {
            "path": "compared/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "rewrite": "compare",
        },
        "durable": {
            "path": "durable/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "durability": "origin",
        },
        # Never sealed while a test lasts: a purely local directory.
        "notes": {
            "path": "notes/{rest}",
            "flow": "inout",
            "grace": "1h",
            "owner": "caller",
            "mode": "0660",
            "directory_mode": "0777",
        },
        # One directory whose files lie in two origins.
        "plates": {"path": "plates/{name}.dpx", "ttl": "10s", "uid": 1234, "gid": 4321},
        "movies": {"path": "plates/{name}.mov", "origin": "second", "mode": "0600"},
    },
}

TEXT = json.dumps(DOCUMENT)
