"""The command `shotfs`: a table of commands, each in a module that is imported when it is used.

`shotfs --help` must feel immediate, so this module imports Typer only; the help of the overview
comes from the table, and a test compares it with what the commands say of themselves.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of Ctrl-C while commands are still imported: later `output.run` answers it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _end

import typer  # noqa: E402 - takes longest
from typer.core import TyperCommand, TyperGroup  # noqa: E402

SERVICE = "Service"
CONTENT = "Cache and outputs"
SETUP = "Set-up"


class Entry(NamedTuple):
    """Where a command is: a Typer application in a module, and its line in the overview."""

    module: str
    panel: str
    help: str


COMMANDS: dict[str, Entry] = {
    "mount": Entry("shotfs.cli.mount", SERVICE, "Mount the shows and return when they are there."),
    "unmount": Entry("shotfs.cli.mount", SERVICE, "Publish what is left, then unmount."),
    "serve": Entry("shotfs.cli.mount", SERVICE, "Run the same service without a mount."),
    "drain": Entry("shotfs.cli.drain", SERVICE, "Publish what is left now, before a node goes."),
    "status": Entry("shotfs.cli.status", SERVICE, "Show what the running service is doing."),
    "top": Entry("shotfs.cli.top", SERVICE, "Show what the service is doing now, live."),
    "why": Entry("shotfs.cli.why", SERVICE, "Say why a file is slow, and where its bytes are."),
    "refresh": Entry("shotfs.cli.refresh", SERVICE, "Ask the origin about a path or tree again."),
    "prewarm": Entry("shotfs.cli.prewarm", SERVICE, "Bring files here before somebody opens them."),
    "doctor": Entry("shotfs.cli.doctor", SERVICE, "Check this node and say how to fix it."),
    "cache": Entry("shotfs.cli.cache", CONTENT, "Look at the local cache and make room in it."),
    "publish": Entry("shotfs.cli.publish", CONTENT, "Look at outputs on their way to the origin."),
    "stat": Entry("shotfs.cli.stat", CONTENT, "Say whether files are safe in the origin."),
    "version": Entry("shotfs.cli.version", CONTENT, "Publish versions and move their aliases."),
    "pin": Entry("shotfs.cli.pin", CONTENT, "Pin trees of a show, file by file, for jobs."),
    "manifest": Entry("shotfs.cli.manifest", CONTENT, "Look at what frames need, and compare it."),
    "localize": Entry("shotfs.cli.localize", CONTENT, "Copy files here, for hosts without mounts."),
    "exec": Entry("shotfs.cli.exec", CONTENT, "Run a command and record which files it reads."),
    "record": Entry("shotfs.cli.record", CONTENT, "Record what jobs read, and look at it."),
    "config": Entry("shotfs.cli.config", SETUP, "Write, check and show the configuration."),
    "integrations": Entry("shotfs.cli.integrations", SETUP, "Files for farms and applications."),
    "spec": Entry("shotfs.cli.spec", SETUP, "Check and try out a path specification."),
}


OF_COMPLETION = ("install_completion", "show_completion")


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are run, not when they are listed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            placeholder = TyperCommand(name, help=entry.help, rich_help_panel=entry.panel)
            self.add_command(placeholder, name)

    def resolve_command(self, ctx: Any, args: Sequence[str]) -> Any:
        """Put the real command in the placeholder's place before it is looked up."""
        if args and args[0] in COMMANDS:
            self.add_command(load_command(args[0]), args[0])
        return super().resolve_command(ctx, list(args))


def load_command(name: str) -> Any:
    """Import a command's module; return the command *name* of its application, or its group."""
    application: typer.Typer = importlib.import_module(COMMANDS[name].module).app
    found: Any = typer.main.get_command(application)
    if isinstance(found, TyperGroup) and name in found.commands:
        found = found.commands[name]
    found.name = name
    # Completion is installed for `shotfs`; each group would offer its own.
    found.params = [one for one in found.params if one.name not in OF_COMPLETION]
    return found


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 not in order, 2 usage, "
    "3 configuration, specification or manifest invalid, 4 service not running, "
    "5 mount or unmount failed, 6 origin unreachable or refused, 7 not permitted, "
    "8 outputs remain on this node, 9 outputs remain but have an emergency copy, "
    "70 internal error.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"shotfs {version('shotfs')}")
        raise typer.Exit


@app.callback()
def overview(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    """A studio's shows as plain paths on every render node, streamed and cached from a bucket.

    To begin: shotfs config init, shotfs doctor, then shotfs mount /shows.
    """


def main() -> None:
    """Run the command line; every failure is one message and a documented exit code."""
    from shotfs.cli.output import run

    # A closed descriptor 1 or 2 would make the next file that is opened the standard output.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.exit(run(app)())


if __name__ == "__main__":
    main()
