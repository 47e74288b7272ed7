"""`shotfs manifest`: what a frame needs, or made."""

from __future__ import annotations

import typer

from shotfs.cli.manifest_scan import scan
from shotfs.cli.manifest_show import show

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at what frames need, and compare it.",
)

app.command(name="show")(show)
app.command(name="scan")(scan)


@app.callback()
def overview() -> None:
    """Look at what frames need, and compare it."""
