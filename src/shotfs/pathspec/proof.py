"""What is proven about a specification when it is loaded.

Errors: an element whose matching could be slow (`backtracking`), and one whose text could be dealt
to its fields in two ways, because then parse(format(fields)) would not give the fields back.
Warnings: two templates that can both produce one path (the more literal one wins), files that their
own scratch patterns hide, fields that no template uses.
"""

from __future__ import annotations

from collections.abc import Iterator

from shotfs.pathspec import elements
from shotfs.pathspec.automata import Automaton, TooComplex, automaton_of, common_text, two_readings
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.elements import Fields, text_of
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import Report
from shotfs.pathspec.tokens import Literal, Token
from shotfs.pathspec.trie import Edge, Node

WARNINGS_MAX = 100
COMPARISONS_MAX = 200_000
"""Pairs of trie nodes that are compared for overlap: some seconds of work."""

Tokens = tuple[Token, ...]


class ElementProofs:
    """Automata of elements, each made once however many templates share it."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._automata: dict[Tokens, Automaton] = {}
        self._problems: dict[Tokens, tuple[str, str] | None] = {}
        self._common: dict[tuple[Tokens, Tokens], str | None] = {}

    def problem(self, tokens: Tokens) -> tuple[str, str] | None:
        """Return (what is wrong with the element *tokens*, its fix), or None."""
        if tokens not in self._problems:
            self._problems[tokens] = self._find_problem(tokens)
        return self._problems[tokens]

    def _find_problem(self, tokens: Tokens) -> tuple[str, str] | None:
        if all(isinstance(token, Literal) for token in tokens):
            return None
        shown = text_of(tokens)[:200]
        tree = elements.expand(tokens, self._fields, set())
        if attempts(tree) > ATTEMPTS_MAX:
            return (
                f'matching the element "{shown}" could take very long for some names',
                "give its fields patterns that exclude the character that follows them",
            )
        try:
            text = two_readings(self.automaton(tokens))
        except TooComplex:
            return (
                f'the element "{shown}" is too large to be proven',
                "use smaller counts or fewer choices",
            )
        if text is None:
            return None
        return (
            f'the element "{shown}" is ambiguous: {text!r} can be cut into its fields in two ways',
            "exclude the separator from a field's pattern, or put a literal between the fields",
        )

    def automaton(self, tokens: Tokens) -> Automaton:
        """Return the automaton of the element *tokens*."""
        known = self._automata.get(tokens)
        if known is None:
            known = automaton_of(elements.expand(tokens, self._fields, set()))
            self._automata[tokens] = known
        return known

    def common(self, one: Tokens, other: Tokens) -> str | None:
        """Return a text that both elements match, "?" if that cannot be decided, or None."""
        key = (one, other)
        if key not in self._common:
            try:
                self._common[key] = common_text(self.automaton(one), self.automaton(other))
            except TooComplex:
                self._common[key] = "?"
        return self._common[key]

    def sample(self, tokens: Tokens) -> str:
        """Return a shortest text of the element *tokens*."""
        return self.common(tokens, tokens) or ""


def find_overlaps(root: Node, proofs: ElementProofs) -> Iterator[tuple[Pattern, Pattern, str]]:
    """Yield pairs of templates that may both produce one path, with such a path.

    Walks the trie beside itself. Fields that repeat, ranges and exclusions are not taken into
    account between two patterns, so a pair may be a false alarm; a pair that is not there is
    proven not to overlap.

    Raises:
        TooComplex: `COMPARISONS_MAX` was reached; the pairs after that are not known.
    """
    waiting: list[tuple[Node, Node, tuple[str, ...]]] = [(root, root, ())]
    compared = 0
    while waiting:
        if compared >= COMPARISONS_MAX:
            raise TooComplex
        one, other, path = waiting.pop()
        compared += 1
        yield from _at(one, other, path)
        for first, second, name in _steps(one, other, proofs):
            compared += 1
            waiting.append((first, second, (*path, name)))


def _at(one: Node, other: Node, path: tuple[str, ...]) -> Iterator[tuple[Pattern, Pattern, str]]:
    if one is not other and one.template is not None and other.template is not None:
        yield one.template, other.template, "/".join(path)
    for node, beside in ((one, other), (other, one)):
        for _, tree in node.trees:
            for found, names in _all_below(beside, tree):
                yield tree, found, "/".join((*path, *names))
        if one is other:
            break


def _all_below(node: Node, but: Pattern) -> Iterator[tuple[Pattern, tuple[str, ...]]]:
    """Yield the templates below *node* that are not *but*, with names that lead to them."""
    for _, tree in node.trees:
        if tree is not but:
            yield tree, ("x",)
    children = list(node.literals.items())
    children.extend((text_of(edge.element.tokens), edge.child) for edge in node.patterns)
    for name, child in children:
        if child.template is not None:
            yield child.template, (name,)
        for found, names in _all_below(child, but):
            yield found, (name, *names)


def _steps(one: Node, other: Node, proofs: ElementProofs) -> Iterator[tuple[Node, Node, str]]:
    for name, child in one.literals.items():
        if name in other.literals:
            yield child, other.literals[name], name
        for edge in other.patterns:
            if _takes(edge, name):
                yield child, edge.child, name
    if one is not other:
        for name, child in other.literals.items():
            for edge in one.patterns:
                if _takes(edge, name):
                    yield edge.child, child, name
    for index, edge in enumerate(one.patterns):
        for beside in other.patterns[index:] if one is other else other.patterns:
            shared = proofs.common(edge.element.tokens, beside.element.tokens)
            if shared is not None:
                yield edge.child, beside.child, shared


def _takes(edge: Edge, name: str) -> bool:
    return edge.element.find(name) is not None


def warn_overlaps(root: Node, proofs: ElementProofs, warnings: Report, offsets: list[int]) -> None:
    """Note each pair of templates that can produce one path, at the later one of them."""
    try:
        _warn_overlaps(root, proofs, warnings, offsets)
    except TooComplex:
        warnings.add(
            "/templates",
            f"more than {COMPARISONS_MAX} pairs of elements: not all templates were compared",
            offsets[0],
            "begin paths with different literals",
        )


def _warn_overlaps(root: Node, proofs: ElementProofs, warnings: Report, offsets: list[int]) -> None:
    seen: set[tuple[int, int]] = set()
    for one, other, path in find_overlaps(root, proofs):
        early, late = (one, other) if one.index < other.index else (other, one)
        if (early.index, late.index) in seen:
            continue
        seen.add((early.index, late.index))
        warnings.add(
            f"/templates/{late.template.name}/path",
            f'templates "{early.template.name}" and "{late.template.name}" may both produce'
            f" {path!r}; the one with more literal text wins",
            offsets[late.index],
            "narrow a field, or add a literal that tells them apart",
        )
        if len(seen) >= WARNINGS_MAX:
            return


def warn_hidden(
    compiled: list[Pattern], proofs: ElementProofs, warnings: Report, offsets: list[int]
) -> None:
    """Note each template whose own files its scratch patterns match."""
    for one in compiled:
        if one.is_scratch is None or one.tree is not None:
            continue
        name = proofs.sample(one.elements[-1])
        if one.is_scratch(name) is not None:
            warnings.add(
                f"/templates/{one.template.name}/scratch",
                f"files like {name!r} match the template's own scratch patterns:"
                " they would never be published",
                offsets[one.index],
                'give the template a "scratch" list without that pattern',
            )


def warn_unused(
    compiled: list[Pattern], fields: Fields, warnings: Report, lines: dict[str, int]
) -> None:
    """Note each field that no template uses."""
    used = {
        field.name
        for one in compiled
        for tokens in one.elements
        for field in elements.leaves(tokens, fields)
    }
    for name in fields:
        if name not in used:
            warnings.add(
                f"/fields/{name}", f'no template uses the field "{name}"', lines[name], "remove it"
            )
