"""The documents of a specification: the main one and all that it includes, read and merged.

Owns the top level of a document: its form, its includes, and which of several declarations of one
name is in force. What a declaration says is read by others. Pure: whoever loads gives the texts.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shotfs.digest import Digest, digest_bytes
from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec.json_reader import JsonError, JsonValue, read_json
from shotfs.pathspec.problems import Report
from shotfs.pathspec.roots import url_problem
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import NAME

FORMAT = "shotfs-path/1"
TOP_KEYS = (
    "$schema",
    "spec",
    "show",
    "usage",
    "include",
    "roots",
    "defaults",
    "fields",
    "templates",
    "unmatched",
)
MERGED = ("roots", "defaults", "fields", "templates")
"""The objects whose members an including document takes over, name by name."""

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
"""Of all documents together."""
DOCUMENTS_MAX = 64
LOCATION_LENGTH_MAX = 1024


@dataclass(frozen=True, slots=True)
class Include:
    """One document that another includes, and where it says so."""

    where: str
    offset: int
    document: Document


Declarations = dict[str, Section]
"""Name to the object that holds its declaration: the ``fields`` of one document, and so on."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One document that could be read.

    Attributes:
        location: path or URL, as `load` and `include_locations` name it.
        includes: those that could be read, in order.
        sections: those of `MERGED` that it has.
    """

    location: str
    digest: Digest
    top: Section
    includes: list[Include] = field(default_factory=list)
    sections: dict[str, Section] = field(default_factory=dict)


def include_locations(text: str, source: str) -> tuple[str, ...]:
    """Return where the documents are that the document *text* of *source* includes.

    Each once, in order, without those that the included ones include; () for a document that
    cannot be read, and without what cannot be a location: `load` tells why.
    """
    try:
        document = read_json(text).value
    except JsonError:
        return ()
    listed = document.get("include") if isinstance(document, dict) else None
    if listed is None or not isinstance(listed.value, list):
        return ()
    found: dict[str, None] = {}
    for item in listed.value[: DOCUMENTS_MAX - 1]:
        if isinstance(item.value, str):
            with contextlib.suppress(_IncludeError):
                found[_resolve(item.value, source)] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _IncludeError(Exception):
    message: str
    fix: str


def _resolve(text: str, source: str) -> str:
    """Return the location of what the document at *source* includes as *text*.

    Raises:
        _IncludeError: nothing can be there, or it is not for this document to read.
    """
    if not text or len(text) > LOCATION_LENGTH_MAX or "\0" in text or text.endswith("/"):
        raise _IncludeError(
            f"{text[:100]!r} is no document", "write a path relative to this document, or a URL"
        )
    local = text.startswith(("/", "file://"))
    if local and "://" in source and not source.startswith("file://"):
        # A document that somebody put into a bucket must not read files of the nodes.
        raise _IncludeError(
            f'"{text[:200]}" is a file of the machine, and this document is not',
            "write a path relative to this document",
        )
    if "://" not in text:
        if "://" not in source:
            return posixpath.normpath(posixpath.join(posixpath.dirname(source), text))
        scheme, _, rest = source.partition("://")
        bucket, _, key = rest.partition("/")
        path = posixpath.join("/", posixpath.dirname(key), text)
        if posixpath.normpath(path[1:]).startswith(".."):
            raise _IncludeError(
                f'"{text[:200]}" leaves the bucket', "write the URL of the document"
            )
        text = f"{scheme}://{bucket}{posixpath.normpath(path)}"
    reason = url_problem(text)
    if reason is None and "/" not in text.partition("://")[2].rstrip("/"):
        reason = "it names a bucket, not a document in it"
    if reason is not None:
        raise _IncludeError(
            f'"{text[:200]}" is no document: {reason}', 'write "gs://bucket/name.json"'
        )
    return text


class Documents:
    """All documents of one load, read. What is wrong with them is in the report."""

    def __init__(self, report: Report, text: str, source: str, included: Mapping[str, str]) -> None:
        """Read *text* of *source*, and what it includes from *included*.

        Raises:
            SpecInvalid: the main document is too large to be looked at.
        """
        self._report = report
        self._included = included
        self._room = DOCUMENT_BYTES_MAX
        self._read: dict[str, Document | None] = {}
        if not self._take(text):
            reason = f"the document is larger than {DOCUMENT_BYTES_MAX} bytes"
            raise SpecInvalid(source, [Problem("/", reason, "split it")])
        self.main = self._document(text, source, ())

    def __iter__(self) -> Iterator[Document]:
        """The documents, the main one first, included ones in the order in which they are met."""
        return (one for one in self._read.values() if one is not None)

    @property
    def digest(self) -> Digest:
        """The digest of all documents together; of a single one, its own."""
        digests = [one.digest for one in self]
        if len(digests) == 1:
            return digests[0]
        return digest_bytes("\n".join(digests).encode())

    def _take(self, text: str) -> bool:
        # A character takes a byte at least: what is hopelessly large is not encoded first.
        size = len(text)
        if size <= self._room:
            size = len(text.encode(errors="surrogatepass"))
        self._room -= size
        return self._room >= 0

    def _document(self, text: str, location: str, above: tuple[str, ...]) -> Document | None:
        base = self._report.open(text, location)
        # Noted before its includes are read: the order of the documents is that of meeting them.
        self._read[location] = None
        value = self._parse(text, base)
        if value is None:
            return None
        if not isinstance(value.value, dict):
            self._report.add("", f"must be an object, not {value.kind}", value.offset)
            return None
        top = Section(self._report, "", value)
        document = Document(location, digest_bytes(text.encode()), top)
        self._read[location] = document
        self._check(document)
        self._include(document, above)
        return document

    def _parse(self, text: str, base: int) -> JsonValue | None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self._report.add("/", "not UTF-8", base + error.start, "save the document as UTF-8")
            return None
        try:
            return read_json(text, base)
        except JsonError as error:
            self._report.add("/", f"not JSON: {error.message}", base + error.offset, error.fix)
            return None

    def _check(self, document: Document) -> None:
        top = document.top
        top.only(TOP_KEYS)
        top.text("$schema")
        top.text("usage")
        if "spec" not in top:
            top.missing('the document does not say its form ("spec")', f'add "spec": "{FORMAT}"')
        elif (form := top.text("spec")) is not None and form != FORMAT:
            top.problem(
                "spec", f'"{form[:100]}" is not a form that this version reads', f'write "{FORMAT}"'
            )
        for key in MERGED:
            section = top.section(key)
            if section is not None:
                document.sections[key] = section
                section.unique()

    def _include(self, document: Document, above: tuple[str, ...]) -> None:
        top = document.top
        texts = top.texts("include")
        listed = top.raw("include")
        if not texts or listed is None:
            return
        assert isinstance(listed.value, list), "it is a list of texts"
        for index, item in enumerate(listed.value):
            if isinstance(item.value, str):
                where = f"{top.pointer('include')}/{index}"
                found = self._included_document(
                    item.value, document, where, item.offset, (*above, document.location)
                )
                if found is not None:
                    document.includes.append(Include(where, item.offset, found))

    def _included_document(
        self, text: str, document: Document, where: str, offset: int, above: tuple[str, ...]
    ) -> Document | None:
        try:
            location = _resolve(text, document.location)
        except _IncludeError as error:
            self._report.add(where, error.message, offset, error.fix)
            return None
        if location in above:
            circle = " includes ".join((*above[above.index(location) :], location))
            self._report.add(where, f"the documents go in a circle: {circle}", offset, "remove it")
            return None
        if location in self._read:
            return self._read[location]
        if len(self._read) >= DOCUMENTS_MAX:
            reason = f"more than {DOCUMENTS_MAX} documents", "put some of them together"
        elif location not in self._included:
            self._report.incomplete = True
            reason = (
                f'the included document "{location}" is not there or cannot be read',
                "put it there, or correct the name (it is relative to this document)",
            )
        elif not self._take(self._included[location]):
            reason = f"the documents together are larger than {DOCUMENT_BYTES_MAX} bytes", "split"
        else:
            return self._document(self._included[location], location, above)
        self._report.add(where, reason[0], offset, reason[1])
        return None

    def show(self, expected: str | None) -> str:
        """Return the show's name; every document must agree with the main one."""
        main = self.main
        if main is None:
            return ""
        if "show" not in main.top:
            main.top.missing(
                'the document does not name its show ("show")',
                'add "show": "name"; or check the document that includes this one, if it is shared',
            )
            return ""
        name = _show_name(main.top)
        if expected is not None and name and name != expected:
            main.top.problem(
                "show",
                f'the document is of show "{name}", the configuration has it as "{expected}"',
                f'write "{expected}" here, or rename [shows.{expected}] in the configuration',
            )
        for other in self:
            if other is main or "show" not in other.top:
                continue
            also = _show_name(other.top)
            if also and name and also != name:
                other.top.problem(
                    "show",
                    f'the document is of show "{also}", and one of show "{name}" includes it',
                    'leave "show" out of documents that shows share',
                )
        return name

    def merged(self, key: str) -> Declarations:
        """Return the declarations of *key*, one of `MERGED`: included ones first, in order.

        The including document's come before those of what it includes; where two included
        documents declare one name and the including one does not, that is noted.
        """
        return {} if self.main is None else self._merged(key, self.main, {})

    def unmatched(self) -> Section | None:
        """Return the top level of the document whose ``unmatched`` is in force, if any."""
        return self.merged("unmatched").get("unmatched")

    def _merged(self, key: str, document: Document, known: dict[str, Declarations]) -> Declarations:
        if document.location in known:
            return known[document.location]
        own: Declarations = {}
        if key in document.sections:
            own = dict.fromkeys(document.sections[key], document.sections[key])
        elif key not in MERGED and key in document.top:
            own = {key: document.top}
        merged: Declarations = {}
        for include in document.includes:
            for name, section in self._merged(key, include.document, known).items():
                first = merged.setdefault(name, section)
                if first is not section and name not in own:
                    self._conflict(key, name, first, section, include)
        # An overriding declaration stands where the including document has it.
        merged = {name: one for name, one in merged.items() if name not in own} | own
        known[document.location] = merged
        return merged

    def _conflict(
        self, key: str, name: str, first: Section, second: Section, include: Include
    ) -> None:
        what = f'"{key}"' if key == name else f'"{name[:100]}" of "{key}"'
        places = [self._report.place(one.offset_of(name)) for one in (first, second)]
        self._report.add(
            include.where,
            f"two included documents declare {what}: {places[0]} and {places[1]}",
            include.offset,
            f"declare {what} here, or leave one of the includes out",
        )


def _show_name(top: Section) -> str:
    name = top.text("show")
    if name is not None and NAME.fullmatch(name) is None:
        top.problem(
            "show",
            f'"{name[:100]}" cannot name a show',
            "use letters, digits, ., _ and -, beginning with a letter or digit",
        )
        return ""
    return name or ""
