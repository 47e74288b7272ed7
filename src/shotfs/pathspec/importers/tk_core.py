"""Imports `templates.yml` of tk-core (ShotGrid Toolkit, Flow Production Tracking).

Sections: ``keys`` become fields, ``paths`` become templates, ``strings`` are no paths. ``@name`` in
a definition stands for the definition of that template (the longest name that fits), ``@@`` for the
character; ``[...]`` is an optional part. A key without a filter accepts everything but "/".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from shotfs.pathspec.importers.draft import Draft
from shotfs.pathspec.importers.parts import (
    Maybe,
    Part,
    Parts,
    Refer,
    Text,
    Use,
    each,
    mapped,
    merged,
)
from shotfs.pathspec.importers.report import TOP, Notes, Place, Severity
from shotfs.pathspec.importers.source import Value, read_source
from shotfs.pathspec.importers.tk_keys import read_key
from shotfs.pathspec.problems import suggest

SECTIONS = ("keys", "paths", "strings")
DEFAULT_ROOT = "primary"
INCLUDES_MAX = 64
DEFINITION_CHARACTERS_MAX = 20_000

_KEY = re.compile(r"\{([a-zA-Z_ 0-9.]+)\}", re.ASCII)
_ESCAPED_AT = "\ue000"
_REFERENCE = re.compile("\ue001([0-9]+)\ue002")
_MARKS = re.compile("[\ue000-\ue002]")
_VARIABLES = re.compile(r"[~$%]|^[A-Za-z]:[\\/]")


@dataclass(slots=True)
class _Entry:
    """One member of a section, from whichever document."""

    value: Value
    place: Place


@dataclass(slots=True)
class _Definition:
    name: str
    section: str
    text: str
    place: Place
    root: str | None


def includes(text: str, source: str) -> tuple[str, ...]:
    """Return where the documents that *text* includes are, relative to *source*.

    Raises:
        ImportInvalid: it cannot be read.
    """
    top = read_source(text, source)
    return tuple(where for where, _ in _includes(top, source, Place(""), Notes(source)))


def fill(draft: Draft, text: str, source: str, documents: Mapping[str, str]) -> None:
    """Put what *text* says into *draft*.

    Args:
        draft: it is filled.
        text: YAML.
        source: a path; included documents are relative to it.
        documents: text of every included document by its location (see `includes`).

    Raises:
        ImportInvalid: the source has mistakes.
    """
    notes = draft.notes
    entries: dict[str, dict[str, _Entry]] = {section: {} for section in SECTIONS}
    _gather(text, source, None, documents, notes, entries, [])
    keys = _keys(draft, entries["keys"])
    definitions = _definitions(entries, notes)
    notes.refuse_mistakes()
    _templates(draft, definitions, keys)
    notes.refuse_mistakes()
    if not draft.templates:
        notes.mistake(TOP, 'the document has no "paths"', "give a templates.yml of tk-core")
        notes.refuse_mistakes()
    for root in dict.fromkeys(one.root for one in draft.templates.values()):
        assert root is not None
        draft.roots.setdefault(root, "")
    notes.remark("tk-core compares names without regard to case; here upper and lower case differ.")


# --- documents ----------------------------------------------------------------------------------


def _gather(
    text: str,
    source: str,
    file: str | None,
    documents: Mapping[str, str],
    notes: Notes,
    entries: dict[str, dict[str, _Entry]],
    above: list[str],
) -> None:
    """Add the sections of *text* to *entries*, those of what it includes first."""
    top = read_source(text, source)
    place = Place("", source=file)
    if not isinstance(top.value, dict):
        notes.mistake(place, f"the document must be a mapping, not {top.kind}")
        return
    for where, at in _includes(top, source, place, notes):
        if where in (*above, source):
            notes.mistake(at, f"{where} includes itself", "remove one of the includes")
        elif len(above) >= INCLUDES_MAX:
            notes.mistake(at, f"more than {INCLUDES_MAX} levels of includes")
        elif where not in documents:
            notes.mistake(at, f"the included {where} cannot be read", "put it there")
        else:
            _gather(
                documents[where], where, where, documents, notes, entries, [*above, source]
            )  # fmt: skip
    for name, value in top.value.items():
        if name in ("include", "includes"):
            continue
        if name not in SECTIONS:
            notes.note(
                Severity.LOST,
                place.below(name, value),
                f'the section "{name}" means nothing in a templates.yml',
            )
        elif isinstance(value.value, dict):
            _add_section(name, value, place.below(name, value), notes, entries[name])
        elif value.value is not None:
            notes.mistake(place.below(name, value), f'"{name}" must be a mapping')


def _add_section(
    name: str, value: Value, place: Place, notes: Notes, entries: dict[str, _Entry]
) -> None:
    assert isinstance(value.value, dict)
    for repeated in value.repeated:
        notes.note(
            Severity.LOST,
            place,
            f'"{repeated}" stands twice in "{name}"; YAML keeps the last one',
            "remove the other",
        )
    for member, data in value.value.items():
        entries[member] = _Entry(data, place.below(member, data))


def _includes(top: Value, source: str, place: Place, notes: Notes) -> list[tuple[str, Place]]:
    if not isinstance(top.value, dict):
        return []
    found: list[tuple[str, Place]] = []
    for name in ("include", "includes"):
        value = top.value.get(name)
        items = [] if value is None else value.value if isinstance(value.value, list) else [value]
        for item in items:
            at = place.below(name, item)
            if not isinstance(item.value, str):
                notes.mistake(at, f'"{name}" must hold paths, not {item.kind}')
            elif _VARIABLES.search(item.value):
                notes.note(
                    Severity.LOST,
                    at,
                    f"{item.value} is not read: it has a variable or a drive letter in it",
                    "write a path relative to this file",
                )
            else:
                where = posixpath.join(posixpath.dirname(source), item.value)
                found.append((posixpath.normpath(where), at))
    return found


# --- keys ---------------------------------------------------------------------------------------


def _keys(draft: Draft, entries: Mapping[str, _Entry]) -> dict[str, tuple[str, str]]:
    """Add a field for each key; return by key: (name of the field, name that tk-core gives it)."""
    made: dict[str, tuple[str, str]] = {}
    read = {
        name: read_key(name, entry.value, entry.place, draft.notes)
        for name, entry in entries.items()
    }
    called = [one[0] for one in read.values() if one is not None]
    for name, one in read.items():
        if one is None:
            continue
        alias, body = one
        # An alias is what programs call the key, unless several keys are called so.
        shared = called.count(alias) > 1
        wanted = name if shared else alias
        field = draft.add_field(name, wanted, body, entries[name].place)
        if shared and alias != name:
            draft.notes.note(
                Severity.RENAMED,
                entries[name].place,
                f'several keys have the name "{alias}": "{name}" is the field "{field}"',
            )
        made[name] = (field, alias)
    return made


# --- definitions --------------------------------------------------------------------------------


def _definitions(
    entries: Mapping[str, Mapping[str, _Entry]], notes: Notes
) -> dict[str, _Definition]:
    found: dict[str, _Definition] = {}
    for section in ("paths", "strings"):
        for name, entry in entries[section].items():
            one = _definition(name, section, entry, notes)
            if one is None:
                continue
            if name in found:
                notes.mistake(entry.place, f'"{name}" is a path and a string', "rename one")
            elif len(one.text) > DEFINITION_CHARACTERS_MAX or _MARKS.search(one.text):
                notes.mistake(entry.place, f'the definition of "{name}" cannot be a path')
            else:
                found[name] = one
    return found


def _definition(name: str, section: str, entry: _Entry, notes: Notes) -> _Definition | None:
    data = entry.value.value
    if isinstance(data, str):
        return _Definition(name, section, data, entry.place, DEFAULT_ROOT)
    if not isinstance(data, dict):
        notes.mistake(
            entry.place,
            f'template "{name}" must be text or a mapping, not {entry.value.kind}',
            'write definition: "..."',
        )
        return None
    known = ("definition", "root_name") if section == "paths" else ("definition", "validate_with")
    for option, member in data.items():
        if option not in known:
            notes.note(
                Severity.LOST,
                entry.place.below(option, member),
                f'template "{name}": tk-core itself does not read "{option}"',
            )
    texts: dict[str, str] = {}
    for option in known:
        value = data.get(option)
        if value is None or value.value is None:
            continue
        if not isinstance(value.value, str):
            notes.mistake(entry.place.below(option, value), f'"{option}" must be text')
            return None
        texts[option] = value.value
    if "definition" not in texts:
        notes.mistake(entry.place, f'template "{name}" has no definition', 'add "definition"')
        return None
    root = texts.get("root_name") or DEFAULT_ROOT
    return _Definition(name, section, texts["definition"], entry.place, root)


class _Resolver:
    """Finds what ``@name`` stands for. Each definition is expanded once."""

    def __init__(self, definitions: Mapping[str, _Definition], notes: Notes) -> None:
        self._definitions = definitions
        self._names = sorted(definitions, key=len, reverse=True)
        self._notes = notes
        self._texts: dict[str, str | None] = {}
        self.marks: list[str] = []

    def text(self, name: str, above: tuple[str, ...] = ()) -> str | None:
        """Return the definition of *name* without references; None after a mistake was noted."""
        if name in above:
            chain = " -> ".join([*above[above.index(name) :], name])
            self._notes.mistake(
                self._definitions[name].place,
                f'template "{name}" refers to itself ({chain})',
                "untangle it",
            )
            return None
        if name not in self._texts:
            own = self._definitions[name]
            text = self._replaced(own, (*above, name), mark=False)
            if text is not None and len(text) > DEFINITION_CHARACTERS_MAX:
                self._notes.mistake(own.place, f'the definition of "{name}" becomes too long')
                text = None
            self._texts[name] = text
        return self._texts[name]

    def marked(self, name: str) -> str | None:
        """Return the definition of *name*, with marks for references that can stay references."""
        if self.text(name) is None:
            return None
        return self._replaced(self._definitions[name], (name,), mark=True)

    def _replaced(
        self, definition: _Definition, above: tuple[str, ...], *, mark: bool
    ) -> str | None:
        first, *others = definition.text.replace("@@", _ESCAPED_AT).split("@")
        made = [first]
        for piece in others:
            if not piece:
                continue  # tk-core drops a lone "@"
            target = next((name for name in self._names if piece.startswith(name)), None)
            if target is None:
                known = [name for name in self._names if not name.isdigit()]
                self._notes.mistake(
                    definition.place,
                    f'template "{definition.name}" refers to the unknown template "@{piece[:60]}"',
                    suggest(re.split(r"[/{\[]", piece)[0], known),
                )
                return None
            text = self.text(target, above)
            if text is None:
                return None
            keeps = mark and self._definitions[target].section == "paths"
            if keeps and _stands_alone(text):
                self.marks.append(target)
                text = f"\ue001{len(self.marks) - 1}\ue002"
            made.append(text + piece[len(target) :])
        return "".join(made)


def _stands_alone(text: str) -> bool:
    """Return whether *text* means the same wherever it stands."""
    return "[" not in text and "]" not in text and not text.startswith("/")


def _templates(
    draft: Draft, definitions: Mapping[str, _Definition], keys: Mapping[str, tuple[str, str]]
) -> None:
    resolver = _Resolver(definitions, draft.notes)
    for definition in definitions.values():
        if definition.section == "strings":
            resolver.text(definition.name)  # its mistakes count, too
            draft.notes.note(
                Severity.LOST,
                definition.place,
                f'"{definition.name}" is a string ({definition.text}), and no path',
                "keep it in the program that uses it",
            )
            continue
        marked = resolver.marked(definition.name)
        if marked is None:
            continue
        parts = _parts(definition, marked, resolver.marks, keys, draft.notes)
        if parts is not None:
            draft.add_template(definition.name, parts, definition.place, root=definition.root)
    draft.notes.refuse_mistakes()
    names = {one.shown: name for name, one in draft.templates.items()}

    def renamed(part: Part) -> Parts:
        return (Refer(names[part.template]) if isinstance(part, Refer) else part,)

    for template in draft.templates.values():
        template.parts = mapped(template.parts, renamed)


def _parts(
    definition: _Definition,
    marked: str,
    marks: list[str],
    keys: Mapping[str, tuple[str, str]],
    notes: Notes,
) -> Parts | None:
    parts: list[Text | Use | Refer | Maybe] = []
    called: dict[str, str] = {}
    for piece in re.split(r"(\[[^\]]*\])", marked):
        inner = re.sub(r"[\[\]]", "", piece) if piece.startswith("[") else piece
        if "[" in inner or "]" in inner:
            notes.mistake(
                definition.place, f'template "{definition.name}" has a "[" or "]" without its other'
            )
            return None
        simple = _simple_parts(definition, inner, marks, keys, called, notes)
        if simple is None:
            return None
        if not piece.startswith("["):
            parts.extend(simple)
        elif any(isinstance(part, Use) for part in each(simple)):
            parts.append(Maybe(simple))
        elif inner:
            notes.note(
                Severity.GUESSED,
                definition.place,
                f'template "{definition.name}": the optional part "{piece}" has no key in it',
            )
            parts.append(Maybe(simple))
    made = merged(tuple(parts))
    if _side_by_side(made):
        notes.note(
            Severity.GUESSED,
            definition.place,
            f'template "{definition.name}" has keys side by side: tk-core writes such names, and '
            "reads them wrong; here they are read as they were written",
            "put a separator between them",
        )
    return made


def _side_by_side(parts: Parts) -> bool:
    """Return whether two keys stand side by side, with all optional parts or with none."""
    for optional in (True, False):
        previous: Part | None = None
        for part in each(tuple(one for one in parts if optional or not isinstance(one, Maybe))):
            if isinstance(part, Use) and isinstance(previous, Use):
                return True
            previous = previous if isinstance(part, Maybe) else part
    return False


def _simple_parts(
    definition: _Definition,
    text: str,
    marks: list[str],
    keys: Mapping[str, tuple[str, str]],
    called: dict[str, str],
    notes: Notes,
) -> Parts | None:
    parts: list[Text | Use | Refer] = []
    end = 0
    for found in re.finditer(f"{_KEY.pattern}|{_REFERENCE.pattern}", text, re.ASCII):
        parts.append(Text(_plain(text[end : found.start()])))
        end = found.end()
        if found.group(2) is not None:
            parts.append(Refer(marks[int(found.group(2))]))
            continue
        key = found.group(1)
        if key not in keys:
            notes.mistake(
                definition.place,
                f'template "{definition.name}" uses the unknown key "{key}"',
                f"{suggest(key, keys)}, or declare it",
            )
            return None
        field, name = keys[key]
        if called.setdefault(name, key) != key:
            notes.mistake(
                definition.place,
                f'template "{definition.name}" uses two keys that are called "{name}"',
                "remove an alias",
            )
            return None
        parts.append(Use(field))
    parts.append(Text(_plain(text[end:])))
    return merged(tuple(parts))


def _plain(text: str) -> str:
    return text.replace(_ESCAPED_AT, "@").replace("\\", "/")
