"""The applications that `tools/bench/eviction --record` runs through the mount, in their order.

A shift of one workstation: headers and textures are looked at, two shots are rendered in turn,
somebody copies an archive, and then both shots are rendered a second time.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo import show

from bench.record_data import ASSETS, FRAMES, VOLUME_BYTES, VOLUMES
from bench.usage import SAID_CHARACTERS, ProgramFailed

PROGRAM_TIMEOUT_S = 120.0
IMAGES = Path(__file__).with_name("record_images.py")


@dataclass(frozen=True, slots=True)
class Work:
    """Where the applications run.

    Attributes:
        root: the show in the mount.
        output: a directory outside of it, for what they write.
        images_path: where OpenImageIO is installed.
    """

    root: Path
    output: Path
    images_path: Path

    def shift(self) -> None:
        """Run everything once.

        Raises:
            ProgramFailed: an application ended with an error; says which and what it said.
        """
        self.images("headers", "plates")
        for part in range(2):
            self.images("textures", "textures", str(part))
            for frame in FRAMES:
                self.render_generated("sa", frame)
                self.render_generated("sb", frame)
                if frame < len(show.FRAMES):
                    self.render_demo(show.FRAMES[frame])
                if frame % 2:
                    self.query(seed=100 * part + frame)
                if frame % 4 == 3:
                    self.read_volumes(seed=10 * part + frame)
            self.images("textures", "textures", str(10 + part))
            if part == 0:
                self.scan()
        self.images("headers", "plates")

    def images(self, action: str, group: str, *arguments: str) -> None:
        """Run an action of `record_images` on a group of files."""
        command = [sys.executable, str(IMAGES), action, str(self.root / group), *arguments]
        self._run(command, {"PYTHONPATH": str(self.images_path)})

    def render_generated(self, shot: str, frame: int) -> None:
        """Render one frame of one of our shots."""
        path = ("lib/shared", f"shots/{shot}/maps", "lib/include", "")
        self._povray(f"shots/{shot}/scene.pov", f"shots/{shot}/scene.ini", path, frame / FRAMES[-1])

    def render_demo(self, frame: int) -> None:
        """Render one frame of the demo's shot, small."""
        for layer in show.LAYERS:
            scene, path = show.layer_scene(layer), show.library_path(layer)
            self._povray(scene, show.RENDER_SETTINGS, path, show.clock(frame), "+W32", "+H18", "-A")

    def _povray(
        self, scene: str, settings: str, path: Sequence[str], clock: float, *options: str
    ) -> None:
        # POV-Ray may read below its home and write where it works; see `demo.render`.
        command = [
            "povray", f"+I{self.root / scene}", *(f"+L{self.root / one}" for one in path),
            f"+K{clock:.4f}", f"+O{self.output}/frame.png", *options,
        ]  # fmt: skip
        self._run(command, {"HOME": str(self.root), "POVINI": str(self.root / settings)})

    def query(self, seed: int) -> None:
        """Look assets up in the database, by name and by shot."""
        chance = random.Random(seed)
        database = str(self.root / "assets/assets.db")
        for _ in range(3):
            name, some = f"a{chance.randrange(ASSETS):05}", f"s{chance.randrange(40):02}"
            for condition in (f"name = '{name}'", f"shot = '{some}'"):
                question = f"SELECT sum(length(preview)) FROM assets WHERE {condition}"
                self._run(["sqlite3", "-readonly", database, question])

    def read_volumes(self, seed: int) -> None:
        """Read volumes at random places: two workers, each with all of them open."""
        names = ":".join(str(self.root / f"volumes/v{number}.bin") for number in range(VOLUMES))
        self._run([
            "fio", "--name=volumes", f"--filename={names}", "--rw=randread", "--bs=64k",
            f"--filesize={VOLUME_BYTES}", "--io_size=4m", "--readonly", "--ioengine=psync",
            "--numjobs=2", f"--randseed={seed}", f"--output={self.output}/fio.txt",
        ])  # fmt: skip

    def scan(self) -> None:
        """Find and pack the archive, once. Into a pipe: to /dev/null tar reads nothing."""
        find = 'find "$1" -type f -size +1 > /dev/null && tar -C "$1" -cf - . | cat > /dev/null'
        self._run(["bash", "-o", "pipefail", "-c", find, "scan", str(self.root / "archive")])

    def _run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            command,
            check=False,
            cwd=self.output,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROGRAM_TIMEOUT_S,
            start_new_session=True,
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace")[-SAID_CHARACTERS:]
            raise ProgramFailed(f"{command[0]} ended with {done.returncode}: {said}")
