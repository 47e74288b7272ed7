"""The commented configuration that ``shotfs config init`` writes.

Every setting stands there commented out with its default, generated from the models, so that the
file cannot fall behind them. Text after ``# `` explains; a line that starts with ``#`` and no
blank is a setting to uncomment.
"""

from __future__ import annotations

import textwrap

from shotfs.config.fields import FieldFacts, SectionFacts, sections

WIDTH = 96

_HEAD = """\
# shotfs: configuration of a node.
#
# A line like "#name = value" is a setting with its default (or an example, where the text says
# what applies without it): remove the "#" to change it. Sizes are "100 GiB" (1024-based) or
# "1.5 TB" (1000-based), durations are in seconds or "5 min". Relative paths are relative to this
# file. The environment overrides what stands here: SHOTFS_CACHE__BYTES_MAX="200 GiB".
#
#   shotfs config check    names every mistake      shotfs config show    what is in force
#
# This file must be writable by root or the service user only. It never holds a secret.
"""

_SHOW = ("demo", "demo.json")
_ORIGIN = "gs://studio-demo"


def starter() -> str:
    """Return the text of a first configuration file; it passes ``shotfs config check``."""
    return "\n".join([_HEAD, *(_section(section) for section in sections())])


def _section(section: SectionFacts) -> str:
    header = section.header.replace("NAME", _SHOW[0]).replace("URL PREFIX", _ORIGIN)
    lines = ["", *_comment(section.summary)]
    if section.header.startswith("shows"):
        lines += _comment(f"This is an example: the show appears as the directory {_SHOW[0]}.")
    if section.header.startswith("origins"):
        lines += _comment("This is an example: any bucket works without a section of its own.")
    lines.append(f"[{header}]")
    for field in section.fields:
        lines += _field(field)
    return "\n".join(lines) + "\n"


def _field(field: FieldFacts) -> list[str]:
    limits = f" [{field.limits}]" if field.limits else ""
    setting = f"{field.name} = {field.example}"
    return [*_comment(field.description + limits), setting if field.required else f"#{setting}"]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
