"""What an image tool does with textures and plates, by OpenImageIO; a program of its own.

    python record_images.py make DIRECTORY          tiled, mip-mapped textures and EXR plates
    python record_images.py textures DIRECTORY SEED filtered look-ups, as a renderer makes them
    python record_images.py headers DIRECTORY       the header of every plate, as a farm does

Needs OpenImageIO, which `bench.record` installs beside its working directory; nothing of shotfs.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813  (its own manual calls it so)

TEXTURES = 48
PLATES = 96
LOOK_UPS = 500
OPEN_FILES_MAX = 12
"""Of the texture system: fewer than there are textures, as on a farm; so files are opened again."""


def make(directory: str) -> None:
    """Make the textures and the plates, the same at every call."""
    chance = np.random.default_rng(7)
    for group in ("textures", "plates"):
        (Path(directory) / group).mkdir()
    for number in range(TEXTURES):
        edge = int(chance.choice([128, 256, 384]))
        pixels = chance.integers(0, 255, (edge, edge, 3), dtype=np.uint8)
        made = oiio.ImageBufAlgo.make_texture(
            oiio.MakeTxTexture, oiio.ImageBuf(pixels), f"{directory}/textures/x{number:02}.tx"
        )
        if not made:
            sys.exit(f"OpenImageIO cannot make a texture: {oiio.geterror()}")
    for number in range(PLATES):
        plate = oiio.ImageOutput.create("plate.exr")
        spec = oiio.ImageSpec(192, 108, 3, "half")
        spec["timecode"] = f"01:00:00:{number:02}"
        if not plate.open(f"{directory}/plates/plate.{1001 + number}.exr", spec):
            sys.exit(f"OpenImageIO cannot make a plate: {plate.geterror()}")
        plate.write_image(chance.random((108, 192, 3), dtype=np.float32))
        plate.close()


def textures(directory: str, seed: str) -> None:
    """Look textures up at random places; a few of them are much more in demand than the others."""
    chance = random.Random(int(seed))
    paths = sorted(str(path) for path in Path(directory).iterdir())
    weights = [1 / (rank + 1) ** 0.9 for rank in range(len(paths))]
    system = oiio.TextureSystem(shared=False)
    system.attribute("max_open_files", OPEN_FILES_MAX)
    system.attribute("max_memory_MB", 4.0)
    for path in chance.choices(paths, weights, k=LOOK_UPS):
        width = chance.choice([0.002, 0.01, 0.05])
        found = system.texture(
            path, oiio.TextureOpt(), chance.random(), chance.random(), width, 0.0, 0.0, width, 3
        )
        if len(found) != 3 or system.has_error():
            sys.exit(f"OpenImageIO cannot read {path}: {system.geterror()}")


def headers(directory: str) -> None:
    """Read the header of each plate."""
    for path in sorted(Path(directory).iterdir()):
        plate = oiio.ImageInput.open(str(path))
        if plate is None or "timecode" not in plate.spec():
            sys.exit(f"OpenImageIO cannot read {path}: {oiio.geterror()}")
        plate.close()


if __name__ == "__main__":
    {"make": make, "textures": textures, "headers": headers}[sys.argv[1]](*sys.argv[2:])
