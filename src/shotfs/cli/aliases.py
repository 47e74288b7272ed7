"""`shotfs spec aliases`: where a version alias pointed, and who moved it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType


@output.run
def aliases(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Of an alias, like ant/render/xy_010_latest.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every move of a version alias, the newest last.

    Asks the running service. `shotfs version alias` moves one.

    Example: shotfs spec aliases /shows/ant/render/xy_010_approved
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        shown = within_mount(client, path)
        history = client.alias_history(shown)
    report = {"path": shown, "history": history}
    output.emit(report, as_json, lambda: _table(shown, history))


def _table(path: str, history: Sequence[dict[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not history:
        return Text(output.printable(f"{path} was never set."))
    table = Table(box=None, pad_edge=False)
    for name in ("version", "at", "by", "why"):
        table.add_column(name, overflow="fold")
    for move in history:
        texts = (move["version"] or "nothing", move["at"], move["by"], move["why"])
        table.add_row(*(Text(output.printable(text)) for text in texts))
    return table
