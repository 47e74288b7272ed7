"""Judges a delivery: which files are misnamed, missing, too much, or not fit to be stored.

Takes the files in the order of a walk (depth first, each directory sorted without regard to case,
its own entry before what is in it) and keeps only what the directories that are open need, so a
million files take no more memory than the largest directory. Findings are counted all and kept up
to a limit. Pure: whoever walks the tree gives the entries.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shotfs.pathspec.gaps import Collector, Gap
from shotfs.pathspec.problems import nearest
from shotfs.pathspec.repair import suggest_path
from shotfs.pathspec.specification import Specification

SHOWN_MAX = 100
"""Findings of one kind that are kept, where the caller does not say."""

DIAGNOSES_MAX = 1000
"""Wrong names for which the nearest template is looked for, and a right name."""

COMPARISONS_MAX = 20_000
"""Comparisons of a wrong name with a template: in large specifications for fewer names."""

KEY_BYTES_MAX = 1024
NAME_BYTES_MAX = 255

JUNK_NAMES = frozenset(
    (".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", ".localized", "icon\r", ".picasa.ini")
)
JUNK_DIRECTORIES = frozenset(
    (
        "__macosx", ".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".appledouble",
        "$recycle.bin", "system volume information", "lost+found", ".git", ".svn", "@eadir",
    )
)  # fmt: skip
"""What operating systems and tools leave in directories; compared without regard to case."""


class EntryKind(StrEnum):
    """What a walk finds."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    SPECIAL = "special"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the delivery.

    Attributes:
        path: relative to the delivery; bytes that are no UTF-8 are surrogates.
        target: of a link, as it is written there.
        reason: why it is unreadable.
    """

    path: str
    kind: EntryKind = EntryKind.FILE
    size_bytes: int = 0
    target: str = ""
    reason: str = ""


class FindingKind(StrEnum):
    """What can be wrong with a delivery; all but SPARSE and VERSION make it not in order."""

    MISNAMED = "misnamed"
    WRONG_CASE = "wrong case"
    EXTRA = "extra"
    JUNK = "junk"
    SCRATCH = "working file"
    EMPTY = "empty"
    BAD_NAME = "bad name"
    TWIN = "differs by case only"
    LINK = "link"
    SPECIAL = "no file"
    UNREADABLE = "unreadable"
    FRAMES = "missing frames"
    TILES = "missing tiles"
    VIEW = "missing view"
    REQUIRED = "missing"
    CHECKSUM = "checksum"
    VERSION = "skipped version"
    SPARSE = "tiles left out"

    @property
    def is_wrong(self) -> bool:
        """Whether the delivery cannot be taken so; otherwise it is worth a look."""
        return self not in (FindingKind.VERSION, FindingKind.SPARSE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that somebody should look at.

    Attributes:
        path: of the file, or of the directory that a whole tree is misnamed by (ends with "/").
        message: what is wrong, without the path.
        suggestion: the right name, or None.
        files: how many files it is about.
    """

    kind: FindingKind
    path: str
    message: str
    suggestion: str | None = None
    files: int = 1


@dataclass(slots=True)
class Tally:
    """Files and bytes."""

    files: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Report:
    """The judgement.

    Attributes:
        files, size_bytes: all that was found, junk too.
        templates: files of each template that has some.
        counts: files, sequences or names of each kind, all of them.
        findings: at most so many of each kind as the caller wants, in the order of the walk.
        notes: what was not looked at, as sentences.
    """

    files: int = 0
    size_bytes: int = 0
    templates: dict[str, Tally] = field(default_factory=dict)
    counts: dict[FindingKind, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def in_order(self) -> bool:
        """Whether nothing is wrong."""
        return not any(kind.is_wrong for kind in self.counts)

    def add(self, finding: Finding, shown_max: int) -> None:
        """Count *finding*, and keep it while there are fewer than *shown_max* of its kind."""
        seen = self.counts.get(finding.kind, 0)
        self.counts[finding.kind] = seen + 1
        if seen < shown_max:
            self.findings.append(finding)


def judge(
    specification: Specification,
    entries: Iterable[Entry],
    *,
    required: Collection[str] = (),
    expected: Sequence[int] = (),
    shown_max: int = SHOWN_MAX,
) -> Report:
    """Return what is wrong with the delivery *entries*.

    Args:
        specification: of the show, or what `vendor.export` made of it.
        entries: in the order that the module describes.
        required: templates of which there must be a file.
        expected: frames that every sequence must have, sorted; none: those that it spans.
        shown_max: how many findings of each kind are kept.
    """
    judging = _Judging(specification, expected, shown_max)
    for entry in entries:
        judging.add(entry)
    return judging.finish(required)


class _Judging:
    def __init__(
        self, specification: Specification, expected: Sequence[int], shown_max: int
    ) -> None:
        self._specification = specification
        self._shown_max = shown_max
        self._report = Report()
        self._collector = Collector(specification, expected)
        self._last: list[str] = []
        self._wrong: _WrongDirectory | None = None
        self._diagnoses = 0

    def add(self, entry: Entry) -> None:
        if entry.kind is not EntryKind.DIRECTORY:
            self._report.files += 1
            self._report.size_bytes += entry.size_bytes
        if self._wrong is not None and not entry.path.startswith(self._wrong.prefix):
            self._tell_wrong_directory()
        names = entry.path.split("/")
        self._compare_case(entry.path, names)
        if _is_junk(names):
            if entry.kind is not EntryKind.DIRECTORY:
                self._find(FindingKind.JUNK, entry.path, "left by a system or a tool: delete it")
            return
        reason = name_problem(entry.path, names)
        if reason is not None:
            self._find(FindingKind.BAD_NAME, entry.path, reason)
        elif entry.kind is EntryKind.FILE:
            self._add_file(entry, names)
        else:
            self._add_other(entry)

    def finish(self, required: Collection[str]) -> Report:
        if self._wrong is not None:
            self._tell_wrong_directory()
        self._tell_gaps(self._collector.finish())
        for name in required:
            if name not in self._report.templates:
                pattern = self._specification.templates[name].pattern
                self._find(FindingKind.REQUIRED, pattern, f'no file of template "{name}"')
        if self._collector.skipped:
            self._report.notes.append(
                f"{self._collector.skipped} files were not searched for missing ones: too many"
                " sequences in one directory"
            )
        allowed = self._diagnoses_max()
        if self._diagnoses > allowed:
            self._report.notes.append(
                f"after the first {allowed} wrong names no template was looked for: whether such a"
                " file is misnamed or extra was told by its directory"
            )
        for kind, count in self._report.counts.items():
            if count > self._shown_max:
                self._report.notes.append(f"{kind}: {self._shown_max} of {count} are shown")
        return self._report

    def _find(self, kind: FindingKind, path: str, message: str) -> None:
        self._report.add(Finding(kind, path, message), self._shown_max)

    def _compare_case(self, path: str, names: list[str]) -> None:
        """Note a name that its neighbour in the sorted directory differs from by case only."""
        depth = len(names) - 1
        del self._last[depth + 1 :]
        if depth < len(self._last):
            last = self._last[depth]
            if last != names[depth] and last.casefold() == names[depth].casefold():
                self._find(FindingKind.TWIN, path, f"{last!r} is beside it: rename one of them")
            self._last[depth] = names[depth]
        elif depth == len(self._last):
            self._last.append(names[depth])

    def _add_other(self, entry: Entry) -> None:
        match entry.kind:
            case EntryKind.LINK if self._specification.alias(entry.path) is not None:
                pass  # a version alias, seen through a mount
            case EntryKind.LINK:
                self._find(FindingKind.LINK, entry.path, _about_link(entry))
            case EntryKind.SPECIAL:
                self._find(FindingKind.SPECIAL, entry.path, "neither a file nor a directory")
            case EntryKind.UNREADABLE:
                self._find(FindingKind.UNREADABLE, entry.path, entry.reason)
            case _:
                pass  # directories are judged by what is in them

    def _add_file(self, entry: Entry, names: list[str]) -> None:
        resolution = self._specification.resolve(entry.path)
        if resolution is None:
            self._add_misfit(entry, names)
        elif resolution.scratch:
            self._find(
                FindingKind.SCRATCH, entry.path, "a name for unfinished work: rename or delete it"
            )
        else:
            tally = self._report.templates.setdefault(resolution.template.name, Tally())
            tally.files += 1
            tally.size_bytes += entry.size_bytes
            if entry.size_bytes == 0:
                self._find(FindingKind.EMPTY, entry.path, "has no content")
            self._tell_gaps(self._collector.add(entry.path, resolution))

    def _tell_gaps(self, gaps: Iterator[Gap]) -> None:
        for gap in gaps:
            kind, what = _GAPS[gap.kind]
            self._find(kind, gap.path, f"{gap.count} of {gap.total} {what}: {gap.missing}")

    # --- names that fit no template ---------------------------------------------------------------

    def _add_misfit(self, entry: Entry, names: list[str]) -> None:
        if self._wrong is not None:
            self._wrong.files += 1
            return
        depth = self._known_depth(names)
        kind, message, suggestion = self._diagnose(entry.path, depth)
        if depth < len(names) - 1:
            prefix = "/".join(names[: depth + 1]) + "/"
            if suggestion is not None:
                suggestion = "/".join(suggestion.split("/")[: depth + 1]) + "/"
                if suggestion == prefix:
                    suggestion = None
            self._wrong = _WrongDirectory(prefix, kind, message, suggestion)
        else:
            self._report.add(Finding(kind, entry.path, message, suggestion), self._shown_max)

    def _known_depth(self, names: list[str]) -> int:
        """Return how many leading elements name a directory that the specification knows."""
        for depth in range(len(names) - 1, 0, -1):
            if self._specification.directory("/".join(names[:depth])) is not None:
                return depth
        return 0

    def _diagnose(self, path: str, depth: int) -> tuple[FindingKind, str, str | None]:
        """Return (kind, message, suggestion) for a file that fits no template."""
        self._diagnoses += 1
        kind = FindingKind.MISNAMED if depth else FindingKind.EXTRA
        if self._diagnoses > self._diagnoses_max():
            return kind, "no template produces it", None
        misses = self._specification.explain(path).misses
        suggestion = suggest_path(self._specification, path, tuple(one.template for one in misses))
        if suggestion is not None and suggestion.casefold() == path.casefold():
            return FindingKind.WRONG_CASE, "capital and small letters differ", suggestion
        if not misses:
            return kind, "no template produces it", None
        if suggestion is None and not depth and not self._is_near(path):
            return FindingKind.EXTRA, "no template produces it, nor anything like it", None
        return FindingKind.MISNAMED, f"{misses[0].template}: {misses[0].reason}", suggestion

    def _is_near(self, path: str) -> bool:
        return nearest(path.partition("/")[0], self._specification.implied_children("")) is not None

    def _diagnoses_max(self) -> int:
        templates = max(1, len(self._specification.templates))
        return min(DIAGNOSES_MAX, max(20, COMPARISONS_MAX // templates))

    def _tell_wrong_directory(self) -> None:
        wrong = self._wrong
        assert wrong is not None, "asked for only then"
        self._wrong = None
        finding = Finding(wrong.kind, wrong.prefix, wrong.message, wrong.suggestion, wrong.files)
        self._report.add(finding, self._shown_max)


@dataclass(slots=True)
class _WrongDirectory:
    """A directory that no template has, while the walk is in it."""

    prefix: str
    kind: FindingKind
    message: str
    suggestion: str | None
    files: int = 1


_GAPS = {
    "frames": (FindingKind.FRAMES, "frames are missing"),
    "tiles": (FindingKind.TILES, "tiles are missing"),
    "sparse": (FindingKind.SPARSE, "tiles are left out, which is right where the model has none"),
    "view": (FindingKind.VIEW, "views are missing"),
    "version": (FindingKind.VERSION, "versions are skipped"),
}


def _is_junk(names: list[str]) -> bool:
    last = names[-1].casefold()
    return (
        last in JUNK_NAMES
        or last.startswith("._")
        or any(name.casefold() in JUNK_DIRECTORIES for name in names)
    )


def name_problem(path: str, names: list[str]) -> str | None:
    """Return why an object store or another system refuses *path*, or None."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not UTF-8: rename it"
    if size > KEY_BYTES_MAX:
        return f"is {size} bytes long; object stores take {KEY_BYTES_MAX}"
    if path.isascii() and path.isprintable():
        control = None
    else:
        control = next(
            (one for one in path if unicodedata.category(one) in ("Cc", "Zl", "Zp")), None
        )
    if control is not None:
        return f"holds the control character {control!r}"
    if any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        return f"has a name of more than {NAME_BYTES_MAX} bytes"
    for name in names:
        if name != name.strip(" ") or (name.endswith(".") and name not in (".", "..")):
            return f"{name!r} begins or ends with a space, or ends with a point"
    return None


def _about_link(entry: Entry) -> str:
    place = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
    if entry.target.startswith("/") or place == ".." or place.startswith("../"):
        return f"points out of the delivery, to {entry.target!r}: deliver the file itself"
    return f"is a symbolic link to {entry.target!r}: object stores have none, deliver the file"
