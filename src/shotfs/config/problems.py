"""pydantic's errors as sentences that name the setting, the line and the fix.

Every kind of error that the models can raise has a sentence here; pydantic's own words are the
last resort. Values are repeated only where they cannot be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from shotfs.config.document import Document
from shotfs.config.mistake import Mistake
from shotfs.config.models import Settings, ShowSettings
from shotfs.config.naming import nearest
from shotfs.config.network_models import OriginSettings
from shotfs.config.overrides import section_models
from shotfs.config.positions import KeyPath
from shotfs.config.section import Section
from shotfs.config.units import format_size
from shotfs.errors import Problem

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")

_TYPES = {
    "bool_type": ("true or false is expected", "write true or false, without quotes"),
    "int_type": ("a whole number is expected", "write digits only, without quotes"),
    "int_from_float": ("a whole number is expected", "write digits only, without a fraction"),
    "float_type": ("a number is expected", "write a number, without quotes"),
    "finite_number": ("a finite number is expected", "write a number"),
    "string_type": ("a text is expected", 'put the value in "quotes"'),
    "string_unicode": ("this is not Unicode text", "remove what is not UTF-8"),
    "list_type": ("a list is expected", 'put the value in [brackets], also a single one: ["..."]'),
    "dict_type": ("a table is expected", "write it as [section] with its fields below"),
    "model_type": ("a table is expected", "write it as [section] with its fields below"),
}


def key_text(path: Iterable[str | int]) -> str:
    """Return *path* as TOML writes it: ``origins."gs://bucket".region``."""
    return ".".join(
        str(part) if isinstance(part, int) or _BARE.match(part) else _quoted(part) for part in path
    )


def plain_path(location: tuple[int | str, ...]) -> KeyPath:
    """Return *location* without what pydantic adds to it ('[key]', names of union members)."""
    without_key = tuple(part for part in location if part != "[key]")
    if without_key[:1] in {("shows",), ("origins",)}:
        return without_key[:3]
    return without_key[:2]


def problem_of(
    details: ErrorDetails, document: Document, variables: Mapping[tuple[str, ...], str]
) -> Problem:
    """Return the mistake that *details* tells of.

    Args:
        details: one of ``ValidationError.errors()``.
        document: for the place in the file.
        variables: the environment variable that set a path, where one did.
    """
    path = plain_path(details["loc"])
    message, fix = _sentence(details, path)
    anchor = _anchor(path, message, document, variables)
    where = key_text(path) or "(document)"
    variable = variables.get(tuple(str(part) for part in anchor))
    if variable is not None:
        return Problem(f"{where} (environment variable {variable})", message, fix)
    position = document.nearest(anchor)
    if position is None:
        return Problem(where, message, fix)
    return Problem(where, message, fix, line=position.line, column=position.column)


def _quoted(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    printable = "".join(s if s.isprintable() else f"\\u{ord(s):04x}" for s in escaped)
    return f'"{printable}"'


def _anchor(
    path: KeyPath,
    message: str,
    document: Document,
    variables: Mapping[tuple[str, ...], str],
) -> KeyPath:
    """Return the path whose place is shown.

    That is the path itself; for a relation between fields (its path is that of their section),
    the first field that the message names and that somebody set.
    """
    for candidate in _named_fields(path, message):
        if candidate in document.positions or candidate in variables:
            return candidate
    return path


def _named_fields(path: KeyPath, message: str) -> list[KeyPath]:
    if path[:1] == ("origins",):
        base, fields = path, OriginSettings.model_fields if len(path) == 2 else {}
        return [(*base, field) for field in fields if re.search(rf"\b{field}\b", message)]
    if len(path) > 1:
        return []
    return [
        (section, field)
        for section, model in section_models().items()
        for field in model.model_fields
        if re.search(rf"\b{section}\.{field}\b", message)
    ]


def _sentence(details: ErrorDetails, path: KeyPath) -> tuple[str, str | None]:
    kind = details["type"]
    context: Mapping[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        error = context["error"]
        return (error.message, error.fix) if isinstance(error, Mistake) else (str(error), None)
    if kind == "missing":
        example = _example(path)
        return "is missing", f"add {path[-1]} = {example}"
    if kind in _TYPES:
        return _TYPES[kind]
    if kind == "literal_error":
        return f"{details['input']!r} is not one of the choices", f"use {context['expected']}"
    field = str(path[-1]) if path else ""
    return _limit(kind, context, field) or (details["msg"], None)


def _limit(kind: str, context: Mapping[str, Any], field: str) -> tuple[str, str] | None:
    def amount(key: str) -> str:
        return format_size(int(context[key])) if "bytes" in field else f"{context[key]:g}"

    match kind:
        case "greater_than_equal":
            return "is too small", f"use {amount('ge')} or more"
        case "greater_than":
            return "is too small", f"use more than {amount('gt')}"
        case "less_than_equal":
            return "is too large", f"use {amount('le')} or less"
        case "string_too_short":
            return "is empty", "write a value, or remove the line to have the default"
        case "string_too_long":
            return "is too long", f"use at most {context['max_length']} characters"
        case "too_long":
            return "has too many entries", f"use at most {context['max_length']}"
        case "string_pattern_mismatch":
            return (
                "is not a URL of http or https without credentials",
                'write it as "https://host" or "http://host:port"',
            )
    return None


def _example(path: KeyPath) -> str:
    field = ShowSettings.model_fields.get(str(path[-1]))
    return f'"{field.examples[0]}"' if field is not None and field.examples else "..."


def _unknown(path: KeyPath) -> tuple[str, str]:
    known = _fields_beside(path)
    written = str(path[-1])
    guess = nearest(written, known)
    if guess is not None:
        return "there is no such setting", f"did you mean {key_text((*path[:-1], guess))}?"
    for section, model in section_models().items():
        if written in model.model_fields:
            return "there is no such setting here", f"did you mean {section}.{written}?"
    return "there is no such setting", f"remove it; known here: {', '.join(sorted(known))}"


def _fields_beside(path: KeyPath) -> list[str]:
    if len(path) == 1:
        return list(Settings.model_fields)
    models: dict[str, type[Section]] = {
        **section_models(),
        "shows": ShowSettings,
        "origins": OriginSettings,
    }
    return list(models[str(path[0])].model_fields)
