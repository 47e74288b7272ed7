"""What all sections of the settings share: their base class, and paths of this machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shotfs.config.mistake import Mistake


def plain_path(text: str) -> str:
    """Return *text*, a path as the configuration has it.

    Raises:
        Mistake: no path looks like that, or it hopes for a shell.
    """
    if "\0" in text:
        raise Mistake("a path cannot contain a zero byte", "remove it")
    if text.startswith("~"):
        raise Mistake("'~' is not expanded: a service has no home", "write the whole path")
    return text


LocalPath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(plain_path)]
"""A path of this machine. Relative ones are relative to the configuration file."""


class Section(BaseModel):
    """What all sections share: frozen, no unknown fields, no silent conversions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )
