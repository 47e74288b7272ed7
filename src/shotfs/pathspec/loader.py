"""From the texts of documents to a `Specification`, or to the list of all their mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shotfs.errors import SpecInvalid
from shotfs.pathspec import implied, proof, publishing, trie
from shotfs.pathspec.documents import Document, Documents
from shotfs.pathspec.field_table import UNMATCHED, FieldTable
from shotfs.pathspec.fields import Field, read_field
from shotfs.pathspec.json_reader import JsonValue
from shotfs.pathspec.model import Policy, Template
from shotfs.pathspec.pattern import Pattern, Variant
from shotfs.pathspec.policy import KEYS, make_policy
from shotfs.pathspec.problems import Report, suggest
from shotfs.pathspec.readings import ElementProofs
from shotfs.pathspec.roots import Home, Roots
from shotfs.pathspec.section import Section
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.templates import TemplateTexts
from shotfs.pathspec.tokens import NAME, FieldRef, Token

TEMPLATE_KEYS = ("path", "usage", "abstract", "before", *KEYS)
ABSTRACT_KEYS = ("path", "usage", "abstract")
UNMATCHED_KEYS = ("usage", *KEYS)
TEMPLATES_MAX = 100_000
BEFORE_MAX = 1000


def load(
    text: str,
    *,
    source: str,
    show: str | None = None,
    site: str | None = None,
    documents: Mapping[str, str] | None = None,
) -> Specification:
    """Return the specification that *text* holds, with all that it includes.

    Args:
        text: JSON; with the included documents at most 16 MiB.
        source: path or URL of the document: includes are relative to it, and messages name it.
        show: the name that the configuration gives the show; None takes the document's.
        site: the node's site, which decides where its roots are; "" for a node without one; None
            for tools, which see each root's `url`, else that of its first site.
        documents: the included documents by their locations, as `include_locations` gives them.

    Raises:
        SpecInvalid: `problems` has every mistake, with document, JSON pointer, line and column.
    """
    report = Report()
    read = Documents(report, text, source, documents or {})
    specification = _Loader(report, read, source, site).load(show)
    if specification is None:
        raise SpecInvalid(source, report.problems)
    return specification


class _Loader:
    def __init__(self, report: Report, documents: Documents, source: str, site: str | None) -> None:
        self._report = report
        self._documents = documents
        self._source = source
        self._site = site
        self._policies: dict[Policy, Policy] = {}
        self._paths: dict[tuple[tuple[Token, ...], ...], Pattern] = {}
        self._compiled: list[Pattern] = []

    def load(self, show: str | None) -> Specification | None:
        """Return the specification; None where there are mistakes."""
        main = self._documents.main
        if main is None:
            return None
        name = self._documents.show(show)
        self._table = FieldTable(self._documents.merged("fields"))
        self._proofs = ElementProofs(self._table.fields)
        self._roots = Roots(
            self._documents.merged("roots"), self._documents.merged("defaults"), self._site
        )
        self._read_templates(main)
        self._read_unmatched()
        publishing.check(self._compiled, self._table.fields, self._offsets(), self._report)
        implied.check(self._compiled, self._table.fields, self._offsets(), self._report)
        if self._report.problems:
            return None
        fields = self._table.fields
        root = trie.build(self._compiled, fields)
        warnings = self._report.beside()
        crossing = proof.prove(
            self._compiled,
            root,
            fields,
            self._report,
            warnings,
            self._offsets(),
            self._table.offset,
        )
        if self._report.problems:
            return None
        proven = [one for one in self._compiled if not one.fallback]
        publishing.warn_seal(self._compiled, self._offsets(), warnings)
        self._table.warn_unused(proven, self._source, warnings)
        self._texts.warn_unused(sorted(self._abstract), self._source, warnings)
        return Specification(
            show=name,
            source=self._source,
            usage=main.top.text("usage") or "",
            digest=self._documents.digest,
            site=self._site,
            documents=tuple((one.location, one.digest) for one in self._documents),
            field_sources=self._table.sources(),
            fields=self._table.fields,
            compiled=self._compiled,
            root=root,
            warnings=tuple(warnings.problems),
            crossing=crossing,
        )

    def _read_templates(self, main: Document) -> None:
        top = main.top
        declared = self._documents.merged("templates")
        self._sections = {
            name: one
            for name, section in declared.items()
            if (one := section.section(name)) is not None
        }
        self._abstract = {
            name for name, one in self._sections.items() if one.boolean("abstract") is True
        }
        self._texts = TemplateTexts(self._sections, self._table, self._proofs)
        if len(declared) > TEMPLATES_MAX:
            top.missing(f"more than {TEMPLATES_MAX} templates", "use fields for what varies")
            return
        for name, section in self._sections.items():
            if self._report.full:
                return
            self._check_name(name, section)
            if name in self._abstract:
                self._check_abstract(section)
                section.text("usage")
                self._texts.check(name)
            else:
                pattern = self._template(name, section)
                if pattern is not None and not self._is_twin(pattern, section):
                    self._compiled.append(pattern)
        if not declared and self._documents.unmatched() is None:
            if "templates" in main.sections:
                top.problem("templates", '"templates" is empty', "declare at least one path")
            elif "templates" not in top:
                top.missing('the document has no "templates"', 'add "templates": {...}')
        elif declared and self._abstract.issuperset(declared) and not self._lets_pass():
            top.missing("all templates are abstract: no path exists", "add one that is not")

    def _check_abstract(self, section: Section) -> None:
        """Note what an abstract template cannot have."""
        for key in TEMPLATE_KEYS:
            if key in section and key not in ABSTRACT_KEYS:
                section.problem(
                    key,
                    f'an abstract template takes no "{key}": it produces no paths',
                    "write it into the templates that refer to this one, or into the defaults",
                )
        section.only(TEMPLATE_KEYS)

    def _check_name(self, name: str, section: Section) -> None:
        if NAME.fullmatch(name) is None:
            section.report.add(
                section.where,
                f'"{name[:100]}" cannot name a template',
                section.offset,
                "use letters, digits, ., _ and -",
            )
        elif name == UNMATCHED:
            section.report.add(
                section.where,
                f'a template cannot be called "{name}": that is the name of paths outside all',
                section.offset,
                'choose another name, or write "unmatched" beside "templates"',
            )

    def _template(self, name: str, section: Section) -> Pattern | None:
        section.only(TEMPLATE_KEYS)
        own = self._roots.values(section)
        before = self._before(name, section)
        home = self._roots.home(own, section, name)
        variants = self._texts.variants(name)
        if home is None or variants is None:
            return None
        template = Template(
            name,
            section.text("path") or "",
            section.text("usage") or "",
            self._policy(own, home),
        )
        return self._pattern(template, variants, own, home, section, before=before)

    def _policy(self, own: Mapping[str, Any], home: Home) -> Policy:
        inherited = {key: value for key, (value, _) in home.inherited.items()}
        policy = make_policy(inherited | dict(own), home.tiers)
        return self._policies.setdefault(policy, policy)

    def _pattern(
        self,
        template: Template,
        variants: tuple[Variant, ...],
        own: Mapping[str, Any],
        home: Home,
        section: Section,
        *,
        before: frozenset[str] = frozenset(),
        fallback: bool = False,
    ) -> Pattern:
        policy = template.policy
        return Pattern(
            template=template,
            variants=variants,
            is_scratch=trie.scratch_matcher(policy.scratch) if policy.flow.writable else None,
            index=len(self._compiled),
            line=section.report.line(section.offset),
            own={key: (value, section.line_of(key)) for key, value in own.items()},
            source=section.source,
            inherited=home.inherited,
            before=before,
            fallback=fallback,
        )

    def _before(self, name: str, section: Section) -> frozenset[str]:
        names = section.texts("before") or ()
        if len(names) > BEFORE_MAX:
            section.problem("before", f"more than {BEFORE_MAX} names", "narrow the fields instead")
            return frozenset()
        for other in names:
            if other == name:
                section.problem("before", f'"{name}" cannot be before itself', "remove it")
            elif other in self._abstract:
                section.problem(
                    "before", f'"{other}" is abstract and produces no path', "remove it"
                )
            elif other == UNMATCHED:
                section.problem("before", "every template is before what is unmatched", "remove it")
            elif other not in self._sections:
                section.problem(
                    "before", f'"{other[:100]}" is no template', suggest(other, self._sections)
                )
        return frozenset(names)

    def _is_twin(self, pattern: Pattern, section: Section) -> bool:
        """Note that another template has the same path, or a variant of it."""
        for variant in pattern.variants:
            twin = self._paths.setdefault(variant.elements, pattern)
            if twin is not pattern:
                message = (
                    f"templates {twin.named(pattern)} and {pattern.named(twin)} have the same path"
                )
                if variant is not pattern.variants[0]:
                    message += " without optional parts"
                section.report.add(section.where, message, section.offset, "remove one of them")
                return True
        return False

    def _lets_pass(self) -> bool:
        top = self._documents.unmatched()
        raw = None if top is None else top.raw(UNMATCHED)
        return raw is not None and raw.value != "deny"

    def _read_unmatched(self) -> None:
        """Make a pattern of what ``unmatched`` lets pass: the last, which matches everything."""
        top = self._documents.unmatched()
        raw = None if top is None else top.raw(UNMATCHED)
        if top is None or raw is None:
            return
        if isinstance(raw.value, dict):
            section = top.section(UNMATCHED)
            assert section is not None, "it is an object"
            section.only(UNMATCHED_KEYS)
        elif isinstance(raw.value, str):
            if top.word(UNMATCHED, ("deny", "pass")) != "pass":
                return
            section = Section(
                self._report, top.pointer(UNMATCHED), JsonValue({}, raw.offset, raw.key_offset)
            )
        else:
            top.problem(
                UNMATCHED,
                f'"{UNMATCHED}" must be "deny", "pass" or an object, not {raw.kind}',
                "write the policy of the paths that pass",
            )
            return
        own = self._roots.values(section)
        home = self._roots.home(own, section, UNMATCHED)
        if home is None:
            return
        self._table.add(UNMATCHED, _tree_field(section), section)
        usage = section.text("usage") or "Paths that no template produces"
        template = Template(UNMATCHED, f"{{{UNMATCHED}}}", usage, self._policy(own, home))
        variant = Variant(((FieldRef(UNMATCHED),),), UNMATCHED)
        self._compiled.append(
            self._pattern(template, (variant,), own, home, section, fallback=True)
        )
        self._sections[UNMATCHED] = section

    def _offsets(self) -> list[int]:
        return [self._sections[one.template.name].offset for one in self._compiled]


def _tree_field(section: Section) -> Field:
    """Return the field that stands for a whole path, declared by *section*."""
    at = section.offset
    members = {"type": JsonValue("tree", at, at)}
    field = read_field(
        UNMATCHED, Section(section.report, section.where, JsonValue(members, at, at))
    )
    assert field is not None, "a tree takes no keys"
    return field
