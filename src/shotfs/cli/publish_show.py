"""`shotfs publish show`: everything that is known of an output that is not in the origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shotfs.cli import output
from shotfs.cli.publish_queue import OutputArgument, named_output
from shotfs.cli.status import ConfigOption, JsonOption, duration, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType


WHO = ("shotfs-node", "shotfs-site", "shotfs-job", "shotfs-uid")
"""What of the provenance tells one writer from another."""

SHOWN_ELSEWHERE = frozenset({"shotfs-xxh128", "shotfs-mtime-ns"})


@output.run
def show(which: OutputArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of an output: how far it is, who writes it, each attempt.

    Of what is in the origin already, `shotfs stat` says where.

    Example: shotfs publish show /shows/ant/render/xy_010_v005/beauty.1001.exr
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        items = client.publish.show(**named_output(client, which))
    output.emit({"items": items}, as_json, lambda: _shown(items))


def _shown(items: list[dict[str, Any]]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables: list[RenderableType] = []
    for item in items:
        table = Table(show_header=False, box=None, pad_edge=False, title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _rows(item):
            table.add_row(name, Text(output.printable(value)))
        tables += [table, Text("")]
    return Group(*tables[:-1])


def _rows(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "output", f"{item['path'] or 'of an unknown path'} (number {item['serial']})"
    yield "state", f"{item['what']}: {item['says']}"
    if item["error"]:
        yield "because", item["error"]
    if item["retry_s"] is not None:
        yield "next try", f"in {duration(item['retry_s'])}"
    for one in item["writing"]:
        yield "written by", f"{one['name']} (pid {one['pid']}, uid {one['uid']}, {one['how']})"
    if item["writers"] and not item["writing"]:
        yield "written by", "a process that this service may not look into"
    yield "size", f"{size(item['size_bytes'])} ({item['size_bytes']} bytes)"
    if item["digest"]:
        yield "digest", item["digest"]
    yield "changed", f"{moment(item['mtime_ns'])} ({duration(item['age_s'])} ago)"
    yield "owner", f"uid {item['uid']}, gid {item['gid']}, mode {item['mode']}"
    if item["origin"]:
        yield "goes to", f"{item['origin'].rstrip('/')}/{item['key']}"
    if item["template"]:
        how = "immutable" if item["immutable"] else "mutable"
        terms = f"{item['template']}: {how}, durability {item['durability']}"
        yield "template", f"{terms}, grace {duration(item['grace_s'])}"
    if item["recorded"]:
        yield "recorded", recorded(item["recorded"], whole=True)
    if item["emergency"]:
        yield "emergency copy", item["emergency"]
    yield "data file", item["data_file"]
    for text in _uploads(item["history"]):
        yield "upload", text
    if item["what"] == "quarantined":
        yield "to do", f"shotfs publish conflicts diff {item['serial']}"


def _uploads(history: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each upload; of several that ended with the same words, one for all."""
    for index, one in enumerate(history):
        following = history[index + 1] if index + 1 < len(history) else None
        if following is not None and following["message"] == one["message"] != "":
            continue
        same = 1
        while same <= index and history[index - same]["message"] == one["message"] != "":
            same += 1
        ended = one["failure"] or "arrived"
        times = f" (the last of {same} like it)" if same > 1 else ""
        text = f"{moment(one['at_ns'])}{times}: {ended} after {duration(one['seconds'])}"
        yield f"{text}: {one['message']}" if one["message"] else text


def moment(time_ns: int) -> str:
    """Return a time of day as people here read it, with its offset from UTC."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().isoformat(" ", "seconds")


def recorded(provenance: Mapping[str, str], *, whole: bool = False) -> str:
    """Return provenance in one line: ``node render-07, job 4711, uid 1000``.

    Without *whole* only who it was: the rest follows from the path, or is for programs.
    """
    names = tuple(provenance) if whole else WHO
    parts = [
        f"{name.removeprefix('shotfs-')} {provenance[name]}"
        for name in names
        if name in provenance and name not in SHOWN_ELSEWHERE
    ]
    return ", ".join(parts) or "nobody says whom"
