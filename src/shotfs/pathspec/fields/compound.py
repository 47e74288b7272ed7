"""`compound` and `tree`: fields that are more or less than one part of a path element."""

from __future__ import annotations

from shotfs.pathspec.fields.base import Field, Heading
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import TemplateError, tokenize


def compound_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `compound`, or None when it has mistakes."""
    text = section.text("format")
    if text is None:
        if "format" not in section:
            section.missing(f'compound "{heading.name}" has no format', 'add "format"')
        return None
    try:
        tokens = tokenize(text)
    except TemplateError as error:
        section.problem("format", f"{error.message} (character {error.index + 1})", error.fix)
        return None
    if "/" in text or "\0" in text:
        section.problem(
            "format", "a compound is a part of one path element", 'put the "/" into the template'
        )
        return None
    return heading.field(text, None, tokens=tokens)


def tree_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `tree`, which has no keys of its own."""
    del section
    return heading.field("one or more path elements", None)
