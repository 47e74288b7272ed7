"""Converts a document of another system to ours, with a report of what is different."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from shotfs.pathspec.importers import ayon, lucidity, tk_core
from shotfs.pathspec.importers.draft import Body, Draft, template_name
from shotfs.pathspec.importers.report import TOP, ImportReport, Notes, Severity
from shotfs.pathspec.importers.settle import settle

_SHOW = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)

NO_POLICY = (
    "The source says nothing of policy: nothing may be written, and nothing counts as "
    'unchangeable, until the document says so ("flow", "immutable", ...).'
)


@dataclass(frozen=True, slots=True)
class System:
    """One system that documents come from.

    Attributes:
        title: what its documents are, for people.
        ordered: of two templates that match one path, its first one counts.
    """

    title: str
    fill: Callable[[Draft, str, str, Mapping[str, str]], None]
    ordered: bool


SYSTEMS: Mapping[str, System] = {
    "tk-core": System("templates.yml of tk-core", tk_core.fill, ordered=False),
    "lucidity": System("patterns of lucidity", lucidity.fill, ordered=True),
    "ayon": System("anatomy of AYON", ayon.fill, ordered=False),
}


def convert(
    system: str,
    text: str,
    *,
    source: str,
    show: str | None = None,
    roots: Mapping[str, str] | None = None,
    documents: Mapping[str, str] | None = None,
) -> tuple[Body, ImportReport]:
    """Return *text*, a document of *system*, as a document of ours, and what is different.

    Args:
        system: one of `SYSTEMS`.
        text: YAML or JSON.
        source: a path, for messages; included documents are relative to it.
        show: the show's name; None takes one from the source, or guesses.
        roots: URL of each root by its name in the source; others get a URL that leads nowhere.
        documents: text of the included documents by location (`tk_core.includes`).

    Raises:
        ImportInvalid: the source cannot be read, or has mistakes; with lines.
    """
    notes = Notes(source)
    one = SYSTEMS[system]
    name = source.replace("\\", "/").rpartition("/")[2]
    draft = Draft(notes, show=show or "", usage=f"Imported from {name}, {one.title}")
    draft.roots.update(roots or {})
    one.fill(draft, text, source, documents or {})
    _name_show(draft)
    _check_given(draft, roots or {})
    _find_roots(draft)
    mistakes, warnings = settle(draft, ordered=one.ordered)
    notes.remark(NO_POLICY)
    report = ImportReport(
        tuple(sorted(notes.findings, key=lambda one: (one.source or "", one.line or 0))),
        tuple(notes.remarks),
        tuple(mistakes),
        tuple(warnings),
    )
    return draft.document(), report


def _name_show(draft: Draft) -> None:
    if not draft.show:
        draft.show = "show"
        draft.notes.note(
            Severity.GUESSED, TOP, 'the source does not name its show: "show"', "give --show NAME"
        )
    elif _SHOW.fullmatch(draft.show) is None:
        name = template_name(draft.show)
        draft.notes.note(Severity.RENAMED, TOP, f'the show "{draft.show}" is called "{name}" here')
        draft.show = name


def _check_given(draft: Draft, given: Iterable[str]) -> None:
    """Note each root that was given a URL and is none of the source."""
    used = {template.root for template in draft.templates.values() if template.root}
    for root in given:
        if root not in used:
            listed = ", ".join(sorted(used)) or "none"
            draft.notes.note(
                Severity.LOST,
                TOP,
                f'the source has no root "{root}": its URL is not used',
                f"give --root with one of its roots: {listed}",
            )
            draft.roots.pop(root, None)


def _find_roots(draft: Draft) -> None:
    """Give every root a valid name and a URL."""
    names = {root: template_name(root) for root in draft.roots}
    for template in draft.templates.values():
        template.root = names.get(template.root or "", template.root)
    roots: dict[str, str] = {}
    for root, known in draft.roots.items():
        name, url = names[root], known
        if name != root:
            draft.notes.note(Severity.RENAMED, TOP, f'the root "{root}" is called "{name}" here')
        if not url:
            host = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "root"
            url = f"https://{host}.invalid/{draft.show}"
            draft.notes.note(
                Severity.GUESSED,
                TOP,
                f'the source does not say where root "{root}" is: {url} leads nowhere',
                f"give --root {root}=gs://bucket/prefix",
            )
        roots[name] = url
    draft.roots = roots
