"""The trie: what all templates are merged into, over path elements.

Each edge is a literal (one dictionary look-up) or a pattern of a whole element. Templates and
variants that begin alike share their nodes. Built once, then only read, by any number of threads;
what is computed at first use is the same whoever computes it. `walk` finds paths in it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from shotfs.pathspec import regex
from shotfs.pathspec.elements import Element, Elements, Fields, Tokens
from shotfs.pathspec.fields import Field
from shotfs.pathspec.index import Index
from shotfs.pathspec.model import Immutable, Policy, Retract
from shotfs.pathspec.pattern import Matcher, Pattern, Variant
from shotfs.pathspec.tokens import Literal


@dataclass(slots=True, eq=False)
class Edge:
    """A pattern edge.

    Attributes:
        match: of its element, None before its first use.
        again: fields that an earlier element has fixed, known at first use.
    """

    element: Element
    child: Node
    match: Matcher | None = None
    again: tuple[str, ...] | None = None

    def fields_of(self, name: str, bound: dict[str, str]) -> dict[str, str] | None:
        """Return *bound* and the fields that *name* gives, or None when it does not match."""
        match = self.match
        if match is None:
            match = self.match = self.element.match
        found = match(name)
        if found is None:
            return None
        fields = found.groupdict()
        for key, check in self.element.checks:
            if check(fields[key]) is not None:
                return None
        if not bound:
            return fields
        # Whoever comes here has the same fields bound: they are those of the node.
        if self.again is None:
            self.again = tuple(key for key in fields if key in bound)
        for key in self.again:
            if bound[key] != fields[key]:
                return None
        return bound | fields


@dataclass(slots=True, eq=False)
class AliasEdge:
    """A path's last element, with an alias in the place of the version *field*.

    Attributes:
        element: matches it; the version field's text is then the alias.
        directory: the versions are directories.
        patterns: those with such versions, in the order of the document.
    """

    element: Element
    field: Field
    directory: bool
    patterns: list[Pattern]


@dataclass(slots=True, eq=False)
class Node:
    """A place in the trie: what paths that came here may be, and how they may go on.

    Attributes:
        implied: a directory here exists without any object in it.
        depth: elements that lead here.
        trees: (field, pattern) of those that take the whole rest.
        scratch: for each matcher of scratch names beside the files here, its first template.
        policies: of all templates below, by identity, in the order of the document.
        version_depth: elements of the outermost version directory that is published as a whole and
            that everything here lies in or is; None where there is none.
        holds_retractable: version directories that can be taken back lie directly in it.
    """

    implied: bool
    depth: int
    literals: dict[str, Node] = field(default_factory=dict)
    patterns: list[Edge] = field(default_factory=list)
    aliases: list[AliasEdge] = field(default_factory=list)
    template: Pattern | None = None
    trees: list[tuple[str, Pattern]] = field(default_factory=list)
    scratch: dict[Matcher, Pattern] = field(default_factory=dict)
    policies: dict[int, Policy] = field(default_factory=dict)
    version_depth: int | None = None
    holds_retractable: bool = False
    index: Index[Edge] | None = None
    alias_index: Index[AliasEdge] | None = None

    def candidates(self, name: str) -> list[Edge]:
        """Return the pattern edges that *name* may match, in the order of the document."""
        index = self.index
        if index is None:
            index = self.index = Index(self.patterns)
        return index.candidates(name)

    def alias_candidates(self, name: str) -> list[AliasEdge]:
        """Return the aliases in this directory that *name* may match."""
        if not self.aliases:
            return self.aliases
        if self.alias_index is None:
            self.alias_index = Index(self.aliases)
        return self.alias_index.candidates(name)


class _Builder:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._elements = Elements(fields)
        self._edges: dict[tuple[int, Tokens], Edge] = {}
        self._aliased: dict[str, Elements] = {}
        self._alias_edges: dict[tuple[int, str, Tokens, bool], AliasEdge] = {}
        self.version_nodes: list[Node] = []

    def add(self, root: Node, one: Pattern, variant: Variant) -> None:
        node = root
        last = len(variant.elements) - 1
        aliased = False
        published = one.template.policy.immutable is Immutable.ON_VERSION_PUBLISH
        for index, tokens in enumerate(variant.elements):
            node.policies[id(one.template.policy)] = one.template.policy
            if index == last:
                if one.is_scratch is not None:
                    node.scratch.setdefault(one.is_scratch, one)
                if variant.tree is not None:
                    node.trees.append((variant.tree, one))
                    return
            version = None
            if not aliased or published:
                version = self._version(tokens)
            if version is not None and version.aliases and not aliased:
                aliased = True
                self._add_alias(node, one, tokens, version, directory=index < last)
            above, node = node, self._step(node, tokens)
            if published and version is not None and index < last:
                published = False
                if one.template.policy.retract is not Retract.NEVER:
                    above.holds_retractable = True
                node.version_depth = node.depth
                self.version_nodes.append(node)
        if node.template is None:
            node.template = one

    def _version(self, tokens: Tokens) -> Field | None:
        return self._elements.of(tokens).version

    def _step(self, node: Node, tokens: Tokens) -> Node:
        if len(tokens) == 1 and isinstance(tokens[0], Literal):
            text = tokens[0].text
            child = node.literals.get(text)
            if child is None:
                child = node.literals[text] = Node(node.implied, node.depth + 1)
            return child
        edge = self._edges.get((id(node), tokens))
        if edge is None:
            element = self._elements.of(tokens)
            implied = node.implied and element.finite is not None
            edge = Edge(element, Node(implied, node.depth + 1))
            self._edges[id(node), tokens] = edge
            node.patterns.append(edge)
        return edge.child

    def _add_alias(
        self, node: Node, one: Pattern, tokens: Tokens, version: Field, *, directory: bool
    ) -> None:
        key = (id(node), version.name, tokens, directory)
        edge = self._alias_edges.get(key)
        if edge is None:
            element = self._aliases_of(version).of(tokens)
            edge = self._alias_edges[key] = AliasEdge(element, version, directory, [])
            node.aliases.append(edge)
        edge.patterns.append(one)

    def _aliases_of(self, version: Field) -> Elements:
        """Return the elements in which the names of its aliases stand for *version*."""
        if version.name not in self._aliased:
            stand_in = alias_field(version)
            self._aliased[version.name] = Elements({**self._fields, version.name: stand_in})
        return self._aliased[version.name]


def alias_field(version: Field) -> Field:
    """Return a field whose texts are the aliases of *version*, under its name."""
    names = tuple(alias.name for alias in version.aliases)
    return replace(version, shape=regex.any_of(names), check=None, choices=names)


def build(compiled: list[Pattern], fields: Fields) -> Node:
    """Return the root of the trie of *compiled*, in the order of the document; no fallback."""
    root = Node(implied=True, depth=0)
    builder = _Builder(fields)
    for one in compiled:
        if not one.fallback:
            for variant in one.variants:
                builder.add(root, one, variant)
    for node in builder.version_nodes:
        _share_depth(node)
    return root


def _share_depth(top: Node) -> None:
    """Tell everything below the version directory *top* of it.

    On one branch there is one: the first version field of a path names it.
    """
    waiting = [top]
    while waiting:
        for child in children(waiting.pop()):
            if child.version_depth is None:
                child.version_depth = top.version_depth
                waiting.append(child)


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes one element below *node*."""
    yield from node.literals.values()
    for edge in node.patterns:
        yield edge.child


@cache
def scratch_matcher(patterns: tuple[str, ...]) -> Matcher | None:
    """Return what matches the names that *patterns* call scratch, or None for no patterns.

    The same for the same patterns: templates are grouped by it.
    """
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).fullmatch
