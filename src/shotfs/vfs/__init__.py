"""The file system itself, with no kernel in sight."""

from shotfs.vfs.attributes import Attributes, Caller, Change, Kind
from shotfs.vfs.directories import Snapshot
from shotfs.vfs.filesystem import FileSystem
from shotfs.vfs.handles import Handle
from shotfs.vfs.nodes import Missing

__all__ = [
    "Attributes",
    "Caller",
    "Change",
    "FileSystem",
    "Handle",
    "Kind",
    "Missing",
    "Snapshot",
]
