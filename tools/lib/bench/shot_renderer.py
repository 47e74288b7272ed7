"""A renderer of one frame of one layer: reads what its scene names, "renders", writes an image.

    python -I -S shot_renderer.py ROOT OUTPUT SHOT LAYER FRAME RENDER_S

It reads as renderers do: the scene, then its textures (each set's tiles as the directory lists
them), then the caches and the plates of the frame, every file once from start to end. Rendering is
a sleep, so that nothing here depends on how fast this machine is. Prints what it read and how long
that took, as JSON. Standard library only: a start costs 15 ms.
"""

import json
import os
import struct
import sys
import time

BLOCK_BYTES = 1 << 20
SIDE = 64


class Reads:
    """Reads files; knows how long that took."""

    def __init__(self):
        self.files = self.bytes = 0
        self.seconds = 0.0

    def read(self, path):
        """Read *path* from start to end; return its first block."""
        began = time.perf_counter()
        first = b""
        number = os.open(path, os.O_RDONLY)
        try:
            while block := os.read(number, BLOCK_BYTES):
                first = first or block
                self.bytes += len(block)
        finally:
            os.close(number)
        self.seconds += time.perf_counter() - began
        self.files += 1
        return first

    def names(self, path):
        """Return the names in the directory *path*, sorted."""
        began = time.perf_counter()
        names = sorted(os.listdir(path))
        self.seconds += time.perf_counter() - began
        return names


def image():
    """Return an OpenEXR file: one channel of halves, no compression."""

    def attribute(name, kind, value):
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    box = struct.pack("<4i", 0, 0, SIDE - 1, SIDE - 1)
    channels = b"Y\0" + struct.pack("<iiii", 1, 0, 1, 1) + b"\0"
    head = (
        struct.pack("<ii", 20000630, 2)
        + attribute(b"channels", b"chlist", channels)
        + attribute(b"compression", b"compression", b"\0")
        + attribute(b"dataWindow", b"box2i", box)
        + attribute(b"displayWindow", b"box2i", box)
        + attribute(b"lineOrder", b"lineOrder", b"\0")
        + attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1.0))
        + attribute(b"screenWindowCenter", b"v2f", struct.pack("<2f", 0.0, 0.0))
        + attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1.0))
        + b"\0"
    )
    row_bytes = 2 * SIDE
    first = len(head) + 8 * SIDE
    offsets = [first + line * (8 + row_bytes) for line in range(SIDE)]
    rows = [struct.pack("<ii", line, row_bytes) + bytes(row_bytes) for line in range(SIDE)]
    return head + struct.pack(f"<{SIDE}q", *offsets) + b"".join(rows)


def main(root, output, shot, layer, frame, render_s):
    """Render; print what was read."""
    began = time.time()
    reads = Reads()
    scene = json.loads(reads.read(f"{root}/shots/{shot}/scene/{layer}.json"))
    for look in scene["looks"]:
        reads.read(f"{root}/{look}")
    for texture in scene["textures"]:
        directory, _, name = texture.rpartition("/")
        before, behind = name.split("<UDIM>")
        for one in reads.names(f"{root}/{directory}"):
            if one.startswith(before) and one.endswith(behind):
                reads.read(f"{root}/{directory}/{one}")
    for pattern in scene["sequences"]:
        reads.read(f"{root}/{pattern % int(frame)}")
    time.sleep(float(render_s))
    target = f"{output}/{shot}/{layer}"
    os.makedirs(target, exist_ok=True)
    with open(f"{target}/{layer}.{int(frame):04d}.exr", "wb") as file:
        file.write(image())
    print(
        json.dumps(
            {
                "layer": layer,
                "frame": int(frame),
                "began": began,
                "ended": time.time(),
                "files": reads.files,
                "bytes": reads.bytes,
                "stall_s": reads.seconds,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
