"""Walks of the trie: from the names of a path to what they can be.

A walk goes every way that the names allow, so it costs at most one match for each edge that the
index of a node does not rule out. Nodes are few below a name in ordinary specifications; overlaps
between directories are what makes a walk fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.trie import Node, children


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
            return Found(child.template, bound, child.version_depth)
    if node.patterns:
        for edge in node.candidates(name):
            fields = edge.fields_of(name, bound)
            if fields is None:
                continue
            child = edge.child
            if not last:
                found = find(child, path, following, fields)
                if found is not None:
                    return found
            elif child.template is not None:
                return Found(child.template, fields, child.version_depth)
    for tree, pattern in node.trees:
        return Found(pattern, {**bound, tree: "/".join(path[index:])}, node.version_depth)
    return None


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
