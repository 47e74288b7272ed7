"""Programs that make outputs, and what the origin must have of them: the bytes that a disk gets.

Each works in a directory of the mount whose template is immutable, as frames are, and once more on
a disk; then everything is drained and the origin is compared. Paths in `real_tools` stay local;
those here are published.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from shotfs.control.client import Client
from tests.fuse.node import SPEC, wait_until
from tests.fuse.real_tools import SCENE, Check, Place, run

RENDER_SPEC = {
    **SPEC,
    "templates": {
        **SPEC["templates"],
        # The grace ends with the drain, so that no test depends on how fast a program is.
        "takes": {
            "path": "takes/{rest}",
            "flow": "out",
            "immutable": "on-close",
            "grace": "1h",
            "directory_mode": "0777",
        },
    },
}

DRAIN_S = 60.0

PATCHED = """
import sys
import OpenImageIO as oiio
path = sys.argv[1]
image = oiio.ImageBuf(f"{sys.argv[2]}/wood.png")
image.specmod().attribute("DateTime", "2026:11:21 00:00:00")  # else: now
assert image.write(path), image.geterror()
again = oiio.ImageBuf(path)
again.read(force=True)
again.specmod().attribute("comments", "approved")
assert again.write(path), again.geterror()  # over the file that it was read from
"""

TEXTURE = """
import sys
import OpenImageIO as oiio
made = oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, f"{sys.argv[2]}/wood.png", sys.argv[1])
assert made, oiio.geterror()
"""

Make = Callable[[Path], None]
"""Makes files in a directory, the same ones each time."""

Same = Callable[[str, bytes], bytes]
"""Of a name and its content: what must be the same on a disk."""


def _as_it_is(_name: str, content: bytes) -> bytes:
    return content


def _on_both(place: Place, name: str, make: Make, same: Same = _as_it_is) -> None:
    """Let *make* work in the mount and on a disk, drain, and compare what became of it.

    Args:
        place: where.
        name: of the directory.
        make: is called for each side.
        same: takes out of a content what differs each time.
    """
    outputs, native = place.node.show / "takes" / name, place.native / name
    for directory in (outputs, native):
        directory.mkdir(parents=True)
        make(directory)
    shown = _tree(outputs)
    with Client(place.node.socket) as client:
        client.drain(DRAIN_S)
    left = [item for item in place.node.queue() if item["path"].startswith(f"ant/takes/{name}/")]
    assert left == [], left
    wanted = _tree(native)
    assert wanted, "the program made nothing"
    _compare(shown, wanted, same)
    published = {name: one for name, one in shown.items() if not _is_scratch(name)}
    stored = _tree(place.origin / "takes" / name)
    assert stored == published, _difference(stored, published)
    assert _tree(outputs) == shown


def _compare(found: dict[str, bytes], wanted: dict[str, bytes], same: Same) -> None:
    sides = [{name: same(name, one) for name, one in side.items()} for side in (found, wanted)]
    assert sides[0] == sides[1], _difference(*sides)


def _tree(top: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
    }


def _is_scratch(name: str) -> bool:
    return name.endswith((".tmp", ".part", ".pov-state"))


def _difference(found: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    names = sorted(found.keys() ^ wanted.keys())
    other = [name for name in found.keys() & wanted.keys() if found[name] != wanted[name]]
    return f"only on one side: {names}; with other bytes: {other}"


def write_by_mapping(path: Path, offset: int, data: bytes) -> None:
    """Write *data* into an existing file by way of a shared mapping."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[offset : offset + len(data)] = data


# --- quick ones ----------------------------------------------------------------------------------


def copy_and_preserve(place: Place) -> None:
    """`cp --preserve`, `cp --archive` of a tree, and Python's `copy2`, which sets times last."""
    source = place.origin / "library/tree"

    def make(directory: Path) -> None:
        run("cp", "--preserve", source / "part0/file0.bin", directory / "one.bin", cwd=place.native)
        run("cp", "--archive", source / "part3", directory / "tree", cwd=place.native)
        shutil.copy2(source / "part2/file23.bin", directory / "two.bin")
        for name, copied in (("one.bin", "part0/file0.bin"), ("two.bin", "part2/file23.bin")):
            assert (directory / name).stat().st_mtime_ns == (source / copied).stat().st_mtime_ns

    _on_both(place, "copies", make)


def unpack(place: Place) -> None:
    """`tar --extract`, also over what is there: it unlinks and writes anew."""
    archive = place.native / "tree.tar"
    run("tar", "--create", f"--file={archive}", "part1", cwd=place.origin / "library/tree")

    def make(directory: Path) -> None:
        for _ in range(2):
            run("tar", "--extract", f"--file={archive}", cwd=directory)

    _on_both(place, "unpacked", make)


def patch_with_dd(place: Place) -> None:
    """`dd conv=notrunc` into the middle, and past the end of a file."""
    source = place.origin / "library/textures/wood.png"

    def make(directory: Path) -> None:
        target = directory / "wood.png"
        run("dd", f"if={source}", f"of={target}", "bs=64k", "status=none", cwd=place.native)
        for seek in (0, 3, 40):
            run("dd", f"if={source}", f"of={target}", "bs=64k", "count=1", f"seek={seek}",
                "conv=notrunc", "status=none", cwd=place.native)  # fmt: skip

    _on_both(place, "patched", make)


def rsync_outputs(place: Place) -> None:
    """rsync by way of its temporary names, by `--inplace`, and by `--append`."""
    source = place.origin / "library/tree/part1"

    def make(directory: Path) -> None:
        for name, options in (("default", ()), ("inplace", ("--inplace",))):
            for _ in range(2):
                run("rsync", "-rt", *options, f"{source}/", f"{directory}/{name}/",
                    cwd=place.native)  # fmt: skip
        (directory / "grown.bin").write_bytes((source / "file8.bin").read_bytes()[:1000])
        run("rsync", "--append", source / "file8.bin", directory / "grown.bin",
            cwd=place.native)  # fmt: skip

    _on_both(place, "synchronised", make)


def render_and_continue(place: Place) -> None:
    """POV-Ray, and POV-Ray with `+C`, which goes on from the state file of one that was ended."""
    textures = place.origin / "library/textures"

    def make(directory: Path) -> None:
        work = place.native / f"scene-{directory.parent.name}"
        work.mkdir()
        (work / "scene.pov").write_text(SCENE.format(directory=textures), encoding="utf-8")
        (work / "none.ini").write_text("Antialias=Off\n", encoding="ascii")
        # Debian's POV-Ray writes below HOME and in the working directory, and nowhere else.
        where = {"HOME": str(directory), "POVINI": str(work / "none.ini")}
        render = ("povray", "+Iscene.pov", "+FP", "-D", "+WT1", f"+L{textures}")
        run(*render, "+W96", "+H72", f"+O{directory}/whole.ppm", cwd=work, **where)
        slow = (*render, "+W480", "+H360", "+A0.0", "+AM2", "+R5", f"+O{directory}/continued.ppm")
        _interrupt(slow, directory / "continued.pov-state", work, where)
        run(*render, "+C", "+W480", "+H360", f"+O{directory}/continued.ppm", cwd=work, **where)

    _on_both(place, "rendered", make, same=_undated)


def _interrupt(
    command: tuple[str, ...], state: Path, work: Path, environment: dict[str, str]
) -> None:
    """End a renderer as soon as it has noted in *state* how far it is."""
    process = subprocess.Popen(
        command,
        cwd=work,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: state.exists() and state.stat().st_size > 1000)
    finally:
        process.terminate()
        assert process.wait() != 0, "it was done before it was ended"


def _undated(name: str, content: bytes) -> bytes:
    """Leave out when it was made: a comment in a PPM, `DateTime` in a texture."""
    if name.endswith(".tx"):
        return re.sub(rb"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", b"", content)
    if not name.endswith(".ppm"):
        return content
    head, size, rest = content.partition(b"\n255\n")
    return b"\n".join(line for line in head.split(b"\n") if line[:1] != b"#") + size + rest


# --- what needs more than tools/setup installs without `--campaign` -------------------------------


def images_with_new_metadata(place: Place) -> None:
    """OpenImageIO writes an image, then the same file again with more metadata, and a texture."""
    textures = place.origin / "library/textures"

    def make(directory: Path) -> None:
        for name in ("wood.exr", "wood.tif"):
            run(sys.executable, "-c", PATCHED, directory / name, textures, cwd=place.native)
        run(sys.executable, "-c", TEXTURE, directory / "wood.tx", textures, cwd=place.native)

    _on_both(place, "images", make, same=_undated)


def movies(place: Place) -> None:
    """ffmpeg: an mp4 whose index is written last, one whose index is moved to the front
    (`+faststart` reads and rewrites the whole file), a mov, and a sequence of images."""

    def make(directory: Path) -> None:
        source = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=24:duration=2")
        same = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1")
        quiet = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y")
        for name, options in (
            ("plain.mp4", ("-c:v", "mpeg4")),
            ("fast.mp4", ("-c:v", "mpeg4", "-movflags", "+faststart")),
            ("fast.mov", ("-c:v", "mjpeg", "-movflags", "+faststart")),
            ("frame.%04d.png", ("-c:v", "png", "-frames:v", "24")),
            ("frame.%04d.dpx", ("-frames:v", "12", "-atomic_writing", "1")),
        ):
            run(*quiet, *source, *options, *same, directory / name, cwd=place.native)

    _on_both(place, "movies", make)


RENDERING: tuple[Check, ...] = (
    copy_and_preserve,
    unpack,
    patch_with_dd,
    rsync_outputs,
    render_and_continue,
    images_with_new_metadata,
    movies,
)
"""All of them need the templates of `RENDER_SPEC`."""

SLOW = (render_and_continue, images_with_new_metadata, movies)
"""What takes seconds, or needs more than tools/setup installs without `--campaign`."""
