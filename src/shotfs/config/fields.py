"""What the models say of each setting, as plain facts for the template and the reference. Pure."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from shotfs.config.models import ShowSettings
from shotfs.config.network_models import OriginSettings
from shotfs.config.overrides import section_models, variable_for
from shotfs.config.section import Section
from shotfs.config.units import Seconds, SizeBytes, format_size


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One setting.

    Attributes:
        name: the field's name in its section.
        kind: what is written there, in words ("size", "true or false").
        default: as TOML; None where there is none (then the description says what applies).
        example: as TOML: the default, or something plausible where there is none.
        required: the section is invalid without it.
        limits: in words, "" where there are none.
        variable: the environment variable that overrides it; None where there is none.
        description: meaning, unit, and reason of the default.
    """

    name: str
    kind: str
    default: str | None
    example: str
    required: bool
    limits: str
    variable: str | None
    description: str


@dataclass(frozen=True, slots=True)
class SectionFacts:
    """One section: its TOML header without brackets, what it is, and its settings."""

    header: str
    summary: str
    fields: tuple[FieldFacts, ...]


def sections() -> tuple[SectionFacts, ...]:
    """Return every section, in the order of the models; shows and origins come last."""
    plain = [_section(name, name, model) for name, model in section_models().items()]
    return (
        *plain,
        _section("shows.NAME", "shows", ShowSettings),
        _section('origins."URL PREFIX"', "origins", OriginSettings),
    )


def toml_value(value: Any, *, size: bool = False) -> str:
    """Return *value* as TOML writes it; a size with its unit."""
    if size and isinstance(value, int):
        return f'"{format_size(value)}"' if value >= 1024 else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value == int(value) else repr(value)
    if isinstance(value, dict):
        return "{}" if not value else "{ " + _inline(value) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def is_size(info: FieldInfo) -> bool:
    """Tell whether the field is a number of bytes that takes units."""
    return _has_marker(info, SizeBytes)


def _inline(table: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {toml_value(value)}" for key, value in table.items())


def _section(header: str, name: str, model: type[Section]) -> SectionFacts:
    summary = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0]
    fields = tuple(_facts(name, field, info) for field, info in model.model_fields.items())
    return SectionFacts(header, summary, fields)


def _facts(section: str, name: str, info: FieldInfo) -> FieldFacts:
    size = is_size(info)
    default = _default(info)
    text = None if default is None else toml_value(default, size=size)
    example = toml_value(info.examples[0], size=size) if info.examples else text
    return FieldFacts(
        name=name,
        kind=_kind(info),
        default=text,
        example=example or '""',
        required=info.is_required(),
        limits=_limits(info, size=size),
        variable=_variable(section, name),
        description=info.description or "",
    )


def _variable(section: str, name: str) -> str | None:
    path = ("shows", "NAME", name) if section == "shows" else (section, name)
    return variable_for(path)


def _default(info: FieldInfo) -> Any:
    if info.default_factory is dict or info.default_factory is list:
        return info.default_factory()
    # Another factory looks at this machine (its host name), which is no fact of the setting.
    return None if info.default is PydanticUndefined else info.default


def _kind(info: FieldInfo) -> str:
    if is_size(info):
        return "size"
    if _has_marker(info, Seconds):
        return "duration"
    for annotation in _members(info.annotation):
        if typing.get_origin(annotation) is typing.Literal:
            return " or ".join(f'"{choice}"' for choice in typing.get_args(annotation))
        if typing.get_origin(annotation) is dict:
            return "table"
        if typing.get_origin(annotation) is list:
            return "list of texts"
        words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
        if annotation in words:
            return words[annotation]
    raise TypeError(f"no words for {info.annotation!r}")


def _members(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _members(member)
    elif annotation is not type(None):
        yield annotation


def _has_marker(info: FieldInfo, alias: Any) -> bool:
    """Tell whether *info* is annotated with *alias*: pydantic keeps the validators of both."""
    return any(marker in info.metadata for marker in alias.__metadata__)


_WORDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _limits(info: FieldInfo, *, size: bool) -> str:
    parts = []
    for attribute, words in _WORDS.items():
        for marker in _constraints(info):
            limit = getattr(marker, attribute, None)
            if limit is not None:
                parts.append(f"{words} {_amount(limit, size=size)}")
    return ", ".join(parts)


def _amount(limit: float, *, size: bool) -> str:
    if size and limit:
        return format_size(int(limit))
    return f"{int(limit):,}" if limit == int(limit) else f"{limit:g}"


def _constraints(info: FieldInfo) -> list[Any]:
    found = list(info.metadata)
    for annotation in typing.get_args(info.annotation):
        # `Annotated[int, Field(...)] | None` keeps its limits one level down.
        for marker in getattr(annotation, "__metadata__", ()):
            found.extend(getattr(marker, "metadata", ()))
    return found
