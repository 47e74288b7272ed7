"""Walks of the trie: from the names of a path to what they can be.

A walk goes every way that the names allow, so it costs at most one match for each edge that the
index of a node does not rule out. Nodes are few below a name in ordinary specifications; overlaps
between directories are what makes a walk fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shotfs.pathspec.index import FEW
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.trie import Edge, Node, children


class Found(NamedTuple):
    """A template that produces a path.

    Attributes:
        fields: their texts in the path.
        version_depth: of the node that the path ended at.
    """

    pattern: Pattern
    fields: dict[str, str]
    version_depth: int | None


def find(node: Node, path: list[str], index: int, bound: dict[str, str]) -> Found | None:
    """Return a template of *path* from element *index* on: of several, any."""
    last = len(path) - 1
    while not node.trees:
        # As long as there is one way to go: most paths never fork.
        name = path[index]
        child = node.literals.get(name)
        if child is None:
            edges = node.patterns
            if len(edges) > FEW:
                edges = node.candidates(name)
            if len(edges) != 1:
                if not edges:
                    return None
                return _find_forked(node, path, index, bound, edges)
            edge = edges[0]
            fields = edge.fields_of(name, bound)
            if fields is None:
                return None
            child, bound = edge.child, fields
        elif node.patterns:
            return _find_forked(node, path, index, bound, node.candidates(name))
        if index == last:
            pattern = child.template
            return None if pattern is None else Found(pattern, bound, child.version_depth)
        node = child
        index += 1
    edges = node.candidates(path[index]) if node.patterns else []
    return _find_forked(node, path, index, bound, edges)


def only_way(node: Node, path: list[str]) -> tuple[Node, dict[str, str]] | None:
    """Return the one node that *path* leads to and its fields; None: there may be several."""
    bound: dict[str, str] = {}
    for name in path:
        child = node.literals.get(name)
        if node.trees or (child is not None and node.patterns):
            return None
        if child is None:
            edges = node.candidates(name) if node.patterns else []
            fields = edges[0].fields_of(name, bound) if len(edges) == 1 else None
            if fields is None:
                return None
            child, bound = edges[0].child, fields
        node = child
    return None if node.trees else (node, bound)


def _find_forked(
    node: Node, path: list[str], index: int, bound: dict[str, str], edges: list[Edge]
) -> Found | None:
    """Try the literal, then *edges*, then the trees of *node*."""
    name = path[index]
    last = index == len(path) - 1
    child = node.literals.get(name)
    if child is not None:
        found = _go_on(child, path, index, bound, last=last)
        if found is not None:
            return found
    for edge in edges:
        fields = edge.fields_of(name, bound)
        if fields is not None:
            found = _go_on(edge.child, path, index, fields, last=last)
            if found is not None:
                return found
    for tree, pattern in node.trees:
        return Found(pattern, {**bound, tree: "/".join(path[index:])}, node.version_depth)
    return None


def _go_on(
    child: Node, path: list[str], index: int, bound: dict[str, str], *, last: bool
) -> Found | None:
    if not last:
        return find(child, path, index + 1, bound)
    pattern = child.template
    return None if pattern is None else Found(pattern, bound, child.version_depth)


def find_all(node: Node, path: list[str], index: int, bound: dict[str, str]) -> Iterator[Found]:
    """Yield every template of *path* from element *index* on."""
    for tree, pattern in node.trees:
        yield Found(pattern, {**bound, tree: "/".join(path[index:])}, node.version_depth)
    for child, fields in steps(node, path[index], bound):
        if index + 1 < len(path):
            yield from find_all(child, path, index + 1, fields)
        elif child.template is not None:
            yield Found(child.template, fields, child.version_depth)


def steps(node: Node, name: str, bound: dict[str, str]) -> Iterator[tuple[Node, dict[str, str]]]:
    """Yield every node that *name* leads to from *node*, with the fields then bound."""
    child = node.literals.get(name)
    if child is not None:
        yield child, bound
    if node.patterns:
        for edge in node.candidates(name):
            fields = edge.fields_of(name, bound)
            if fields is not None:
                yield edge.child, fields


def nodes_at(
    node: Node, path: list[str], index: int, bound: dict[str, str]
) -> Iterator[tuple[Node, dict[str, str]]]:
    """Yield every node that *path* leads to, with the fields bound on the way."""
    if index == len(path):
        yield node, bound
        return
    for child, fields in steps(node, path[index], bound):
        yield from nodes_at(child, path, index + 1, fields)


def trees_over(
    node: Node, path: list[str], index: int, bound: dict[str, str]
) -> Iterator[tuple[Pattern, int | None]]:
    """Yield every tree that *path* lies in as a directory, with its node's version depth."""
    if index == len(path):
        return
    for _, pattern in node.trees:
        yield pattern, node.version_depth
    for child, fields in steps(node, path[index], bound):
        yield from trees_over(child, path, index + 1, fields)


def version_depth(node: Node, path: list[str], index: int, bound: dict[str, str]) -> int | None:
    """Return how many elements of *path* name the outermost version directory, or None."""
    if node.version_depth is not None:
        return node.version_depth
    if index == len(path):
        return None
    depths = [
        depth
        for child, fields in steps(node, path[index], bound)
        if (depth := version_depth(child, path, index + 1, fields)) is not None
    ]
    return min(depths, default=None)


def patterns_below(node: Node) -> Iterator[Pattern]:
    """Yield the templates of all files below *node*, repeats included."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        for _, pattern in here.trees:
            yield pattern
        for child in children(here):
            if child.template is not None:
                yield child.template
            waiting.append(child)
