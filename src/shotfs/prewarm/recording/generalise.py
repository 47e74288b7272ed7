"""Generalise: what a frame that nobody rendered yet will read, told by frames that were. Pure.

A file that carries the frame in its name (as the specification says, by a field of type ``frame``)
is read for another frame under that frame's name: ``plate.1001.exr`` for 1001 means
``plate.1002.exr`` for 1002. A file a few frames away counts as well, since motion blur and slates
read neighbours. UDIM tiles have a type of their own, so ``wood.1001.exr`` is never taken for a
frame. What has no such field is read for each frame alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from shotfs.errors import ShotfsError
from shotfs.pathspec import Specification
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.recording.roles import Roles, frame_of, text_of

OFFSET_MAX = 2
"""How far a file's frame may be from the frame that read it and still move with it."""

TRUST = 0.9
"""What a conclusion from other frames is worth beside a recording of the frame itself."""


def moved_path(
    path: str, spec: Specification, roles: Roles, from_frame: int, to_frame: int
) -> str | None:
    """Return the path that *path*, read for *from_frame*, stands for at *to_frame*.

    Args:
        path: mount-relative; its first element is the show.
        spec: of that show.
        roles: of its fields.
        from_frame: whose rendering read it.
        to_frame: what will be rendered.

    Returns:
        *path* itself where its name has no frame, or one far from *from_frame*; None where the
        other frame's name cannot be written.
    """
    show, _, rest = path.partition("/")
    found = spec.resolve(rest)
    own = None if found is None or found.scratch else frame_of(found.fields, roles)
    if found is None or own is None or abs(own - from_frame) > OFFSET_MAX:
        return path
    text = text_of(found.fields, roles.frame)
    field = next(name for name in roles.frame if found.fields.get(name) == text)
    plain = {
        name: value
        for name, value in found.fields.items()
        if name in spec.fields and not spec.fields[name].tokens
    }
    if "." in text:
        return None  # a part of a frame: which parts the other one has, nobody knows
    try:
        written = spec.fields[field].format(to_frame + own - from_frame)
        return f"{show}/{spec.format(found.template.name, {**plain, field: written})}"
    except ShotfsError:
        return None


def generalise(
    recorded: Mapping[int, Iterable[Entry]], spec: Specification, roles: Roles, to_frame: int
) -> dict[str, Entry]:
    """Return what *to_frame* will most likely read, by path.

    Args:
        recorded: frames that were rendered, each with what was read for it; without *to_frame*.
        spec: of their show.
        roles: of its fields.
        to_frame: what will be rendered.

    Returns:
        Entries without digest and size where the path is not one that was seen. The confidence is
        the mean over the recorded frames, times `TRUST`.
    """
    found: dict[str, Entry] = {}
    sums: dict[str, float] = {}
    frames = str(to_frame)
    for frame, entries in recorded.items():
        for entry in entries:
            path = moved_path(entry.path, spec, roles, frame, to_frame)
            if path is None:
                continue
            sums[path] = sums.get(path, 0.0) + entry.confidence
            if path not in found:
                moved = replace(entry, frames=frames)
                if path != entry.path:
                    moved = replace(moved, path=path, digest=None, size_bytes=None, mtime_ns=None)
                found[path] = moved
    count = len(recorded)
    return {
        path: replace(entry, confidence=round(TRUST * sums[path] / count, 4))
        for path, entry in found.items()
    }
