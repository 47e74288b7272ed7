"""From the text of a document to a `Specification`, or to the list of all its mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shotfs.digest import digest_bytes
from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import proof, trie
from shotfs.pathspec.fields import Field, name_problem, read_field
from shotfs.pathspec.json_reader import JsonError, JsonValue, Lines, read_json
from shotfs.pathspec.model import Policy, Template
from shotfs.pathspec.pattern import Given, Pattern, Place, Variant
from shotfs.pathspec.policy import KEYS, find_origin, make_policy, read_policy, read_root
from shotfs.pathspec.problems import Report, suggest
from shotfs.pathspec.section import Section
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import (
    FieldRef,
    Literal,
    TemplateError,
    Token,
    split_elements,
    tokenize,
)
from shotfs.pathspec.trie import Node

FORMAT = "shotfs-path/1"
TOP_KEYS = ("spec", "show", "usage", "roots", "defaults", "fields", "templates")
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
TEMPLATES_MAX = 100_000
COMPOUND_DEPTH_MAX = 8
COMPOUND_FIELDS_MAX = 64
"""Each takes a character and more; a name of 255 bytes has no room for many."""
ROOT_BROKEN = "broken://root"
ELEMENTS_MAX = 64
"""Walks recurse once an element, so a limit there must be."""
PATH_BYTES_MAX = 1024
"""The longest key that object stores take."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)


def load(text: str, *, source: str, show: str | None = None) -> Specification:
    """Return the specification that *text* holds.

    Args:
        text: JSON, at most `DOCUMENT_BYTES_MAX`.
        source: a path or URL, for messages.
        show: the name that the configuration gives the show; None takes the document's.

    Raises:
        SpecInvalid: `problems` has every mistake, with JSON pointer, line and column.
    """
    document = _read(text, source)
    report = Report(text)
    loader = _Loader(report, text, source)
    specification = loader.load(document, show)
    if specification is None or report.problems:
        raise SpecInvalid(source, sorted(report.problems, key=lambda one: one.line or 0))
    return specification


def _read(text: str, source: str) -> JsonValue:
    if len(text) > DOCUMENT_BYTES_MAX:
        raise SpecInvalid(
            source,
            [Problem("/", f"the document is larger than {DOCUMENT_BYTES_MAX} bytes", "split it")],
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line, column = Lines(text).position(error.start)
        problem = Problem("/", "not UTF-8", "save the document as UTF-8", line, column)
        raise SpecInvalid(source, [problem]) from error
    try:
        return read_json(text)
    except JsonError as error:
        line, column = Lines(text).position(error.offset)
        raise SpecInvalid(
            source, [Problem("/", f"not JSON: {error.message}", error.fix, line, column)]
        ) from error


class _Loader:
    def __init__(self, report: Report, text: str, source: str) -> None:
        self._report = report
        self._text = text
        self._source = source
        self._fields: dict[str, Field] = {}
        self._broken: set[str] = set()
        self._extents: dict[str, tuple[int, int]] = {}
        self._policies: dict[Policy, Policy] = {}
        self._paths: dict[tuple[tuple[Token, ...], ...], str] = {}
        self._proofs = proof.ElementProofs(self._fields)

    def load(self, document: JsonValue, show: str | None) -> Specification | None:
        if not isinstance(document.value, dict):
            self._report.add("", f"must be an object, not {document.kind}", document.offset)
            return None
        top = Section(self._report, "", document)
        top.only(TOP_KEYS)
        self._check_format(top)
        name = self._show(top, show)
        roots = self._roots(top)
        self._read_fields(top)
        compiled = self._templates(top, roots, self._read_defaults(top))
        if self._report.problems:
            return None
        digest = digest_bytes(self._text.encode())
        trie_root = trie.build(compiled, self._fields)
        return Specification(
            show=name,
            source=self._source,
            usage=top.text("usage") or "",
            digest=digest,
            site=None,
            documents=((self._source, digest),),
            field_sources=dict.fromkeys(self._fields, self._source),
            fields=self._fields,
            compiled=compiled,
            root=trie_root,
            warnings=self._warnings(top, compiled, trie_root),
        )

    def _check_format(self, top: Section) -> None:
        if "spec" not in top:
            top.missing('the document does not say its form ("spec")', f'add "spec": "{FORMAT}"')
        elif (form := top.text("spec")) is not None and form != FORMAT:
            top.problem(
                "spec", f'"{form[:100]}" is not a form that this version reads', f'write "{FORMAT}"'
            )

    def _show(self, top: Section, expected: str | None) -> str:
        if "show" not in top:
            top.missing('the document does not name its show ("show")', 'add "show": "name"')
            return ""
        name = top.text("show") or ""
        if name and _NAME.fullmatch(name) is None:
            top.problem(
                "show",
                f'"{name[:100]}" cannot name a show',
                "use letters, digits, ., _ and -, beginning with a letter or digit",
            )
        elif expected is not None and name and name != expected:
            top.problem(
                "show",
                f'the document is of show "{name}", the configuration has it as "{expected}"',
                f'write "{expected}" here, or rename [shows.{expected}] in the configuration',
            )
        return name

    def _roots(self, top: Section) -> dict[str, str]:
        if "roots" not in top:
            return {}
        section = top.section("roots")
        if section is None:
            return {}
        section.unique()
        roots: dict[str, str] = {}
        for name in section:
            if _NAME.fullmatch(name) is None:
                section.problem(
                    name, f'"{name[:100]}" cannot name a root', "use letters and digits"
                )
                continue
            url = read_root(section, name)
            # A broken root stays known, so that the templates that use it are not blamed.
            roots[name] = url or ROOT_BROKEN
        return roots

    def _read_fields(self, top: Section) -> None:
        section = top.section("fields")
        if section is None:
            return
        section.unique()
        for name in section:
            one = section.section(name)
            field = None if one is None else read_field(name, one)
            if field is None:
                self._broken.add(name)
            else:
                self._fields[name] = field
        for name, field in self._fields.items():
            reason = self._compound_problem(field)
            if reason is not None:
                one = section.section(name)
                assert one is not None, "it was read as a field"
                one.problem("format", *reason)
                self._broken.add(name)
        self._drop_broken()

    def _drop_broken(self) -> None:
        """Take out the broken fields, and the compounds that contain one, without a word more."""
        while True:
            for name in self._broken:
                self._fields.pop(name, None)
            spoilt = {
                name
                for name, field in self._fields.items()
                if any(isinstance(t, FieldRef) and t.name in self._broken for t in field.tokens)
            }
            if not spoilt:
                return
            self._broken |= spoilt

    def _compound_problem(self, field: Field) -> tuple[str, str] | None:
        if field.kind != "compound":
            return None
        name = field.name
        parts = [token.name for token in field.tokens if isinstance(token, FieldRef)]
        if not parts:
            return f'compound "{name}" holds no field', "write the text into the template"
        for part in parts:
            if part not in self._fields and part not in self._broken:
                fix = suggest(part, self._fields)
                return f'compound "{name}" uses the unknown field "{part}"', fix
            if part in self._fields and self._fields[part].kind == "tree":
                return f'"{part}" is a tree: whole elements cannot be inside a name', "use str"
        extent = self._extent(name, ())
        if extent is None:
            return f'compound "{name}" contains itself or is nested too deep', "untangle it"
        if extent[0] > COMPOUND_FIELDS_MAX:
            return f'compound "{name}" holds more than {COMPOUND_FIELDS_MAX} fields', "split it"
        return None

    def _extent(self, name: str, above: tuple[str, ...]) -> tuple[int, int] | None:
        """Return (fields, levels) of *name* with all that it contains; None for a circle.

        Each compound is looked at once: compounds of compounds multiply quickly.
        """
        if name not in self._extents:
            field = self._fields.get(name)
            if name in above or len(above) > COMPOUND_DEPTH_MAX:
                return None
            size, levels = 0, 0
            for token in () if field is None else field.tokens:
                part = (
                    self._extent(token.name, (*above, name))
                    if isinstance(token, FieldRef)
                    else (0, 0)
                )
                if part is None:
                    return None
                size, levels = size + part[0], max(levels, part[1] + 1)
            if levels > COMPOUND_DEPTH_MAX:
                return None
            self._extents[name] = (max(size, 1), levels)
        return self._extents[name]

    def _warnings(self, top: Section, compiled: list[Pattern], root: Node) -> tuple[Problem, ...]:
        warnings = Report(self._text)
        templates, fields = top.section("templates"), top.section("fields")
        assert templates is not None, "there are no problems"
        offsets = [templates.offset_of(one.template.name) for one in compiled]
        proof.warn_overlaps(root, self._proofs, warnings, offsets)
        proof.warn_hidden(compiled, self._proofs, warnings, offsets)
        if fields is not None:
            places = {name: fields.offset_of(name) for name in self._fields}
            proof.warn_unused(compiled, self._fields, warnings, places)
        return tuple(sorted(warnings.problems, key=lambda one: one.line or 0))

    def _read_defaults(self, top: Section) -> dict[str, Given]:
        section = top.section("defaults")
        if section is None:
            return {}
        section.only(KEYS)
        return {
            key: (value, Place(self._source, section.line_of(key), section.pointer(key)))
            for key, value in read_policy(section).items()
        }

    def _templates(
        self, top: Section, roots: Mapping[str, str], defaults: Mapping[str, Given]
    ) -> list[Pattern]:
        if "templates" not in top:
            top.missing('the document has no "templates"', 'add "templates": {...}')
            return []
        section = top.section("templates")
        if section is None:
            return []
        section.unique()
        result: list[Pattern] = []
        for name in section:
            one = section.section(name)
            compiled = (
                None if one is None else self._template(name, one, defaults, roots, len(result))
            )
            if compiled is None:
                continue
            twin = self._paths.setdefault(compiled.elements, name)
            if twin != name:
                section.problem(
                    name,
                    f'templates "{twin}" and "{name}" have the same path',
                    "remove one of them",
                )
                continue
            result.append(compiled)
        if not list(section):
            top.problem("templates", '"templates" is empty', "declare at least one path")
        return result

    def _template(
        self,
        name: str,
        section: Section,
        defaults: Mapping[str, Given],
        roots: Mapping[str, str],
        index: int,
    ) -> Pattern | None:
        section.only(("path", "usage", *KEYS))
        if _NAME.fullmatch(name) is None:
            section.report.add(
                section.where,
                f'"{name[:100]}" cannot name a template',
                section.offset,
                "use letters, digits, ., _ and -",
            )
        own = read_policy(section)
        values = {**{key: value for key, (value, _) in defaults.items()}, **own}
        origin = find_origin(values.pop("origin", None), roots, section, name)
        path = self._path(name, section)
        if origin is None or path is None:
            return None
        policy = make_policy(values, origin)
        policy = self._policies.setdefault(policy, policy)
        tree = self._tree_of(path)
        return Pattern(
            template=Template(
                name, section.text("path") or "", section.text("usage") or "", policy
            ),
            variants=(Variant(tuple(path), tree),),
            is_scratch=trie.scratch_matcher(policy.scratch) if policy.flow.writable else None,
            index=index,
            source=self._source,
            line=section.report.line(section.offset),
            inherited=defaults,
            own={key: (value, section.line_of(key)) for key, value in own.items()},
        )

    def _path(self, name: str, section: Section) -> list[tuple[Token, ...]] | None:
        text = section.text("path")
        if text is None:
            if "path" not in section:
                section.missing(f'template "{name}" has no path', 'add "path": "..."')
            return None
        try:
            tokens = tokenize(text)
        except TemplateError as error:
            section.problem("path", f"{error.message} (character {error.index + 1})", error.fix)
            return None
        parts = split_elements(tokens)
        reason = self._text_problem(text, parts) or self._field_problem(tokens, parts)
        if reason is None:
            if not all(self._known(token) for token in tokens):
                return None
            reason = self._proof_problem(parts)
            if reason is None:
                return parts
        section.problem("path", *reason)
        return None

    def _proof_problem(self, parts: list[tuple[Token, ...]]) -> tuple[str, str] | None:
        for part in parts:
            if self._is_tree_element(part):
                continue
            reason = self._proofs.problem(part)
            if reason is not None:
                return reason
        return None

    def _known(self, token: Token) -> bool:
        return isinstance(token, Literal) or token.name in self._fields

    def _text_problem(self, text: str, parts: list[tuple[Token, ...]]) -> tuple[str, str] | None:
        if text == "":
            return "the path is empty", "write a path relative to the show's directory"
        if text.startswith("/"):
            return (
                "the path is absolute",
                "leave the first slash out: paths begin in the show's directory",
            )
        if len(text.encode()) > PATH_BYTES_MAX * 4:
            return "the path is too long for an object key", "shorten it"
        if len(parts) > ELEMENTS_MAX:
            return (
                f"the path has more than {ELEMENTS_MAX} elements",
                "use a tree field for the rest",
            )
        for part in parts:
            if not part:
                return (
                    "the path has an empty element",
                    'remove the "/" at the end or the second of "//"',
                )
            literal = "".join(token.text for token in part if isinstance(token, Literal))
            if literal in (".", "..") and not any(isinstance(token, FieldRef) for token in part):
                return f'the path has the element "{literal}"', "write where the path really is"
            reason = name_problem(literal) if literal else None
            if reason is not None:
                return (
                    f"the element {literal[:60]!r} cannot be a name: {reason}",
                    "shorten or remove it",
                )
        return None

    def _field_problem(
        self, tokens: tuple[Token, ...], parts: list[tuple[Token, ...]]
    ) -> tuple[str, str] | None:
        for token in tokens:
            if (
                isinstance(token, FieldRef)
                and not self._known(token)
                and token.name not in self._broken
            ):
                fix = suggest(token.name, self._fields)
                return (
                    f'the path uses the unknown field "{token.name}"',
                    f'{fix}, or declare it under "fields"',
                )
        for index, part in enumerate(parts):
            trees = [t for t in part if isinstance(t, FieldRef) and self._is_tree(t.name)]
            if trees and (len(part) > 1 or index + 1 < len(parts)):
                return (
                    f'the tree "{trees[0].name}" must be the whole last element',
                    "end the path with it, or use a str field",
                )
        return None

    def _is_tree(self, name: str) -> bool:
        return name in self._fields and self._fields[name].kind == "tree"

    def _tree_of(self, path: list[tuple[Token, ...]]) -> str | None:
        last = path[-1][0]
        return last.name if isinstance(last, FieldRef) and self._is_tree(last.name) else None

    def _is_tree_element(self, part: tuple[Token, ...]) -> bool:
        return isinstance(part[0], FieldRef) and self._is_tree(part[0].name)
