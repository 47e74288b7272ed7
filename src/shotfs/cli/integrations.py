"""`shotfs integrations`: files for render managers and applications, to print or to copy."""

from __future__ import annotations

from typing import Annotated

import typer

from shotfs.cli import output
from shotfs.cli.status import JsonOption

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Files for farms and applications.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `list` says.")]


@app.command(name="list")
@output.run
def list_all(as_json: JsonOption = False) -> None:
    """List the integrations.

    Example: shotfs integrations list
    """
    from shotfs.cli.integration_files import INTEGRATIONS

    report = {
        "integrations": [
            {"name": one.name, "purpose": one.purpose, "files": list(one.files)}
            for one in INTEGRATIONS.values()
        ]
    }
    output.emit(
        report,
        as_json,
        lambda: "\n".join(f"{one.name:<12}{one.purpose}" for one in INTEGRATIONS.values()),
    )


@app.command()
@output.run
def show(
    name: NameArgument,
    file: Annotated[
        str, typer.Option("--file", metavar="FILE", help="Another file of it, as `list --json`.")
    ] = "",
) -> None:
    """Print an integration: its first file, where the words above say how to use it.

    Example: shotfs integrations show gridengine
    """
    from shotfs.cli.integration_files import integration, text_of
    from shotfs.errors import InvalidArgument

    chosen = integration(name)
    wanted = file or chosen.files[0]
    if wanted not in chosen.files:
        raise InvalidArgument(
            f"{name} has no file {wanted!r}", fix=f"one of: {', '.join(chosen.files)}"
        )
    output.console.file.write(text_of(wanted))


@app.command()
@output.run
def install(
    name: NameArgument,
    into: Annotated[
        str, typer.Option("--into", metavar="DIR", help="Below this directory.")
    ] = "/opt/shotfs",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace files that are there already.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the files of an integration; nothing else on the host is changed.

    Example: shotfs integrations install slurm --into /opt/shotfs
    """
    from shotfs.cli.integration_files import install as install_files
    from shotfs.cli.integration_files import integration

    files = install_files(integration(name), into, replace=replace)
    output.emit({"files": files}, as_json, lambda: output.printable("\n".join(files)))
