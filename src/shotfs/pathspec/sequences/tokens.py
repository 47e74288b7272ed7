"""Tokens: what applications write in a path in place of a frame, a tile or a view.

Read here: ``#`` (any padding) and ``####``, ``@`` and ``@@@@``, ``%d`` and ``%04d``, Houdini's
``$F``, ``$F4`` and ``$FF``, ``<F>`` and ``<F4>``, ``<UDIM>``, ``%(UDIM)d``, ``<UVTILE>``,
``%(UVTILE)d``, ``u<U>_v<V>`` (tiles from 1), ``u<u>_v<v>`` (from 0), Nuke's ``%V`` (left) and
``%v`` (l). fileseq is not used for it: it does not know ``<UVTILE>``, ``<F4>`` and ``%V``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shotfs.errors import InvalidArgument
from shotfs.pathspec.fields import Field
from shotfs.pathspec.fields.frames import SubFrames
from shotfs.pathspec.fields.numbers import Numbers
from shotfs.pathspec.fields.tiles import UvTiles
from shotfs.pathspec.fields.views import Views
from shotfs.pathspec.problems import suggest

KINDS = ("frame", "udim", "view")


@dataclass(frozen=True, slots=True)
class PathToken:
    """A token in a path.

    Attributes:
        kind: the type of the field that it stands for: frame, udim or view.
        start: index of its first character; *end* is behind its last.
        pad: digits that the application writes; None for any.
        digits: digits behind the point, where it writes so many; None where it does not say.
        form: of a tile: udim, uvtile or uv0; of a view: long or short; else "".
    """

    text: str
    kind: str
    start: int
    end: int
    pad: int | None = None
    digits: int | None = None
    form: str = ""


_FIXED = {
    "<UDIM>": "udim",
    "<udim>": "udim",
    "%(UDIM)d": "udim",
    "<UVTILE>": "uvtile",
    "<uvtile>": "uvtile",
    "%(UVTILE)d": "uvtile",
    "u<U>_v<V>": "uvtile",
    "u<u>_v<v>": "uv0",
}
_VIEWS = {"%V": "long", "%v": "short"}
_TOKEN = re.compile(
    "|".join(re.escape(text) for text in (*_FIXED, *_VIEWS))
    + r"|(?P<hash>\#+)(?P<parts>\.\#+)?|(?P<at>@+)"
    r"|%(?:0(?P<printf>[1-9][0-9]?))?d|\$FF?(?P<houdini>[1-9][0-9]?)?|<F(?P<angle>[1-9][0-9]?)?>",
    re.ASCII,
)


def find_tokens(path: str, *, points: bool = True) -> tuple[PathToken, ...]:
    """Return the tokens in *path*, in order.

    Args:
        path: any text.
        points: ``####.##`` is one token of a frame with two digits behind the point; otherwise
            two tokens beside a point.
    """
    found: list[PathToken] = []
    index = 0
    while (one := _TOKEN.search(path, index)) is not None:
        if one["parts"] is not None and not points:
            index = one.end("hash")
            pad = None if one["hash"] == "#" else len(one["hash"])
            found.append(PathToken(one["hash"], "frame", one.start(), index, pad))
            continue
        found.append(_token(one))
        index = one.end()
    return tuple(found)


def _token(found: re.Match[str]) -> PathToken:
    text, start, end = found.group(), found.start(), found.end()
    if text in _FIXED:
        return PathToken(text, "udim", start, end, form=_FIXED[text])
    if text in _VIEWS:
        return PathToken(text, "view", start, end, form=_VIEWS[text])
    if found["hash"] is not None:
        parts = found["parts"]
        # "#" alone is any padding; before a point and more of them it is one digit.
        pad = None if text == "#" else len(found["hash"])
        digits = None if parts is None else len(parts) - 1
        return PathToken(text, "frame", start, end, pad, digits)
    if text == "<F>":
        return PathToken(text, "frame", start, end)
    pad = len(text) if found["at"] is not None else None
    for group in ("printf", "houdini", "angle"):
        if found[group] is not None:
            pad = int(found[group])
    return PathToken(text, "frame", start, end, 1 if pad is None else pad)


def token_problem(token: PathToken, field: Field) -> tuple[str, str] | None:
    """Return (why *token* writes other texts than *field* has, the fix), or None."""
    codec = field.codec
    if token.kind == "frame" and isinstance(codec, (Numbers, SubFrames)):
        return _frame_problem(token, field, codec)
    form = None
    if isinstance(codec, Views):
        form = codec.form
    elif field.kind == "udim":
        form = _tile_style(field)
    if form is None or form == token.form:
        return None
    shown = "nuke" if field.kind == "view" else "maya"
    message = f'"{token.text}" is a {field.kind} of the form {token.form}'
    return (
        f'{message}, the field "{field.name}" has the form {form}',
        f'write "{tokens_for(field, shown)}"',
    )


def _tile_style(field: Field) -> str:
    codec = field.codec
    return ("uvtile" if codec.first else "uv0") if isinstance(codec, UvTiles) else "udim"


def _frame_problem(
    token: PathToken, field: Field, codec: Numbers | SubFrames
) -> tuple[str, str] | None:
    fix = f'write "{tokens_for(field, "hash")}"'
    digits = codec.digits if isinstance(codec, SubFrames) and codec.fixed else None
    if token.digits is not None and token.digits != digits:
        has = "none" if digits is None else str(digits)
        message = f'"{token.text}" has {token.digits} digits behind the point'
        return f'{message}, the field "{field.name}" {has}', fix
    if token.digits is None and digits is not None and token.pad is not None:
        return f'"{token.text}" has no point, the field "{field.name}" always has', fix
    if token.pad is None or token.pad == codec.pad or not codec.strict:
        return None
    # From 1000 on, %d and %04d write the same.
    if codec.least is not None and codec.least >= 10 ** (max(token.pad, codec.pad) - 1):
        return None
    return (
        f'"{token.text}" pads to {token.pad} digits, the field "{field.name}" to {codec.pad}',
        fix,
    )


STYLES: dict[str, dict[str, str]] = {
    "hash": {"frame": "hash", "udim": "<UDIM>", "uvtile": "<UVTILE>", "long": "%V", "short": "%v"},
    "at": {"frame": "at", "udim": "<UDIM>", "uvtile": "<UVTILE>", "long": "%V", "short": "%v"},
    "printf": {"frame": "printf", "udim": "%(UDIM)d", "uvtile": "%(UVTILE)d"},
    "houdini": {"frame": "houdini", "udim": "<UDIM>", "uvtile": "%(UVTILE)d"},
    "nuke": {"frame": "printf", "udim": "<UDIM>", "long": "%V", "short": "%v"},
    "arnold": {"frame": "hash", "udim": "<UDIM>"},
    "maya": {"frame": "hash", "udim": "<UDIM>", "uvtile": "u<U>_v<V>", "uv0": "u<u>_v<v>"},
    "redshift": {"frame": "angle", "udim": "<UDIM>"},
}
"""What each application writes for a frame, a tile of each style, a view of each form."""


def tokens_for(field: Field, style: str) -> str:
    """Return the token for *field* that applications of *style* read.

    Args:
        field: a frame, udim or view.
        style: one of `STYLES`.

    Raises:
        InvalidArgument: there is no such style, or it has no token for such a field.
    """
    if style not in STYLES:
        raise InvalidArgument(
            f'"{style[:100]}" is no style of tokens', fix=suggest(style, tuple(STYLES))
        )
    codec = field.codec
    if field.kind == "frame" and isinstance(codec, (Numbers, SubFrames)):
        token = _frame_token(codec, STYLES[style]["frame"])
    elif field.kind == "udim":
        token = STYLES[style].get(_tile_style(field))
    elif isinstance(codec, Views):
        token = STYLES[style].get(codec.form)
    else:
        raise InvalidArgument(
            f'field "{field.name}" is of type {field.kind}; tokens stand for {", ".join(KINDS)}'
        )
    if token is None:
        raise InvalidArgument(
            f'{style} has no token for the field "{field.name}" ({field.wants})',
            fix="write one path for each value, or use another style",
        )
    return token


def _frame_token(codec: Numbers | SubFrames, style: str) -> str | None:
    pad = codec.pad
    if isinstance(codec, SubFrames) and codec.fixed:
        return f"{'#' * pad}.{'#' * codec.digits}" if style == "hash" else None
    match style:
        case "hash":
            return "#" * pad
        case "at":
            return "@" * pad
        case "printf":
            return "%d" if pad == 1 else f"%0{pad}d"
        case "houdini":
            return "$F" if pad == 1 else f"$F{pad}"
        case "angle":
            return f"<F{pad}>"
        case _:
            raise AssertionError(f"frames have no tokens of style {style}")
