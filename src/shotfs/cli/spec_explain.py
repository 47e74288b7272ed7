"""``shotfs spec explain``: why a path is what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.output import ExitCode, emit, printable, run
from shotfs.cli.spec_source import Config, Json, Path, Site, Spec, find, row, table
from shotfs.pathspec import AliasMatch, DirectoryMatch, Explanation, PathKind, Specification
from shotfs.pathspec.repair import suggest_path
from shotfs.pathspec.samples import texts_of
from shotfs.pathspec.sequences import SequencePattern, find_tokens, sequence_of, tokens_for


@run
def explain(
    path: Path,
    spec: Spec = None,
    site: Site = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say what a path is: template, fields, policy and who set it; or why it is impossible.

    Ends with 1 when no template can produce the path.

    Example: shotfs spec explain /shows/ant/render/xy_1_100_030_00_v005 --spec ant.json
    """
    opened, relative = find(path, spec, config, site)
    specification = opened.specification
    explanation = specification.explain(relative)
    sequence = None
    is_unnamed = explanation.kind is PathKind.NONE or _is_fallback(specification, explanation)
    if is_unnamed and find_tokens(relative):
        sequence = sequence_of(specification, relative)
    if sequence is not None:
        explanation = _of_sequence(specification, sequence, relative)
    alias = specification.alias(relative)
    is_nothing = explanation.kind is PathKind.NONE and alias is None
    nearest = tuple(miss.template for miss in explanation.misses)
    suggestion = None
    if is_unnamed and alias is None and sequence is None:
        suggestion = suggest_path(specification, relative, nearest)
    data: dict[str, Any] = {"show": specification.show, "source": specification.source}
    data |= dataclasses.asdict(explanation)
    data["site"] = specification.site
    data["alias"] = None if alias is None else dataclasses.asdict(alias)
    data["suggestion"] = suggestion
    data["open"] = [] if sequence is None else [field.name for field in sequence.open]
    for field in data["fields"]:
        field["source"] = specification.field_sources.get(field["name"], specification.source)
    if alias is not None and explanation.kind is PathKind.NONE:
        data["kind"] = "alias"
    elif sequence is not None:
        data["kind"] = "sequence"
    emit(data, as_json, lambda: _explained(specification, explanation, alias, suggestion))
    if is_nothing:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _is_fallback(specification: Specification, explanation: Explanation) -> bool:
    """Return whether no template produces the path, and `unmatched` lets it pass."""
    if explanation.template is None:
        return False
    pattern = specification.patterns.get(explanation.template.name)
    return pattern is not None and pattern.fallback


def _of_sequence(specification: Specification, sequence: SequencePattern, path: str) -> Explanation:
    """Return the explanation of one of the files, with tokens in place of what differs."""
    tokens = {field.name: tokens_for(field, "hash") for field in sequence.open}
    example = sequence.path({field.name: texts_of(field)[0] for field in sequence.open})
    one = specification.explain(example)
    fields = tuple(
        dataclasses.replace(field, text=tokens[field.name]) if field.name in tokens else field
        for field in one.fields
        if field.name in tokens or field.name in sequence.fields
    )
    return dataclasses.replace(one, path=path, fields=fields)


def _explained(
    specification: Specification,
    explanation: Explanation,
    alias: AliasMatch | None,
    suggestion: str | None,
) -> RenderableType:
    parts: list[RenderableType] = [_line(_headline(specification, explanation, alias))]
    parts += [_line(f"  {text}") for text in _about_template(specification, explanation)]
    if alias is not None:
        parts += [_line(f"  {text}") for text in _about_alias(alias)]
    elif explanation.template is None and explanation.directory is not None:
        parts += [_line(f"  {text}") for text in _about_directory(explanation.directory)]
    if explanation.note is not None:
        parts.append(_line(f"  {explanation.note}"))
    if suggestion is not None:
        parts.append(_line(f"  perhaps {suggestion}"))
    if explanation.fields:
        shown = table("field", "text", "type", "wants", "usage", "line")
        for field in explanation.fields:
            source = specification.field_sources.get(field.name)
            place = _place(specification, source, field.line)
            row(shown, field.name, field.text, field.kind, field.wants, field.usage, place)
        parts += [Text(""), shown]
    if explanation.settings:
        shown = table("policy", "value", "set by", "line")
        for one in explanation.settings:
            place = "" if one.line is None else _place(specification, one.source, one.line)
            row(shown, one.key, one.value, one.where, place)
        parts += [Text(""), shown]
    if explanation.misses and alias is None:
        shown = table("other template", "why not")
        for miss in explanation.misses:
            row(shown, miss.template, miss.reason)
        parts += [Text(""), shown]
    return Group(*parts)


def _about_template(specification: Specification, explanation: Explanation) -> Iterator[str]:
    if explanation.template is None:
        return
    if not _is_fallback(specification, explanation):
        yield explanation.template.pattern
    if explanation.template.usage:
        yield explanation.template.usage


def _line(text: str) -> Text:
    return Text(printable(text))


def _place(specification: Specification, source: str | None, line: int) -> str:
    """Return the line; with its document where that is not the main one."""
    if source is None or source == specification.source:
        return str(line)
    directory = specification.source.rpartition("/")[0]
    return f"{source.removeprefix(f'{directory}/')}:{line}"


def _headline(
    specification: Specification, explanation: Explanation, alias: AliasMatch | None
) -> str:
    path = f"{specification.show}/{explanation.path}".rstrip("/")
    if explanation.template is not None:
        pattern = specification.patterns.get(explanation.template.name)
        source = pattern.source if pattern is not None and pattern.source else specification.source
        place = f"{source}:{explanation.template_line}"
        if _is_fallback(specification, explanation):
            return f"{path}: outside every template, allowed by unmatched ({place})"
        if explanation.kind is PathKind.SCRATCH:
            return f"{path}: a scratch name of template {explanation.template.name} ({place})"
        return f"{path}: template {explanation.template.name} ({place})"
    if alias is not None:
        return f"{path}: the alias {alias.alias} of versions ({alias.field})"
    if explanation.directory is not None:
        implied = "exists always" if explanation.directory.implied else "exists when it holds files"
        return f"{path}: a directory, which {implied}"
    return f"{path}: impossible, no template can produce it"


def _about_alias(alias: AliasMatch) -> list[str]:
    moves = "when a version is published" if alias.follows_publish else "by hand"
    lines = [alias.usage] if alias.usage else []
    kind = "directory" if alias.directory else "file"
    lines.append(f"a symbolic link to the {kind} {alias.target('VERSION')} beside it")
    lines.append(f"moves {moves}")
    lines.append(f"its history is {alias.origin}/{alias.key}")
    return lines


def _about_directory(directory: DirectoryMatch) -> list[str]:
    lines = ["jobs may write below it" if directory.writable else "read only"]
    lines.append(f"mode {directory.mode:04o}, its files are in {', '.join(directory.origins)}")
    if directory.version_depth is not None:
        lines.append("published and sealed as a whole version")
    if directory.aliases:
        lines.append("version aliases lie in it")
    return lines
