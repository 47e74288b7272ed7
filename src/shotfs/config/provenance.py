"""What is in force and where it came from, without secrets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shotfs.config.fields import is_size, toml_value
from shotfs.config.loading import Loaded, leaves
from shotfs.config.overrides import section_models
from shotfs.config.problems import key_text
from shotfs.config.secrets import redacted


@dataclass(frozen=True, slots=True)
class InForce:
    """One setting that is in force.

    Attributes:
        key: dotted, as in TOML.
        text: the value as TOML writes it, sizes with a unit; "-" where there is none.
        value: plain data; what looks like a secret is hidden.
        source: ``file:line``, ``env NAME`` or ``default``.
        section: path of the section, for grouping.
        name: of the field.
    """

    key: str
    value: Any
    text: str
    source: str
    section: tuple[str, ...]
    name: str


def in_force(loaded: Loaded) -> list[InForce]:
    """Return every setting of *loaded*, in the order of the models."""
    return [
        InForce(
            key=key_text(path),
            value=redacted(value),
            text=_text(path, redacted(value)),
            source=loaded.sources[key_text(path)],
            section=path[:-1],
            name=path[-1],
        )
        for path, value in leaves(loaded.settings).items()
    ]


def _text(path: tuple[str, ...], value: Any) -> str:
    if value is None:
        return "-"
    model = section_models().get(path[0])
    return toml_value(value, size=model is not None and is_size(model.model_fields[path[1]]))
