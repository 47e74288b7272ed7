"""How the kernel works with a mount: the rows of the matrix that the kernel tests run in.

`pytest --kernel-mode NAME` chooses the row; every node that a test mounts is then in this mode,
and `ShotfsNode.mount` asks the service whether it really is. A new mode is a new row here and a
line in tools/test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shotfs.fuse.helper import OFF


@dataclass(frozen=True, slots=True)
class KernelMode:
    """One row of the matrix.

    Attributes:
        name: for `--kernel-mode`.
        settings: keys of ``[mount]`` and their values in TOML.
        environment: of the service.
        options: of ``shotfs mount``.
        says: what ``status`` must say in ``kernel``; a test that was started in this mode and
            runs in another one would prove nothing.
        passthrough: the kernel reads whole large files by itself, and writes outputs.
        native: the native thread answers for whole files; it keeps them when they are closed.
        writable: outputs can be written at all.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)
    passthrough: bool = False
    native: bool = False
    writable: bool = True

    def check(self, kernel: Mapping[str, Any]) -> None:
        """Fail unless *kernel*, of the status of a mount, says that it is in this mode."""
        found = {key: kernel[key] for key in self.says}
        assert found == self.says, f"the mount is not in the mode {self.name!r}: {dict(kernel)}"


SHIPPED = KernelMode(
    "shipped",
    says={"helper": True, "passthrough": True, "native_thread": True, "zero_upcall": False},
    passthrough=True,
    native=True,
)
"""What root gets without a word in the configuration: large files and outputs go passthrough."""

PASSTHROUGH = KernelMode(
    "passthrough",
    settings={"passthrough_bytes_min": "0", "native_thread": '"off"'},
    says={"helper": True, "passthrough": True, "native_thread": False, "zero_upcall": False},
    passthrough=True,
)
"""Every file that is whole goes passthrough, however small, and Python answers each open."""

NATIVE = KernelMode(
    "native",
    settings={"passthrough": '"off"'},
    says={"helper": True, "passthrough": False, "native_thread": True, "zero_upcall": False},
    native=True,
)
"""What a user without rights gets: content comes through the page cache of the mount."""

NORMAL = KernelMode(
    "normal",
    settings={"passthrough": '"off"', "native_thread": '"off"'},
    says={"helper": True, "passthrough": False, "native_thread": False, "zero_upcall": False},
)
"""With the helper, but Python answers everything."""

PLAIN = KernelMode(
    "plain",
    environment={OFF: "1"},
    says={"helper": False, "passthrough": False, "native_thread": False, "zero_upcall": False},
)
"""As on a machine without a compiler."""

ZERO_UPCALL = KernelMode(
    "zero-upcall",
    options=("--read-only", "--zero-upcall"),
    says={"helper": True, "passthrough": False, "zero_upcall": True},
    writable=False,
)
"""Files are opened and closed without asking; tests with the mark `published` run in it."""

MODES = {mode.name: mode for mode in (SHIPPED, PASSTHROUGH, NATIVE, NORMAL, PLAIN, ZERO_UPCALL)}

_chosen = SHIPPED


def choose(name: str) -> None:
    """Have every node that is made from now on be in the mode *name*."""
    global _chosen  # noqa: PLW0603 - of the process, as the command line is
    _chosen = MODES[name]


def chosen() -> KernelMode:
    """Return the mode of nodes that name none."""
    return _chosen
