"""Where the files of a manifest can be read: a directory, or the mount of the running service."""

from __future__ import annotations

import os
from typing import Annotated

import typer

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Read files here: it has them at the manifest's paths. Default: the mount of the "
        "running service.",
    ),
]


def root_of(root: str | None, config: str | None) -> str:
    """Return *root*, or else the mountpoint of the running service.

    Raises:
        InvalidArgument: the service has no mount; *root* is no directory.
        ServiceNotRunning: there is none.
    """
    from shotfs.errors import InvalidArgument, ServiceNotRunning

    try:
        found = _named(root) if root is not None else _mountpoint(config)
    except ServiceNotRunning as exc:
        raise ServiceNotRunning(
            f"files must be read, and there is no mount: {exc.message}",
            fix="mount the shows, or name a directory that has the files with --root",
        ) from exc
    if found is None:
        raise InvalidArgument(
            "files must be read, and the service has no mount",
            fix="name a directory that has the files with --root",
        )
    return found


def root_or_none(root: str | None, config: str | None) -> str | None:
    """Return what `root_of` returns, None where there is no mount.

    Raises:
        InvalidArgument: *root* is no directory.
        ConfigInvalid: the configuration has mistakes.
    """
    from shotfs.errors import ServiceNotRunning

    if root is not None:
        return _named(root)
    try:
        return _mountpoint(config)
    except ServiceNotRunning:
        return None


def _named(root: str) -> str:
    from shotfs.errors import InvalidArgument

    if not os.path.isdir(root):
        raise InvalidArgument(f"{root} is no directory", fix="name one with --root")
    return root


def _mountpoint(config: str | None) -> str | None:
    from shotfs.cli.status import socket_of
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        mountpoint = client.status().get("mountpoint")
    return None if mountpoint is None else str(mountpoint)
