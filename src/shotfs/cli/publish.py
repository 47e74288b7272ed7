"""`shotfs publish`: outputs on their way to the origin."""

from __future__ import annotations

import typer

from shotfs.cli import publish_conflicts
from shotfs.cli.publish_jobs import finish, wait
from shotfs.cli.publish_queue import queue, retry
from shotfs.cli.publish_rescue import rescue
from shotfs.cli.publish_show import show

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at outputs on their way to the origin.",
)

app.command(name="queue")(queue)
app.command(name="show")(show)
app.command(name="retry")(retry)
app.add_typer(publish_conflicts.app, name="conflicts")
app.command(name="rescue")(rescue)
app.command(name="wait")(wait)
app.command(name="finish")(finish)


@app.callback()
def overview() -> None:
    """Look at outputs on their way to the origin."""
