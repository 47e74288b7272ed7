"""The documents of the demo's show: what all shows of the studio share, and the show's own."""

from __future__ import annotations

import json
from typing import Any

from demo import show

STUDIO_FILE, SHOW_FILE = "studio.json", f"{show.SHOW}.json"

STUDIO: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "usage": "Names that all shows of the studio share",
    "defaults": {"flow": "in", "immutable": "on-close", "retention": {"days": 3650}},
    "fields": {
        "unit": {"type": "str", "pattern": "[a-z]{2}", "usage": "Production unit"},
        "reel": {"type": "int", "min": 1, "usage": "Reel"},
        "seq": {"type": "int", "pad": 3, "usage": "Sequence"},
        "cut": {"type": "int", "pad": 3, "usage": "Shot within the sequence"},
        "take": {"type": "int", "pad": 2, "usage": "Take"},
        "sequence": {"type": "compound", "format": "{unit}_{reel}_{seq}"},
        "shot": {
            "type": "compound",
            "format": "{sequence}_{cut}_{take}",
            "usage": "Full name of a shot: who knows it knows where its files are",
        },
        "version": {
            "type": "version",
            "scheme": "v%03d",
            "aliases": {"approved": {"usage": "What the supervisor chose", "moves": "by-hand"}},
            "usage": "Counts up; never used twice",
        },
        "turnover": {
            "type": "version",
            "scheme": "t%02d",
            "aliases": {"latest": {"usage": "The newest turnover", "moves": "on-publish"}},
            "usage": "What is handed to the next department, as a whole",
        },
        "frame": {"type": "frame", "pad": 4, "min": 1001, "usage": "Frames begin at 1001"},
        "view": {"type": "view", "usage": "Left or right eye of a stereo shot"},
        "name": {"type": "str", "usage": "Letters, digits, _ and -"},
    },
    "templates": {
        "shot_root": {
            "path": "shots/{sequence}/{shot}",
            "abstract": True,
            "usage": "Where all files of a shot are",
        },
    },
}

SHOW: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": show.SHOW,
    "usage": "The show that tools/demo renders",
    "include": [STUDIO_FILE],
    "roots": {
        "show": {"sites": {"dallas": show.ORIGIN}, "usage": "The one bucket of this show"},
    },
    "defaults": {"origin": "show"},
    "fields": {
        "layer": {
            "type": "enum",
            "choices": {layer.name: layer.usage for layer in show.LAYERS},
            "usage": "Render layer",
        },
        "asset": {"type": "str", "pattern": "[a-z0-9]+", "usage": "Scene of the library"},
        "include": {"type": "enum", "choices": ["inc", "map", "ttf"]},
        "source": {"type": "enum", "choices": ["pov", "inc"]},
    },
    "templates": {
        "include": {
            "path": "lib/include/{name}.{include}",
            "usage": "What POV-Ray's scenes include",
        },
        "map": {"path": "lib/maps/{name}.png", "usage": "Image maps"},
        "asset": {"path": "lib/scenes/{asset}/{name}.{source}", "usage": "Scenes of the library"},
        "scene": {
            "path": "{@shot_root}/scene/{shot}_{layer}.pov",
            "usage": "What the renderer reads for one layer of a shot; layout may replace it",
            "immutable": "never",
            "ttl": "1m",
        },
        "settings": {
            "path": "{@shot_root}/scene/{shot}.ini",
            "usage": "Render settings of a shot",
            "immutable": "never",
            "ttl": "1m",
        },
        "frame": {
            "path": "{@shot_root}/images/{layer}/{shot}_{version}/"
            "{shot}_{version}_{layer}[_{view}].{frame}.png",
            "usage": "Rendered frames, each written by one job, once",
            "flow": "out",
            "prewarm": {"frames": 4},
            "retention": {"versions": 5},
        },
        "turnover": {
            "path": "{@shot_root}/turnover/{shot}_{turnover}/{layer}.{frame}.png",
            "usage": "The approved frames of all layers, as compositing gets them",
            "flow": "inout",
            "immutable": "on-version-publish",
        },
        "note": {
            "path": "{@shot_root}/turnover/{shot}_{turnover}/notes.txt",
            "usage": "What compositing should know",
            "flow": "inout",
            "immutable": "on-version-publish",
        },
    },
    "unmatched": "deny",
}


def write(directory: str) -> None:
    """Write both documents into *directory*."""
    for name, document in ((STUDIO_FILE, STUDIO), (SHOW_FILE, SHOW)):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
