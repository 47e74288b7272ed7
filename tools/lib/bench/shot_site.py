"""What tools/bench/shot renders: a show in an nginx behind a slow link, and nodes that mount it."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from running import place, service
from running.service import Mounted

from bench import peers
from bench.cold_site import start_link_to

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PLACE = os.path.join(ROOT, ".bench-shot")
console = Console(highlight=False)

SHOW = "ant"
SHOT = "s010"
FIRST_FRAME = 1001
LINK_BYTES_PER_S = 100e6
LINK_ROUND_TRIP_S = 0.020
KIB = 1024
CACHE_BYTES = 64 * KIB
PLATE_BYTES = 256 * KIB
TEXTURE_BYTES = 32 * KIB
LOOK_BYTES = 16 * KIB

SPECIFICATION = {
    "spec": "shotfs-path/1",
    "show": SHOW,
    "fields": {
        "shot": {"type": "str", "pattern": "s[0-9]{3}"},
        "layer": {"type": "str", "pattern": "[a-z0-9]+"},
        "asset": {"type": "str", "pattern": "[a-z0-9-]+"},
        "name": {"type": "str", "pattern": "[a-z0-9]+"},
        "frame": {"type": "frame", "pad": 4},
        "tile": {"type": "udim"},
    },
    "templates": {
        "scene": {"path": "shots/{shot}/scene/{layer}.json"},
        "cache": {"path": "shots/{shot}/cache/{layer}/{name}.{frame}.vdb"},
        "plate": {"path": "shots/{shot}/plate/{name}.{frame}.exr"},
        "texture": {"path": "assets/{asset}/{name}.{tile}.tx"},
        "look": {"path": "looks/{name}.cube"},
        "render": {
            "path": "render/{shot}/{layer}/{name}.{frame}.exr",
            "origin": "out",
            "flow": "out",
        },
    },
}
"""No template says anything of `prewarm`: what look-ahead does, it has learned."""

CONFIGURATION = """\
[cache]
directory = "{directory}/cache"
bytes_max = "16 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{socket}"

[record]
jobs = "off"

[lookahead]
enabled = {lookahead}

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.{show}]
spec = "{directory}/spec.json"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is.

    Attributes:
        frames, layers: of the shot.
        caches: that each layer reads for each frame.
        plates: that each layer reads for each frame, the same for all layers.
        maps, tiles: textures of the asset of each layer, and UDIM tiles of each.
        looks: colour tables that each layer reads.
        shots: of the show, all with as many bytes as this one.
        render_s: how long a frame of a layer renders.
        slots: how many the node renders at once.
    """

    frames: int = 86
    layers: int = 10
    caches: int = 4
    plates: int = 6
    maps: int = 10
    tiles: int = 10
    looks: int = 34
    shots: int = 12
    render_s: float = 0.4
    slots: int = 8

    @property
    def shot_files(self) -> int:
        """How many files the shot reads."""
        a_frame = self.caches * self.layers + self.plates
        return self.frames * a_frame + self.layers * (1 + self.maps * self.tiles) + self.looks

    @property
    def shot_bytes(self) -> int:
        """How many bytes those have, without the scenes."""
        return (
            self.frames * (self.caches * self.layers * CACHE_BYTES + self.plates * PLATE_BYTES)
            + self.layers * self.maps * self.tiles * TEXTURE_BYTES
            + self.looks * LOOK_BYTES
        )


FULL = Scale()
QUICK = Scale(frames=10, layers=3, maps=3, looks=4, render_s=0.2, slots=4)


@dataclass(frozen=True, slots=True)
class Site:
    """What runs while it is measured.

    Attributes:
        url: of the show, at the end of the slow link.
        sent_log: gets a line for each answer.
    """

    stack: ExitStack
    scale: Scale
    sockets: str
    url: str
    sent_log: str

    def sent_bytes(self) -> int:
        """Return how many bytes the origin has sent so far."""
        with open(self.sent_log, encoding="utf-8", errors="replace") as file:
            return sum(int(line.rpartition(" ")[2]) for line in file)

    def configure(self, name: str, *, lookahead: bool) -> Mounted:
        """Write the configuration of a node with an empty cache."""
        directory = f"{PLACE}/{name}"
        os.makedirs(f"{directory}/mount")
        os.makedirs(f"{directory}/out")
        roots = {"data": self.url, "out": f"file://{directory}/out"}
        policy = {"origin": "data", "flow": "in", "immutable": "on-close", "ttl": "1h"}
        with open(f"{directory}/spec.json", "w", encoding="utf-8") as file:
            json.dump({**SPECIFICATION, "roots": roots, "defaults": policy}, file)
        node = Mounted(
            name, f"{directory}/shotfs.toml", f"{directory}/mount", f"{self.sockets}/{name}.sock"
        )
        with open(node.config, "w", encoding="utf-8") as file:
            file.write(
                CONFIGURATION.format(
                    directory=directory, socket=node.socket, show=SHOW,
                    lookahead="true" if lookahead else "false",
                )
            )  # fmt: skip
        return node

    def mount(self, stack: ExitStack, name: str, *, lookahead: bool) -> Mounted:
        """Mount a node with an empty cache; *stack* unmounts it."""
        node = self.configure(name, lookahead=lookahead)
        service.mount(stack, node)
        return node


def build(stack: ExitStack, scale: Scale) -> Site:
    """Make the show and serve it; *stack* ends and removes everything."""
    os.environ.pop("AWS_CA_BUNDLE", None)
    sockets = place.take(stack, PLACE, f"{ROOT}/tools/bench/shot", keep=False)
    data = f"{PLACE}/data"
    console.print(
        f"a shot of {scale.frames} frames and {scale.layers} layers: {scale.shot_files:,} files,"
        f" {scale.shot_bytes / 1e6:,.0f} MB; a show of {scale.shots} such shots"
    )
    make_show(data, scale)
    sent_log = f"{PLACE}/sent.log"
    url = peers.start_nginx(stack, data, PLACE, access_log=sent_log)
    slow = start_link_to(
        stack, url, PLACE, bytes_per_s=LINK_BYTES_PER_S, round_trip_s=LINK_ROUND_TRIP_S
    )
    return Site(stack, scale, sockets, slow, sent_log)


def make_show(data: str, scale: Scale) -> None:
    """Make all files.

    The other shots have one large file for each frame, hard links of one: fewer files than in
    production, so that the copy is limited by the link and not by their number.
    """
    for number in range(scale.looks):
        _file(f"{data}/looks/look{number:02d}.cube", LOOK_BYTES)
    for path, size_bytes in _shot_files(scale):
        _file(f"{data}/{path}", size_bytes)
    for layer in layers(scale):
        _write(f"{data}/shots/{SHOT}/scene/{layer}.json", _scene(layer, scale))
    other = f"{data}/other"
    _file(other, scale.shot_bytes // scale.frames)
    for number in range(1, scale.shots):
        for frame in frames(scale):
            target = f"{data}/shots/s{10 + 10 * number:03d}/cache/all/sim.{frame:04d}.vdb"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.link(other, target)
    os.unlink(other)


def layers(scale: Scale) -> list[str]:
    """Return the names of the layers."""
    return [f"layer{number:02d}" for number in range(scale.layers)]


def frames(scale: Scale) -> range:
    """Return the frames."""
    return range(FIRST_FRAME, FIRST_FRAME + scale.frames)


def shot_targets(scale: Scale) -> list[str]:
    """Return the directories, below the mount, that hold what the shot reads and nothing else."""
    assets = [f"{SHOW}/assets/{_asset(layer)}" for layer in layers(scale)]
    return [f"{SHOW}/shots/{SHOT}", f"{SHOW}/looks", *assets]


def _asset(layer: str) -> str:
    return f"{SHOT}-{layer}"


def _scene(layer: str, scale: Scale) -> bytes:
    shot = f"shots/{SHOT}"
    sequences = [f"{shot}/cache/{layer}/sim{number}.%04d.vdb" for number in range(scale.caches)]
    sequences += [f"{shot}/plate/plate{number}.%04d.exr" for number in range(scale.plates)]
    textures = f"assets/{_asset(layer)}"
    return json.dumps(
        {
            "looks": [f"looks/look{number:02d}.cube" for number in range(scale.looks)],
            "textures": [f"{textures}/map{number}.<UDIM>.tx" for number in range(scale.maps)],
            "sequences": sequences,
        }
    ).encode()


def _shot_files(scale: Scale) -> list[tuple[str, int]]:
    """Return paths and sizes of the files of the shot, without scenes."""
    files = []
    for layer in layers(scale):
        files += [
            (f"assets/{_asset(layer)}/map{number}.{1001 + tile}.tx", TEXTURE_BYTES)
            for number in range(scale.maps)
            for tile in range(scale.tiles)
        ]
        files += [
            (f"shots/{SHOT}/cache/{layer}/sim{number}.{frame:04d}.vdb", CACHE_BYTES)
            for number in range(scale.caches)
            for frame in frames(scale)
        ]
    files += [
        (f"shots/{SHOT}/plate/plate{number}.{frame:04d}.exr", PLATE_BYTES)
        for number in range(scale.plates)
        for frame in frames(scale)
    ]
    return files


def _file(path: str, size_bytes: int) -> None:
    _write(path, os.urandom(size_bytes))


def _write(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
