"""From a file and an environment to `Settings`, with the source of every value.

Order of precedence: environment variable, file, default. All mistakes are reported at once.
Reads files; opens no sockets and changes nothing.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from shotfs.config.document import Document, doubles, read_document
from shotfs.config.models import Settings
from shotfs.config.overrides import Override, overrides
from shotfs.config.positions import KeyPath
from shotfs.config.problems import key_text, plain_path, problem_of
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
    ("mount", "pin"),
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
    _resolve_paths(values, os.path.dirname(os.path.abspath(document.path)))
    variables = {override.path: override.name for override in found}
    settings, more = _validated(values, document, variables)
    problems = [*more, *doubles(document), *problems]
    if problems or settings is None:
        raise ConfigInvalid(document.path, sorted(problems, key=_place))
    return Loaded(
        settings=settings,
        sources=_sources(settings, document, variables),
        path=document.path if document.present else None,
        warnings=(*document.warnings, *warnings_of(settings, document)),
    )


def _place(problem: Problem) -> tuple[bool, int, int]:
    """Sort key: the order of the file, then what is not in the file."""
    return problem.line is None, problem.line or 0, problem.column or 0


def _document(path: str | None, environ: Mapping[str, str]) -> Document:
    chosen = path or environ.get(PATH_VARIABLE)
    if not chosen and not os.path.lexists(PATH_DEFAULT):
        return Document(PATH_DEFAULT, {}, {}, present=False)
    return read_document(chosen or PATH_DEFAULT)


def _merged(values: dict[str, Any], found: list[Override]) -> dict[str, Any]:
    """Return a copy of *values* with the overrides put in."""
    merged = copy.deepcopy(values)
    for override in found:
        table: Any = merged
        for key in override.path[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):  # else the file has a value there, which the model refuses
            table[override.path[-1]] = override.value
    return merged


def _validated(
    values: dict[str, Any], document: Document, variables: Mapping[tuple[str, ...], str]
) -> tuple[Settings | None, list[Problem]]:
    """Return the settings, or None and every mistake.

    pydantic checks the relations between fields only when the fields themselves are right. So
    what is wrong is taken out and the rest is checked again, until nothing more is found.
    """
    problems: list[Problem] = []
    removed: set[KeyPath] = set()
    while True:
        try:
            settings = Settings.model_validate(values)
        except ValidationError as exc:
            errors = exc.errors()
        else:
            return (None if problems else settings), problems
        paths = [plain_path(details["loc"]) for details in errors]
        for path, details in zip(paths, errors, strict=True):
            problem = problem_of(details, document, variables)
            if not _is_consequence(path, problem, removed):
                problems.append(problem)
        removed.update(paths)
        progress = [_remove(values, path) for path in paths]
        if not any(progress):
            return None, problems  # a relation between sections: nothing is checked after it


def _is_consequence(path: KeyPath, problem: Problem, removed: set[KeyPath]) -> bool:
    """Tell whether *problem* is only there because a value was taken out.

    Then it calls that value missing, or compares the default that stands in for it.
    """
    names = [
        str(gone[-1]) if gone[:-1] == path else key_text(gone) for gone in removed if len(gone) > 1
    ]
    return path in removed or any(
        re.search(rf"(?<!\w){re.escape(name)}(?!\w)", problem.message) for name in names
    )


def _remove(values: dict[str, Any], path: KeyPath) -> bool:
    """Take out what is at *path* and tell whether there was anything.

    A required field that is missing takes its table along.
    """
    parents: list[Any] = [values]
    for key in path[:-1]:
        inner = parents[-1].get(key) if isinstance(parents[-1], dict) else None
        parents.append(inner)
    for table, key in reversed(list(zip(parents, path, strict=False))):
        if isinstance(table, dict) and key in table:
            del table[key]
            return True
    return False


def _resolve_paths(values: dict[str, Any], directory: str) -> None:
    """Make the relative paths in *values* absolute; what is not a path yet stays as it is."""
    for section, field in _PATHS:
        _resolve(values.get(section), field, directory)
    for section, field in (("shows", "spec"), ("origins", "credentials_file")):
        tables = values.get(section)
        for table in tables.values() if isinstance(tables, dict) else ():
            _resolve(table, field, directory)


def _resolve(table: object, field: str, directory: str) -> None:
    if not isinstance(table, dict):
        return
    value = table.get(field)
    if isinstance(value, str) and value and not value.startswith("~") and not _URL.match(value):
        table[field] = os.path.join(directory, value)


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


def _sources(
    settings: Settings, document: Document, variables: Mapping[tuple[str, ...], str]
) -> dict[str, str]:
    # An origin's URL loses its closing slash in the model; its place must still be found.
    lines = {_without_slashes(path): place.line for path, place in document.positions.items()}
    sources: dict[str, str] = {}
    for path in leaves(settings):
        line = lines.get(_without_slashes(path))
        if path in variables:
            sources[key_text(path)] = f"env {variables[path]}"
        else:
            sources[key_text(path)] = "default" if line is None else f"{document.path}:{line}"
    return sources


def _without_slashes(path: KeyPath) -> KeyPath:
    return tuple(part.rstrip("/") if isinstance(part, str) else part for part in path)
