"""Roots: the named places where files are, with a URL for each site; and what names them.

A node reads the tiers of a template from the first to the last and has its truth in the last, the
origin. A root that has no URL at the node's site is left out as a faster tier; as an origin it is a
mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.pattern import Given, Place
from shotfs.pathspec.policy import KEYS, read_policy
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import NAME

ROOT_KEYS = ("usage", "url", "sites", "defaults")
ROOT_DEFAULTS = tuple(key for key in KEYS if key != "origin")
"""Which root it is decides which defaults apply, so they cannot say which root it is."""
ROOT_BROKEN = "broken://root"
"""Stands for what is wrong and noted, so that the templates that use it are not blamed."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s?#\0]+")


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one template are.

    Attributes:
        tiers: root URLs, the first that has the bytes wins; the last is the origin.
        inherited: what the root and the show set for the template.
    """

    tiers: tuple[str, ...]
    inherited: Mapping[str, Given]

    @property
    def origin(self) -> str:
        """Root URL of the tier of record."""
        return self.tiers[-1]


class Roots:
    """The roots of a specification, as nodes of one site see them, and what templates inherit."""

    def __init__(
        self, declared: Mapping[str, Section], defaults: Mapping[str, Section], site: str | None
    ) -> None:
        """Read them; mistakes are noted.

        Args:
            declared: root name to the object that declares it.
            defaults: policy key to the ``defaults`` that set it.
            site: the node's, "" where it has none; None for tools, which see `url`, else the
                first site's.
        """
        self._site = site
        self._declared = {
            name: section for name, section in declared.items() if _is_name(section, name)
        }
        self._urls = {
            name: _read_root(section, name, site) for name, section in self._declared.items()
        }
        self._blamed: set[str] = set()
        read = {id(one): self.given(one, KEYS) for one in dict.fromkeys(defaults.values())}
        self._shared = {
            key: read[id(section)][key]
            for key, section in defaults.items()
            if key in read[id(section)]
        }
        # Templates of one root share what they inherit: there may be many thousands of them.
        self._inherited = {name: self._shared | self._root_defaults(name) for name in self._urls}
        self._placed: dict[str, dict[str, Given]] = {}

    def given(self, section: Section, known: tuple[str, ...]) -> dict[str, Given]:
        """Return the policy keys that *section* sets and where; only *known* may stand in it."""
        section.only(known)
        return {
            key: (value, Place(section.source, section.line_of(key), section.pointer(key)))
            for key, value in self.values(section).items()
            if key in known
        }

    def values(self, section: Section) -> dict[str, Any]:
        """Return the policy keys that *section* sets; the names of roots in it are known."""
        values = read_policy(section)
        if "origin" in values and not self._is_place("origin", values["origin"], section):
            values["origin"] = ROOT_BROKEN
        if "tiers" in values:
            values["tiers"] = tuple(
                one if self._is_place("tiers", one, section) else ROOT_BROKEN
                for one in values["tiers"]
            )
        return values

    def _root_defaults(self, name: str) -> dict[str, Given]:
        declared = self._declared[name].raw(name)
        if declared is None or not isinstance(declared.value, dict):
            return {}
        root = self._declared[name].section(name)
        defaults = root and root.section("defaults")
        return {} if defaults is None else self.given(defaults, ROOT_DEFAULTS)

    def _is_place(self, key: str, text: str, section: Section) -> bool:
        if text in self._declared:
            return True
        if "://" not in text:
            if section.report.incomplete:
                return False
            fix = (
                suggest(text, self._declared)
                if self._declared
                else 'name it under "roots", with the URL of a bucket'
            )
            section.problem(key, f'"{text[:200]}" is no root', fix)
            return False
        reason = url_problem(text)
        if reason is not None:
            section.problem(key, f'"{text[:200]}" is no origin URL: {reason}')
        return reason is None

    def home(self, own: Mapping[str, Any], section: Section, name: str) -> Home | None:
        """Return the home of the template *name* that sets *own*; None for a mistake (noted)."""
        origin, inherited = self._origin(own)
        if origin is None:
            section.missing(
                f'template "{name}" has no origin',
                'add "origin" here or under "defaults": the name of a root, or a URL',
            )
            return None
        url = self._url(origin)
        if url is None:
            self._blame(origin, name)
            return None
        names = own["tiers"] if "tiers" in own else inherited.get("tiers", ((), None))[0]
        faster = [one for one in map(self._url, names) if one is not None]
        if url in faster:
            if "tiers" in own and faster[-1] != url:
                section.problem(
                    "tiers", f'"{origin}" is the origin and cannot be before others', "put it last"
                )
            # Inherited tiers may go on after a template's own origin; they are never asked there.
            del faster[faster.index(url) :]
        return Home((*dict.fromkeys(faster), url), inherited)

    def _origin(self, own: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Given]]:
        """Return the root or URL of the origin, and what is inherited there."""
        given = own.get("origin") or (
            self._shared["origin"][0] if "origin" in self._shared else None
        )
        if given is None and own.get("tiers"):
            given = own["tiers"][-1]
        if given is not None:
            return given, self._inherited.get(given, self._shared)
        tiers, place = self._shared.get("tiers", ((), None))
        if tiers and place is not None:
            return tiers[-1], self._with_origin(tiers[-1], place)
        if len(self._urls) != 1:
            return None, self._shared
        (only,) = self._urls
        section = self._declared[only]
        place = Place(section.source, section.line_of(only), "/roots (the only one)")
        return only, self._with_origin(only, place)

    def _with_origin(self, name: str, place: Place) -> Mapping[str, Given]:
        """Return what is inherited where no ``origin`` but what is at *place* names the root."""
        if name not in self._placed:
            inherited = self._inherited.get(name, self._shared)
            self._placed[name] = {**inherited, "origin": (name, place)}
        return self._placed[name]

    def _url(self, name: str) -> str | None:
        return self._urls[name] if name in self._urls else name.rstrip("/")

    def _blame(self, root: str, template: str) -> None:
        if root not in self._blamed:
            self._blamed.add(root)
            where = f'at the site "{self._site}" (node.site)' if self._site else "without node.site"
            fix = 'add the site to its "sites", or a "url" for all others'
            if not self._site:
                fix = 'set node.site to one of its "sites", or add a "url" for all others'
            self._declared[root].problem(
                root,
                f'root "{root}" has no URL {where}, and it is the origin of template "{template}"',
                fix,
            )


def _is_name(section: Section, name: str) -> bool:
    if NAME.fullmatch(name) is not None:
        return True
    section.problem(name, f'"{name[:100]}" cannot name a root', "use letters and digits")
    return False


def _read_root(section: Section, name: str, site: str | None) -> str | None:
    """Return the URL of the root *name* at *site*; None where it has none there."""
    raw = section.raw(name)
    if raw is None or not isinstance(raw.value, dict):
        if raw is not None and not isinstance(raw.value, str):
            section.problem(name, f'"{name}" must be a URL or an object, not {raw.kind}')
            return ROOT_BROKEN
        return _read_url(section, name)
    one = section.section(name)
    assert one is not None, "it is an object"
    one.only(ROOT_KEYS)
    one.text("usage")
    one.section("defaults")
    url = _read_url(one, "url") if "url" in one else None
    sites = {"": ROOT_BROKEN} if "sites" in one else {}
    listed = one.section("sites")
    if listed is not None:
        listed.unique()
        sites = {key: _read_url(listed, key) for key in listed if _is_site(listed, key)}
    if url is None and not sites:
        one.missing(f'root "{name}" has no URL', 'add "url": "gs://bucket/prefix"')
        return ROOT_BROKEN
    if site is None:
        return url or next(iter(sites.values()))
    return sites.get(site, ROOT_BROKEN if ROOT_BROKEN in sites.values() else url)


def _is_site(sites: Section, name: str) -> bool:
    if NAME.fullmatch(name) is None:
        fix = "use letters, digits, ., _ and -, as node.site does"
        sites.problem(name, f'"{name[:100]}" cannot name a site', fix)
    return True


def _read_url(section: Section, name: str) -> str:
    url = section.text(name)
    if url is None:
        return ROOT_BROKEN
    reason = url_problem(url)
    if reason is None:
        return url.rstrip("/")
    section.problem(name, f'"{url[:200]}" is no origin URL: {reason}', 'write "gs://bucket/prefix"')
    return ROOT_BROKEN


def url_problem(url: str) -> str | None:
    """Return why *url* cannot be an origin, or None."""
    if _URL.fullmatch(url) is None:
        return "it must be scheme://bucket/prefix, without spaces, ? and #"
    scheme, _, rest = url.partition("://")
    if scheme == "file" and not rest.startswith("/"):
        return "a file URL has three slashes: file:///directory"
    elements = rest.strip("/").split("/")
    if elements == [""]:
        return "the bucket or directory is missing"
    if "" in elements or "." in elements or ".." in elements:
        return 'it holds an empty, "." or ".." part'
    return None
