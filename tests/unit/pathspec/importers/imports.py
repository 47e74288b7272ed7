"""Makes imports for the tests: short sources in, specifications and findings out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from shotfs.errors import ImportInvalid, Problem
from shotfs.pathspec import Specification, load
from shotfs.pathspec.importers import ImportReport, Severity, convert, document_text

ROOTS = {"primary": "gs://ant/ant"}


def tk_core(
    keys: Mapping[str, Any], paths: Mapping[str, Any], **more: Any
) -> tuple[Specification, ImportReport]:
    """Import a templates.yml with these sections; the result must load."""
    text = yaml.safe_dump({"keys": keys, "paths": paths, **more}, sort_keys=False)
    return imported("tk-core", text, roots=ROOTS)


def imported(
    system: str, text: str, *, roots: Mapping[str, str] | None = None
) -> tuple[Specification, ImportReport]:
    """Import *text*; the result must load."""
    document, report = convert(system, text, source="source.yml", show="ant", roots=roots)
    assert report.mistakes == ()
    return load(document_text(document), source="made.json"), report


def lucidity(patterns: Any) -> tuple[Specification, ImportReport]:
    """Import patterns; the result must load."""
    return imported("lucidity", json.dumps(patterns), roots={"main": "gs://ant/ant"})


def said(report: ImportReport, *severities: Severity) -> list[str]:
    """The findings of *severities*, shortly: where they are."""
    return [one.where for one in report.findings if one.severity in severities]


def accepts(specification: Specification, path: str) -> bool:
    """Whether some template produces *path*, and gives it back from its fields."""
    resolution = specification.resolve(path)
    if resolution is None:
        return False
    assert specification.format(resolution.template.name, dict(resolution.fields)) == path
    return True


def refused(system: str, text: str) -> list[Problem]:
    """The mistakes for which *text* is refused; empty where it is imported."""
    try:
        convert(system, text, source="source", show="ant")
    except ImportInvalid as error:
        return error.problems
    return []
