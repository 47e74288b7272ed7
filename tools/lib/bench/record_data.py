"""What lies in the store while `tools/bench/eviction --record` records: one studio's small show.

The show of `tools/demo` (POV-Ray's own scenes, includes and maps), a second shot, image maps that
both shots share and some that each has alone, a density file for each frame, OpenImageIO textures
and plates, a database of assets, volumes of several MiB, and an archive that is only ever scanned.
All of it is made from fixed seeds, so the sizes are the same everywhere.
"""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import zlib
from pathlib import Path

from demo import show

FRAMES = tuple(range(8))
SHOTS = ("sa", "sb")
SHARED_MAPS, OWN_MAPS = 20, 16
VOLUMES, VOLUME_BYTES = 6, 6 << 20
ARCHIVED, ARCHIVED_BYTES = 160, 1 << 20
ASSETS = 20_000
UNTOUCHED = "untouched/unread.txt"
"""No application opens this: who does is a stranger that walks through the mount."""

_SCENE = """\
#version 3.7;
global_settings {{ assumed_gamma 1 }}
#include "colors.inc"
#include "textures.inc"
#include "{own_include}"
camera {{ location <0, 0, -14 + clock> look_at 0 }}
light_source {{ <3, 5, -8> 1 }}
#declare Frame = int(clock * {last} + 0.5);
#declare Density = concat("shots/{shot}/sim.", str(Frame, -2, 0), ".df3");
box {{ -1, 1 pigment {{ density_file df3 Density }} }}
sphere {{ 0, 1 texture {{ {texture} }} translate y * 3 }}
{boxes}
"""

_BOX = 'box {{ -0.4, 0.4 pigment {{ image_map {{ png "{name}" }} }} translate <{x}, {y}, 1> }}'

_INI = "Width=24\nHeight=14\nAntialias=Off\nOutput_File_Type=N\nDisplay=Off\nPause_when_Done=Off\n"


def make(data: Path) -> None:
    """Make everything below the directory *data* but the images, which OpenImageIO makes.

    Raises:
        FileNotFoundError: POV-Ray's examples or includes are not installed.
    """
    for key, content in show.contents():
        _write(data / key, content)
    chance = random.Random(11)
    for number in range(SHARED_MAPS):
        _write(data / f"lib/shared/m{number:02}.png", _png(chance, chance.choice((96, 192, 320))))
    for shot in SHOTS:
        _make_shot(data, shot, chance)
    for number in range(VOLUMES):
        _write(data / f"volumes/v{number}.bin", chance.randbytes(VOLUME_BYTES))
    for number in range(ARCHIVED):
        name = f"archive/d{number // 16:02}/a{number:03}.bin"
        _write(
            data / name, chance.randbytes(ARCHIVED_BYTES // 2 + chance.randrange(ARCHIVED_BYTES))
        )
    _make_database(data / "assets/assets.db", chance)
    _write(data / UNTOUCHED, b"unread\n")


def _make_shot(data: Path, shot: str, chance: random.Random) -> None:
    names = [f"m{number:02}.png" for number in range(SHARED_MAPS)]
    for number in range(OWN_MAPS):
        names.append(f"{shot}{number:02}.png")
        _write(data / f"shots/{shot}/maps/{names[-1]}", _png(chance, chance.choice((96, 192, 320))))
    boxes = [
        _BOX.format(name=name, x=index % 7 - 3, y=index // 7 - 3)
        for index, name in enumerate(names)
    ]
    include, texture = {"sa": ("stones.inc", "T_Stone1"), "sb": ("woods.inc", "T_Wood7")}[shot]
    scene = _SCENE.format(
        shot=shot, own_include=include, texture=texture, last=FRAMES[-1], boxes="\n".join(boxes)
    )
    _write(data / f"shots/{shot}/scene.pov", scene.encode())
    _write(data / f"shots/{shot}/scene.ini", _INI.encode())
    for frame in FRAMES:
        # A density file: three 16-bit sizes, then one byte for each cell.
        cells = struct.pack(">HHH", 64, 64, 64) + chance.randbytes(64**3)
        _write(data / f"shots/{shot}/sim.{frame:02}.df3", cells)


def _png(chance: random.Random, edge: int) -> bytes:
    """Return a square image of noise, which no compression makes small."""
    rows = b"".join(b"\0" + chance.randbytes(3 * edge) for _ in range(edge))
    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def _make_database(path: Path, chance: random.Random) -> None:
    path.parent.mkdir(parents=True)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE assets (name TEXT PRIMARY KEY, shot TEXT, preview BLOB)")
    rows = ((f"a{n:05}", f"s{n % 40:02}", chance.randbytes(200)) for n in range(ASSETS))
    database.executemany("INSERT INTO assets VALUES (?, ?, ?)", rows)
    database.execute("CREATE INDEX by_shot ON assets (shot)")
    database.commit()
    database.close()


def _write(path: Path, content: bytes) -> None:
    os.makedirs(path.parent, exist_ok=True)
    path.write_bytes(content)
