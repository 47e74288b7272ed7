"""Real programs on a mount, and what they must find there: the bytes that they find on a disk.

Each check works on a node whose origin is a directory, and raises AssertionError or what the
program said. Those in `READING` need published files only.
"""

from __future__ import annotations

import filecmp
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.fuse.node import ShotfsNode, wait_until

TIMEOUT_S = 300
SHOT = "render/xy_1_100_030_00_v005"
KIB = 1 << 10

SCENE = """
#version 3.7;
global_settings {{ assumed_gamma 1 }}
camera {{ location <0, 1, -3> look_at 0 }}
light_source {{ <3, 5, -4> rgb 1 }}
plane {{ y, -1 pigment {{ image_map {{ png "{directory}/wood.png" }} }} }}
sphere {{ 0, 1 pigment {{ image_map {{ png "{directory}/brick.png" map_type 1 }} }} }}
"""

DATABASE = """
import random, sqlite3, sys
chance = random.Random(7)
base = sqlite3.connect(sys.argv[1])
base.execute(f"PRAGMA journal_mode={sys.argv[2]}")
base.execute("CREATE TABLE IF NOT EXISTS shots (name TEXT PRIMARY KEY, data BLOB)")
for turn in range(30):
    with base:
        for _ in range(20):
            row = f"shot{chance.randrange(200)}", chance.randbytes(chance.randrange(9000))
            base.execute("INSERT OR REPLACE INTO shots VALUES (?, ?)", row)
    if turn % 10 == 5:
        base.execute("DELETE FROM shots WHERE name LIKE '%7'")
        base.commit()
        base.execute("VACUUM")
print(base.execute("PRAGMA integrity_check").fetchone()[0])
base.close()
base = sqlite3.connect(sys.argv[1])
print(base.execute("PRAGMA integrity_check").fetchone()[0])
for row in base.execute("SELECT name, hex(data) FROM shots ORDER BY name"):
    print(*row)
"""

IMAGES = """
import sys
import OpenImageIO as oiio
source, target = sys.argv[1:]
for name in ("wood.exr", "wood.tif", "wood.tx", "brick.png"):
    one, level = oiio.ImageBuf(f"{source}/{name}"), oiio.ImageBuf()
    assert not one.has_error, one.geterror()
    pixels = one.get_pixels(oiio.FLOAT)
    print(name, one.spec().width, one.spec().height, oiio.ImageBufAlgo.computePixelHashSHA1(one))
    level.reset(f"{source}/{name}", 0, one.nmiplevels - 1)
    print(oiio.ImageBufAlgo.computePixelHashSHA1(level))
    if target:
        one.specmod().attribute("DateTime", "2026:11:21 00:00:00")  # else: now
        assert one.write(f"{target}/{name.rpartition('.')[0]}-{name[-3:]}.1001.exr"), one.geterror()
"""

MAKE_IMAGES = """
import sys
import OpenImageIO as oiio
wood = oiio.ImageBuf(f"{sys.argv[1]}/wood.png")
for name in ("wood.exr", "wood.tif"):
    assert wood.write(f"{sys.argv[1]}/{name}")
assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, wood, f"{sys.argv[1]}/wood.tx")
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where programs work.

    Attributes:
        node: mounted.
        origin: directory behind it.
        native: directory of a check, on a disk.
    """

    node: ShotfsNode
    origin: Path
    native: Path

    @property
    def library(self) -> Path:
        """Published files, in the mount."""
        return self.node.show / "library"

    def notes(self, name: str) -> Path:
        """Return a new directory in the mount whose files stay local."""
        path = self.node.show / "notes" / name
        path.mkdir(parents=True)
        return path


Check = Callable[[Place], None]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program; return what it printed.

    Raises:
        AssertionError: it failed; with what it said.
    """
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def make_library(origin: Path) -> None:
    """Put into the origin what the reading checks read: images, a tree of files, a repository."""
    _make_repository(origin / "library/project", make_files(origin))


def make_files(origin: Path) -> random.Random:
    """Put the images and the tree there; return the source of more of their kind."""
    chance = random.Random(11)
    textures = origin / "library/textures"
    textures.mkdir(parents=True)
    for name in ("wood", "brick"):
        image = Image.frombytes("RGB", (700, 500), chance.randbytes(700 * 500 * 3))
        image.save(textures / f"{name}.png")
    tree = origin / "library/tree"
    for number in range(60):
        path = tree / f"part{number % 7}" / f"file{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice((0, 1, 5000, 70_000, 1_500_000))))
    return chance


def _git(*arguments: str | Path, cwd: Path) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*")
    return run("git", *identity, *arguments, cwd=cwd, GIT_CONFIG_NOSYSTEM="1", LC_ALL="C")


def _make_repository(path: Path, chance: random.Random) -> None:
    path.mkdir(parents=True)
    _git("init", "-q", "-b", "main", cwd=path)
    for turn in range(8):
        for number in range(12):
            file = path / f"dir{number % 3}" / f"source{number}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"# {chance.random()}\n" * chance.randrange(400), encoding="ascii")
        (path / f"texture{turn}.bin").write_bytes(chance.randbytes(300 * KIB))
        _git("add", "-A", cwd=path)
        _git("commit", "-q", "-m", f"turn {turn}", cwd=path)


def _same_tree(one: Path, other: Path) -> None:
    """Compare two directories, every byte."""
    names = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (one, other)]
    assert names[0] == names[1], f"{one} and {other} have other names"
    files = [name for name in names[0] if (one / name).is_file()]
    _, differ, failed = filecmp.cmpfiles(one, other, files, shallow=False)
    assert (differ, failed) == ([], []), f"{one} and {other} differ: {differ} {failed}"


# --- published files -----------------------------------------------------------------------------


def clone_from_mount(place: Place) -> None:
    """`git clone` of a published repository, and `git fsck` of the clone and in the mount."""
    clone = place.native / "clone"
    _git("clone", "-q", "--no-hardlinks", place.library / "project", clone, cwd=place.native)
    _git("fsck", "--full", "--strict", cwd=clone)
    assert _git("status", "--porcelain", cwd=clone) == ""
    _git("fsck", "--full", "--strict", "--no-reflogs", cwd=place.library / "project")
    assert len(_git("log", "--oneline", cwd=clone).splitlines()) == 8


def rsync_from_mount(place: Place) -> None:
    """`rsync --checksum` of a published tree to a disk, twice: the second finds no difference."""
    target = place.native / "tree"
    for _ in range(2):
        changes = run(
            "rsync", "-r", "--checksum", "--itemize-changes",
            f"{place.library}/tree/", f"{target}/", cwd=place.native,
        )  # fmt: skip
    assert changes == "", changes
    _same_tree(place.origin / "library/tree", target)


def render_from_mount(place: Place) -> None:
    """POV-Ray with image maps in the mount renders the picture that it renders from a disk."""
    pictures = []
    for name, textures in (
        ("mounted", place.library / "textures"),
        ("native", place.origin / "library/textures"),
    ):
        directory = place.native / name
        directory.mkdir()
        scene = directory / "scene.pov"
        scene.write_text(SCENE.format(directory=textures), encoding="utf-8")
        (directory / "settings.ini").write_text("Antialias=On\n", encoding="ascii")
        picture = directory / "out.ppm"
        # Debian's POV-Ray reads below HOME and in the working directory, and nowhere else.
        run(
            "povray", "+Iscene.pov", f"+O{picture}", "+FP", "+W160", "+H120", "-D", "+WT1",
            cwd=directory, HOME=str(textures), POVINI=str(directory / "settings.ini"),
        )  # fmt: skip
        with Image.open(picture) as image:
            pictures.append(image.tobytes())  # the file says when it was rendered
    assert len(pictures[0]) == 160 * 120 * 3
    assert pictures[0] == pictures[1]


def images_from_mount(place: Place) -> None:
    """OpenImageIO finds the same pixels in EXR, TIFF, PNG and a tiled, mipmapped texture."""
    textures = place.origin / "library/textures"
    if not (textures / "wood.tx").exists():
        run(sys.executable, "-c", MAKE_IMAGES, textures, cwd=place.native)
    found = [
        run(sys.executable, "-c", IMAGES, directory, "", cwd=place.native)
        for directory in (place.library / "textures", textures)
    ]
    assert found[0].count("\n") == 8
    assert found[0] == found[1]


def fio_from_mount(place: Place) -> None:
    """fio reads blocks that carry checksums, at random, by read(2), by mmap and by libaio."""
    directory = place.origin / "library/fio"
    checked = ("fio", "--name=check", "--bs=16k", "--size=24m", "--verify=crc32c")
    if not directory.exists():
        directory.mkdir()
        run(*checked, "--rw=write", "--do_verify=0", f"--filename={directory}/data",
            cwd=place.native)  # fmt: skip
    for engine in ("psync", "mmap", "libaio"):
        run(
            *checked, "--rw=randread", "--readonly", f"--ioengine={engine}", "--verify_fatal=1",
            f"--filename={place.library}/fio/data", cwd=place.native,
        )  # fmt: skip


# --- outputs -------------------------------------------------------------------------------------


def clone_into_mount(place: Place) -> None:
    """`git clone` into the mount, `git fsck`, a commit, `git gc`, `git fsck` again."""
    clone = place.notes("git") / "clone"
    source = place.origin / "library/project"
    _git("clone", "-q", "--no-hardlinks", source, clone, cwd=place.native)
    _git("fsck", "--full", "--strict", cwd=clone)
    assert _git("status", "--porcelain", cwd=clone) == ""
    (clone / "new.txt").write_text("new\n", encoding="ascii")
    _git("add", "-A", cwd=clone)
    _git("commit", "-q", "-m", "new", cwd=clone)
    _git("gc", "-q", cwd=clone)
    _git("fsck", "--full", "--strict", cwd=clone)
    assert len(_git("log", "--oneline", cwd=clone).splitlines()) == 9
    back = place.native / "back"
    _git("clone", "-q", "--no-hardlinks", clone, back, cwd=place.native)
    _git("fsck", "--full", "--strict", cwd=back)


def databases_in_mount(place: Place) -> None:
    """sqlite, with a rollback journal and with a write-ahead log, as on a disk."""
    notes = place.notes("sqlite")
    for journal in ("DELETE", "TRUNCATE", "WAL"):
        found = [
            run(sys.executable, "-c", DATABASE, directory / f"{journal}.db", journal,
                cwd=place.native)
            for directory in (notes, place.native)
        ]  # fmt: skip
        assert found[0].startswith("ok\nok\nshot"), found[0][:1000]
        assert found[0] == found[1]


def rsync_into_mount(place: Place) -> None:
    """`rsync --checksum` into the mount and back again."""
    source = place.origin / "library/tree"
    target = place.notes("rsync") / "tree"
    copy = ("rsync", "-rlpt", "--checksum", "--itemize-changes")
    run(*copy, f"{source}/", f"{target}/", cwd=place.native)
    assert run(*copy, f"{source}/", f"{target}/", cwd=place.native) == ""
    (target / "part0/file0.bin").write_bytes(b"changed")
    changes = run(*copy, f"{source}/", f"{target}/", cwd=place.native)
    assert changes.splitlines()[-1].endswith("part0/file0.bin")
    run(*copy, f"{target}/", f"{place.native}/copy/", cwd=place.native)
    _same_tree(source, place.native / "copy")


def images_into_mount(place: Place) -> None:
    """Images that OpenImageIO writes as outputs are published with the bytes that a disk gets."""
    textures = place.origin / "library/textures"
    if not (textures / "wood.tx").exists():
        run(sys.executable, "-c", MAKE_IMAGES, textures, cwd=place.native)
    (place.node.show / SHOT).mkdir()
    for directory in (place.node.show / SHOT, place.native):
        run(sys.executable, "-c", IMAGES, textures, directory, cwd=place.native)
    names = sorted(path.name for path in place.native.glob("*.exr"))
    assert len(names) == 4
    shown = {f"ant/{SHOT}/{name}" for name in names}
    wait_until(lambda: not any(item["path"] in shown for item in place.node.queue()))
    for name in names:
        wanted = (place.native / name).read_bytes()
        assert (place.origin / SHOT / name).read_bytes() == wanted
        assert (place.node.show / SHOT / name).read_bytes() == wanted


def fio_into_mount(place: Place) -> None:
    """fio writes blocks with checksums at random and reads them back, by each way to write."""
    notes = place.notes("fio")
    for engine in ("psync", "mmap", "libaio", "pvsync2"):
        for how in ("randwrite", "randrw"):
            run(
                "fio", f"--name={engine}-{how}", f"--rw={how}", f"--ioengine={engine}",
                "--bsrange=4k-64k", "--size=12m", "--numjobs=2", "--fsync=64", "--verify=crc32c",
                "--do_verify=1", "--verify_fatal=1", f"--directory={notes}", cwd=place.native,
            )  # fmt: skip


READING: tuple[Check, ...] = (
    clone_from_mount,
    rsync_from_mount,
    render_from_mount,
    images_from_mount,
    fio_from_mount,
)
WRITING: tuple[Check, ...] = (
    clone_into_mount,
    databases_in_mount,
    rsync_into_mount,
    images_into_mount,
    fio_into_mount,
)
HEAVY = (images_from_mount, fio_from_mount, images_into_mount, fio_into_mount)
"""What needs more than tools/setup installs without `--campaign`."""


def check(one: Check, node: ShotfsNode, origin: Path, native: Path) -> None:
    """Run one check in a directory of its own below *native*, which is removed if it succeeds."""
    directory = native / one.__name__
    directory.mkdir(parents=True)
    one(Place(node, origin, directory))
    shutil.rmtree(directory)
