"""The documents that the demo writes: the show's specification and each node's configuration."""

from __future__ import annotations

import json
import os

from running.service import Mounted

from demo import show

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": show.SHOW,
    "usage": "the show that tools/demo renders",
    "roots": {"show": show.ORIGIN},
    "defaults": {"origin": "show", "flow": "in", "immutable": "on-close"},
    "fields": {
        "unit": {"type": "str", "pattern": "[a-z]{2}", "usage": "production unit"},
        "reel": {"type": "int", "usage": "reel"},
        "seq": {"type": "int", "pad": 3, "usage": "sequence"},
        "cut": {"type": "int", "pad": 3, "usage": "shot within the sequence"},
        "take": {"type": "int", "pad": 2, "usage": "take"},
        "sequence": {"type": "compound", "format": "{unit}_{reel}_{seq}"},
        "shot": {"type": "compound", "format": "{sequence}_{cut}_{take}"},
        "version": {"type": "version", "scheme": "v%03d"},
        "layer": {"type": "str", "pattern": "[a-z]+"},
        "frame": {"type": "frame", "pad": 4},
        "asset": {"type": "str", "pattern": "[a-z0-9]+"},
        "name": {"type": "str", "pattern": "[A-Za-z0-9_-]+"},
        "include": {"type": "enum", "choices": ["inc", "map", "ttf"]},
        "source": {"type": "enum", "choices": ["pov", "inc"]},
    },
    "templates": {
        "include": {
            "path": "lib/include/{name}.{include}",
            "usage": "what POV-Ray's scenes include",
        },
        "map": {
            "path": "lib/maps/{name}.png",
            "usage": "image maps",
        },
        "asset": {
            "path": "lib/scenes/{asset}/{name}.{source}",
            "usage": "scenes of the library",
        },
        "scene": {
            "path": "shots/{sequence}/{shot}/scene/{shot}_{layer}.pov",
            "usage": "what the renderer reads for one layer of a shot; layout may replace it",
            "immutable": "never",
            "ttl": "1m",
        },
        "settings": {
            "path": "shots/{sequence}/{shot}/scene/{shot}.ini",
            "usage": "render settings of a shot",
            "immutable": "never",
            "ttl": "1m",
        },
        "frame": {
            "path": "shots/{sequence}/{shot}/images/{layer}/{shot}_{version}/"
            "{shot}_{version}_{layer}.{frame}.png",
            "usage": "rendered frames",
            "flow": "out",
        },
    },
}

_NODE = """\
# Written by tools/demo. A real node needs less: see docs/examples/.
[node]
name = "{name}"

[cache]
directory = "{directory}/cache"
bytes_max = "1 GiB"
free_bytes_min = "256 MiB"

[spool]
bytes_max = "1 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{socket}"

[log]
file = "{directory}/shotfs.log"

[shows.{show}]
spec = "../{show}.json"

[origins."{origin}"]
endpoint_url = "{endpoint_url}"
anonymous = true
engine = "fsspec"    # the emulator lacks what obstore needs
connections_max = 4  # and serves one request at a time
"""


def write_spec(path: str) -> None:
    """Write the show's path specification to *path*."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(SPECIFICATION, file, indent=2)
        file.write("\n")


def write_node(directory: str, name: str, socket: str, endpoint_url: str) -> Mounted:
    """Write the configuration of one render node with everything of its own in *directory*."""
    os.makedirs(directory)
    config = f"{directory}/shotfs.toml"
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            _NODE.format(
                name=name,
                directory=directory,
                socket=socket,
                show=show.SHOW,
                origin=show.ORIGIN,
                endpoint_url=endpoint_url,
            )
        )
    return Mounted(name, config, f"{directory}/shows", socket)
