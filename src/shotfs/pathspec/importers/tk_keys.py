"""Keys of a templates.yml as fields of our form.

Each function returns the field's object in the document, and notes where the field accepts other
texts than the key. What tk-core's key classes accept was read from their source (see docs), and
tests/unit/pathspec/importers has a table of texts for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.fields import PAD_MAX
from shotfs.pathspec.importers.draft import Body
from shotfs.pathspec.importers.patterns import ANY_NAME, NotCarried, carry, free_characters
from shotfs.pathspec.importers.report import Notes, Place, Severity
from shotfs.pathspec.importers.source import Value

_COMMON = ("type", "alias", "default", "choices", "shotgun_entity_type", "shotgun_field_name")
_OPTIONS = {
    "str": (*_COMMON, "filter_by", "exclusions", "abstract", "length", "subset", "subset_format"),
    "int": (*_COMMON, "format_spec", "strict_matching", "exclusions", "abstract", "length"),
    "sequence": (*_COMMON, "format_spec", "exclusions"),
    "timestamp": ("type", "alias", "default", "format_spec"),
}
TYPES = tuple(_OPTIONS)

LENGTH_MAX = 255
DIGITS_MAX = 15
_FORMAT = re.compile(r"(0?)([1-9][0-9]*)", re.ASCII)
_TIMESTAMP_FORMAT = "%Y-%m-%d-%H-%M-%S"
_DIRECTIVES = "YymdHMSfj"
_VIEWS = {"%V": ["left", "right"], "%v": ["left", "right"]}
_UDIM_DEFAULTS = ("<UDIM>", "$UDIM")


@dataclass(frozen=True, slots=True)
class Key:
    """One key with its options, all of known names and kinds."""

    name: str
    kind: str
    place: Place
    options: Mapping[str, Value]
    notes: Notes

    def note(self, severity: Severity, option: str, what: str, fix: str | None = None) -> None:
        """Note what is different about *option*."""
        place = self.place.below(option, self.options[option]) if option else self.place
        self.notes.note(severity, place, f'key "{self.name}": {what}', fix)

    def mistake(self, option: str, message: str, fix: str | None = None) -> None:
        """Note a mistake in *option*."""
        place = self.place.below(option, self.options[option])
        self.notes.mistake(place, f'key "{self.name}": {message}', fix)

    def raw(self, option: str) -> Any:
        """Return the value of *option*, or None."""
        return self.options[option].value if option in self.options else None

    def text(self, option: str) -> str | None:
        """Return *option* if it is text; anything else is a mistake."""
        value = self.raw(option)
        if value is None or isinstance(value, str):
            return value
        self.mistake(
            option, f'"{option}" must be text, not {self.options[option].kind}', "quote it"
        )
        return None

    def scalars(self, option: str) -> dict[str, str]:
        """Return the texts of a list or of the names of a mapping, each with its label."""
        value = self.raw(option)
        if value is None:
            return {}
        if isinstance(value, dict):
            return {name: _label(member) for name, member in value.items()}
        if isinstance(value, list):
            found: dict[str, str] = {}
            for item in value:
                if isinstance(item.value, dict | list) or item.value is None:
                    self.mistake(option, f'"{option}" holds {item.kind}', "list texts")
                    return {}
                found[str(item.value)] = ""
            return found
        self.mistake(option, f'"{option}" must be a list, not {self.options[option].kind}')
        return {}

    def length(self) -> int | None:
        """Return the number of characters that a text must have, or None for any."""
        value = self.raw("length")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LENGTH_MAX:
            self.mistake("length", f'"length" must be a number from 1 to {LENGTH_MAX}')
            return None
        return value


def _label(member: Value) -> str:
    return (
        "" if isinstance(member.value, dict | list) or member.value is None else str(member.value)
    )


def read_key(name: str, value: Value, place: Place, notes: Notes) -> tuple[str, Body] | None:
    """Return (the name that fields have, the field's object) of the key *name*, or None.

    Mistakes of the source are noted as such: None means that there are some.
    """
    if not isinstance(value.value, dict):
        notes.mistake(place, f'key "{name}" must be a mapping, not {value.kind}', "give it a type")
        return None
    kind_value = value.value.get("type")
    kind = None if kind_value is None else kind_value.value
    if kind not in _OPTIONS:
        shown = "no type" if kind is None else f'the unknown type "{str(kind)[:60]}"'
        where = place if kind_value is None else place.below("type", kind_value)
        notes.mistake(where, f'key "{name}" has {shown}', f"write one of {', '.join(TYPES)}")
        return None
    assert isinstance(kind, str)
    for option, member in value.value.items():
        if option not in _OPTIONS[kind]:
            notes.mistake(
                place.below(option, member),
                f'key "{name}": a {kind} key has no option "{option}"',
                f"it has {', '.join(_OPTIONS[kind])}",
            )
    key = Key(name, kind, place, value.value, notes)
    called = key.text("alias") or name
    body = _BUILDERS[kind](key)
    if called == "version" and body.keys() == {"type", "pad"} and body["type"] == "int":
        body = {"type": "version", "scheme": f"%0{body['pad']}d"}
    usage = _usage(key)
    if usage:
        body["usage"] = usage
    return called, body


def _usage(key: Key) -> str:
    """Return what the key says to people, and note what only its system can use."""
    parts: list[str] = []
    entity, field = key.raw("shotgun_entity_type"), key.raw("shotgun_field_name")
    if entity is not None:
        shown = f"{entity}.{field}" if field is not None else str(entity)
        parts.append(f"{shown} in Flow Production Tracking")
        key.note(
            Severity.LOST,
            "shotgun_entity_type",
            f"its value comes from {shown}; shotfs asks no database",
            "give the field's text when a path is made",
        )
    default = key.raw("default")
    is_token = isinstance(default, str) and (default.startswith("%") or default in _UDIM_DEFAULTS)
    if default is not None and not is_token:
        parts.append(f"{default} where nothing else is said")
        key.note(
            Severity.LOST,
            "default",
            f"fields have no default value ({default})",
            "give the field's text when a path is made",
        )
    return "; ".join(parts)


# --- str ----------------------------------------------------------------------------------------


def _str(key: Key) -> Body:
    if key.raw("subset") is not None:
        key.note(
            Severity.LOST,
            "subset",
            "it shortens what is written into a path; fields are written as they are",
            "give the shortened text when a path is made",
        )
    choices = key.scalars("choices")
    if choices:
        return _choices(key, choices)
    body: Body = {"type": "str", "pattern": _filter(key)}
    length = key.length()
    if length is not None:
        pattern = str(body["pattern"])
        if free_characters(pattern) is not None:
            body["pattern"] = f"{pattern.removesuffix('+')}{{{length}}}"
        else:
            body["length"] = length
    excluded = [one for one in key.scalars("exclusions") if one and "/" not in one]
    if excluded:
        body["exclusions"] = excluded
    return body


def _filter(key: Key) -> str:
    rule = key.text("filter_by")
    if rule in ("alphanumeric", "alpha"):
        key.notes.remark(
            f'"{rule}" letters and digits are those of ASCII here; tk-core allows all of Unicode.'
        )
        return "[A-Za-z0-9]+" if rule == "alphanumeric" else "[A-Za-z]+"
    if rule is None:
        return ANY_NAME
    # tk-core matches the beginning of the text only.
    whole = rule if re.search(r"(?<!\\)(\$|\\Z)\Z", rule) else f"(?:{rule}).*"
    try:
        carried = carry(whole)
    except NotCarried as error:
        key.note(
            Severity.WIDENED,
            "filter_by",
            f"the expression {rule!r} cannot be said ({error.reason}): any name is accepted",
            'write a "pattern" of our subset',
        )
        return ANY_NAME
    if whole != rule:
        key.notes.remark(
            'A "filter_by" expression without "$" at its end allows anything after what it '
            'matches, as it does in tk-core: remove ".*" from such patterns if that is not meant.'
        )
    return carried.pattern


def _choices(key: Key, choices: dict[str, str]) -> Body:
    excluded = {one.lower() for one in key.scalars("exclusions")}
    kept = {one: label for one, label in choices.items() if one.lower() not in excluded}
    views = [one for one in kept if one in _VIEWS]
    for one in [one for one in kept if one in _VIEWS or not one or "/" in one]:
        del kept[one]
        if one not in _VIEWS:
            key.note(Severity.LOST, "choices", f"{one!r} cannot be in a name")
    if not kept and not views:
        key.note(Severity.LOST, "choices", "no choice is left: any name is accepted")
        return {"type": "str", "pattern": ANY_NAME}
    if views:
        key.note(
            Severity.GUESSED,
            "choices",
            f"with {views[0]} among its choices it is a view",
            'write "enum" if it is none',
        )
    labelled = any(label and label != one for one, label in kept.items())
    listed: Any = kept if labelled else list(kept)
    if views:
        return {"type": "view", "choices": listed or _VIEWS[views[0]]}
    return {"type": "enum", "choices": listed}


# --- int ----------------------------------------------------------------------------------------


def _int(key: Key) -> Body:
    pad, zeros = _format(key)
    strict = key.raw("strict_matching")
    if strict is not None and not isinstance(strict, bool):
        key.mistake("strict_matching", '"strict_matching" must be true or false')
    if strict is not None and pad is None:
        key.mistake("strict_matching", '"strict_matching" says nothing without "format_spec"')
    strict = pad is not None if strict is None else bool(strict)
    choices = key.scalars("choices")
    if choices:
        return _int_choices(key, choices, pad or 1, zeros)
    if pad is not None and pad > 1 and not zeros:
        return _spaced(key, pad, strict=strict)
    if (pad or 1) > PAD_MAX:
        return _long_number(key, pad or 1, strict=strict)
    if pad is None:
        key.notes.remark(
            'tk-core reads numbers without a "format_spec" with spaces before them, too, though it '
            "never writes them so; here they have none."
        )
    body: Body = {"type": "int", "pad": pad or 1}
    if not strict:
        body["strict"] = False
    length = key.length()
    if length is not None:
        _fix_length(key, body, length, strict=strict)
    _exclude_numbers(key, body)
    return body


def _format(key: Key) -> tuple[int | None, bool]:
    """Return (digits or None where nothing is said, padded with zeros)."""
    text = key.text("format_spec")
    if text is None:
        return None, True
    found = _FORMAT.fullmatch(text)
    if found is None or int(found.group(2)[:9]) > LENGTH_MAX:
        key.mistake("format_spec", f'"format_spec" cannot be {text[:40]!r}', 'write "03" or "3"')
        return None, True
    return int(found.group(2)), found.group(1) == "0"


def _int_choices(key: Key, choices: dict[str, str], pad: int, zeros: bool) -> Body:
    excluded = key.scalars("exclusions")
    fill = "0" if zeros else " "
    texts: dict[str, str] = {}
    for one, label in choices.items():
        if not one.isascii() or not one.isdigit():
            key.mistake("choices", f'"choices" holds {one[:40]!r}, which is no number')
        elif one not in excluded:
            texts[one.rjust(pad, fill)] = label
    if pad > 1:
        key.note(
            Severity.WIDENED,
            "choices",
            f"choices are read as they are written ({', '.join(texts)}); tk-core reads only the "
            "bare numbers",
        )
    if not texts:
        return {"type": "int", "pad": pad}
    labelled = any(label for label in texts.values())
    return {"type": "enum", "choices": texts if labelled else list(texts)}


def _spaced(key: Key, pad: int, *, strict: bool) -> Body:
    key.note(
        Severity.LOST,
        "format_spec",
        "numbers are filled up with spaces: the field is text here, and knows no number",
        f'use "0{pad}" in the source, or give the text with its spaces',
    )
    if not strict:
        return {"type": "str", "pattern": " *[0-9]+"}
    widths = [f" {{{pad - 1}}}0"]
    widths += [f" {{{pad - n}}}[1-9][0-9]{{{n - 1}}}" for n in range(1, pad)]
    widths.append(f"[1-9][0-9]{{{pad - 1},}}")
    return {"type": "str", "pattern": "|".join(widths)}


def _long_number(key: Key, pad: int, *, strict: bool) -> Body:
    key.note(
        Severity.LOST,
        "format_spec",
        f"numbers have up to {PAD_MAX} digits: the field is text here",
        "give the text with its zeros",
    )
    pattern = f"0[0-9]{{{pad - 1}}}|[1-9][0-9]{{{pad - 1},}}" if strict else "[0-9]+"
    return {"type": "str", "pattern": pattern}


def _fix_length(key: Key, body: Body, length: int, *, strict: bool) -> None:
    pad = int(body["pad"])
    if length > DIGITS_MAX or (strict and length < pad):
        reason = "too long" if length > DIGITS_MAX else f"shorter than {pad} digits"
        key.note(Severity.LOST, "length", f"the length {length} is {reason}, and left out")
        return
    if not strict:
        # All numbers of so many digits, zeros before them included.
        del body["strict"]
        body["pad"] = min(length, PAD_MAX)
    elif length > pad:
        body["min"] = 10 ** (length - 1)
    body["max"] = 10**length - 1


def _exclude_numbers(key: Key, body: Body) -> None:
    excluded = key.scalars("exclusions")
    if not excluded:
        return
    numbers = {int(one) for one in excluded if one.isascii() and one.isdigit() and len(one) < 10}
    if numbers == set(range(len(numbers))) and len(numbers) == len(excluded):
        body["min"] = max(int(body.get("min", 0)), len(numbers))
        if int(body["pad"]) > 1 or "strict" in body:
            key.note(
                Severity.NARROWED,
                "exclusions",
                f"excluded numbers are refused with zeros before them, too (min {body['min']})",
            )
        return
    key.note(
        Severity.WIDENED,
        "exclusions",
        f"numbers have no exclusions ({', '.join(list(excluded)[:8])})",
        'use "min" and "max", or an enum',
    )


# --- sequence and timestamp ---------------------------------------------------------------------


def _sequence(key: Key) -> Body:
    pad, zeros = _format(key)
    default = key.raw("default")
    key.notes.remark(
        "Texts that stand for a whole sequence (%04d, ####, @@@@, $F4, <UDIM>, [1001-1100]) are no "
        "names of files: shotfs takes them where a sequence is asked for, as in "
        "`shotfs spec sequence`."
    )
    for option in ("choices", "exclusions"):
        if key.raw(option) is not None:
            key.note(Severity.WIDENED, option, f'frames have no "{option}"', 'use "min" and "max"')
    if default in _UDIM_DEFAULTS or "udim" in key.name.lower():
        key.note(
            Severity.GUESSED,
            "",
            "a sequence that is a UDIM tile: numbers from 1001 to 9999",
            'write "frame" if it counts frames',
        )
        return {"type": "udim"}
    if pad is not None and pad > 1 and not zeros:
        key.note(
            Severity.LOST,
            "format_spec",
            "frames are not filled up with spaces",
            f'use "0{pad}" in the source',
        )
        pad = 1
    if (pad or 1) > PAD_MAX:
        key.note(Severity.LOST, "format_spec", f"frames are padded to at most {PAD_MAX} digits")
    return {"type": "frame", "pad": min(pad or 1, PAD_MAX), "strict": False}


def _timestamp(key: Key) -> Body:
    text = key.text("format_spec") or _TIMESTAMP_FORMAT
    letters = re.findall(r"%(.)", text.replace("%%", ""))
    unknown = [letter for letter in letters if letter not in _DIRECTIVES]
    if unknown or not letters or "/" in text:
        option = "format_spec" if "format_spec" in key.options else ""
        key.note(
            Severity.WIDENED,
            option,
            f"the time format {text!r} cannot be said "
            f"({', '.join('%' + one for one in unknown) or 'no part of a time in it'}): any name "
            "is accepted",
            f"use {' '.join('%' + one for one in _DIRECTIVES)}",
        )
        return {"type": "str", "pattern": ANY_NAME}
    key.notes.remark("Every part of a time has all its digits here; tk-core reads 7 for 07, too.")
    return {"type": "timestamp", "format": text}


_BUILDERS: dict[str, Callable[[Key], Body]] = {
    "str": _str,
    "int": _int,
    "sequence": _sequence,
    "timestamp": _timestamp,
}
