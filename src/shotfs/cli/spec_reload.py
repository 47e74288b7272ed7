"""``shotfs spec reload``: have the running service look for new specifications now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli.output import ExitCode, emit, printable, run
from shotfs.cli.status import ConfigOption, JsonOption, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType


@run
def reload(
    shows: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SHOW...]", help="Default: all shows.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load what changed of the specifications of the running service.

    The service looks by itself every network.spec_check_s; this does not wait for it. A new
    specification with mistakes is refused, and the one before stays in force. Ends with 1 when a
    newer one is refused or cannot be read.

    Example: shotfs spec reload ant
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        found = client.reload_specs(shows or ())
    emit({"shows": found}, as_json, lambda: _table(found))
    if any(one["outcome"] in ("refused", "unreadable") for one in found):
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _table(found: Sequence[dict[str, Any]]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = []
    for one in found:
        since = f"in force since {one['loaded_at']}, digest {one['digest']}"
        lines.append(Text(printable(f"{one['show']}: {one['outcome']}; {one['spec']}, {since}")))
        if one.get("message"):
            lines.append(Text(printable(f"  {one['message']}")))
        lines += [Text(printable(f"  {mistake}")) for mistake in one.get("mistakes", ())]
    return Group(*lines)
