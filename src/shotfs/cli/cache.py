"""`shotfs cache`: what is in the local cache, what must stay, and making room in it."""

from __future__ import annotations

from typing import Annotated

import typer

from shotfs.cli import output
from shotfs.cli.cache_list import ls
from shotfs.cli.cache_pins import pin, pins, unpin
from shotfs.cli.cache_verify import verify
from shotfs.cli.status import ConfigOption, JsonOption, socket_of, table_of

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at the local cache and make room in it.",
)

app.command(name="ls")(ls)
app.command(name="pin")(pin)
app.command(name="unpin")(unpin)
app.command(name="pins")(pins)
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
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SIZE|PATH...]", help="How much to free, like 20GiB; or what to let go."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that is not open and may be fetched again.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="Files of PATH.")
    ] = 10_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free room in the cache: so much, in the order of its policy; or these files and directories.

    Files that are open or pinned and outputs that are not in the origin yet stay.

    Example: shotfs cache evict 20GiB
    """
    from shotfs.control.client import Client

    if everything == bool(what):
        raise typer.BadParameter("name a size or paths, or --all", param_hint="SIZE|PATH")
    wanted = _size_of(what) if what else None
    with Client(socket_of(config)) as client:
        if everything or wanted is not None:
            report = client.evict(wanted)
        else:
            from shotfs.cli.shown_paths import within_mount

            report = client.evict_paths(
                [within_mount(client, path) for path in what or ()], limit=limit
            )
    output.emit(report, as_json, lambda: table_of(report))


def _size_of(what: list[str]) -> int | None:
    """Return the size that *what* is; None if it is paths."""
    from shotfs.config import parse_size

    if len(what) > 1:
        for one in what:
            if _is_size(one):
                raise typer.BadParameter(
                    f"name a size or paths, not both; a file of the name {one} is ./{one}",
                    param_hint="SIZE|PATH",
                )
        return None
    if "/" in what[0]:
        return None
    try:
        return parse_size(what[0])
    except ValueError as exc:
        raise typer.BadParameter(
            f"{exc}; a path begins with a show or the mount point, like ant/render",
            param_hint="SIZE|PATH",
        ) from exc


def _is_size(text: str) -> bool:
    from shotfs.config import parse_size

    try:
        parse_size(text)
    except ValueError:
        return False
    return True
