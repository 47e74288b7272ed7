"""By what `manifest stats` and `diff` sum files up: the template of a path, or its pattern."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shotfs.pathspec import Specification

TemplatesOption = Annotated[
    bool,
    typer.Option(
        "--templates",
        help="Sum up by the templates of the configured shows, not by paths with # for numbers.",
    ),
]


def groups(config: str | None, *, templates: bool) -> Callable[[str], str]:
    """Return what gives a path the name of its group.

    Raises:
        ConfigInvalid, SpecInvalid, TierError, OSError: specifications cannot be read.
    """
    from shotfs.prewarm.manifest.summary import pattern_of

    return _Templates(config).of if templates else pattern_of


class _Templates:
    """Names the template of a path; reads the specification of a show when a path is in it."""

    def __init__(self, config: str | None) -> None:
        from shotfs import config as configuration

        self._config = config
        self._shows = configuration.load(config, os.environ).settings.shows
        self._known: dict[str, Specification | None] = {}

    def of(self, path: str) -> str:
        show, _, rest = path.partition("/")
        if show not in self._known:
            self._known[show] = self._read(show) if show in self._shows else None
        specification = self._known[show]
        if specification is None:
            return "(no such show)"
        found = specification.resolve(rest)
        return "(no template)" if found is None else f"{show}: {found.template.name}"

    def _read(self, show: str) -> Specification:
        from shotfs.cli.spec_source import specification_of

        return specification_of(None, self._config, show).specification
