"""The matcher: answers what a path is, from the trie and from what the proofs found.

Overlapping templates are settled by the order that `before` gives. The fallback (`unmatched`) comes
last. Nothing in `RESERVED` exists. Read-only once made, so threads may share it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from shotfs.pathspec import directories, walk
from shotfs.pathspec.elements import Fields
from shotfs.pathspec.many_names import TemplatesOf, templates_in
from shotfs.pathspec.model import RESERVED, AliasMatch, DirectoryMatch, Policy, Resolution
from shotfs.pathspec.order import Order
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.trie import AliasEdge, Node
from shotfs.pathspec.walk import Found

ALIASES_KEY = f"{RESERVED}/aliases/"
NAME_BYTES_MAX = 255


class FoundAlias(NamedTuple):
    """An alias that a path ends with: the text of its last element around it."""

    before: str
    edge: AliasEdge
    alias: str
    after: str


class Matcher:
    """What one specification says of paths.

    Args:
        compiled: all templates, in the order of the document, a fallback last.
        root: of their trie.
        crossing: indexes of templates some of whose paths lie in a version directory of others
            that their own node does not know; the proof of overlaps finds them.
    """

    def __init__(
        self, compiled: list[Pattern], root: Node, fields: Fields, crossing: Collection[int]
    ) -> None:
        self._root = root
        self._fields = fields
        self._order = Order(compiled)
        self._contested = self._order.contested
        self._crossing = frozenset(crossing)
        self._fallback = next((one for one in compiled if one.fallback), None)

    def is_contested(self, pattern: Pattern) -> bool:
        """Return whether other templates may match what *pattern* does; `before` settles it."""
        return pattern.index in self._order.contested

    def resolve(self, path: str) -> Resolution | None:
        """Return what *path* is as a file, or None when no template can produce it."""
        names = split(path)
        if not names or names[0] == RESERVED:
            return None
        found = walk.find(self._root, names, 0, {})
        if found is None:
            return self._without_template(path, names)
        pattern, fields, depth = found
        if pattern.index in self._contested:
            pattern, fields, depth = self._preferred(names)
            if self._is_alias_rather(names):
                return None
        if pattern.is_scratch is not None and pattern.is_scratch(names[-1]) is not None:
            return self._scratch(path, names)
        if self._crossing and pattern.index in self._crossing:
            depth = walk.version_depth(self._root, names, 0, {})
        if depth is not None and depth >= len(names):
            depth = None
        return Resolution(pattern.template, fields, path, False, depth)

    def resolve_in(self, directory: str) -> Callable[[str], Resolution | None]:
        """Return what says of paths directly in *directory* what `resolve` does, in half the time.

        For who asks for many of them: the way to the directory is gone once.
        """
        names = split(directory)
        way = walk.only_way(self._root, names) if names and names[0] != RESERVED else None
        if names is None or way is None:
            return self.resolve
        node, bound = way
        above, begin = len(names), len(directory) + 1
        special = self._contested | self._crossing

        def resolve(path: str) -> Resolution | None:
            name = path[begin:]
            found = walk.find(node, [name], 0, bound) if split(name) else None
            if found is None or found.pattern.index in special:
                return self.resolve(path)
            pattern, fields, depth = found
            if pattern.is_scratch is not None and pattern.is_scratch(name) is not None:
                return self.resolve(path)
            if depth is not None and depth > above:
                depth = None
            return Resolution(pattern.template, fields, path, False, depth)

        return resolve

    def templates_in(self, directory: str) -> TemplatesOf | None:
        """Return what says of names in *directory* of which template each is a plain file.

        Of a name it may say None, and there may be nothing that says it: then `resolve` does.
        """
        names = split(directory)
        if not names or names[0] == RESERVED:
            return None
        return templates_in(self._root, names, self._contested | self._crossing)

    def _preferred(self, names: list[str]) -> Found:
        """Return the template of *names* that is before all others; there is one at least."""
        every = walk.find_all(self._root, names, 0, {})
        return min(every, key=lambda one: self._order.rank(one.pattern))

    def _without_template(self, path: str, names: list[str]) -> Resolution | None:
        scratch = self._scratch(path, names)
        if scratch is None and self._fallback is None:
            return None
        if self._alias_edge(names) is not None:
            return None  # also where its name looks like scratch: it is declared
        if scratch is not None or self._fallback is None:
            return scratch
        if any(node.implied for node, _ in walk.nodes_at(self._root, names, 0, {})):
            return None
        matches = self._fallback.is_scratch
        is_scratch = matches is not None and matches(names[-1]) is not None
        depth = self._depth(names)
        return Resolution(self._fallback.template, {}, path, is_scratch, depth)

    def _depth(self, names: list[str]) -> int | None:
        """Return the version depth of the file *names*, whatever template it has."""
        return walk.version_depth(self._root, names[:-1], 0, {})

    def _scratch(self, path: str, names: list[str]) -> Resolution | None:
        name = names[-1]
        first: Resolution | None = None
        for node, fields in walk.nodes_at(self._root, names[:-1], 0, {}):
            pattern = next((one for matches, one in node.scratch.items() if matches(name)), None)
            if pattern is None:
                continue
            exact = _beginning(node, name, fields)
            chosen = pattern if exact is None else exact
            depth = self._depth(names) if self._crossing else node.version_depth
            resolution = Resolution(chosen.template, fields, path, True, depth)
            if exact is not None:
                return resolution
            first = first or resolution
        return first or self._scratch_in_tree(path, names)

    def _scratch_in_tree(self, path: str, names: list[str]) -> Resolution | None:
        for pattern, fields, _ in walk.find_all(self._root, names, 0, {}):
            if pattern.tree is None or pattern.is_scratch is None:
                continue
            if pattern.is_scratch(names[-1]) is not None:
                kept = {name: text for name, text in fields.items() if name != pattern.tree}
                return Resolution(pattern.template, kept, path, True, self._depth(names))
        return None

    def directory(self, path: str) -> DirectoryMatch | None:
        """Return what *path* is as a directory, or None when no template has such a directory."""
        names = split(path)
        if names is None or (names and names[0] == RESERVED):
            return None
        policies: dict[int, Policy] = {}
        implied = aliases = retractable = False
        depths: list[int | None] = []
        for node, _ in walk.nodes_at(self._root, names, 0, {}):
            if node.policies:
                policies.update(node.policies)
                implied = implied or node.implied
                aliases = aliases or bool(node.aliases)
                retractable = retractable or node.holds_retractable
                depths.append(node.version_depth)
        for pattern, depth in walk.trees_over(self._root, names, 0, {}):
            policies[id(pattern.template.policy)] = pattern.template.policy
            depths.append(depth)
        if policies and self._is_alias_rather(names):
            return None
        if self._fallback is not None and (policies or self._alias_edge(names) is None):
            policies[id(self._fallback.template.policy)] = self._fallback.template.policy
        if not policies:
            return None
        known = [depth for depth in depths if depth is not None]
        if self._crossing or self._fallback is not None:
            found = walk.version_depth(self._root, names, 0, {})
            known = [] if found is None else [found]
        return directories.merge(
            policies.values(),
            implied=implied,
            version_depth=min(known, default=None),
            aliases=aliases,
            holds_retractable=retractable,
        )

    def _is_alias_rather(self, names: list[str]) -> bool:
        """Return whether *names*, which templates match, are an alias of a template before them."""
        if not self._order.contested:
            return False
        alias = self._alias_edge(names)
        return alias is not None and not self._has_rival(names, alias.edge.patterns[0])

    def _has_rival(self, names: list[str], pattern: Pattern) -> bool:
        """Return whether a template before *pattern* has the file or directory *names*."""
        rank = self._order.rank(pattern)
        rivals = [found.pattern for found in walk.find_all(self._root, names, 0, {})]
        rivals.extend(tree for tree, _ in walk.trees_over(self._root, names, 0, {}))
        for node, _ in walk.nodes_at(self._root, names, 0, {}):
            rivals.extend(walk.patterns_below(node))
        return any(self._order.rank(rival) < rank for rival in rivals)

    def alias(self, path: str) -> AliasMatch | None:
        """Return what *path* is as a version alias, or None when it is none."""
        names = split(path)
        if not names or names[0] == RESERVED:
            return None
        found = self._alias_edge(names)
        if found is None:
            return None
        start, edge, alias, end = found
        if self._order.contested and self._has_rival(names, edge.patterns[0]):
            return None
        named = next(one for one in edge.field.aliases if one.name == alias)
        policies = [one.template.policy for one in edge.patterns]
        return AliasMatch(
            alias=alias,
            usage=named.usage,
            follows_publish=named.follows_publish,
            field=edge.field.name,
            origin=policies[0].origin,
            key=f"{ALIASES_KEY}{path}.json",
            before=start,
            after=end,
            directory=edge.directory,
            writable=any(policy.flow.writable for policy in policies),
            ttl_s=min(policy.ttl_s for policy in policies),
            negative_ttl_s=min(policy.negative_ttl_s for policy in policies),
        )

    def _alias_edge(self, names: list[str]) -> FoundAlias | None:
        """Return the alias that *names* end with: of several, that of the preferred template."""
        if not names:
            return None
        found = self._alias_edges(names)
        if not self._order.contested:
            return next(found, None)
        return min(found, key=lambda one: self._order.rank(one.edge.patterns[0]), default=None)

    def _alias_edges(self, names: list[str]) -> Iterator[FoundAlias]:
        name = names[-1]
        for node, bound in walk.nodes_at(self._root, names[:-1], 0, {}):
            for edge in node.alias_candidates(name):
                found = edge.element.find(name)
                if found is not None and _agree(found.groupdict(), bound):
                    start, end = found.span(edge.field.name)
                    yield FoundAlias(name[:start], edge, name[start:end], name[end:])

    def implied_children(self, path: str) -> tuple[str, ...]:
        """Return the names of the directories in *path* that exist without any object, sorted."""
        names = split(path)
        if names is None or (names and names[0] == RESERVED):
            return ()
        children: set[str] = set()
        for node, fields in walk.nodes_at(self._root, names, 0, {}):
            if not node.implied:
                continue
            children.update(name for name, child in node.literals.items() if child.policies)
            for edge in node.patterns:
                if edge.element.finite is not None and edge.child.policies:
                    children.update(edge.element.finite.names(self._fields, fields))
        if not names:
            children.discard(RESERVED)
        return tuple(sorted(name for name in children if len(name.encode()) <= NAME_BYTES_MAX))


def _agree(fields: dict[str, str], bound: dict[str, str]) -> bool:
    return all(bound.get(name, text) == text for name, text in fields.items())


def _beginning(node: Node, name: str, fields: dict[str, str]) -> Pattern | None:
    """Return a template in *node* of which the scratch name *name* begins with a whole name."""
    for start in (0, 1) if name.startswith(".") else (0,):
        for end in range(len(name) - 1, start, -1):
            found = walk.find(node, [name[start:end]], 0, fields)
            if found is None or found.pattern.is_scratch is None:
                continue
            if found.pattern.is_scratch(name) is not None:
                return found.pattern
    return None


def split(path: str) -> list[str] | None:
    """Return the elements of *path*, none for "", or None when it cannot be a path of a show."""
    if path == "":
        return []
    names = path.split("/")
    if "" in names or "." in names or ".." in names or "\0" in path:
        return None
    if path.isascii():
        too_long = len(path) > NAME_BYTES_MAX and max(map(len, names)) > NAME_BYTES_MAX
        return None if too_long else names
    try:
        longest = max(len(name.encode()) for name in names)
    except UnicodeEncodeError:
        return None
    return None if longest > NAME_BYTES_MAX else names


def impossible(names: Iterable[str]) -> str:
    """Return why no path of a show has the elements *names*, as a sentence without a full stop."""
    for place, name in enumerate(names):
        if place == 0 and name == RESERVED:
            return f'"{RESERVED}" holds what shotfs itself keeps in the origin, and is never shown'
        if name in ("", ".", ".."):
            return f'a path has no element "{name}"'
        if "\0" in name:
            return "a name cannot hold a NUL character"
        try:
            if len(name.encode()) > NAME_BYTES_MAX:
                return f"the name {name[:60]!r}... is longer than {NAME_BYTES_MAX} bytes"
        except UnicodeEncodeError:
            return f"the name {name[:60]!r} is not UTF-8"
    return "no path can be written like that"
