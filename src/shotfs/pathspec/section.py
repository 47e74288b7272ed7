"""Reads one object of the document: takes typed members out of it and notes each mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from shotfs.pathspec.json_reader import JsonValue
from shotfs.pathspec.problems import Report, escape_pointer, suggest

NUMBER_MAX = 10**15
"""Nothing in a specification (seconds, numbers in names, ids) is larger."""


class Section:
    """One object of the document, at JSON pointer *where*.

    Every method answers None for a member that is missing or wrong, and notes what is wrong.
    """

    def __init__(self, report: Report, where: str, value: JsonValue) -> None:
        assert isinstance(value.value, dict)
        self.report = report
        self.where = where
        self.offset = value.key_offset
        self._value = value
        self._members = value.value

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def only(self, known: Collection[str]) -> None:
        """Note each name that is not in *known*, and each that stands twice."""
        self.report.check_names(self.where, self._value, known)

    def unique(self) -> None:
        """Note each name that stands twice."""
        self.report.check_duplicates(self.where, self._value)

    def pointer(self, name: str) -> str:
        """Return the JSON pointer of the member *name*."""
        return f"{self.where}/{escape_pointer(name)}"

    def offset_of(self, name: str) -> int:
        """Return where the member *name* stands, or this object where there is none."""
        member = self._members.get(name)
        return self.offset if member is None else member.key_offset

    def line_of(self, name: str) -> int:
        """Return the line of the member *name*."""
        return self.report.line(self.offset_of(name))

    @property
    def source(self) -> str:
        """The document that it is in."""
        return self.report.source(self.offset)

    def problem(self, name: str, message: str, fix: str | None = None) -> None:
        """Note a mistake of the member *name*."""
        self.report.add(self.pointer(name), message, self.offset_of(name), fix)

    def problem_at(self, name: str, index: int, message: str, fix: str | None = None) -> None:
        """Note a mistake at the character *index* of the text *name*, which is there."""
        offset = self.report.character(self._members[name].offset, index)
        message = f"{message} (character {index + 1})"
        self.report.add(self.pointer(name), message, offset, fix)

    def missing(self, message: str, fix: str | None = None) -> None:
        """Note that a member should be there."""
        self.report.add(self.where, message, self.offset, fix)

    def _wrong_kind(self, name: str, wanted: str) -> None:
        value = self._members[name].value
        fix = None
        if value is None:
            fix = "leave it out"
        elif wanted == "a string" and isinstance(value, int) and not isinstance(value, bool):
            fix = f'write it in double quotes: "{value}"' if abs(value) <= NUMBER_MAX else None
        self.problem(name, f'"{name}" must be {wanted}, not {self._members[name].kind}', fix)

    def text(self, name: str) -> str | None:
        """Return a string."""
        if name not in self._members:
            return None
        value = self._members[name].value
        if isinstance(value, str):
            return value
        self._wrong_kind(name, "a string")
        return None

    def word(self, name: str, known: Collection[str]) -> str | None:
        """Return one of the strings *known*."""
        value = self.text(name)
        if value is None or value in known:
            return value
        self.problem(name, f'"{name}" cannot be "{value[:100]}"', suggest(value, known))
        return None

    def integer(self, name: str, least: int, most: int) -> int | None:
        """Return a whole number in [*least*, *most*]."""
        if name not in self._members:
            return None
        value = self._members[name].value
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of number: 5.0 is 5, for editors too
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_kind(name, "a whole number")
            return None
        if not least <= value <= most:
            shown = str(value) if abs(value) <= NUMBER_MAX else "so large"
            self.problem(name, f'"{name}" must be from {least} to {most}, not {shown}')
            return None
        return value

    def boolean(self, name: str) -> bool | None:
        """Return true or false."""
        if name not in self._members:
            return None
        value = self._members[name].value
        if isinstance(value, bool):
            return value
        self._wrong_kind(name, "true or false")
        return None

    def raw(self, name: str) -> JsonValue | None:
        """Return a member of any kind, unchecked."""
        return self._members.get(name)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings, each once."""
        if name not in self._members:
            return None
        value = self._members[name].value
        if not isinstance(value, list):
            self._wrong_kind(name, "a list of strings")
            return None
        result: dict[str, None] = {}
        for index, item in enumerate(value):
            where = f"{self.pointer(name)}/{index}"
            if not isinstance(item.value, str):
                self.report.add(where, f"must be a string, not {item.kind}", item.offset)
            elif item.value in result:
                self.report.add(
                    where, f'"{item.value[:100]}" stands here twice', item.offset, "remove one"
                )
            else:
                result[item.value] = None
        return tuple(result)

    def section(self, name: str) -> Section | None:
        """Return an object."""
        member = self._members.get(name)
        if member is None:
            return None
        if isinstance(member.value, dict):
            return Section(self.report, self.pointer(name), member)
        self._wrong_kind(name, "an object")
        return None
