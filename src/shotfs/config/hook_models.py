"""The settings of commands that are run when something becomes of an output."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from shotfs.config.mistake import Mistake
from shotfs.config.section import Section
from shotfs.config.units import Seconds

Argument = Annotated[str, Field(min_length=1, max_length=4096)]

Command = Annotated[list[Argument], Field(max_length=100)]
"""A program by its absolute path, and its arguments; none: no command."""


class HookSettings(Section):
    """Commands that are run when something becomes of an output; each gets a JSON document."""

    on_conflict: Command = Field(
        default=[],
        examples=[["/usr/local/bin/tell-wranglers", "--channel", "renders"]],
        description="Run when an output lost against other bytes and is in quarantine: a program"
        " by its absolute path, and its arguments. No shell. It gets one JSON document on its"
        " standard input, runs as the service's user, and cannot hold anything up: its failure is"
        " logged and counted (shotfs_hooks), no more.",
    )
    on_failed: Command = Field(
        default=[],
        description="Run when an output is not published before somebody does something: refused"
        " by its origin, damaged, or partial because its writer died. As on_conflict.",
    )
    on_published: Command = Field(
        default=[],
        description="Run when an output is in its origin. A process for every frame: for nodes"
        " that write few. What comes faster than the commands end is dropped, and counted.",
    )
    timeout_s: Seconds = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="How long a command may run, in seconds; then it is killed, with all that it"
        " started.",
    )

    @field_validator("on_conflict", "on_failed", "on_published")
    @classmethod
    def _is_command(cls, command: list[str]) -> list[str]:
        if command and not command[0].startswith("/"):
            raise Mistake(
                f"{command[0]!r} is no absolute path of a program",
                "write where the program is, as /usr/local/bin/tell-wranglers; there is no shell",
            )
        if any("\0" in argument for argument in command):
            raise Mistake("an argument cannot contain a zero byte", "remove it")
        return command
