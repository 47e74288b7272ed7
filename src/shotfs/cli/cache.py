"""`shotfs cache`: numbers of the local cache, and making room in it."""

from __future__ import annotations

from typing import Annotated

import typer

from shotfs.cli import output
from shotfs.cli.cache_verify import verify
from shotfs.cli.status import ConfigOption, JsonOption, socket_of, table_of

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at the local cache and make room in it.",
)

app.command(name="verify")(verify)


@app.command(name="stats")
@output.run
def stats(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how full the cache is and how well it works.

    Example: shotfs cache stats --json
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.cache_stats()
    output.emit(report, as_json, lambda: table_of(report))


@app.command(name="evict")
@output.run
def evict(
    size: Annotated[
        str | None,
        typer.Argument(metavar="[SIZE]", help="How much to free, for example 20GiB."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that is not open and may be fetched again.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free room in the cache, what was used longest ago first.

    Files that are open and outputs that are not in the origin yet stay.

    Example: shotfs cache evict 20GiB
    """
    from shotfs.config import parse_size
    from shotfs.control.client import Client

    if everything == (size is not None):
        raise typer.BadParameter("name a size, or --all", param_hint="SIZE")
    try:
        wanted = None if size is None else parse_size(size)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="SIZE") from exc
    with Client(socket_of(config)) as client:
        report = client.evict(wanted)
    output.emit(report, as_json, lambda: table_of(report))
