"""What an import says of itself: what was not carried over as it was, and what to do by hand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shotfs.errors import ImportInvalid, Problem
from shotfs.pathspec.importers.source import Value
from shotfs.pathspec.problems import PROBLEMS_MAX, escape_pointer

FINDINGS_MAX = 20_000
"""A document of 2 MiB has fewer; a hostile one may not fill the memory."""


class Severity(StrEnum):
    """What became of one thing in the source.

    LOST: our form cannot say it.
    NARROWED: some paths of the original are not accepted any more.
    WIDENED: some paths are accepted that the original refuses.
    GUESSED: the source does not say it, and something had to be assumed.
    RENAMED: it has another name now.
    """

    LOST = "lost"
    NARROWED = "narrowed"
    WIDENED = "widened"
    GUESSED = "guessed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was.

    Attributes:
        where: JSON pointer into the source.
        line: of the source, from 1; None for what the source does not contain. Column likewise.
        what: what is different, naming the template or field.
        fix: what to do by hand, or None.
        source: the file, where it is not the one that was given (an included one).
    """

    severity: Severity
    where: str
    what: str
    fix: str | None = None
    line: int | None = None
    column: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """All that a person should know of one import.

    Attributes:
        findings: in the order of the source.
        remarks: differences between the two systems that hold for the whole document.
        mistakes: what `load` finds wrong with the document that was made; empty where it loads.
        warnings: what `load` warns of.
    """

    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    mistakes: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def complete(self) -> bool:
        """Whether everything was carried over, and the document loads."""
        kept = (Severity.WIDENED, Severity.GUESSED, Severity.RENAMED)
        return not self.mistakes and all(one.severity in kept for one in self.findings)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the source: JSON pointer, line and column, and which file."""

    where: str
    line: int | None = None
    column: int | None = None
    source: str | None = None

    def below(self, name: str | int, value: Value) -> Place:
        """Return the place of the member *name*, whose value is *value*."""
        pointer = f"{self.where}/{escape_pointer(str(name))}"
        return Place(pointer, value.line, value.column, self.source)


TOP = Place("")


class Notes:
    """Collects findings, remarks and mistakes of one import. Grows only, within limits."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._findings: dict[Finding, None] = {}
        self.remarks: list[str] = []
        self.problems: list[Problem] = []

    @property
    def findings(self) -> list[Finding]:
        """What is different, in the order of noting."""
        return list(self._findings)

    def note(self, severity: Severity, place: Place, what: str, fix: str | None = None) -> None:
        """Note what is different now at *place*; the same twice is noted once."""
        finding = Finding(
            severity, place.where or "/", what, fix, place.line, place.column, place.source
        )
        if len(self._findings) < FINDINGS_MAX:
            self._findings[finding] = None
        else:
            self.remark(f"There are more than {FINDINGS_MAX} differences; the rest is not told.")

    def remark(self, text: str) -> None:
        """Note what holds for the whole document, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def mistake(self, place: Place, message: str, fix: str | None = None) -> None:
        """Note a mistake of the source: the original system would not read it either."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(
                Problem(place.where or "/", message, fix, place.line, place.column, place.source)
            )

    def refuse_mistakes(self) -> None:
        """End the import if the source has mistakes.

        Raises:
            ImportInvalid: with all of them.
        """
        if self.problems:
            raise ImportInvalid(self._source, self.problems)
