"""Reads a document of another system, YAML or JSON, with the line of every value.

YAML is read event by event, so that nesting, size and aliases are bounded before anything is built:
an alias shares its value instead of repeating it, and only the plain types exist (no tags that make
objects). JSON goes through our own reader. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from shotfs.errors import ImportInvalid, Problem
from shotfs.pathspec.json_reader import JsonError, JsonValue, Lines, read_json

SOURCE_BYTES_MAX = 2 * 1024 * 1024
"""The largest known templates.yml has 200 KB; the YAML reader takes a second for each MB."""

NESTING_MAX = 32
VALUES_MAX = 200_000
"""Members and items of one document, those that merge keys repeat included."""

_INTEGER_CHARACTERS_MAX = 300
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp")}

Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Value:
    """One value of a source and where it stands.

    Attributes:
        value: a scalar, a dict of name to Value, or a list of Value.
        line: from 1, of its name where it has one, else of itself. Column likewise.
        repeated: names that stand twice in this object.
    """

    value: Scalar | dict[str, Value] | list[Value]
    line: int
    column: int
    repeated: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Its type in words."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.value is None:
            return "nothing"
        if isinstance(self.value, bool):
            return "true or false"
        return "text" if isinstance(self.value, str) else "a number"


def read_source(text: str, source: str) -> Value:
    """Return the one value that *text*, YAML or JSON, holds.

    Raises:
        ImportInvalid: it is neither, or over a limit; the one problem has the line.
    """
    check_size(text, source)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return read_json_source(text, source)
        except ImportInvalid as refused:
            # A flow mapping of YAML begins like JSON.
            try:
                return _read_yaml(text, source)
            except ImportInvalid:
                raise refused from None
    return _read_yaml(text, source)


def check_size(text: str, source: str) -> None:
    """Refuse what is too large, or no UTF-8.

    Raises:
        ImportInvalid: it is.
    """
    if len(text) > SOURCE_BYTES_MAX:
        raise refusal(source, f"the document is larger than {SOURCE_BYTES_MAX} bytes", "split it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line, column = Lines(text).position(error.start)
        raise refusal(source, "not UTF-8", "save it as UTF-8", line, column) from error


def read_json_source(text: str, source: str) -> Value:
    """Return the one value that *text*, JSON, holds.

    Raises:
        ImportInvalid: it is not JSON.
    """
    check_size(text, source)
    lines = Lines(text)
    try:
        value = read_json(text)
    except JsonError as error:
        line, column = lines.position(error.offset)
        message = f"not JSON: {error.message}"
        raise refusal(source, message, error.fix, line, column) from error
    return _from_json(value, lines)


def refusal(
    source: str,
    message: str,
    fix: str | None = None,
    line: int | None = None,
    column: int | None = None,
) -> ImportInvalid:
    """Return the error of a *source* that cannot be read at all."""
    return ImportInvalid(source, [Problem("/", message, fix, line, column)])


def _from_json(value: JsonValue, lines: Lines) -> Value:
    line, column = lines.position(value.key_offset)
    if isinstance(value.value, dict):
        members = {name: _from_json(member, lines) for name, member in value.value.items()}
        return Value(members, line, column, [name for name, _ in value.duplicates])
    if isinstance(value.value, list):
        return Value([_from_json(item, lines) for item in value.value], line, column)
    return Value(value.value, line, column)


def _read_yaml(text: str, source: str) -> Value:
    try:
        return _Builder(source).build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not YAML: {error.problem or error.context or 'cannot be read'}"
        place = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        raise refusal(source, message, None, *place) from error
    except yaml.YAMLError as error:
        # The reader's own errors: characters that YAML does not allow.
        raise refusal(source, f"not YAML: {str(error).splitlines()[0]}") from error


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled."""

    made: Value
    anchor: str | None
    name: Value | None = None
    merged: list[Value] = field(default_factory=list)


class _Builder:
    def __init__(self, source: str) -> None:
        self._source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, Value | None] = {}
        self._root: Value | None = None
        self._count = 0
        self._resolver = yaml.SafeLoader("")

    def build(self, events: Iterator[yaml.Event]) -> Value:
        for event in events:
            match event:
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise self._refuse("more than one document", event, "keep one")
                case yaml.ScalarEvent():
                    self._put(self._scalar(event), event.anchor)
                case yaml.AliasEvent():
                    self._put(self._known(event), None)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._start(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case _:
                    pass  # stream and document marks
        if self._root is None:
            raise refusal(self._source, "the document is empty")
        return self._root

    def _refuse(self, message: str, event: yaml.Event, fix: str | None = None) -> ImportInvalid:
        return refusal(self._source, message, fix, *_position(event))

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self._open) >= NESTING_MAX:
            raise self._refuse(f"nested deeper than {NESTING_MAX} levels", event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            raise self._tagged(event.tag, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # not known until it ends
        value = Value({} if is_mapping else [], *_position(event))
        self._open.append(_Open(value, event.anchor))

    def _tagged(self, tag: str, event: yaml.Event) -> ImportInvalid:
        shown = tag[:80].replace(_TAG, "!!")
        return self._refuse(f"the tag {shown} is not read", event, "write plain text or a number")

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.made.value, dict):
            # Merged members come after the mapping's own, which override them.
            for merged in done.merged:
                assert isinstance(merged.value, dict)
                for name, member in merged.value.items():
                    self._counted(1)
                    done.made.value.setdefault(name, member)
        self._put(done.made, done.anchor)

    def _put(self, value: Value, anchor: str | None) -> None:
        self._counted(1)
        if anchor is not None:
            self._anchors[anchor] = value
        if not self._open:
            self._root = value
            return
        parent = self._open[-1]
        if isinstance(parent.made.value, list):
            parent.made.value.append(value)
        elif parent.name is None:
            if isinstance(value.value, dict | list):
                raise refusal(
                    self._source, f"a name cannot be {value.kind}", None, value.line, value.column
                )
            parent.name = value
        else:
            self._member(parent, parent.name, value)
            parent.name = None

    def _member(self, parent: _Open, name: Value, value: Value) -> None:
        members = parent.made.value
        assert isinstance(members, dict)
        if name.value == "<<":
            parts = value.value if isinstance(value.value, list) else [value]
            if not all(isinstance(part.value, dict) for part in parts):
                raise refusal(
                    self._source, '"<<" merges mappings only', None, name.line, name.column
                )
            parent.merged.extend(parts)
            return
        shown = str(name.value)
        if shown in members:
            parent.made.repeated.append(shown)
        # A new Value: one that an alias shares keeps its own place.
        members[shown] = Value(value.value, name.line, name.column, value.repeated)

    def _counted(self, count: int) -> None:
        self._count += count
        if self._count > VALUES_MAX:
            raise refusal(self._source, f"more than {VALUES_MAX} values", "split it")

    def _known(self, event: yaml.AliasEvent) -> Value:
        assert event.anchor is not None, "an alias has a name"
        value = self._anchors.get(event.anchor)
        if value is None:
            reason = "contains itself" if event.anchor in self._anchors else "is not defined above"
            raise self._refuse(f"the alias *{event.anchor[:80]} {reason}", event)
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> Value:
        tag = event.tag
        if tag in (None, "!"):
            tag = str(self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]  # typeshed leaves it out
        elif tag not in _PLAIN_TAGS:
            raise self._tagged(tag, event)
        try:
            event.value.encode()
        except UnicodeEncodeError as error:
            raise self._refuse("a text holds half of a surrogate pair", event) from error
        return Value(self._convert(tag, event), *_position(event))

    def _convert(self, tag: str, event: yaml.ScalarEvent) -> Scalar:
        text: str = event.value
        kind = tag.removeprefix(_TAG)
        if kind not in ("int", "float", "bool", "null"):
            return text  # timestamps, too: nothing here needs a date
        if kind == "null":
            return None
        if len(text) > _INTEGER_CHARACTERS_MAX:
            raise self._refuse(f"a number of more than {_INTEGER_CHARACTERS_MAX} digits", event)
        try:
            node = yaml.ScalarNode(tag, text)
            if kind == "bool":
                return bool(self._resolver.construct_yaml_bool(node))
            if kind == "int":
                return int(self._resolver.construct_yaml_int(node))
            return float(self._resolver.construct_yaml_float(node))
        except (ValueError, KeyError) as error:
            raise self._refuse(f"{text[:60]!r} cannot be read as {kind}", event) from error


def _position(event: yaml.Event) -> tuple[int, int]:
    """Return line and column of *event*, both from 1."""
    mark = event.start_mark
    assert mark is not None, "the parser marks every event"
    return mark.line + 1, mark.column + 1
