"""The show "ant": what lies in its bucket, how its paths are called, and its specification.

Shots are named as DNA Productions did: ``xy_1_100_030_00_v005`` says production unit, reel,
sequence, shot, take and version, and everybody who knows the name knows where the files are.

The scenes, image maps and includes are those that come with POV-Ray (Debian: povray-examples and
povray-includes), unchanged. The demo adds what a layout artist would: for each layer a scene file
that includes the example and moves the camera with the clock, and the shot's render settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

SHOW = "ant"
BUCKET = "ant-show"
ORIGIN = f"gs://{BUCKET}"
SHOT = "xy_1_100_030_00"
SEQUENCE = "xy_1_100"
SHOT_DIRECTORY = f"shots/{SEQUENCE}/{SHOT}"
FRAMES = tuple(range(1001, 1007))
WIDTH, HEIGHT = 320, 180
RENDER_SETTINGS = f"{SHOT_DIRECTORY}/scene/{SHOT}.ini"

EXAMPLES = "/usr/share/doc/povray/examples"
INCLUDES = "/usr/share/povray-3.7/include"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the shot: an example scene, seen by a camera that moves.

    Attributes:
        name: of the layer, in file names.
        usage: what it is, for people.
        scene: the example's directory in the show's library.
        files: its own files, below `EXAMPLES`.
        maps: its image maps: path on this machine.
        camera: POV-Ray source; `clock` goes from 0 to 1 over the shot.
    """

    name: str
    usage: str
    scene: str
    files: tuple[str, ...]
    maps: tuple[str, ...]
    camera: str

    @property
    def main(self) -> str:
        """Name of the example's scene file."""
        return os.path.basename(self.files[0])


LAYERS = (
    Layer(
        name="drums",
        usage="The drum that a toy beats",
        scene="drums2",
        files=("advanced/drums2/drums.pov", "advanced/drums2/drums.inc"),
        maps=(f"{EXAMPLES}/advanced/drums2/rednewt.png",),
        camera="""camera {
   location <70*sin((clock-0.5)*2.2), 3.0+14*clock, -92*cos((clock-0.5)*2.2)>
   direction <0.0, 0.0, 2.0>
   up <0.0, 1.0, 0.0>
   right x*image_width/image_height
   look_at <0.0, 8.0, 0.0>
}""",
    ),
    Layer(
        name="sunset",
        usage="Mountains in the evening",
        scene="sunsethf",
        files=("advanced/sunsethf.pov",),
        maps=(f"{INCLUDES}/fract003.png",),
        camera="""camera {
   location <-90+180*clock, 80.0-25*clock, -300.0+60*clock>
   angle 65
   up <0.0, 1.0, 0.0>
   right x*image_width/image_height
   look_at <0.0, 30.0, 200.0>
}""",
    ),
)


def layer_scene(layer: Layer) -> str:
    """Return the path of the shot's scene file of *layer*, relative to the show."""
    return f"{SHOT_DIRECTORY}/scene/{SHOT}_{layer.name}.pov"


def output_directory(layer: Layer, version: int) -> str:
    """Return the directory of the frames of one version, relative to the show."""
    return f"{SHOT_DIRECTORY}/images/{layer.name}/{SHOT}_v{version:03d}"


def output(layer: Layer, version: int, frame: int) -> str:
    """Return the path of one frame, relative to the show."""
    name = f"{SHOT}_v{version:03d}_{layer.name}.{frame:04d}.png"
    return f"{output_directory(layer, version)}/{name}"


def library_path(layer: Layer) -> tuple[str, ...]:
    """Return the directories that POV-Ray searches, relative to the show, in order."""
    return (f"lib/scenes/{layer.scene}", "lib/maps", "lib/include")


def clock(frame: int) -> float:
    """Return where *frame* lies within the shot, from 0 to 1."""
    return (frame - FRAMES[0]) / (FRAMES[-1] - FRAMES[0])


def contents() -> Iterator[tuple[str, bytes]]:
    """Yield (key, bytes) of every object that the show starts with.

    Raises:
        FileNotFoundError: POV-Ray's examples or includes are not installed.
    """
    for name in sorted(os.listdir(INCLUDES)):
        if name.endswith((".inc", ".map", ".ttf")):
            yield f"lib/include/{name}", _read(f"{INCLUDES}/{name}")
        elif name.endswith(".png"):
            yield f"lib/maps/{name}", _read(f"{INCLUDES}/{name}")
    for layer in LAYERS:
        for file in layer.files:
            yield f"lib/scenes/{layer.scene}/{os.path.basename(file)}", _read(f"{EXAMPLES}/{file}")
        for image in layer.maps:
            if not image.startswith(INCLUDES):
                yield f"lib/maps/{os.path.basename(image)}", _read(image)
        yield layer_scene(layer), _shot_scene(layer).encode()
    yield RENDER_SETTINGS, _render_settings().encode()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _shot_scene(layer: Layer) -> str:
    # POV-Ray 3.7 takes the last camera of a scene.
    return f'// {SHOT}, layer {layer.name}\n#include "{layer.main}"\n{layer.camera}\n'


def _render_settings() -> str:
    return (
        f"; render settings of {SHOT}\n"
        f"Width={WIDTH}\nHeight={HEIGHT}\n"
        "Antialias=On\nAntialias_Threshold=0.3\n"
        "Output_File_Type=N\nDisplay=Off\nPause_when_Done=Off\n"
    )
