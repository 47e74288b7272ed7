"""Imports the anatomy of an AYON project: JSON with ``roots`` and ``templates``.

Read as the server's settings have it (lists of named templates), as a project has it (mappings,
with ``common`` beside the categories), or inside a project's ``config``. A template is a
``directory`` and a ``file``; ``{@key}`` stands for another member of the same template or of what
all share; ``<...>`` is an optional part, which may hold others; ``{version:0>3}`` is a number of
three digits.
AYON only writes paths from templates, and says nowhere which texts a key may have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shotfs.pathspec.fields import PAD_MAX
from shotfs.pathspec.importers.draft import Body, Draft
from shotfs.pathspec.importers.parts import Maybe, Part, Parts, Text, Use, each, merged
from shotfs.pathspec.importers.report import TOP, Notes, Place, Severity
from shotfs.pathspec.importers.source import Value, read_json_source
from shotfs.pathspec.problems import suggest

CATEGORIES = ("work", "publish", "hero", "delivery", "staging", "staging_directories", "others")
COMMON = ("common", "defaults")
TEXT_CHARACTERS_MAX = 20_000
LINKS_MAX = 32

ANY_TEXT = "[A-Za-z0-9_.-]+"
_EXTENSION = r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)?"
_LINK = re.compile(r"\{@([^{}]*)\}")
_PADDING = re.compile(r"(?:0>|0|0=)?([1-9][0-9]?)d?|d", re.ASCII)
_LEVELS = ("hierarchy", "folder[path]", "folder[parents]", "originalDirname")
_NUMBERS = ("version", "frame", "udim")
_DATES = {
    "yyyy": "[0-9]{4}", "yy": "[0-9]{2}", "mm": "(0[1-9]|1[0-2])", "m": "([1-9]|1[0-2])",
    "dd": "(0[1-9]|[12][0-9]|3[01])", "d": "([1-9]|[12][0-9]|3[01])", "mmm": "[A-Za-z]{3}",
    "mmmm": "[A-Za-z]+", "ddd": "[A-Za-z]{3}", "dddd": "[A-Za-z]+", "HH": "([01][0-9]|2[0-3])",
    "H": "([0-9]|1[0-9]|2[0-3])", "hh": "(0[1-9]|1[0-2])", "h": "([1-9]|1[0-2])", "ht": "[AP]M",
    "MM": "[0-5][0-9]", "M": "([0-9]|[1-5][0-9])", "SS": "[0-5][0-9]", "S": "([0-9]|[1-5][0-9])",
}  # fmt: skip
"""AYON's keys of the date, case and all."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One ``{name:spec}`` of a template."""

    name: str
    spec: str
    conversion: str


_Token = str | _Key


@dataclass(slots=True)
class _Template:
    """One template of the source, its links replaced."""

    name: str
    category: str
    text: str
    place: Place
    is_file: bool
    root: str = ""


def fill(draft: Draft, text: str, source: str, documents: Mapping[str, str]) -> None:
    """Put what *text* says into *draft*. There are no included documents.

    Raises:
        ImportInvalid: the source has mistakes.
    """
    del documents
    notes = draft.notes
    anatomy, place = _anatomy(draft, read_json_source(text, source), notes)
    notes.refuse_mistakes()
    templates = _templates(anatomy, place, notes)
    notes.refuse_mistakes()
    if not templates:
        notes.mistake(place, "the anatomy holds no templates", 'give its "templates"')
        notes.refuse_mistakes()
    if not draft.show:
        draft.show = "show"
        notes.note(
            Severity.GUESSED,
            TOP,
            'the anatomy does not name its project: "show"',
            "give --show NAME",
        )
    _Filler(draft, templates).fill()
    notes.refuse_mistakes()
    _roots(draft, anatomy.get("roots"), place, {one.root for one in templates})
    notes.remark(
        "The anatomy does not say which texts a key may have: names have letters, digits, _, . and "
        "-, an extension begins with a letter."
    )
    notes.remark(
        'Only "roots" and "templates" are read: the rest of an anatomy is not about paths.'
    )


# --- reading ------------------------------------------------------------------------------------


def _anatomy(draft: Draft, top: Value, notes: Notes) -> tuple[dict[str, Value], Place]:
    """Return the object that holds the templates, wherever it is; take the project's name."""
    place = Place("")
    for _ in range(3):
        if not isinstance(top.value, dict):
            break
        name = next((top.value[key] for key in ("name", "projectName") if key in top.value), None)
        if not draft.show and name is not None and isinstance(name.value, str):
            draft.show = name.value
        if "templates" in top.value or any(one in top.value for one in CATEGORIES):
            if "templates" not in top.value:
                return {"templates": top}, place
            return top.value, place
        inner = next((key for key in ("config", "anatomy", "project") if key in top.value), None)
        if inner is None:
            break
        member: Value = top.value[inner]
        top, place = member, place.below(inner, member)
    notes.mistake(
        place, "this is no anatomy: it has no templates", 'export it with "roots" and "templates"'
    )
    return {}, place


def _templates(anatomy: Mapping[str, Value], place: Place, notes: Notes) -> list[_Template]:
    top = anatomy["templates"]
    if "templates" in anatomy and anatomy["templates"] is not None:
        place = place.below("templates", top) if len(anatomy) > 1 or place.where else place
    if not isinstance(top.value, dict):
        notes.mistake(place, f'"templates" must be an object, not {top.kind}')
        return []
    common: dict[str, str] = {"version_padding": "3", "frame_padding": "4"}
    for name, value in top.value.items():
        if name in COMMON and isinstance(value.value, dict):
            common |= _scalars(value.value)
    common |= _scalars(top.value)
    found: list[_Template] = []
    for name, value in top.value.items():
        if name in COMMON or not isinstance(value.value, dict | list):
            continue
        if name not in CATEGORIES:
            notes.note(
                Severity.GUESSED,
                place.below(name, value),
                f'"{name}" is no category of AYON; it was read like "others"',
            )
        for item, member in _members(value).items():
            at = place.below(name, value).below(item, member)
            one = _template(name, item, member, common, at, notes)
            if one is not None:
                found.append(one)
    return found


def _scalars(members: Mapping[str, Value]) -> dict[str, str]:
    return {
        name: str(member.value)
        for name, member in members.items()
        if isinstance(member.value, str | int) and not isinstance(member.value, bool)
    }


def _members(value: Value) -> dict[str, Value]:
    """Return the templates of a category by name: it is an object, or a list of named objects."""
    if isinstance(value.value, dict):
        inner = value.value
        # Before there were several of a kind, a category was the template itself.
        is_template = any(isinstance(inner.get(key), Value) and not isinstance(
            inner[key].value, dict | list) for key in ("file", "path", "directory", "folder")
        )  # fmt: skip
        return {"default": value} if is_template else inner
    assert isinstance(value.value, list)
    found: dict[str, Value] = {}
    for index, item in enumerate(value.value):
        name = item.value.get("name") if isinstance(item.value, dict) else None
        shown = str(name.value) if name is not None else str(index)
        found[shown if shown not in found else f"{shown}_{index}"] = item
    return found


def _template(
    category: str, name: str, value: Value, common: Mapping[str, str], place: Place, notes: Notes
) -> _Template | None:
    shown = category if name in ("", "default") and category else f"{category}_{name}"
    members = {"value": value} if not isinstance(value.value, dict) else value.value
    texts = dict(common) | _scalars(members)
    if "folder" in texts and "directory" not in texts:
        texts["directory"] = texts["folder"]
    directory, file = texts.get("directory"), texts.get("file")
    whole = next((texts[key] for key in ("path", "value", "template") if texts.get(key)), None)
    if whole is None and directory is None and file is None:
        notes.mistake(
            place,
            f'template "{shown}" has no directory and no file',
            'write "directory" and "file"',
        )
        return None
    if whole is None:
        whole = "/".join(text for text in (directory, file) if text)
    text = _linked(whole, texts, shown, place, notes)
    if text is None:
        return None
    is_file = bool(file) or "path" in members
    return _Template(shown, category, text, place, is_file)


def _linked(
    text: str, texts: Mapping[str, str], template: str, place: Place, notes: Notes
) -> str | None:
    """Return *text* with every ``{@key}`` replaced."""
    for _ in range(LINKS_MAX):
        found = _LINK.search(text)
        if found is None:
            return text
        name = found.group(1)
        if name not in texts:
            notes.mistake(
                place,
                f'template "{template}" refers to the unknown key "{{@{name[:60]}}}"',
                suggest(name, texts),
            )
            return None
        text = text.replace(found.group(), texts[name])
        if len(text) > TEXT_CHARACTERS_MAX:
            break
    notes.mistake(
        place, f'template "{template}" refers to itself, or becomes too long', "untangle it"
    )
    return None


def _roots(draft: Draft, roots: Value | None, place: Place, used: set[str]) -> None:
    """Give the roots that templates use their URLs, where the anatomy has them."""
    known: dict[str, tuple[Value, Place]] = {}
    if roots is not None and isinstance(roots.value, dict | list):
        at = place.below("roots", roots)
        known = {name: (one, at.below(name, one)) for name, one in _members(roots).items()}
    for name in used:
        draft.roots.setdefault(name, "")
    for name in [name for name in draft.roots if not draft.roots[name] and name in known]:
        value, where = known[name]
        path = value.value.get("linux") if isinstance(value.value, dict) else None
        text = path.value if path is not None else None
        if not isinstance(text, str) or re.fullmatch(r"/[^\s?#{}\0]*[^/\s?#{}\0]", text) is None:
            continue
        draft.roots[name] = f"file://{text}/{draft.show}"
        draft.notes.note(
            Severity.GUESSED,
            where,
            f'root "{name}" is {draft.roots[name]}: a directory of this machine, with the project '
            "in it",
            f"give --root {name}=gs://bucket/prefix for a farm",
        )
    for name in known.keys() - used:
        value, where = known[name]
        draft.notes.note(Severity.LOST, where, f'no template uses root "{name}"', None)


# --- making -------------------------------------------------------------------------------------


class _Filler:
    def __init__(self, draft: Draft, templates: list[_Template]) -> None:
        self._draft = draft
        self._notes = draft.notes
        self._templates = templates
        self._fields: dict[tuple[str, str], str] = {}
        self._levels: dict[str, Parts] = {}

    def fill(self) -> None:
        cut = {one.name: _tokens(one, self._notes) for one in self._templates}
        for one in self._templates:
            one.root, cut[one.name] = self._rooted(one, cut[one.name])
        for one in self._templates:
            parts = self._parts(one, self._below_project(one, cut[one.name]))
            usage = f"AYON template {one.name.replace('_', ' / ', 1)}"
            self._draft.add_template(
                one.name, parts, one.place, root=one.root, usage=usage, file=one.is_file
            )

    def _rooted(self, one: _Template, tokens: list[_Token]) -> tuple[str, list[_Token]]:
        """Return the root that *tokens* begin with, and the tokens after it."""
        first = tokens[0] if tokens else ""
        if isinstance(first, _Key) and (first.name == "root" or first.name.startswith("root[")):
            return first.name[5:-1] or "work", tokens[1:]
        roots = {key.name for key in tokens if isinstance(key, _Key) and key.name[:4] == "root"}
        if roots:
            self._notes.mistake(
                one.place, f'template "{one.name}" has its root in the middle', "begin with it"
            )
        self._notes.note(
            Severity.GUESSED,
            one.place,
            f'template "{one.name}" begins with no root: "work" was taken',
            'set its "origin"',
        )
        return "work", tokens

    def _below_project(self, one: _Template, tokens: list[_Token]) -> list[_Token]:
        """Leave out the project's name after the root: the show's directory stands for it."""
        if tokens and isinstance(text := tokens[0], str) and text == "/" and len(tokens) > 1:
            tokens = tokens[1:]
        elif tokens and isinstance(text := tokens[0], str):
            tokens = [text.lstrip("/\\"), *tokens[1:]]
        first = tokens[0] if tokens else ""
        if isinstance(first, _Key) and first.name in ("project[name]", "project"):
            return tokens[1:]
        self._notes.note(
            Severity.GUESSED,
            one.place,
            f'template "{one.name}" does not begin with {{project[name]}}: it is below the show\'s '
            "directory all the same",
            f'let the root "{one.root}" of this template be the directory above its first element',
        )
        return tokens

    def _parts(self, one: _Template, tokens: list[_Token]) -> Parts:
        """Return *tokens* as parts, with what stands between < and > as optional."""
        stack: list[list[Part]] = [[]]
        for token in tokens:
            if isinstance(token, _Key):
                stack[-1].extend(self._key(one, token))
                continue
            for piece in re.split(r"([<>])", token.replace("\\", "/")):
                if piece == "<":
                    stack.append([])
                elif piece == ">" and len(stack) > 1:
                    inner = merged(tuple(stack.pop()))
                    stack[-1].extend(self._optional(inner))
                elif piece:
                    stack[-1].append(Text(piece))
        while len(stack) > 1:
            # A "<" that nothing closes is dropped, as AYON does it.
            inner = merged(tuple(stack.pop()))
            stack[-1].extend(inner)
        return merged(tuple(stack[0]))

    def _optional(self, inner: Parts) -> Parts:
        if not inner or not any(isinstance(part, Use) for part in each(inner)):
            return (Text("<"), *inner, Text(">"))  # without a key they are just characters
        if len(inner) == 1 and isinstance(only := inner[0], Maybe):
            return (only,)
        return (Maybe(inner),)

    def _key(self, one: _Template, key: _Key) -> Parts:
        if key.name in ("project[name]", "project"):
            return (Text(self._draft.show),)
        if key.conversion:
            self._notes.note(
                Severity.LOST,
                one.place,
                f'template "{one.name}": the conversion in {{{key.name}!{key.conversion}}}',
            )
        if key.name in _LEVELS:
            return self._hierarchy(one, key)
        return (Use(self._field(one, key)),)

    def _hierarchy(self, one: _Template, key: _Key) -> Parts:
        if key.name not in self._levels:
            shown = f"{{{key.name}}}"
            body = {"type": "str", "pattern": ANY_TEXT}
            names = [
                self._draft.add_field(
                    key.name, f"{_short(key.name)}_{level}",
                    body | {"usage": f"Folder {level} of {shown}"}, one.place,
                )
                for level in (1, 2)
            ]  # fmt: skip
            self._notes.note(
                Severity.NARROWED,
                one.place,
                f"{shown} is any number of folders; here it is one or two",
                f"for up to four add [/{{{_short(key.name)}_3}}/{{{_short(key.name)}_4}}] after "
                "it, and fields of these names",
            )
            self._levels[key.name] = (Use(names[0]), Maybe((Text("/"), Use(names[1]))))
        return self._levels[key.name]

    def _field(self, one: _Template, key: _Key) -> str:
        made = (key.name, key.spec)
        if made not in self._fields:
            body = self._body(one, key)
            self._fields[made] = self._draft.add_field(
                key.name, _short(key.name), body, one.place
            )  # fmt: skip
        return self._fields[made]

    def _body(self, one: _Template, key: _Key) -> Body:
        pad = self._pad(one, key)
        match key.name:
            case "version":
                return {"type": "version", "scheme": f"%0{pad or 1}d"}
            case "frame":
                return {"type": "frame", "pad": pad or 1}
            case "udim":
                return {"type": "udim"}
            case "ext" | "representation":
                return {"type": "str", "pattern": _EXTENSION}
            case name if name in _DATES:
                return {"type": "str", "pattern": _DATES[name]}
        if pad is not None:
            return {"type": "int", "pad": pad}
        return {"type": "str", "pattern": ANY_TEXT}

    def _pad(self, one: _Template, key: _Key) -> int | None:
        """Return the digits that the key's format asks for; None where it has none."""
        if not key.spec:
            return None
        found = _PADDING.fullmatch(key.spec)
        if found is not None and int(found.group(1) or 1) <= PAD_MAX:
            return int(found.group(1) or 1)
        self._notes.note(
            Severity.LOST,
            one.place,
            f'template "{one.name}": the format of {{{key.name}:{key.spec}}} cannot be said',
            "write a field that has the right texts",
        )
        return None


def _short(name: str) -> str:
    """Return what to call the field of a key: ``folder[name]`` is the folder."""
    return re.sub(r"\[name\]$", "", name)


def _tokens(one: _Template, notes: Notes) -> list[_Token]:
    """Cut the template's text at its keys, as Python's formatter does."""
    tokens: list[_Token] = []
    literal, index, text = "", 0, one.text
    while index < len(text):
        sign = text[index]
        if text[index : index + 2] in ("{{", "}}"):
            literal, index = literal + sign, index + 2
            continue
        if sign == "}":
            notes.mistake(one.place, f'template "{one.name}": "}}" without "{{"', "remove it")
        if sign != "{":
            literal, index = literal + sign, index + 1
            continue
        end = text.find("}", index)
        found = re.fullmatch(
            r"([^{}:!]+)(?:!([a-z]))?(?::([^{}]*))?", text[index + 1 : max(end, index)]
        )
        if found is None:
            notes.mistake(
                one.place,
                f'template "{one.name}": {text[index : index + 40]!r} is no key',
                "write {key}, {key[name]} or {key:0>3}",
            )
            return []
        if literal:
            tokens.append(literal)
            literal = ""
        tokens.append(_Key(found.group(1).strip(), found.group(3) or "", found.group(2) or ""))
        index = end + 1
    return [*tokens, literal] if literal else tokens
