"""A POV-Ray scene, read as far as files are concerned.

Declarations, conditions, loops and macros are followed where their values are known without
rendering; where they are not, each branch is taken and counts less. What is drawn is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from shotfs.prewarm.scanners.base import Edge, Scope
from shotfs.prewarm.scanners.povray_files import IMAGES, MAPS, SUFFIXES, Naming
from shotfs.prewarm.scanners.povray_values import STRINGS, Evaluator, Text, Unknown, Value
from shotfs.prewarm.scanners.povray_words import END, FEEDS_MAX, Feed, Sort, Token
from shotfs.prewarm.scanners.text import Source, suffix

NAMES_MAX = 100_000
"""Declared names of one file."""

BODY_TOKENS_MAX = 50_000
"""Tokens of a loop or a macro that can be read again."""

REPLAYED_MAX = 200_000
"""Tokens that are read again, in loops and macros of one file."""

NESTING_MAX = 200
"""Conditions in conditions."""

_FILES = IMAGES.keys() | MAPS
_OPENS = frozenset({"if", "ifdef", "ifndef", "while", "for", "macro", "switch"})


@dataclass(frozen=True, slots=True)
class _Macro:
    """A macro; *files* says whether something in it may name files."""

    parameters: tuple[str, ...]
    body: list[Token]
    files: bool


class Scene:
    """Reads one file.

    Args:
        source: of the file.
        scope: what is asked.
        search: where files are looked for.
        uncalled: how likely a macro is called that nobody calls in this file.
    """

    def __init__(
        self, source: Source, scope: Scope, search: tuple[str, ...], *, uncalled: float
    ) -> None:
        self._source = source
        self._uncalled = uncalled
        self._scope = scope
        self._naming = Naming(scope, search)
        self._feed = Feed(source)
        self._values: dict[str, Value] = {}
        self._macros: dict[str, _Macro] = {}
        self._called: set[str] = set()
        self._evaluator = Evaluator(self._feed, self)
        self._replayed = 0
        self._nesting = 0

    def edges(self) -> Iterator[Edge]:
        """Yield what the file names."""
        while True:
            yield from self._block(1.0)
            if self._feed.next() is END and self._source.ended:
                break
        for name, macro in list(self._macros.items()):
            # What nobody calls here, a file that includes this one may call.
            if macro.files and name not in self._called:
                unknown: dict[str, Value] = {
                    parameter: Unknown(f"a parameter of the macro {name[:80]}")
                    for parameter in macro.parameters
                }
                for edge in self._replay(macro.body, self._uncalled, unknown):
                    # Of a name that only the caller knows there is nothing to say.
                    if not edge.unresolved:
                        yield edge

    # --- names, for expressions ------------------------------------------------------------------

    def value(self, name: str) -> Value | None:
        """Return what was declared as *name*."""
        return self._values.get(name)

    def called(self, name: str) -> Value | None:
        """Return the string that the macro *name* gives."""
        macro = self._macros.get(name)
        if macro is None or self._feed.depth >= FEEDS_MAX - 1:
            return None
        self._called.add(name)
        arguments = self._evaluator.arguments()
        kept = self._bound(macro, arguments)
        self._feed.push(macro.body)
        try:
            return self._evaluator.text()
        finally:
            self._feed.drop()
            self._restore(kept)

    def _bound(self, macro: _Macro, arguments: list[Value]) -> dict[str, Value | None]:
        """Give the parameters of *macro* their values; return what the names meant before."""
        kept = {name: self._values.get(name) for name in macro.parameters}
        for index, name in enumerate(macro.parameters):
            unknown = Unknown(f"the parameter {name[:80]} of a macro")
            self._values[name] = arguments[index] if index < len(arguments) else unknown
        return kept

    def _restore(self, kept: dict[str, Value | None]) -> None:
        for name, value in kept.items():
            if value is None:
                self._values.pop(name, None)
            else:
                self._values[name] = value

    # --- the file --------------------------------------------------------------------------------

    def _block(self, weight: float) -> Iterator[Edge]:
        """Read up to an ``#end``, ``#else`` or ``#case`` that belongs to who called, or the end."""
        while True:
            token = self._feed.next(dull=False)
            if token.sort is Sort.DIRECTIVE:
                if token.text in ("end", "else", "elseif", "case", "range", "break"):
                    self._feed.back(token)
                    return
                yield from self._directive(token, weight)
            elif token.sort is Sort.WORD:
                yield from self._word(token, weight)
            elif token.sort is Sort.STRING and suffix(token.text) in SUFFIXES:
                # Given to a macro of another file, most likely.
                yield from self._naming.named(
                    token.line, weight * 0.4, Text(token.text), "", scene=False
                )
            elif token.sort is Sort.END:
                self._feed.back(token)
                return

    def _directive(self, token: Token, weight: float) -> Iterator[Edge]:
        name = token.text
        if name == "include":
            yield from self._naming.named(
                token.line, weight, self._evaluator.text(), ".inc", scene=True
            )
        elif name in ("declare", "local"):
            self._declare()
        elif name == "undef":
            self._values.pop(self._feed.next().text, None)
        elif name == "fopen":
            yield from self._opened(token, weight)
        elif name == "macro":
            self._define()
        elif name in _OPENS:
            self._nesting += 1
            if self._nesting > NESTING_MAX:
                raise self._source.failed(f"conditions nest deeper than {NESTING_MAX}")
            yield from self._structures[name](self, name, weight)
            self._nesting -= 1

    def _word(self, token: Token, weight: float) -> Iterator[Edge]:
        name = token.text
        if name in IMAGES:
            if self._is_text(self._feed.peek()):
                yield from self._naming.named(
                    token.line, weight, self._evaluator.text(), IMAGES[name], scene=False
                )
                if name == "ttf":
                    # What it writes follows, and may look like the name of a file.
                    self._evaluator.any() if self._comma() else self._evaluator.text()
        elif name == "save_file":
            self._evaluator.any()
        elif name == "concat":
            self._feed.back(token)
            value = self._evaluator.text()
            if isinstance(value, Text) and suffix(value.text) in SUFFIXES:
                yield from self._naming.named(token.line, weight * 0.4, value, "", scene=False)
        elif name in MAPS:
            brace = self._feed.next()
            if brace.text == "{" and self._is_text(self._feed.peek()):
                yield from self._naming.named(
                    token.line, weight, self._evaluator.text(), "", scene=False
                )
            elif brace.text != "{":
                self._feed.back(brace)
        elif (macro := self._macros.get(name)) is not None:
            yield from self._call(name, macro, weight)

    def _call(self, name: str, macro: _Macro, weight: float) -> Iterator[Edge]:
        self._called.add(name)
        if not macro.files or self._feed.depth >= FEEDS_MAX - 2:
            return
        arguments = self._evaluator.arguments()
        bound = dict(zip(macro.parameters, arguments, strict=False))
        for parameter in macro.parameters[len(arguments) :]:
            bound[parameter] = Unknown("a parameter that is not given")
        yield from self._replay(macro.body, weight, bound)

    def _comma(self) -> bool:
        token = self._feed.next()
        if token.text != ",":
            self._feed.back(token)
        return token.text == ","

    def _is_text(self, token: Token) -> bool:
        if token.sort is Sort.WORD:
            known = token.text in STRINGS or token.text in self._macros
            # A name that nobody declared here: it is a string all the same, behind these words.
            return known or (token.text not in _FILES and token.text != "function")
        return token.sort is Sort.STRING

    def _declare(self) -> None:
        token = self._feed.next()
        if token.sort is not Sort.WORD:
            self._feed.back(token)
            return
        equals = self._feed.next()
        if equals.text != "=":
            # An element of an array, or something that is none of ours.
            self._feed.back(equals)
            self._values.pop(token.text, None)
            return
        value = self._evaluator.any()
        following = self._feed.peek()
        ended = following.text == ";" or following.sort in (Sort.DIRECTIVE, Sort.WORD, Sort.END)
        if len(self._values) < NAMES_MAX:
            self._values[token.text] = (
                value if ended else Unknown(f"{token.text[:80]} is a formula")
            )

    def _opened(self, token: Token, weight: float) -> Iterator[Edge]:
        """Read ``#fopen Handle "name" read``."""
        self._feed.next()
        value = self._evaluator.text()
        mode = self._feed.next()
        if mode.text in ("write", "append"):
            yield from self._naming.written(token.line, weight, value)
        else:
            yield from self._naming.named(token.line, weight, value, "", scene=False)

    def _define(self) -> None:
        """Read ``#macro Name(A, B) ... #end``."""
        name = self._feed.next()
        parameters: list[str] = []
        token = self._feed.next()
        while token.sort is not Sort.END and token.text != ")" and len(parameters) < 256:
            if token.sort is Sort.WORD and token.text not in ("optional", "_"):
                parameters.append(token.text)
            token = self._feed.next()
        body, _, files = self._body()
        if len(self._macros) < NAMES_MAX:
            self._macros[name.text] = _Macro(tuple(parameters), body, files)

    # --- conditions and loops --------------------------------------------------------------------

    def _if(self, name: str, weight: float) -> Iterator[Edge]:
        if name == "if":
            condition = self._condition()
            share = 0.5
        else:
            condition, share = self._defined(name)
        taken = False
        while True:
            yes = condition is True or (condition is None and not taken)
            if self._scope.all_variants and condition is not None:
                yield from self._block(weight * (1.0 if condition else 0.5))
            elif yes:
                yield from self._block(weight * (1.0 if condition is True else share))
            elif condition is None:
                yield from self._block(weight * 0.5)
            else:
                self._skip()
            taken = taken or condition is True
            token = self._feed.next()
            if token.text == "elseif":
                condition = False if taken else self._condition()
            elif token.text == "else" and token.sort is Sort.DIRECTIVE:
                condition = False if taken else (None if condition is None else True)
            else:
                self._ended(token)
                return

    def _defined(self, name: str) -> tuple[bool | None, float]:
        """Read ``(Name)``: whether it is declared, and how likely the branch is taken."""
        self._feed.next()
        word = self._feed.next().text
        self._feed.next()
        if word in self._values or word in self._macros:
            return name == "ifdef", 1.0
        # Another file may have declared it; a guard against being included twice asks for that.
        return None, 0.95 if name == "ifndef" else 0.3

    def _condition(self) -> bool | None:
        value = self._evaluator.condition()
        return bool(value) if isinstance(value, float) else None

    def _switch(self, name: str, weight: float) -> Iterator[Edge]:  # noqa: ARG002 (one signature)
        # Each case may be the one: which, needs the value, and so the frame mostly.
        self._evaluator.arguments()
        while True:
            yield from self._block(weight * 0.5)
            token = self._feed.next()
            if token.text not in ("case", "range", "break", "else"):
                self._ended(token)
                return

    def _while(self, name: str, weight: float) -> Iterator[Edge]:  # noqa: ARG002 (one signature)
        head: list[Token] = []
        depth = 0
        while len(head) < 1000:
            token = self._feed.next()
            if token.sort in (Sort.END, Sort.DIRECTIVE):
                self._feed.back(token)
                break
            head.append(token)
            depth += (token.text == "(") - (token.text == ")") if token.sort is Sort.OPERATOR else 0
            if not depth:
                break
        body, declared, files = self._body()
        if not files:
            self._forget(declared)
            return
        while True:
            self._feed.push(head)
            condition = self._condition()
            self._feed.drop()
            if condition is False:
                return
            if condition is None or not self._affordable(body):
                self._forget(declared)
                yield from self._replay(body, weight * 0.7, {})
                return
            yield from self._replay(body, weight, {})

    def _for(self, name: str, weight: float) -> Iterator[Edge]:  # noqa: ARG002 (one signature)
        """Read ``#for (I, 1, 10, 1) ... #end``."""
        self._feed.next()
        counter = self._feed.next().text
        values: list[Value] = []
        while self._feed.peek().text == "," and len(values) < 3:
            self._feed.next()
            values.append(self._evaluator.number())
        if self._feed.peek().text == ")":
            self._feed.next()
        body, declared, files = self._body()
        numbers = [value for value in values if isinstance(value, float)]
        if not files:
            self._forget(declared | {counter})
            return
        step = numbers[2] if len(numbers) == 3 else 1.0
        known = len(numbers) == len(values) >= 2 and step
        if not known:
            self._forget(declared | {counter})
            yield from self._replay(body, weight * 0.7, {})
            return
        at = numbers[0]
        while at <= numbers[1] if step > 0 else at >= numbers[1]:
            if not self._affordable(body):
                self._forget(declared | {counter})
                yield from self._replay(body, weight * 0.7, {})
                return
            self._values[counter] = at
            yield from self._replay(body, weight, {})
            at += step

    def _affordable(self, body: list[Token]) -> bool:
        self._replayed += len(body) + 1
        return self._replayed <= REPLAYED_MAX

    def _replay(self, body: list[Token], weight: float, bound: dict[str, Value]) -> Iterator[Edge]:
        """Read *body*, with the names *bound*."""
        self._replayed += len(body)
        if self._replayed > 2 * REPLAYED_MAX:
            raise self._source.failed(
                f"its loops and macros have more than {REPLAYED_MAX} tokens", fix="render it"
            )
        kept = {name: self._values.get(name) for name in bound}
        self._values.update(bound)
        self._feed.push(body)
        try:
            while self._feed.peek().sort is not Sort.END:
                yield from self._block(weight)
                token = self._feed.next()
                if token.sort is Sort.END:
                    break
                if token.text == "break":
                    break
        finally:
            self._feed.drop()
            self._restore(kept)

    def _forget(self, names: set[str]) -> None:
        for name in names:
            self._values[name] = Unknown(f"{name[:80]} changes in a loop")

    def _body(self) -> tuple[list[Token], set[str], bool]:
        """Read up to the ``#end`` that belongs here.

        Returns:
            The tokens (none where they are too many), the names that are declared in them, and
            whether they may name files.
        """
        body: list[Token] = []
        declared: set[str] = set()
        files = False
        depth = 1
        last = END
        count = 0
        while True:
            token = self._feed.next()
            if token.sort is Sort.END:
                self._ended(token)
                break
            if token.sort is Sort.DIRECTIVE:
                depth += (token.text in _OPENS) - (token.text == "end")
                files = files or token.text in ("include", "fopen")
                if not depth:
                    break
            elif token.sort is Sort.WORD:
                if last.text in ("declare", "local") and last.sort is Sort.DIRECTIVE:
                    declared.add(token.text)
                macro = self._macros.get(token.text)
                files = files or token.text in _FILES or (macro is not None and macro.files)
            elif token.sort is Sort.STRING:
                # A macro may be nothing but the name of a file.
                files = files or bool(suffix(token.text))
            last = token
            count += 1
            if count <= BODY_TOKENS_MAX:
                body.append(token)
        if count > BODY_TOKENS_MAX:
            # Too long to be read again: its files are told without its values.
            body = [token for token in body if token.sort is not Sort.DIRECTIVE][:BODY_TOKENS_MAX]
        return body, declared, files

    def _skip(self) -> None:
        """Pass over a branch that is not taken."""
        depth = 0
        while (token := self._feed.next(dull=False)).sort is not Sort.END:
            if token.sort is not Sort.DIRECTIVE:
                continue
            if not depth and token.text in ("end", "else", "elseif"):
                self._feed.back(token)
                return
            depth += (token.text in _OPENS) - (token.text == "end")
        self._feed.back(token)

    def _ended(self, token: Token) -> None:
        """Check that a structure ends with ``#end``, and not with the file."""
        if token.sort is Sort.END and not self._feed.depth:
            raise self._source.failed("the file ends within an #if, a loop or a #macro")

    _structures: ClassVar[dict[str, Callable[[Scene, str, float], Iterator[Edge]]]] = {
        "if": _if,
        "ifdef": _if,
        "ifndef": _if,
        "switch": _switch,
        "while": _while,
        "for": _for,
    }
