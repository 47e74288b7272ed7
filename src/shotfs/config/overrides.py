"""Settings from the environment: ``SHOTFS_SECTION__FIELD``.

A section and a field are written in capitals with two underscores between them. A show's name
keeps its case: ``SHOTFS_SHOWS__alpha__SPEC``. Origins have URLs for names, which an environment
variable cannot carry, so they are set in the file only.
"""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.config.models import Settings, ShowSettings
from shotfs.config.naming import nearest
from shotfs.config.section import Section
from shotfs.errors import Problem

PREFIX = "SHOTFS_"
SEPARATOR = "__"


@dataclass(frozen=True, slots=True)
class Override:
    """One setting from the environment.

    Attributes:
        name: of the environment variable.
        path: of the setting.
        value: as TOML would have given it.
    """

    name: str
    path: tuple[str, ...]
    value: Any


def overrides(environ: Mapping[str, str]) -> tuple[list[Override], list[Problem]]:
    """Return the settings that *environ* carries, in the order of their names, and the mistakes."""
    found: list[Override] = []
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or SEPARATOR not in name:
            continue  # SHOTFS_CONFIG, SHOTFS_JOB and their like are not settings
        result = _override(name, environ[name])
        if isinstance(result, Problem):
            problems.append(result)
        else:
            found.append(result)
    return found, problems


def variable_for(path: tuple[str, ...]) -> str | None:
    """Return the variable that overrides the setting at *path*; None where there is none."""
    if path[0] == "origins":
        return None
    if path[0] == "shows":
        return f"{PREFIX}SHOWS{SEPARATOR}{path[1]}{SEPARATOR}{path[2].upper()}"
    return PREFIX + SEPARATOR.join(path).upper()


def _override(name: str, text: str) -> Override | Problem:
    section, *rest = name.removeprefix(PREFIX).split(SEPARATOR)
    section = section.lower()
    model = section_models().get(section)
    where = f"environment variable {name}"
    if section == "origins":
        return Problem(where, "origins are set in the file only", f"unset {name}")
    if section == "shows" and len(rest) >= 2:
        # A show's name may itself hold two underscores; the field never does.
        show, field = SEPARATOR.join(rest[:-1]), rest[-1].lower()
        path: tuple[str, ...] = ("shows", show, field)
        model = ShowSettings
    elif model is not None and len(rest) == 1:
        field = rest[0].lower()
        path = (section, field)
    else:
        return Problem(where, "names no setting", _guess(section, rest))
    if field not in model.model_fields:
        return Problem(where, "names no setting", _guess(section, rest))
    return Override(name, path, _value(text, model.model_fields[field].annotation))


def section_models() -> dict[str, type[Section]]:
    """Return the model of each section that is one table (not shows and origins)."""
    return {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }


def _guess(section: str, rest: list[str]) -> str:
    written = SEPARATOR.join([section, *rest]).upper()
    known = [
        SEPARATOR.join((name, field)).upper()
        for name, model in section_models().items()
        for field in model.model_fields
    ]
    guess = nearest(written, known)
    if guess is not None:
        return f"did you mean {PREFIX}{guess}?"
    return f"write {PREFIX}SECTION{SEPARATOR}FIELD, such as SHOTFS_CACHE__BYTES_MAX, or unset it"


def _value(text: str, annotation: Any) -> Any:
    """Return *text* as the field's type needs it: text stays text, the rest is read as TOML."""
    if _takes_text(annotation):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # "100 GiB"; the model says what is wrong with anything else


def _takes_text(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _takes_text(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType, typing.Literal}:
        return any(_takes_text(arg) for arg in typing.get_args(annotation))
    return annotation is str or isinstance(annotation, str)
