"""The configuration of each of the demo's render nodes."""

from __future__ import annotations

import os

from running.service import Mounted

from demo import show

_NODE = """\
# Written by tools/demo. A real node needs less: see docs/examples/.
[node]
name = "{name}"
site = "dallas"

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
