"""`shotfs manifest`: what a frame needs, or made."""

from __future__ import annotations

import typer

from shotfs.cli.manifest_diff import diff
from shotfs.cli.manifest_export import export
from shotfs.cli.manifest_import import import_
from shotfs.cli.manifest_merge import merge
from shotfs.cli.manifest_scan import scan
from shotfs.cli.manifest_show import show
from shotfs.cli.manifest_stats import stats
from shotfs.cli.manifest_verify import verify

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at what frames need, and compare it.",
)

app.command(name="show")(show)
app.command(name="stats")(stats)
app.command(name="diff")(diff)
app.command(name="merge")(merge)
app.command(name="verify")(verify)
app.command(name="import")(import_)
app.command(name="export")(export)
app.command(name="scan")(scan)


@app.callback()
def overview() -> None:
    """Look at what frames need, and compare it."""
