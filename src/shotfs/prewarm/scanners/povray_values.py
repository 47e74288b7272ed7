"""Values of POV-Ray's scene language: numbers and strings that can be known without rendering.

A number that grows with the frame (``frame_number + 1000``) is a `Linear`; written into the name of
a file by ``str`` it becomes a token like ``%04d``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shotfs.prewarm.scanners.povray_words import Feed, Sort, Token

DEPTH_MAX = 40
"""Expressions in expressions."""

ARGUMENTS_MAX = 256
"""Of one function."""

DIGITS_MAX = 64
"""That ``str`` writes."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A number that depends on the frame: *slope* times its number, plus *start*."""

    slope: float
    start: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string; *shift* says which number its token of a frame takes, None where it has none."""

    text: str
    shift: Linear | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not known, and why."""

    why: str


Value = float | Linear | Text | Unknown


class Names(Protocol):
    """What names mean."""

    def value(self, name: str) -> Value | None:
        """Return what was declared as *name*; None where nothing was."""
        ...

    def called(self, name: str) -> Value | None:
        """Return what the macro *name*, whose name was read, gives; None where it is none."""
        ...


_CONSTANTS = {"pi": math.pi, "tau": math.tau, "true": 1.0, "on": 1.0, "yes": 1.0} | dict.fromkeys(
    ("false", "off", "no"), 0.0
)
_ONE: dict[str, Callable[[float], float]] = {
    "int": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
    "sqrt": math.sqrt,
    "radians": math.radians,
    "degrees": math.degrees,
}
_TWO: dict[str, Callable[[float, float], float]] = {
    "mod": math.fmod,
    "div": lambda one, other: math.trunc(one / other),
    "min": min,
    "max": max,
    "pow": math.pow,
}
STRINGS = frozenset({"concat", "str", "chr", "substr", "strupr", "strlwr", "vstr", "datetime"})
"""Functions that give strings."""


class Evaluator:
    """Reads expressions from a feed.

    It stops before the first token that it does not understand, so that whoever reads on sees it.
    """

    def __init__(self, feed: Feed, names: Names) -> None:
        self._feed = feed
        self._names = names
        self._depth = 0

    def any(self) -> Value:
        """Read a string or a number."""
        return self.text() if self._begins_text() else self.number()

    def _begins_text(self) -> bool:
        token = self._feed.peek()
        if token.sort is Sort.STRING:
            return True
        if token.sort is not Sort.WORD:
            return False
        return token.text in STRINGS or isinstance(self._names.value(token.text), Text)

    def text(self) -> Text | Unknown:
        """Read a string."""
        token = self._feed.next()
        if token.sort is Sort.STRING:
            return Text(token.text)
        if token.sort is not Sort.WORD:
            self._feed.back(token)
            return Unknown("not a string")
        if token.text in STRINGS:
            return self._function(token)
        value = self._names.value(token.text)
        if value is None:
            value = self._names.called(token.text)
        if isinstance(value, Text | Unknown):
            return value
        return Unknown(f"what {token.text[:80]} is is not known here")

    def _function(self, token: Token) -> Text | Unknown:
        values = self.arguments()
        for value in values:
            if isinstance(value, Unknown):
                return value
        if token.text == "concat":
            return _concat(values)
        if token.text == "str" and len(values) == 3:
            return _str(values[0], values[1], values[2])
        if token.text == "chr" and isinstance(values[0] if values else None, float):
            code = values[0]
            known = isinstance(code, float) and 0 < code < 0x110000
            return Text(chr(int(code))) if known and isinstance(code, float) else Unknown("chr")
        first = values[0] if values else None
        if isinstance(first, Text) and token.text in ("strlwr", "strupr"):
            cased = first.text.lower() if token.text == "strlwr" else first.text.upper()
            return Text(cased, first.shift)
        if isinstance(first, Text) and token.text == "substr" and len(values) == 3:
            start, length = values[1], values[2]
            if isinstance(start, float) and isinstance(length, float) and first.shift is None:
                begin = int(start) - 1
                return Text(first.text[begin : begin + int(length)])
        return Unknown(f"{token.text}() is not evaluated here")

    def arguments(self) -> list[Value]:
        """Read ``(a, b)``; what is not understood of an argument is passed over."""
        found: list[Value] = []
        if self._feed.peek().text != "(" or self._depth >= DEPTH_MAX:
            return found
        self._feed.next()
        self._depth += 1
        try:
            while len(found) < ARGUMENTS_MAX:
                if self._feed.peek().text == ")":
                    self._feed.next()
                    return found
                value = self.any()
                if self._rest():
                    value = Unknown("an expression that is not evaluated here")
                found.append(value)
                if self._feed.next().text != ",":
                    return found
        finally:
            self._depth -= 1
        return found

    def _rest(self) -> bool:
        """Pass over what is left of an argument; False where nothing is."""
        depth = 0
        passed = False
        while True:
            token = self._feed.next()
            ends = token.sort in (Sort.END, Sort.DIRECTIVE) or (
                not depth and token.sort is Sort.OPERATOR and token.text in (",", ")")
            )
            if ends:
                self._feed.back(token)
                return passed
            passed = True
            if token.sort is Sort.OPERATOR:
                depth += (token.text in "([{<") - (token.text in ")]}>")
                depth = max(depth, 0)

    def condition(self) -> Value:
        """Read a number, as conditions have it."""
        return self.number()

    def number(self) -> Value:
        """Read a number."""
        if self._depth >= DEPTH_MAX:
            return Unknown("nests too deep")
        self._depth += 1
        try:
            return self._either()
        finally:
            self._depth -= 1

    def _either(self) -> Value:
        value = self._compared()
        while (token := self._operator("&", "|")) is not None:
            other = self._compared()
            value = _both(value, other, token)
        return value

    def _compared(self) -> Value:
        value = self._sum()
        while (token := self._operator("=", "!=", "<", ">", "<=", ">=")) is not None:
            value = _compare(value, self._sum(), token)
        return value

    def _sum(self) -> Value:
        value = self._product()
        while (operator := self._operator("+", "-")) is not None:
            value = _add(value, self._product(), 1.0 if operator == "+" else -1.0)
        return value

    def _product(self) -> Value:
        value = self._factor()
        while (operator := self._operator("*", "/")) is not None:
            value = _multiply(value, self._factor(), operator)
        return value

    def _operator(self, *texts: str) -> str | None:
        token = self._feed.next()
        if token.sort is Sort.OPERATOR and token.text in texts:
            return token.text
        self._feed.back(token)
        return None

    def _factor(self) -> Value:
        sign = 1.0
        not_ = False
        for _ in range(DEPTH_MAX):
            operator = self._operator("-", "+", "!")
            if operator is None:
                break
            sign = -sign if operator == "-" else sign
            not_ = operator == "!"
        value = self._primary()
        if not_:
            return float(not value) if isinstance(value, float) else Unknown("not a number")
        return value if sign > 0 else _multiply(value, -1.0, "*")

    def _primary(self) -> Value:
        token = self._feed.next()
        if token.sort is Sort.NUMBER:
            return float(token.text)
        if token.text == "(" and token.sort is Sort.OPERATOR:
            value = self.number()
            if self._operator(")") is None:
                return Unknown("an expression that is not evaluated here")
            return value
        if token.sort is not Sort.WORD:
            self._feed.back(token)
            return Unknown("not a number")
        return self._word(token)

    def _word(self, token: Token) -> Value:
        name = token.text
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name == "frame_number":
            return Linear(1.0, 0.0)
        if name in ("clock", "clock_delta", "final_frame", "initial_frame", "final_clock"):
            return Unknown(f"depends on {name}")
        if name in _ONE or name in _TWO:
            return _applied(name, self.arguments())
        value = self._names.value(name)
        if value is not None:
            return value
        self._feed.back(token)
        return Unknown(f"what {name[:80]} is is not known here")


def _applied(name: str, values: list[Value]) -> Value:
    try:
        if name in _ONE and len(values) == 1 and isinstance(values[0], float):
            return float(_ONE[name](values[0]))
        if name == "int" and len(values) == 1 and isinstance(values[0], Linear):
            return values[0]
        if name in _TWO and len(values) == 2:
            one, other = values
            if isinstance(one, float) and isinstance(other, float):
                return float(_TWO[name](one, other))
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    return Unknown(f"{name}() is not evaluated here")


def _both(one: Value, other: Value, operator: str) -> Value:
    known = [value for value in (one, other) if isinstance(value, float)]
    if operator == "&" and any(not value for value in known):
        return 0.0
    if operator == "|" and any(known):
        return 1.0
    if len(known) < 2:
        return Unknown("a condition that is not known")
    return float(operator == "&")


def _compare(one: Value, other: Value, operator: str) -> Value:
    if not isinstance(one, float) or not isinstance(other, float):
        return Unknown("a comparison that is not known")
    return float(
        {
            "=": one == other,
            "!=": one != other,
            "<": one < other,
            ">": one > other,
            "<=": one <= other,
            ">=": one >= other,
        }[operator]
    )


def _add(one: Value, other: Value, sign: float) -> Value:
    first, second = _linear(one), _linear(other)
    if first is None or second is None:
        return one if isinstance(one, Unknown) else Unknown("a sum that is not known")
    return _simple(first.slope + sign * second.slope, first.start + sign * second.start)


def _multiply(one: Value, other: Value, operator: str) -> Value:
    first, second = _linear(one), _linear(other)
    if first is None or second is None:
        return one if isinstance(one, Unknown) else Unknown("a product that is not known")
    if operator == "/":
        if second.slope or not second.start:
            return Unknown("a quotient that is not known")
        return _simple(first.slope / second.start, first.start / second.start)
    if first.slope and second.slope:
        return Unknown("a product that is not known")
    slope = first.slope * second.start + second.slope * first.start
    return _simple(slope, first.start * second.start)


def _linear(value: Value) -> Linear | None:
    if isinstance(value, Linear):
        return value
    return Linear(0.0, value) if isinstance(value, float) else None


def _simple(slope: float, start: float) -> Value:
    if not math.isfinite(slope) or not math.isfinite(start):
        return Unknown("too large a number")
    return Linear(slope, start) if slope else start


def _concat(values: list[Value]) -> Text | Unknown:
    texts = [value for value in values if isinstance(value, Text)]
    shifts = {value.shift for value in texts} - {None}
    if len(texts) != len(values) or len(shifts) > 1:
        return Unknown("strings that are not known")
    joined = "".join(value.text for value in texts)
    if len(joined) > 1 << 16:
        return Unknown("a string longer than 65,536 characters")
    return Text(joined, next(iter(shifts), None))


def _str(number: Value, length: Value, digits: Value) -> Text | Unknown:
    """Return what ``str(number, length, digits)`` gives, like printf; below 0, zeros pad it."""
    if not isinstance(length, float) or not isinstance(digits, float):
        return Unknown("a format that is not known")
    width, places = int(abs(length)), int(digits)
    if width > DIGITS_MAX or places > DIGITS_MAX:
        return Unknown("a format of too many digits")
    if isinstance(number, Linear):
        whole = number.slope.is_integer() and number.start.is_integer()
        if places != 0 or not whole or (length > 1):
            return Unknown("depends on the frame in a way that no token can tell")
        return Text(f"%0{width}d" if width > 1 else "%d", number)
    if not isinstance(number, float):
        return Unknown("a number that is not known")
    zeros = "0" if length < 0 else ""
    return Text(f"{number:{zeros}{width or ''}.{6 if places < 0 else places}f}")
