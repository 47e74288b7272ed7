"""Many names of one directory at once: of which template each of them is a file.

For who looks at a million paths: one match a name, and no fields, no `Resolution`. Says nothing of
what is not plain (scratch, overlaps, version directories, names of literals); that is left to
`Matcher.resolve`. Read-only once made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice, repeat

from shotfs.pathspec import walk
from shotfs.pathspec.elements import leaves
from shotfs.pathspec.index import FEW
from shotfs.pathspec.model import Template
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.trie import Edge, Node

TemplatesOf = Callable[[Sequence[str]], list[Template | None]]
"""From names, each of which can be one, to the templates of those that are plain files."""

NAME_CHARACTERS_MAX = 255


def templates_in(root: Node, above: list[str], special: Collection[int]) -> TemplatesOf | None:
    """Return what says of names in the directory *above* of which template each is a file.

    Args:
        root: of the trie.
        above: names that lead to the directory; one at least.
        special: indexes of templates that overlap others or cross their versions.

    Returns:
        None: each name has to be resolved.
    """
    nodes = list(islice(walk.nodes_at(root, above, 0, {}), 2))
    trees = list(islice(walk.trees_over(root, above, 0, {}), 2))
    if not nodes and len(trees) == 1:
        return _of_tree(*trees[0], special)
    if len(nodes) != 1 or trees:
        return None
    node, bound = nodes[0]
    if node.trees:
        alone = len(node.trees) == 1 and not node.literals and not node.patterns
        return _of_tree(node.trees[0][1], node.version_depth, special) if alone else None
    edges = {id(edge): _of_edge(edge, bound, len(above), special) for edge in node.patterns}
    if len(edges) == 1 and not node.literals:
        return edges.popitem()[1]
    return partial(_of_edges, node, edges)


def _of_tree(pattern: Pattern, depth: int | None, special: Collection[int]) -> TemplatesOf | None:
    if depth is not None or pattern.index in special:
        return None

    def templates_of(names: Sequence[str]) -> list[Template | None]:
        return _without_scratch(pattern, names, [pattern.template] * len(names))

    return templates_of


def _of_edge(
    edge: Edge, bound: Mapping[str, str], above: int, special: Collection[int]
) -> TemplatesOf:
    """Return what says it of names that only *edge* can match."""
    pattern, depth, element = edge.child.template, edge.child.version_depth, edge.element
    in_version = depth is not None and depth <= above
    if pattern is None or in_version or pattern.index in special:
        return _of_nothing
    template, match = pattern.template, element.match
    fields = {one.name for one in leaves(element.tokens, element.fields)}
    again = [(name, bound[name]) for name in fields if name in bound]

    def templates_of(names: Sequence[str]) -> list[Template | None]:
        matches = list(map(match, names))
        found: list[Template | None] = [None if one is None else template for one in matches]
        for place, one in enumerate(matches) if element.checks or again else ():
            if one is not None and (
                any(check(one[name]) is not None for name, check in element.checks)
                or any(one[name] != text for name, text in again)
            ):
                found[place] = None
        return _without_scratch(pattern, names, found)

    return templates_of


def _of_edges(
    node: Node, edges: Mapping[int, TemplatesOf], names: Sequence[str]
) -> list[Template | None]:
    """Say it where several edges or literals leave *node*; what overlaps is special anyway."""
    found: list[Template | None] = []
    for name in names:
        template: Template | None = None
        if name not in node.literals:
            for edge in node.candidates(name) if len(node.patterns) > FEW else node.patterns:
                template = edges[id(edge)]((name,))[0]
                if template is not None:
                    break
        found.append(template)
    return found


def _of_nothing(names: Sequence[str]) -> list[Template | None]:
    return list(repeat(None, len(names)))


def _without_scratch(
    pattern: Pattern, names: Sequence[str], found: list[Template | None]
) -> list[Template | None]:
    """Return *found* without names that are scratch, or too long or foreign to be sure of."""
    scratch = pattern.is_scratch
    if scratch is not None:
        found = [
            one if scratch(name) is None else None for one, name in zip(found, names, strict=True)
        ]
    if "".join(names).isascii() and max(map(len, names), default=0) <= NAME_CHARACTERS_MAX:
        return found
    return [
        one if name.isascii() and len(name) <= NAME_CHARACTERS_MAX else None
        for one, name in zip(found, names, strict=True)
    ]
