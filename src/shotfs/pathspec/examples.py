"""Proof by example: paths of each template are written, and must read back as they were written.

The texts come from the automata of the fields: a shortest one, one that goes other ways, a longer
one. The same document gives the same examples. Other proofs exclude what can go wrong here; this
one would show what they overlook, and finds templates whose every path is impossible.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from shotfs.errors import InvalidArgument
from shotfs.pathspec.automata import readable
from shotfs.pathspec.elements import Fields, leaves, write
from shotfs.pathspec.fields import Field
from shotfs.pathspec.languages import Fragment, Languages
from shotfs.pathspec.matcher import Matcher, impossible, split
from shotfs.pathspec.model import RESERVED
from shotfs.pathspec.pattern import Pattern, Variant
from shotfs.pathspec.problems import Report
from shotfs.pathspec.regex import Ranges, intersect

EXAMPLES = 2
"""Of each variant."""
TURNS_MAX = 6
"""Combinations of texts that are tried for them: some make no path that can exist."""

_TREES = ("x", "x/y")
_OTHERS: Ranges = ((ord("b"), ord("y")), (ord("2"), ord("9")), (ord("B"), ord("Y")))


class Samples:
    """Texts of fields, out of their automata."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, field: Field) -> tuple[str, ...]:
        """Return some texts of *field*, which is no compound; the first is a shortest one.

        Empty where the automaton reads more than the field does and none was found.
        """
        known = self._known.get(field.name)
        if known is None:
            known = self._known[field.name] = tuple(dict.fromkeys(self._find(field)))
        return known

    def is_empty(self, field: Field) -> bool:
        """Return whether *field*, which is no compound, is proven to have no text."""
        if field.kind == "tree" or field.choices is not None:
            return False
        fragment = self._languages.fragments[self._languages.of_field(field)]
        return _text(fragment, self._languages.alphabet.sets, readable, 0) is None

    def _find(self, field: Field) -> list[str]:
        if field.kind == "tree":
            return list(_TREES)
        if field.choices is not None:
            return [min(field.choices, key=len), field.choices[-1]]
        alphabet = self._languages.alphabet
        fragment = self._languages.fragments[self._languages.of_field(field)]
        texts: list[str] = []
        for choose, more in ((readable, 0), (_other, 0), (_other, 2)):
            text = _text(fragment, alphabet.sets, choose, more)
            if text is not None and field.problem(text) is None:
                texts.append(text)
        return texts


def _other(ranges: Ranges) -> str:
    """Return a character of *ranges* that `readable` would not choose, where there is one."""
    shared = intersect(ranges, _OTHERS)
    return chr(shared[-1][0]) if shared else readable(ranges)


def _text(
    fragment: Fragment, sets: Sequence[Ranges], choose: Callable[[Ranges], str], more: int
) -> str | None:
    """Return a shortest text of *fragment*, or one that is longer by *more*; None for no text."""
    start = (0, 0)
    came_from: dict[tuple[int, int], tuple[tuple[int, int], int]] = {}
    seen = {start}
    waiting = deque([(0, start)])
    least: int | None = None
    while waiting:
        length, state = waiting.popleft()
        if fragment.final[state[0]]:
            if least is None:
                least = length
            if length >= least + more:
                return _written(state, came_from, sets, choose)
        # Once a text was found, states count their way on: a longer text passes them again.
        extra = 0 if least is None else min(state[1] + 1, more)
        for number, to in fragment.moves[state[0]]:
            following = (to, extra)
            if following not in seen:
                seen.add(following)
                came_from[following] = (state, number)
                waiting.append((length + 1, following))
    return None


def _written(
    state: tuple[int, int],
    came_from: Mapping[tuple[int, int], tuple[tuple[int, int], int]],
    sets: Sequence[Ranges],
    choose: Callable[[Ranges], str],
) -> str:
    characters: list[str] = []
    while state in came_from:
        state, number = came_from[state]
        characters.append(choose(sets[number]))
    return "".join(reversed(characters))


def check_examples(
    compiled: Sequence[Pattern],
    fields: Fields,
    languages: Languages,
    matcher: Matcher,
    report: Report,
    warnings: Report,
    offsets: Sequence[int],
    field_offset: Callable[[str], int],
) -> None:
    """Write and read examples of all *compiled*; note those that do not come back.

    Args:
        compiled: the templates; a fallback among them is left out.
        fields: of the specification.
        languages: of those fields.
        matcher: what reads the paths.
        report: takes the mistakes.
        warnings: takes templates whose own scratch patterns match their files.
        offsets: where each template is declared, by its index.
        field_offset: where each field is declared.
    """
    samples = Samples(languages)
    checker = _Checker(fields, samples, matcher)
    for name in dict.fromkeys(
        field.name
        for one in compiled
        if not one.fallback
        for variant in one.variants
        for field in _used(variant, fields)
    ):
        where = f"/fields/{name}", field_offset(name)
        if samples.is_empty(fields[name]):
            report.add(
                where[0],
                f'no text is left for field "{name}": its exclusions and its length refuse all'
                " that its pattern matches",
                where[1],
                "exclude less, or allow more",
            )
            continue
        problem = checker.field_problem(fields[name])
        if problem is not None:
            report.add(where[0], problem, where[1], "report this: shotfs is wrong here")
    if report.problems:
        return
    for one in compiled:
        if one.fallback:
            continue
        found = checker.problem(one)
        if found is not None:
            report.add(f"/templates/{one.template.name}/path", *_with(found, offsets[one.index]))
        hidden = checker.hidden
        if hidden is not None:
            warnings.add(
                f"/templates/{one.template.name}/scratch",
                f"files like {hidden!r} match the template's own scratch patterns:"
                " they would never be published",
                offsets[one.index],
                'give the template a "scratch" list without that pattern',
            )


def _with(found: tuple[str, str], offset: int) -> tuple[str, int, str]:
    return found[0], offset, found[1]


def _used(variant: Variant, fields: Fields) -> list[Field]:
    return [
        field for tokens in variant.elements for field in leaves(tokens, fields) if not field.tokens
    ]


class _Checker:
    """Checks one template after another. `hidden`: a file of the last one that is scratch."""

    def __init__(self, fields: Fields, samples: Samples, matcher: Matcher) -> None:
        self._fields = fields
        self._samples = samples
        self._matcher = matcher
        self.hidden: str | None = None

    def field_problem(self, field: Field) -> str | None:
        """Return which text of *field* does not come back from its value, or None."""
        for text in self._samples.of(field):
            try:
                value = field.parse(text)
                again = field.parse(field.format(value))
            except InvalidArgument as error:
                return f"{text!r} is a text of the field that cannot be read back: {error.message}"
            if again != value:
                return f"{text!r} of the field reads {value!r}, and written again {again!r}"
        return None

    def problem(self, one: Pattern) -> tuple[str, str] | None:
        """Return (what is wrong with the paths of *one*, fix), or None."""
        self.hidden = None
        for variant in one.variants:
            used = {field.name: self._samples.of(field) for field in _used(variant, self._fields)}
            if not all(used.values()):
                continue
            impossible_path = None
            tried = 0
            for turn in range(TURNS_MAX):
                texts = {name: some[turn % len(some)] for name, some in used.items()}
                path = "/".join(write(tokens, self._fields, texts) for tokens in variant.elements)
                names = split(path)
                if names is None or names[0] == RESERVED:
                    impossible_path = impossible_path or path
                    continue
                found = self._example_problem(one, path, names, texts)
                if found is not None:
                    return found
                tried += 1
                if tried == EXAMPLES:
                    break
            if not tried and impossible_path is not None:
                why = impossible(impossible_path.split("/"))
                message = f'template "{one.template.name}" has no path that can exist, like'
                return (
                    f"{message} {impossible_path[:300]!r}: {why}",
                    "change its literals, or the patterns and lengths of its fields",
                )
        return None

    def _example_problem(
        self, one: Pattern, path: str, names: list[str], texts: Mapping[str, str]
    ) -> tuple[str, str] | None:
        if one.is_scratch is not None and one.is_scratch(names[-1]) is not None:
            self.hidden = self.hidden or names[-1]
            return None
        found = self._matcher.resolve(path)
        if found is not None and found.template is one.template:
            if all(found.fields[name] == text for name, text in texts.items()):
                return None
            read = {name: found.fields[name] for name in texts}
            message = f'template "{one.template.name}" writes {dict(texts)!r} as {path!r}'
            return (
                f"{message}, which reads {read!r}",
                "put a literal between the fields, or narrow their patterns",
            )
        if self._matcher.is_contested(one):
            return None
        read_as = "no path" if found is None else f'of template "{found.template.name}"'
        return (
            f'template "{one.template.name}" writes {path!r}, which is {read_as} when it is read',
            "report this: shotfs is wrong here",
        )
