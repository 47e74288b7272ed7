"""``shotfs spec diff``: which paths change meaning between two specifications."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, printable, run
from shotfs.cli.spec_source import Config, Json, Site, open_spec

if TYPE_CHECKING:
    from shotfs.pathspec.comparison import Changed, Comparison, Example, TemplateChange, Value


@run
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A specification: file or URL.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The other one.")],
    site: Site = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say which paths change meaning: templates, their paths, policy and fields.

    Ends with 0 when every path means what it meant (words may differ), with 1 otherwise.

    Example: shotfs spec diff ant.json ant-next.json
    """
    from shotfs.pathspec.compare import Side, compare
    from shotfs.pathspec.declarations import declarations

    sides = []
    for location in (old, new):
        opened = open_spec(location, site=site, config=config)
        sides.append(Side(opened.specification, declarations(opened.location, opened.texts)))
    comparison = compare(*sides)
    data: dict[str, Any] = {"old": old, "new": new, "same_meaning": comparison.same_meaning}
    data |= dataclasses.asdict(comparison)
    emit(data, as_json, lambda: Group(*_compared(comparison, old, new)))
    if not comparison.same_meaning:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _compared(comparison: Comparison, old: str, new: str) -> list[RenderableType]:
    lines = [_line(_summary(comparison, old, new))]
    lines += [_line(f"  {text}") for one in comparison.document for text in _changed(one)]
    for template in comparison.templates:
        lines += [Text(""), *_template(template)]
    for field in comparison.fields:
        lines.append(Text(""))
        if field.added or field.removed:
            lines.append(_styled(f"field {field.name}: ", "added" if field.added else "removed"))
            continue
        meaning = "changed" if field.keys else "other words"
        lines.append(_styled(f"field {field.name}: ", meaning))
        lines += [
            _line(f"  {text}") for one in (*field.keys, *field.words) for text in _changed(one)
        ]
    lines += [_line(f"\nnot seen: {text}") for text in comparison.limits]
    return list(lines)


def _summary(comparison: Comparison, old: str, new: str) -> str:
    if comparison.same_meaning:
        words = comparison.templates or comparison.fields
        rest = "; only words differ" if words else ""
        return f"{old} and {new}: every path means the same{rest}."
    templates = sum(not one.same_meaning for one in comparison.templates)
    fields = sum(bool(one.keys or one.added or one.removed) for one in comparison.fields)
    return f"{old} and {new}: {_count(templates, 'template')} and {_count(fields, 'field')} differ."


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


_PATHS = {
    "added": "added",
    "removed": "removed",
    "grew": "produces more paths",
    "shrank": "produces fewer paths",
    "changed": "produces other paths",
}


def _template(change: TemplateChange) -> list[Text]:
    what = [_PATHS[change.paths]] if change.paths in _PATHS else []
    if change.old_name is not None:
        what.append(f"renamed, was {change.old_name}")
    if change.fields:
        what.append("its fields read differently")
    if change.policy:
        what.append("other policy")
    if not what:
        what.append("other words" if change.exact else "no difference found")
    lines = [_styled(f"template {change.name}: ", ", ".join(what))]
    lines += [_line(f"  {_example(one)}") for one in change.examples]
    for one in (*change.words, *change.policy):
        lines += [_line(f"  {text}") for text in _changed(one)]
    return lines


def _example(example: Example) -> str:
    before = example.before or "impossible"
    after = example.after or "impossible"
    return f"{example.path}: {before} -> {after}"


def _changed(change: Changed) -> list[str]:
    if change.old is None or change.new is None:
        value = change.new or change.old
        word = "added" if change.old is None else "removed"
        return [f"{change.key}: {word} {_value(value)}"]
    return [f"{change.key}: {_value(change.old)} -> {_value(change.new)}"]


def _value(value: Value | None) -> str:
    return "" if value is None else f"{value.text or 'nothing'} ({value.where})"


def _styled(name: str, what: str) -> Text:
    return Text.assemble((printable(name), "bold"), printable(what))


def _line(text: str) -> Text:
    return Text(printable(text))
