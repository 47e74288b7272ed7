"""The matcher: a trie over path elements.

Each edge is a literal (one dictionary look-up) or a compiled expression of a whole element.
Templates that begin alike share their edges. A walk visits each node at most once, so resolving
costs at most one match for each edge of the specification, whatever the path; an impossible path
mostly costs one look-up. Built once, then only read, by any number of threads.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.pathspec import elements, regex
from shotfs.pathspec.elements import Fields, Finite
from shotfs.pathspec.fields import Check
from shotfs.pathspec.model import DirectoryMatch
from shotfs.pathspec.pattern import Matcher, Pattern, Variant
from shotfs.pathspec.tokens import Literal, Token


@dataclass(slots=True)
class Edge:
    """A pattern edge. `again`: fields that an earlier element has fixed already."""

    match: Matcher
    tokens: tuple[Token, ...]
    again: tuple[str, ...]
    checks: tuple[tuple[str, Check], ...]
    finite: Finite | None
    weight: int
    child: Node

    def fields_of(self, name: str, bound: dict[str, str]) -> dict[str, str] | None:
        """Return *bound* and the fields that *name* gives, or None when it does not match."""
        found = self.match(name)
        if found is None:
            return None
        fields = found.groupdict()
        for key, check in self.checks:
            if check(fields[key]) is not None:
                return None
        for key in self.again:
            if bound[key] != fields[key]:
                return None
        return {**bound, **fields} if bound else fields


@dataclass(slots=True)
class Node:
    """A place in the trie: what paths that came here may be, and how they may go on."""

    implied: bool
    literals: dict[str, Node] = field(default_factory=dict)
    patterns: list[Edge] = field(default_factory=list)
    template: Pattern | None = None
    trees: list[tuple[str, Pattern, DirectoryMatch]] = field(default_factory=list)
    files: list[Pattern] = field(default_factory=list)
    below: list[Pattern] = field(default_factory=list)
    directory: DirectoryMatch | None = None


def build(compiled: list[Pattern], fields: Fields) -> Node:
    """Return the root of the trie of *compiled* templates, in the order of the document."""
    root = Node(implied=True)
    known: dict[DirectoryMatch, DirectoryMatch] = {}
    for one in compiled:
        for variant in one.variants:
            _add(root, one, variant, fields)
    _finish(root, known)
    return root


def _add(root: Node, one: Pattern, variant: Variant, fields: Fields) -> None:
    node, seen = root, set[str]()
    last = len(variant.elements) - 1
    for index, tokens in enumerate(variant.elements):
        node.below.append(one)
        if index == last:
            node.files.append(one)
            if variant.tree is not None:
                node.trees.append((variant.tree, one, _directory([one], implied=False)))
                return
        node = _step(node, tokens, fields, seen)
        seen.update(field.name for field in elements.leaves(tokens, fields))
    if node.template is None:
        node.template = one


def _step(node: Node, tokens: tuple[Token, ...], fields: Fields, seen: set[str]) -> Node:
    if len(tokens) == 1 and isinstance(tokens[0], Literal):
        return node.literals.setdefault(tokens[0].text, Node(implied=node.implied))
    for edge in node.patterns:
        if edge.tokens == tokens:
            return edge.child
    listed = elements.finite(tokens, fields)
    names = {field.name for field in elements.leaves(tokens, fields)}
    edge = Edge(
        match=re.compile(regex.render(elements.expand(tokens, fields, set())), re.ASCII).fullmatch,
        tokens=tokens,
        again=tuple(sorted(names & seen)),
        checks=elements.checks_of(tokens, fields),
        finite=listed,
        weight=elements.literal_length(tokens, fields),
        child=Node(implied=node.implied and listed is not None),
    )
    node.patterns.append(edge)
    return edge.child


def _finish(node: Node, known: dict[DirectoryMatch, DirectoryMatch]) -> None:
    # Stable: where two are equally specific, the order of the document decides.
    node.patterns.sort(key=lambda edge: -edge.weight)
    if node.below:
        match = _directory(node.below, implied=node.implied)
        node.directory = known.setdefault(match, match)
    for child in (*node.literals.values(), *(edge.child for edge in node.patterns)):
        _finish(child, known)
    node.below = []
    node.files = [one for one in node.files if one.is_scratch is not None]


def _directory(below: list[Pattern], *, implied: bool) -> DirectoryMatch:
    policies = [one.template.policy for one in below]
    mode = 0o777
    for policy in policies:
        mode &= policy.directory_mode
    owners = {policy.uid for policy in policies}
    groups = {policy.gid for policy in policies}
    return DirectoryMatch(
        implied=implied,
        origins=tuple(dict.fromkeys(policy.origin for policy in policies)),
        writable=any(policy.flow.writable for policy in policies),
        mode=mode,
        uid=owners.pop() if len(owners) == 1 else None,
        gid=groups.pop() if len(groups) == 1 else None,
        owner_caller=all(policy.owner_caller for policy in policies),
        ttl_s=min(policy.ttl_s for policy in policies),
        negative_ttl_s=min(policy.negative_ttl_s for policy in policies),
    )


def merge(matches: list[DirectoryMatch]) -> DirectoryMatch:
    """Return the most cautious of *matches*, which are not empty."""
    if len(matches) == 1:
        return matches[0]
    owners = {match.uid for match in matches}
    groups = {match.gid for match in matches}
    mode = 0o777
    for match in matches:
        mode &= match.mode
    return DirectoryMatch(
        implied=any(match.implied for match in matches),
        origins=tuple(dict.fromkeys(origin for match in matches for origin in match.origins)),
        writable=any(match.writable for match in matches),
        mode=mode,
        uid=owners.pop() if len(owners) == 1 else None,
        gid=groups.pop() if len(groups) == 1 else None,
        owner_caller=all(match.owner_caller for match in matches),
        ttl_s=min(match.ttl_s for match in matches),
        negative_ttl_s=min(match.negative_ttl_s for match in matches),
    )


def find(
    node: Node, path: list[str], index: int, bound: dict[str, str]
) -> tuple[Pattern, dict[str, str]] | None:
    """Return the template of *path* from element *index* on, and its fields; most literal first."""
    name = path[index]
    following = index + 1
    last = following == len(path)
    child = node.literals.get(name)
    if child is not None:
        if not last:
            found = find(child, path, following, bound)
            if found is not None:
                return found
        elif child.template is not None:
            return child.template, bound
    for edge in node.patterns:
        fields = edge.fields_of(name, bound)
        if fields is None:
            continue
        if not last:
            found = find(edge.child, path, following, fields)
            if found is not None:
                return found
        elif edge.child.template is not None:
            return edge.child.template, fields
    for tree, compiled, _ in node.trees:
        return compiled, {**bound, tree: "/".join(path[index:])}
    return None


def nodes_at(
    node: Node, path: list[str], index: int, bound: dict[str, str]
) -> Iterator[tuple[Node, dict[str, str]]]:
    """Yield every node that *path* leads to, with the fields bound on the way."""
    if index == len(path):
        yield node, bound
        return
    child = node.literals.get(path[index])
    if child is not None:
        yield from nodes_at(child, path, index + 1, bound)
    for edge in node.patterns:
        fields = edge.fields_of(path[index], bound)
        if fields is not None:
            yield from nodes_at(edge.child, path, index + 1, fields)


def directories_at(
    node: Node, path: list[str], index: int, bound: dict[str, str]
) -> Iterator[DirectoryMatch]:
    """Yield what each node and each tree that *path* leads to says of it as a directory."""
    if index == len(path):
        if node.directory is not None:
            yield node.directory
        return
    for _, _, match in node.trees:
        yield match
    child = node.literals.get(path[index])
    if child is not None:
        yield from directories_at(child, path, index + 1, bound)
    for edge in node.patterns:
        fields = edge.fields_of(path[index], bound)
        if fields is not None:
            yield from directories_at(edge.child, path, index + 1, fields)


def scratch_matcher(patterns: tuple[str, ...]) -> Matcher | None:
    """Return what matches the names that *patterns* call scratch, or None for no patterns."""
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).fullmatch
