"""A filename filter for Nuke: files of a show come to this host when Nuke opens them.

For hosts without a mount. Nuke hands each name to its filters before it opens the file, with frame
and view filled in. What is read becomes a local copy (`shotfs_localizing`, beside this file); what
is written, what is not below SHOTFS_LOCALIZE_PREFIX, and what cannot be brought stays as it is.

    NUKE_PATH=/opt/shotfs/nuke nuke -x comp.nk

SHOTFS_NUKE=off switches it off. Safe from several threads, of which Nuke reads with many.
"""

from __future__ import annotations

import os
import re
import threading

import shotfs_localizing

WRITERS = ("Write", "DeepWrite", "WriteGeo", "GenerateLUT")

_TOKEN = re.compile(r"#|%0?[0-9]*[dvV]")

_localizer: shotfs_localizing.Localizer | None = None
_warned = False
_guard = threading.Lock()


def install() -> None:
    """Add the filter to this Nuke; nothing happens where SHOTFS_NUKE is off."""
    if os.environ.get("SHOTFS_NUKE", "on") == "off":
        return
    import nuke

    nuke.addFilenameFilter(local_path)


def local_path(filename: str) -> str:
    """Return what Nuke shall open in place of *filename*; never raises."""
    try:
        if not filename or _TOKEN.search(filename) or _writes():
            return filename
        return str(_get_localizer().localize(filename))
    except (shotfs_localizing.NotOurs, shotfs_localizing.NotThere):
        return filename  # a LUT on a disk; a frame that is not rendered yet: Nuke says so itself
    except Exception as error:  # noqa: BLE001 - in the way of every file of a render
        _warn(filename, error)
        return filename


def _get_localizer() -> shotfs_localizing.Localizer:
    global _localizer  # noqa: PLW0603 - one for the process: it remembers what it has answered
    with _guard:
        if _localizer is None:
            _localizer = shotfs_localizing.Localizer()
        return _localizer


def _writes() -> bool:
    """Whether the node that asks writes; one that reads its own output again does not."""
    import nuke

    try:
        node = nuke.thisNode()
        if node is None or node.Class() not in WRITERS:
            return False
        reading = node.knob("reading")
        return reading is None or not reading.value()
    except (RuntimeError, ValueError, AttributeError):
        return False  # outside of any node


def _warn(filename: str, error: Exception) -> None:
    """Say it once: a render asks for thousands of files."""
    global _warned  # noqa: PLW0603 - as above
    with _guard:
        if _warned:
            return
        _warned = True
    import nuke

    nuke.tprint(f"shotfs: {filename} is opened as it is: {error}\n(said once)")
