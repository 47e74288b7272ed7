"""Reads of a stage what a render of some frames reads: layers, values, clips, textures, tiles.

python usd_render.py STAGE FIRST LAST
"""

from __future__ import annotations

import glob
import os
import sys

from pxr import Sdf, Usd


def files_of(attribute: Usd.Attribute, value: object) -> list[str]:
    """Return the files that *value* of an attribute stands for."""
    if isinstance(value, Sdf.AssetPath):
        path = value.resolvedPath or _anchored(attribute, value.path)
        if "[" in path:
            return []  # within a package, which is open already
    elif isinstance(value, str) and attribute.GetName() == "inputs:filename":
        path = _anchored(attribute, value)
    else:
        return []
    if "<UDIM>" in path:
        return glob.glob(path.replace("<UDIM>", "[0-9][0-9][0-9][0-9]"))
    return [path] if os.path.isfile(path) else []


def _anchored(attribute: Usd.Attribute, path: str) -> str:
    layer = attribute.GetPropertyStack()[0].layer.realPath
    return os.path.join(os.path.dirname(layer), path)


def render(path: str, first: int, last: int) -> None:
    """Read what the frames *first* to *last* of the stage *path* need."""
    stage = Usd.Stage.Open(path)
    read: set[str] = set()
    for prim in Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()):
        for attribute in prim.GetAttributes():
            for frame in range(first, last + 1):
                read.update(files_of(attribute, attribute.Get(frame)))
    for one in sorted(read):
        with open(one, "rb") as file:
            file.read()


if __name__ == "__main__":
    render(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
