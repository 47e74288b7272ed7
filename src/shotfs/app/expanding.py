"""Sequences by their names: which files a path with tokens stands for, whatever template has them.

A tree template (``library/{rest}``) says nothing of frames or tiles, and most textures lie in one;
so names are compared here, not fields. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from shotfs.pathspec.sequences import PathToken, find_tokens

_FRAME, _TILE = "frame", "udim"


@dataclass(frozen=True, slots=True)
class Sequence:
    """A path with tokens.

    Attributes:
        path: mount-relative, with its tokens.
        directory: the part of it before the first element with a token.
        elements: what each of the other elements must be.
        has_frames: a token stands for frames.
    """

    path: str
    directory: str
    elements: tuple[re.Pattern[str], ...]
    has_frames: bool

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Return the sequence that *path* stands for, or None if it has no token."""
        parts = path.split("/")
        tokens = [find_tokens(part, points=False) for part in parts]
        first = next((index for index, found in enumerate(tokens) if found), None)
        if first is None or first == 0:
            return None
        elements = tuple(
            _pattern(part, found) for part, found in zip(parts[first:], tokens[first:], strict=True)
        )
        has_frames = any(token.kind == _FRAME for found in tokens for token in found)
        return cls(path, "/".join(parts[:first]), elements, has_frames)

    @property
    def depth(self) -> int:
        """How many elements lie below `directory`."""
        return len(self.elements)

    def moved(self, directory: str) -> Sequence:
        """Return the same names below another directory."""
        rest = self.path[len(self.directory) :]
        return Sequence(f"{directory}{rest}", directory, self.elements, self.has_frames)

    def may_hold(self, path: str, depth: int) -> bool:
        """Whether the element *depth* of *path*, its last, is as the sequence wants it."""
        return self.elements[depth].fullmatch(path.rpartition("/")[2]) is not None

    def frame_of(self, path: str) -> int | None:
        """Return the frame of the file *path*; None where no token stands for one."""
        names = path.split("/")[-self.depth :]
        for name, element in zip(names, self.elements, strict=True):
            found = element.fullmatch(name)
            if found is not None and "frame" in element.groupindex:
                return int(found["frame"])
        return None


def _pattern(part: str, tokens: tuple[PathToken, ...]) -> re.Pattern[str]:
    text, end, named = "", 0, False
    for token in tokens:
        text += re.escape(part[end : token.start])
        expression = _expression(token)
        if token.kind == _FRAME and not named:
            expression, named = f"(?P<frame>{expression})", True
        text += expression
        end = token.end
    return re.compile(text + re.escape(part[end:]), re.ASCII)


def _expression(token: PathToken) -> str:
    if token.kind == _FRAME:
        # Padded numbers, or longer ones that need no padding.
        pad = token.pad or 1
        return "-?[0-9]+" if pad == 1 else f"-?(?:[0-9]{{{pad}}}|[1-9][0-9]{{{pad},}})"
    if token.kind == _TILE:
        return "1[0-9]{3}" if token.form == "udim" else "u[0-9]+_v[0-9]+"
    return "[A-Za-z]" if token.form == "short" else "[A-Za-z0-9_-]+"
