"""Paths as people give them: below the mount point, below the current directory, or of a show."""

from __future__ import annotations

import os

from shotfs.control.client import Client
from shotfs.errors import InvalidArgument


def within_mount(client: Client, text: str, *, or_mount: bool = False) -> str:
    """Return the path *text* relative to the mount of the service, like ``ant/render/x``.

    ``/shows/ant/x`` is below the mount point, ``render/x`` is too if the current directory is,
    and any other relative path begins with a show. Links are not followed: an alias is meant, not
    what it points to. The mount itself is not touched. With *or_mount* the mount point is an
    answer, too: the empty path.

    Raises:
        InvalidArgument: an absolute path that is not below the mount point; the mount point.
    """
    mountpoint = client.status().get("mountpoint")
    if mountpoint is not None:
        whole = os.path.normpath(os.path.join(_here(), text))
        if whole == mountpoint:
            if or_mount:
                return ""
            raise InvalidArgument(
                f"{text}: is the mount itself", fix="name a show in it, or a path below a show"
            )
        inside = _below(mountpoint, whole)
        if inside is not None:
            return inside
    if os.path.isabs(text):
        where = "the service has no mount" if mountpoint is None else f"it is {mountpoint}"
        raise InvalidArgument(
            f"{text}: is not below the mount point: {where}",
            fix="give a path below it, or one that begins with a show, like ant/render/x",
        )
    return os.path.normpath(text)


def _below(mountpoint: str, path: str) -> str | None:
    return path[len(mountpoint) + 1 :] if path.startswith(f"{mountpoint}/") else None


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"
