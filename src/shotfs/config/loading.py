"""From a file and an environment to `Settings`, with the source of every value.

Order of precedence: environment variable, file, default. All mistakes are reported at once.
Reads files; opens no sockets and changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from shotfs.config.document import Document, read_document
from shotfs.config.models import Settings
from shotfs.config.overrides import Override, overrides
from shotfs.config.problems import key_text, problems_of
from shotfs.config.warnings import warnings_of
from shotfs.errors import ConfigInvalid, Problem

PATH_DEFAULT = "/etc/shotfs/shotfs.toml"
PATH_VARIABLE = "SHOTFS_CONFIG"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_PATHS = (
    ("cache", "directory"),
    ("spool", "directory"),
    ("control", "socket"),
    ("log", "file"),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is in force.

    Attributes:
        settings: with all paths absolute.
        sources: where each value came from, by dotted key: ``file:line``, ``env NAME`` or
            ``default``. Keys that are not bare words are quoted, as in TOML.
        path: the file that was read; None when there is none and the defaults apply.
        warnings: what is allowed but probably not meant.
    """

    settings: Settings
    sources: Mapping[str, str]
    path: str | None
    warnings: tuple[Problem, ...] = ()


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Return the settings in force.

    Args:
        path: the file; None means ``$SHOTFS_CONFIG``, else `PATH_DEFAULT`. Only the last may be
            absent: then the defaults and the environment apply.
        environ: ``os.environ`` or a stand-in.

    Raises:
        ConfigInvalid: with every mistake, in the order of the file.
    """
    document = _document(path, environ)
    found, problems = overrides(environ)
    values = _merged(document.values, found)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        problems = [*problems_of(exc, document, found), *problems]
    if problems:
        raise ConfigInvalid(document.path, problems)
    settings = _absolute(settings, os.path.dirname(os.path.abspath(document.path)))
    return Loaded(
        settings=settings,
        sources=_sources(settings, document, found),
        path=document.path if document.values or os.path.exists(document.path) else None,
        warnings=(*document.warnings, *warnings_of(settings, document)),
    )


def _document(path: str | None, environ: Mapping[str, str]) -> Document:
    chosen = path or environ.get(PATH_VARIABLE)
    if chosen is None and not os.path.lexists(PATH_DEFAULT):
        return Document(PATH_DEFAULT, {}, {})
    return read_document(chosen or PATH_DEFAULT)


def _merged(values: dict[str, Any], found: list[Override]) -> dict[str, Any]:
    """Return *values* with the overrides put in; *values* itself stays as it is."""
    merged = dict(values)
    for override in found:
        table = merged
        for key in override.path[:-1]:
            inner = table.get(key, {})
            if not isinstance(inner, dict):
                break  # the file has something else there, which the model will refuse
            table[key] = dict(inner)
            table = table[key]
        else:
            table[override.path[-1]] = override.value
    return merged


def _absolute(settings: Settings, directory: str) -> Settings:
    """Return *settings* with relative paths resolved against the file's *directory*."""
    for section, field in _PATHS:
        model = getattr(settings, section)
        value = getattr(model, field)
        if value is not None:
            changed = model.model_copy(update={field: os.path.join(directory, value)})
            settings = settings.model_copy(update={section: changed})
    shows = {
        name: show
        if _URL.match(show.spec)
        else show.model_copy(update={"spec": os.path.join(directory, show.spec)})
        for name, show in settings.shows.items()
    }
    origins = {
        prefix: origin
        if origin.credentials_file is None
        else origin.model_copy(
            update={"credentials_file": os.path.join(directory, origin.credentials_file)}
        )
        for prefix, origin in settings.origins.items()
    }
    return settings.model_copy(update={"shows": shows, "origins": origins})


def leaves(settings: Settings) -> dict[tuple[str, ...], Any]:
    """Return every single value by its path, in the order of the models."""
    return dict(_leaves((), settings))


def _leaves(path: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, BaseModel):
        children = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict) and path in {("shows",), ("origins",)}:
        children = list(value.items())
    else:
        return [(path, value)]
    return [leaf for name, child in children for leaf in _leaves((*path, name), child)]


def _sources(settings: Settings, document: Document, found: list[Override]) -> dict[str, str]:
    by_variable = {override.path: override.name for override in found}
    by_file: dict[tuple[str | int, ...], str] = {}
    for path, position in document.positions.items():
        # An origin's URL loses its closing slash in the model; its place must still be found.
        key = tuple(part.rstrip("/") if isinstance(part, str) else part for part in path)
        by_file.setdefault(key, f"{document.path}:{position.line}")
    sources: dict[str, str] = {}
    for path in leaves(settings):
        plain = tuple(part.rstrip("/") for part in path)
        if path in by_variable:
            sources[key_text(path)] = f"env {by_variable[path]}"
        else:
            sources[key_text(path)] = by_file.get(plain, "default")
    return sources
