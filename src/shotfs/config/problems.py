"""pydantic's errors as sentences that name the setting, the line and the fix.

Every kind of error that the models can raise has a sentence here; pydantic's own words are the
last resort. Values are repeated only where they cannot be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shotfs.config.document import Document
from shotfs.config.models import OriginSettings, Section, Settings, ShowSettings
from shotfs.config.naming import nearest
from shotfs.config.overrides import Override, section_models
from shotfs.config.units import format_size
from shotfs.errors import Problem

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")

_TYPES = {
    "bool_type": ("true or false is expected", "write true or false, without quotes"),
    "bool_parsing": ("true or false is expected", "write true or false, without quotes"),
    "int_type": ("a whole number is expected", "write digits only, without quotes"),
    "int_from_float": ("a whole number is expected", "write digits only, without a fraction"),
    "float_type": ("a number is expected", "write a number, without quotes"),
    "string_type": ("a text is expected", 'put the value in "quotes"'),
    "dict_type": ("a table is expected", "write it as [section] with fields below"),
    "model_type": ("a table is expected", "write it as [section] with fields below"),
    "model_attributes_type": ("a table is expected", "write it as [section] with fields below"),
    "finite_number": ("a finite number is expected", "write a number"),
}


def key_text(path: tuple[str | int, ...]) -> str:
    """Return *path* as TOML writes it: ``origins."gs://bucket".region``."""
    return ".".join(
        str(part) if isinstance(part, int) or _BARE.match(part) else f'"{part}"' for part in path
    )


def problems_of(error: ValidationError, document: Document, found: list[Override]) -> list[Problem]:
    """Return the mistakes that *error* tells of, in the order of the file."""
    variables = {override.path: override.name for override in found}
    problems = [_problem(details, document, variables) for details in error.errors()]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _problem(
    details: ErrorDetails, document: Document, variables: Mapping[tuple[str, ...], str]
) -> Problem:
    path = _plain_path(details["loc"])
    message, fix = _sentence(details, path)
    anchor = _anchor(path, message, document)
    variable = variables.get(tuple(str(part) for part in anchor))
    if variable is not None:
        return Problem(f"{key_text(path)} (environment variable {variable})", message, fix)
    position = document.nearest(anchor)
    if position is None:
        return Problem(key_text(path) or "(document)", message, fix)
    return Problem(
        key_text(path) or "(document)", message, fix, line=position.line, column=position.column
    )


def _plain_path(location: tuple[int | str, ...]) -> tuple[str | int, ...]:
    """Drop what pydantic adds: '[key]' for a bad key, names of union members and validators."""
    plain: list[str | int] = []
    for depth, part in enumerate(location):
        if part == "[key]" or (depth >= _depth_max(location) and not isinstance(part, int)):
            continue
        plain.append(part)
    return tuple(plain)


def _depth_max(location: tuple[int | str, ...]) -> int:
    if location and location[0] in {"shows", "origins"}:
        return 4 if len(location) > 2 and location[2] == "options" else 3
    return 2


def _anchor(path: tuple[str | int, ...], message: str, document: Document) -> tuple[str | int, ...]:
    """Return the path whose line is shown: for a relation, the first of its fields in the file."""
    models: dict[str, type[Section]] = {**section_models(), "origins": OriginSettings}
    for section, model in models.items():
        for field in model.model_fields:
            named = f"{section}.{field}" in message or (
                path[:1] == (section,) and re.search(rf"\b{field}\b", message) is not None
            )
            base = path if path[:1] == (section,) else (section,)
            if named and (*base, field) in document.positions:
                return (*base, field)
    return path


def _sentence(details: ErrorDetails, path: tuple[str | int, ...]) -> tuple[str, str | None]:
    kind = details["type"]
    context: Mapping[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        return str(context["error"]), None
    if kind == "missing":
        return "is missing", f"add {path[-1]} = ..."
    if kind in _TYPES:
        return _TYPES[kind]
    if kind == "literal_error":
        return f"{details['input']!r} is not one of the choices", f"use {context['expected']}"
    return _limit(kind, context, str(path[-1]) if path else "", details["msg"])


def _limit(
    kind: str, context: Mapping[str, Any], field: str, otherwise: str
) -> tuple[str, str | None]:
    def amount(key: str) -> str:
        value = context[key]
        return format_size(int(value)) if "bytes" in field else f"{value:g}"

    match kind:
        case "greater_than_equal":
            return "is too small", f"use {amount('ge')} or more"
        case "greater_than":
            return "is too small", f"use more than {amount('gt')}"
        case "less_than_equal":
            return "is too large", f"use {amount('le')} or less"
        case "string_too_short":
            return "is empty", "write a value, or remove the line to have the default"
        case "string_too_long" | "too_long":
            return "is too long", f"use at most {context['max_length']}"
        case "string_pattern_mismatch":
            return "is not a URL of http or https without credentials", (
                'write it as "https://host" or "http://host:port"'
            )
    return otherwise, None


def _unknown(path: tuple[str | int, ...]) -> tuple[str, str | None]:
    known = _fields_beside(path)
    written = str(path[-1])
    guess = nearest(written, known)
    if guess is not None:
        return "there is no such setting", f"did you mean {key_text((*path[:-1], guess))}?"
    elsewhere = _elsewhere(written)
    if elsewhere is not None:
        return "there is no such setting here", f"did you mean {elsewhere}?"
    return "there is no such setting", f"remove it; known here: {', '.join(sorted(known))}"


def _fields_beside(path: tuple[str | int, ...]) -> list[str]:
    if len(path) == 1:
        return list(Settings.model_fields)
    models: dict[str, type[Section]] = {
        **section_models(),
        "shows": ShowSettings,
        "origins": OriginSettings,
    }
    return list(models[str(path[0])].model_fields)


def _elsewhere(written: str) -> str | None:
    for section, model in section_models().items():
        if written in model.model_fields:
            return f"{section}.{written}"
    return None
