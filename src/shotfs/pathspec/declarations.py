"""What the documents of a specification declare, as they say it: the raw values, merged.

A loaded specification has compiled fields, which say what matches and not how it was written. Tools
that compare or rewrite documents need the words. Only for documents that `load` accepts: nothing is
checked again here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.documents import include_locations
from shotfs.pathspec.json_reader import JsonValue, Lines, read_json

REFERENCE_DEPTH_MAX = 16
"""As `load` has it; deeper is refused there."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One field or template as a document has it.

    Attributes:
        value: plain JSON.
        source: the document.
        line: of that document, from 1.
    """

    value: Any
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Declarations:
    """All that the documents declare, where the including one wins over the included.

    Attributes:
        usage: of the main document.
        fields, templates: by name, abstract templates too; included ones first.
        roots: by name, of all documents.
        texts: of all documents, by location.
    """

    usage: str
    fields: Mapping[str, Declared]
    templates: Mapping[str, Declared]
    roots: Mapping[str, Declared]
    texts: Mapping[str, str]

    def path_of(self, template: str) -> str:
        """Return the path of *template* with every reference written out."""
        return self._written_out(self.templates[template].value["path"], 0)

    def _written_out(self, text: str, depth: int) -> str:
        assert depth <= REFERENCE_DEPTH_MAX, "load refuses circles"
        pieces: list[str] = []
        index = 0
        while index < len(text):
            if text.startswith(("{{", "}}"), index):
                pieces.append(text[index : index + 2])
                index += 2
            elif text.startswith("{@", index):
                end = text.index("}", index)
                name = text[index + 2 : end]
                pieces.append(self._written_out(self.templates[name].value["path"], depth + 1))
                index = end + 1
            else:
                pieces.append(text[index])
                index += 1
        return "".join(pieces)


def declarations(source: str, texts: Mapping[str, str]) -> Declarations:
    """Return what the document *source* declares, with all that it includes.

    Args:
        source: the location of the main document.
        texts: of every document by its location, the one of *source* among them.
    """
    main = read_json(texts[source])
    usage = _member(main, "usage")
    return Declarations(
        usage=str(usage.value) if usage is not None else "",
        fields=_merged(source, texts, "fields", set()),
        templates=_merged(source, texts, "templates", set()),
        roots=_merged(source, texts, "roots", set()),
        texts=dict(texts),
    )


def _merged(
    source: str, texts: Mapping[str, str], section: str, above: set[str]
) -> dict[str, Declared]:
    text = texts[source]
    found: dict[str, Declared] = {}
    for location in include_locations(text, source):
        if location not in above:
            found |= _merged(location, texts, section, above | {source})
    members = _member(read_json(text), section)
    lines = Lines(text)
    if members is not None and isinstance(members.value, dict):
        for name, one in members.value.items():
            line, _ = lines.position(one.key_offset)
            # Taken out first: an overriding declaration stands where the main document has it.
            found.pop(name, None)
            found[name] = Declared(plain(one), source, line)
    return found


def _member(document: JsonValue, name: str) -> JsonValue | None:
    return document.value.get(name) if isinstance(document.value, dict) else None


def plain(value: JsonValue) -> Any:
    """Return *value* without its positions."""
    if isinstance(value.value, dict):
        return {name: plain(one) for name, one in value.value.items()}
    if isinstance(value.value, list):
        return [plain(one) for one in value.value]
    return value.value


def meaning(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field's declaration without what is for people only."""
    found = {key: value for key, value in declared.items() if key != "usage"}
    if isinstance(found.get("choices"), dict):
        found["choices"] = list(found["choices"])
    if isinstance(found.get("aliases"), dict):
        found["aliases"] = {
            name: {key: one for key, one in alias.items() if key != "usage"}
            for name, alias in found["aliases"].items()
        }
    return found


def words(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a field's declaration says to people only, by key, as in ``choices/beauty``."""
    found: dict[str, Any] = {"usage": declared.get("usage", "")}
    for key in ("choices", "aliases"):
        members = declared.get(key)
        if not isinstance(members, dict):
            continue
        for name, said in members.items():
            found[f"{key}/{name}"] = said.get("usage", "") if isinstance(said, dict) else said
    return found
