"""``shotfs spec explain``: why a path is what it is."""

from __future__ import annotations

import dataclasses

from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, printable, run
from shotfs.cli.spec_source import Config, Json, Path, Spec, find, row, table
from shotfs.pathspec import Explanation, PathKind, Specification


@run
def explain(path: Path, spec: Spec = None, config: Config = None, as_json: Json = False) -> None:
    """Say what a path is: template, fields, policy and who set it; or why it is impossible.

    Ends with 1 when no template can produce the path.
    """
    specification, relative = find(path, spec, config)
    explanation = specification.explain(relative)
    data = {"show": specification.show, "source": specification.source}
    data |= dataclasses.asdict(explanation)
    emit(data, as_json, lambda: _explained(specification, explanation))
    if explanation.kind is PathKind.NONE:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _explained(specification: Specification, explanation: Explanation) -> RenderableType:
    parts: list[RenderableType] = [Text(printable(_headline(specification, explanation)))]
    if explanation.template is not None:
        parts.append(Text(printable(f"  {explanation.template.pattern}")))
        if explanation.template.usage:
            parts.append(Text(printable(f"  {explanation.template.usage}")))
    if explanation.fields:
        shown = table("field", "text", "type", "wants", "usage", "line")
        for field in explanation.fields:
            row(
                shown, field.name, field.text, field.kind, field.wants, field.usage, str(field.line)
            )
        parts += [Text(""), shown]
    if explanation.settings:
        shown = table("policy", "value", "set by", "line")
        for one in explanation.settings:
            row(shown, one.key, one.value, one.where, "" if one.line is None else str(one.line))
        parts += [Text(""), shown]
    if explanation.misses:
        shown = table("other template", "why not")
        for miss in explanation.misses:
            row(shown, miss.template, miss.reason)
        parts += [Text(""), shown]
    return Group(*parts)


def _headline(specification: Specification, explanation: Explanation) -> str:
    path = f"{specification.show}/{explanation.path}".rstrip("/")
    if explanation.template is not None:
        line = f"{specification.source}:{explanation.template_line}"
        if explanation.kind is PathKind.SCRATCH:
            return f"{path}: a scratch name of template {explanation.template.name} ({line})"
        return f"{path}: template {explanation.template.name} ({line})"
    if explanation.directory is not None:
        implied = "exists always" if explanation.directory.implied else "exists when it holds files"
        return f"{path}: a directory, which {implied}"
    return f"{path}: impossible, no template can produce it"
