"""What is proven about a specification when it is loaded.

Of each element: that no name can make matching slow, and that no text could be dealt to its fields
in two ways (`readings`). Of all templates: that no two can produce one path but where
`before` settles it (`conflicts`), and that examples of each read back as they were written
(`examples`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shotfs.pathspec.conflicts import find as find_conflicts
from shotfs.pathspec.conflicts import warn_needless
from shotfs.pathspec.elements import Fields
from shotfs.pathspec.examples import check_examples
from shotfs.pathspec.languages import Languages
from shotfs.pathspec.matcher import Matcher
from shotfs.pathspec.order import Order
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import Report
from shotfs.pathspec.trie import Node


def prove(
    compiled: Sequence[Pattern],
    root: Node,
    fields: Fields,
    report: Report,
    warnings: Report,
    offsets: Sequence[int],
    field_offset: Callable[[str], int],
) -> frozenset[int]:
    """Prove the templates *compiled*, each of whose elements is proven; note what is wrong.

    Args:
        compiled: all templates, each at its index, a fallback last.
        root: of their trie.
        fields: of the specification.
        report: takes the mistakes.
        warnings: takes what is allowed and probably not meant.
        offsets: where each template is declared, by its index.
        field_offset: where each field is declared.

    Returns:
        What `Specification` takes as `crossing`.
    """
    order = Order(list(compiled))
    if order.circle:
        names = " before ".join((*order.circle[:10], order.circle[0]))
        first = next(one for one in compiled if one.template.name == order.circle[0])
        report.add(
            f"/templates/{first.template.name}/before",
            f'"before" goes in a circle: {names}',
            offsets[first.index],
            "remove one of them",
        )
        return frozenset()
    languages = Languages()
    conflicts = find_conflicts(compiled, fields, languages, order, report, offsets)
    if report.problems:
        return frozenset()
    warn_needless(compiled, conflicts.settled, warnings, offsets)
    crossing = frozenset(conflicts.crossing)
    matcher = Matcher(list(compiled), root, fields, crossing)
    check_examples(compiled, fields, languages, matcher, report, warnings, offsets, field_offset)
    return crossing
