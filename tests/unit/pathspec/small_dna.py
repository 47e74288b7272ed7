"""A small show with DNA names, in one document: for comparisons, exports and deliveries."""

from __future__ import annotations

import json
from typing import Any

from shotfs.pathspec import Specification, load

SHOT = "xy_1_100_030_00_v005"
FRAME = f"render/{SHOT}/beauty/{SHOT}.1001.png"

DOCUMENT: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "usage": "A feature film with DNA shot names: whoever knows a shot's name knows where its "
    "files are.",
    "roots": {"main": "gs://ant-main/ant"},
    "defaults": {"origin": "main", "ttl": "60s", "negative_ttl": "5s"},
    "fields": {
        "seq": {"type": "str", "pattern": "[a-z]{2}", "usage": "Sequence: two letters"},
        "act": {"type": "int", "min": 1, "max": 9, "usage": "Act of the film"},
        "scene": {"type": "int", "pad": 3, "usage": "Scene within the act"},
        "cut": {"type": "int", "pad": 3, "usage": "Cut within the scene, in tens"},
        "take": {"type": "int", "pad": 2, "usage": "Take: 00 is the first"},
        "shot": {
            "type": "compound",
            "format": "{seq}_{act}_{scene}_{cut}_{take}",
            "usage": "Full name of a shot; job names and directories use it too",
        },
        "version": {"type": "version", "scheme": "v%03d", "usage": "Counts up; never used twice"},
        "layer": {
            "type": "enum",
            "choices": {"beauty": "All lights", "shadow": "Shadow pass", "matte": "Object mattes"},
            "usage": "Render layer",
        },
        "asset": {"type": "str", "pattern": "[a-z][a-z0-9]*", "usage": "Name of an asset"},
        "name": {"type": "str", "usage": "Free name: letters, digits, _ and -"},
        "frame": {"type": "frame", "pad": 4, "usage": "Frame number from 1001"},
        "udim": {"type": "udim", "usage": "Texture tile"},
        "rest": {"type": "tree", "usage": "Any file of the library"},
    },
    "templates": {
        "scene": {
            "path": "scenes/{shot}_{version}/{name}.pov",
            "usage": "Scene description of one version of a shot",
            "immutable": "on-close",
        },
        "texture": {
            "path": "textures/{asset}/{version}/{name}.{udim}.png",
            "usage": "Texture tiles; a new version for every change",
            "immutable": "on-close",
        },
        "library": {
            "path": "library/{rest}",
            "usage": "Includes and image maps that all shots share",
            "ttl": "1h",
        },
        "frames": {
            "path": "render/{shot}_{version}/{layer}/{shot}_{version}.{frame}.png",
            "usage": "Rendered frames, written by exactly one job",
            "flow": "out",
            "immutable": "on-close",
            "owner": "caller",
            "directory_mode": "0777",
        },
        "log": {
            "path": "render/{shot}_{version}/log/{name}.txt",
            "usage": "What the renderer said",
            "flow": "out",
            "owner": "caller",
            "directory_mode": "0777",
        },
    },
}

TEXT = json.dumps(DOCUMENT, indent=2)


def small() -> Specification:
    """The specification."""
    return load(TEXT, source="dna.json")
