"""`view`: the eyes of a stereo pair, or any other set of cameras, by their long or short names."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import Field, FieldValue, Heading, NoText
from shotfs.pathspec.fields.text import choices_problem, listed_words
from shotfs.pathspec.section import Section

FORMS = ("long", "short")
DEFAULT_SHORTS = {"left": "l", "right": "r"}
"""What Nuke makes of ``%v``; these views need not say it."""


@dataclass(frozen=True, slots=True)
class Views:
    """The value is a view's long name; the text is its long or its short one.

    Attributes:
        form: which of both stands in the path.
        pairs: (long name, short name or None) of each view.
    """

    form: str
    pairs: tuple[tuple[str, str | None], ...]

    def parse(self, text: str) -> str:
        """Return the long name of *text*."""
        return next(name for name, short in self.pairs if text == self.written(name, short))

    def written(self, name: str, short: str | None) -> str | None:
        """Return what stands in the path for a view."""
        return name if self.form == "long" else short

    def format(self, value: FieldValue) -> str:
        """Return the text of the view with the long name *value*."""
        for name, short in self.pairs:
            if name == value:
                written = self.written(name, short)
                assert written is not None, "every view of the field has a text"
                return written
        raise NoText("there is no such view" if isinstance(value, str) else "it is not text")


@dataclass(frozen=True, slots=True)
class _View:
    name: str
    short: str | None
    usage: str


def view_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `view`, or None when it has mistakes."""
    form = section.word("form", FORMS) or FORMS[0]
    views = _views(section)
    if views is None:
        return None
    reason = choices_problem(tuple(one.name for one in views))
    if reason is not None:
        section.problem("choices", *reason)
        return None
    if not _shorts_are_right(section, views, needed=form == "short"):
        return None
    texts = tuple(one.name if form == "long" else one.short or "" for one in views)
    usages = tuple(one.usage for one in views)
    return heading.field(
        listed_words(texts),
        regex.any_of(texts),
        Views(form, tuple((one.name, one.short) for one in views)),
        choices=texts,
        choice_usages=usages if any(usages) else (),
    )


def _views(section: Section) -> list[_View] | None:
    raw = section.raw("choices")
    if raw is None:
        return [_View(name, short, "") for name, short in DEFAULT_SHORTS.items()]
    if not isinstance(raw.value, dict):
        listed = section.texts("choices")
        if listed is None:
            return None
        return [_View(name, DEFAULT_SHORTS.get(name), "") for name in listed]
    members = section.section("choices")
    assert members is not None, "it is an object"
    members.unique()
    return [_described(members, name) for name in members]


def _described(members: Section, name: str) -> _View:
    raw = members.raw(name)
    assert raw is not None, "it is a member"
    if not isinstance(raw.value, dict):
        return _View(name, DEFAULT_SHORTS.get(name), members.text(name) or "")
    one = members.section(name)
    assert one is not None, "it is an object"
    one.only(("short", "usage"))
    return _View(name, one.text("short") or DEFAULT_SHORTS.get(name), one.text("usage") or "")


def _shorts_are_right(section: Section, views: list[_View], *, needed: bool) -> bool:
    names = {one.name for one in views}
    seen: set[str] = set()
    for one in views:
        if one.short is None:
            if needed:
                section.problem(
                    "choices",
                    f'the view "{one.name[:100]}" has no short name',
                    f'write "{one.name[:20]}": {{"short": "{one.name[:1]}"}}',
                )
                return False
            continue
        reason = choices_problem((one.short,))
        if reason is not None:
            section.problem("choices", *reason)
            return False
        if one.short in seen or (one.short in names and one.short != one.name):
            section.problem(
                "choices", f'two views are called "{one.short[:100]}"', "choose other short names"
            )
            return False
        seen.add(one.short)
    return True
