"""Names and paths: from the bytes of a request to a mount-relative path, and the limits of both.

A path is mount-relative, POSIX style, without a leading slash; "" is the mount's root.
"""

from __future__ import annotations

from shotfs.errors import NameNotEncodable, NameTooLong, PathNotFound
from shotfs.tiers.base import KEY_BYTES_MAX

NAME_BYTES_MAX = 255
"""The longest name, as on ext4 and XFS; statfs says it too."""


def join(directory: str, name: str) -> str:
    """Return the path of *name* in *directory*."""
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    """Return the directory that *path* lies in."""
    return path.rpartition("/")[0]


def cut(path: str, depth: int) -> tuple[str, str]:
    """Return the first *depth* elements of *path*, and what follows them."""
    elements = path.split("/")
    return "/".join(elements[:depth]), "/".join(elements[depth:])


def name(path: str) -> str:
    """Return the last element of *path*."""
    return path.rpartition("/")[2]


def child(directory: str, name: bytes) -> str:
    """Return the path of *name* in *directory*, for a lookup.

    Raises:
        PathNotFound: an object key cannot carry it, so nothing of that name exists.
        NameTooLong: the name is over `NAME_BYTES_MAX` bytes.
    """
    try:
        return new_child(directory, name)
    except NameNotEncodable as exc:
        raise PathNotFound(exc.message) from exc
    except NameTooLong as exc:
        if len(name) > NAME_BYTES_MAX:
            raise
        raise PathNotFound(exc.message) from exc


def new_child(directory: str, name: bytes) -> str:
    """Return the path of a new entry *name* in *directory*.

    Raises:
        NameNotEncodable: not UTF-8, or with control characters, which object keys refuse.
        NameTooLong: the name is over `NAME_BYTES_MAX`, or the key over `KEY_BYTES_MAX` bytes.
    """
    _check_length(name)
    try:
        text = name.decode()
    except UnicodeDecodeError as exc:
        raise NameNotEncodable(
            f"{directory}/{name!r}: an object key cannot carry this name", fix="use a UTF-8 name"
        ) from exc
    # What is printable has no control characters, and is nearly every name.
    if not text.isprintable() and _has_control_characters(text):
        raise NameNotEncodable(
            f"{directory}/{text!r}: object keys cannot carry control characters",
            fix="leave them out of the name",
        )
    path = join(directory, text)
    # No character takes more than four bytes.
    if len(path) * 4 > KEY_BYTES_MAX and len(path.encode()) > KEY_BYTES_MAX:
        raise NameTooLong(
            f"{path[:80]}...: {len(path.encode())} bytes, but an object key ends at {KEY_BYTES_MAX}"
        )
    return path


def _has_control_characters(text: str) -> bool:
    return any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)


def _check_length(name: bytes) -> None:
    if len(name) > NAME_BYTES_MAX:
        raise NameTooLong(f"{name[:40]!r}...: {len(name)} bytes, the limit is {NAME_BYTES_MAX}")
