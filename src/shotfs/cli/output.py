"""What every command says, and how it ends: consoles, JSON, errors, exit codes.

Owns the two consoles and the table of exit codes. Answers go to standard output, everything
about the answer (errors, warnings, progress) to standard error, so that pipes carry data only.
A traceback is never shown unless SHOTFS_DEBUG=1 asks for it.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.text import Text
from typer.exceptions import TyperException

from shotfs.errors import (
    CacheError,
    DocumentInvalid,
    ManifestInvalid,
    MountFailed,
    NoTemplate,
    NotPermitted,
    ServiceNotRunning,
    ShotfsError,
    SpoolBroken,
    SpoolFull,
    TierError,
)

WIDTH_WITHOUT_TERMINAL = 4096
"""Nobody wants a path folded in a pipe or a log; PATH_MAX is 4096."""

DEBUG_VARIABLE = "SHOTFS_DEBUG"

P = ParamSpec("P")
T = TypeVar("T")


class ExitCode(IntEnum):
    """How a command ended. Scripts may rely on these numbers; they never change meaning."""

    OK = 0
    """Done, and what was asked about is in order."""
    NOT_IN_ORDER = 1
    """Done, and what was asked about is not in order (doctor, check); any other failure."""
    USAGE = 2
    """The command line is wrong."""
    INVALID = 3
    """The configuration, a path specification or a manifest has mistakes."""
    NOT_RUNNING = 4
    """No service answers on the control socket."""
    MOUNT_FAILED = 5
    """Mounting or unmounting failed, or the cache or the spool cannot be used."""
    ORIGIN_FAILED = 6
    """An origin cannot be reached, or refused."""
    NOT_PERMITTED = 7
    """You may not do this."""
    OUTPUTS_REMAIN = 8
    """After a drain: outputs are on this node only."""
    OUTPUTS_COPIED = 9
    """After a drain: outputs are not in the origin; all have a copy in the emergency place."""
    INTERNAL = 70
    """A mistake in shotfs itself; the message names the log with the details."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read the output stopped reading (``| head``)."""


_BY_CLASS: tuple[tuple[type[ShotfsError], ExitCode], ...] = (
    (DocumentInvalid, ExitCode.INVALID),
    (ManifestInvalid, ExitCode.INVALID),
    (ServiceNotRunning, ExitCode.NOT_RUNNING),
    (MountFailed, ExitCode.MOUNT_FAILED),
    (CacheError, ExitCode.MOUNT_FAILED),
    (SpoolFull, ExitCode.MOUNT_FAILED),
    (SpoolBroken, ExitCode.MOUNT_FAILED),
    (TierError, ExitCode.ORIGIN_FAILED),
    (NotPermitted, ExitCode.NOT_PERMITTED),
    (NoTemplate, ExitCode.NOT_IN_ORDER),
)


class _PlainConsole(Console):
    """A console that folds lines on a terminal only, and takes brackets for brackets."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's size; without one, as wide as any line gets."""
        if self.is_terminal or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(WIDTH_WITHOUT_TERMINAL, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> None:
        """End with our exit code; rich's own would say that something is not in order."""
        self.quiet = True
        _silence_stdout()
        raise SystemExit(int(ExitCode.PIPE_CLOSED))


console = _PlainConsole(stderr=False)
"""Standard output: the answer."""

error_console = _PlainConsole(stderr=True)
"""Standard error: everything else."""


def emit(data: Mapping[str, Any], as_json: bool, human: Callable[[], RenderableType]) -> None:
    """Print the answer of a command: one JSON document, or what *human* makes for people."""
    if as_json:
        # Not through rich, which would fold and colour what a program is going to read.
        console.file.write(json.dumps(data, indent=2, default=str) + "\n")
        console.file.flush()
        return
    console.print(human(), soft_wrap=not console.is_terminal)


def printable(text: str) -> str:
    """Return *text* with control characters escaped: names come from other people's disks."""
    return "".join(
        sign
        if sign.isprintable() or sign in "\n\t"
        else sign.encode("unicode_escape", "backslashreplace").decode()
        for sign in text
    )


def counted(count: int, noun: str) -> str:
    """Return "1 file", "2 files": *noun* takes an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def warn(message: str, *, fix: str | None = None) -> None:
    """Print a warning on standard error; it does not change the exit code."""
    _say("warning: ", "yellow", message if fix is None else f"{message}\n  fix: {fix}")


def fail(message: str, code: ExitCode, *, fix: str | None = None) -> NoReturn:
    """Print an error on standard error and end the command with *code*."""
    _say("shotfs: ", "bold red", message if fix is None else f"{message}\n  fix: {fix}")
    raise SystemExit(int(code))


def run(command: Callable[P, T]) -> Callable[P, T]:
    """Make *command* end with a message and a documented exit code whatever it raises.

    A decorator for Typer commands (their signature is kept), and for `main` itself.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, TyperException):
            raise  # Typer's own: it prints them and ends
        except BrokenPipeError:
            _silence_stdout()
            raise SystemExit(int(ExitCode.PIPE_CLOSED)) from None
        except KeyboardInterrupt:
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        except Exception as exc:  # noqa: BLE001 - the edge of the program: a traceback is a bug
            raise SystemExit(int(report(exc))) from None

    return guarded


def report(error: BaseException) -> ExitCode:
    """Print *error* on standard error and return the exit code that stands for it.

    Of a group (from a nursery) every error that was raised on purpose is printed; the first one
    decides. Anything that was not raised on purpose makes the whole an internal error.
    """
    leaves = list(_leaves(error))
    if all(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return ExitCode.INTERRUPTED
    unexpected = [leaf for leaf in leaves if not _is_expected(leaf)]
    if unexpected:
        _report_internal(error, unexpected[0])
        return ExitCode.INTERNAL
    if os.environ.get(DEBUG_VARIABLE) == "1":
        _print_traceback(error)
    for leaf in leaves:
        _say("shotfs: ", "bold red", _message(leaf))
    return _code(leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_expected(error: BaseException) -> bool:
    # An OSError that names a file tells the user what to do; one without is a bug of ours.
    return isinstance(error, ShotfsError) or (
        isinstance(error, OSError) and error.filename is not None and error.strerror is not None
    )


def _message(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _code(error: BaseException) -> ExitCode:
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    if isinstance(error, ShotfsError | OSError) and error.errno in {errno.EACCES, errno.EPERM}:
        return ExitCode.NOT_PERMITTED
    return ExitCode.NOT_IN_ORDER


def _report_internal(error: BaseException, cause: BaseException) -> None:
    what = f"{type(cause).__name__}: {cause}".rstrip(": ")
    if os.environ.get(DEBUG_VARIABLE) == "1":
        _print_traceback(error)
        where = "the traceback is above"
    else:
        where = _save_traceback(error)
    _say(
        "shotfs: ",
        "bold red",
        f"internal error: {what}\n  fix: please report it; {where}",
    )


def _save_traceback(error: BaseException) -> str:
    try:
        descriptor, path = tempfile.mkstemp(prefix="shotfs-error-", suffix=".log")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"run it again with {DEBUG_VARIABLE}=1 to see the details"
    return f"the details are in {path}"


def _print_traceback(error: BaseException) -> None:
    error_console.file.write("".join(traceback.format_exception(error)))


def _say(prefix: str, style: str, message: str) -> None:
    text = Text.assemble((prefix, style), printable(message))
    error_console.print(text, soft_wrap=True)


def _silence_stdout() -> None:
    """Let the interpreter's flush at exit go nowhere instead of raising once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives until exit
