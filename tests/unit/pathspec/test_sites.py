"""Roots: a URL for each site, defaults of their own, and tiers in order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import Policy, Specification, load

from .documents import document

MAIN = "gs://ant-main/ant"
NEAR = {
    "url": "gs://near",
    "sites": {"lon": "gs://near-lon/x/", "bom": "s3://near-bom"},
}
ONLY_SITES = {"sites": {"lon": "gs://only-lon", "bom": "s3://only-bom"}}


def build(
    roots: dict[str, Any], site: str | None, defaults: dict[str, Any] | None = None, **policy: Any
) -> Specification:
    made = document({"t": {"path": "t", **policy}}, roots=roots, defaults=defaults or {})
    return load(json.dumps(made, indent=1), source="test.json", site=site)


def policy_of(
    roots: dict[str, Any], site: str | None, defaults: dict[str, Any] | None = None, **policy: Any
) -> Policy:
    return build(roots, site, defaults, **policy).parse("t").template.policy


def mistake(roots: dict[str, Any], site: str | None = None, **policy: Any) -> Problem:
    with pytest.raises(SpecInvalid) as caught:
        build(roots, site, **policy)
    (problem,) = caught.value.problems
    assert problem.line is not None
    return problem


@pytest.mark.parametrize(
    ("root", "site", "url"),
    [
        (MAIN, None, MAIN),
        (MAIN, "lon", MAIN),
        (NEAR, None, "gs://near"),
        (NEAR, "lon", "gs://near-lon/x"),
        (NEAR, "bom", "s3://near-bom"),
        (NEAR, "tokyo", "gs://near"),
        (NEAR, "", "gs://near"),
        (ONLY_SITES, "bom", "s3://only-bom"),
        (ONLY_SITES, None, "gs://only-lon"),
    ],
)
def test_root_has_the_url_of_the_site(root: Any, site: str | None, url: str) -> None:
    made = build({"main": root}, site)
    assert made.parse("t").template.policy.origin == url
    assert made.origins == (url,)
    assert made.site == site


@pytest.mark.parametrize(("site", "words"), [("tokyo", 'site "tokyo"'), ("", "without node.site")])
def test_origin_without_a_url_at_the_site_is_a_mistake(site: str, words: str) -> None:
    problem = mistake({"main": ONLY_SITES}, site)
    assert problem.where == "/roots/main"
    assert words in problem.message
    assert "node.site" in problem.message


def test_faster_tier_without_a_url_at_the_site_is_left_out() -> None:
    roots = {"main": MAIN, "near": ONLY_SITES}
    given = {"origin": "main", "tiers": ["near", "main"]}
    assert policy_of(roots, "lon", **given).tiers == ("gs://only-lon", MAIN)
    assert policy_of(roots, "tokyo", **given).tiers == (MAIN,)
    assert build(roots, "tokyo", **given).origins == (MAIN,)


@pytest.mark.parametrize(
    ("defaults", "own", "tiers"),
    [
        ({}, {"origin": "b", "tiers": ["a"]}, ("gs://a", "gs://b")),
        ({}, {"origin": "b", "tiers": ["a", "b"]}, ("gs://a", "gs://b")),
        ({}, {"tiers": ["a", "b"]}, ("gs://a", "gs://b")),
        ({}, {"tiers": ["gs://x/", "b"]}, ("gs://x", "gs://b")),
        ({"tiers": ["a", "b"]}, {}, ("gs://a", "gs://b")),
        ({"origin": "b"}, {"tiers": ["a"]}, ("gs://a", "gs://b")),
        ({"tiers": ["a"]}, {"origin": "b"}, ("gs://a", "gs://b")),
        ({"tiers": ["a", "b"]}, {"origin": "a"}, ("gs://a",)),
        ({"origin": "b", "tiers": ["a"]}, {"tiers": []}, ("gs://b",)),
    ],
)
def test_tiers_end_with_the_origin(
    defaults: dict[str, Any], own: dict[str, Any], tiers: tuple[str, ...]
) -> None:
    policy = policy_of({"a": "gs://a", "b": "gs://b"}, None, defaults, **own)
    assert policy.tiers == tiers
    assert policy.origin == tiers[-1]


def test_defaults_of_the_root_come_between_template_and_show() -> None:
    roots = {
        "main": {"url": "gs://a", "defaults": {"ttl": 2, "mode": "0600", "tiers": ["tmp"]}},
        "tmp": "gs://tmp",
    }
    made = build(roots, None, {"origin": "main", "ttl": 1, "mode": "0640", "priority": 1}, ttl=3)
    policy = made.parse("t").template.policy
    assert (policy.ttl_s, policy.mode, policy.priority) == (3, 0o600, 1)
    assert policy.tiers == ("gs://tmp", "gs://a")
    told = {one.key: (one.value, one.where) for one in made.explain("t").settings}
    assert told["ttl"] == ("3 s", "/templates/t/ttl")
    assert told["mode"] == ("0600", "/roots/main/defaults/mode")
    assert told["priority"] == ("1", "/defaults/priority")
    assert told["origin"] == ("gs://a", "/defaults/origin")
    assert told["tiers"] == ("gs://tmp gs://a", "/roots/main/defaults/tiers")
    assert told["grace"] == ("0 s", "built in")


def test_defaults_of_another_root_do_not_matter() -> None:
    roots = {"main": MAIN, "tmp": {"url": "gs://tmp", "defaults": {"ttl": 2}}}
    assert policy_of(roots, None, origin="main").ttl_s == 60
    assert policy_of(roots, None, origin="tmp").ttl_s == 2
    assert policy_of(roots, None, origin="gs://tmp").ttl_s == 60


def test_only_root_gives_its_defaults_and_is_told_as_the_source() -> None:
    made = build({"main": {"url": "gs://a", "defaults": {"ttl": 2}}}, None)
    assert made.parse("t").template.policy.ttl_s == 2
    (origin, *_) = made.explain("t").settings
    assert (origin.value, origin.where, origin.line) == ("gs://a", "/roots (the only one)", 5)


def test_origin_that_tiers_give_is_told_so() -> None:
    settings = build({"a": "gs://a", "b": "gs://b"}, None, tiers=["a", "b"]).explain("t").settings
    assert (settings[0].value, settings[0].where) == ("gs://b", "/templates/t/tiers")


@pytest.mark.parametrize(
    ("roots", "policy", "where", "message"),
    [
        ({"main": {}}, {}, "/roots/main", "has no URL"),
        ({"main": {"sites": {}}}, {}, "/roots/main", "has no URL"),
        ({"main": 3}, {}, "/roots/main", "must be a URL or an object, not a number"),
        ({"main": {"url": "x"}}, {}, "/roots/main/url", "no origin URL"),
        ({"main": {"url": 3}}, {}, "/roots/main/url", "must be a string"),
        ({"main": {"sites": {"lon": "x"}}}, {}, "/roots/main/sites/lon", "no origin URL"),
        ({"main": {"sites": []}}, {}, "/roots/main/sites", "must be an object"),
        ({"main": {"sites": {"a b": "gs://a"}}}, {}, "/roots/main/sites/a b", "cannot name a site"),
        ({"main": {**NEAR, "site": {}}}, {}, "/roots/main/site", 'unknown name "site"'),
        ({"a b": MAIN, "main": MAIN}, {}, "/roots/a b", "cannot name a root"),
        (
            {"main": {"url": MAIN, "defaults": {"origin": "main"}}},
            {},
            "/roots/main/defaults/origin",
            'unknown name "origin"',
        ),
        (
            {"main": {"url": MAIN, "defaults": {"ttl": "x"}}},
            {},
            "/roots/main/defaults/ttl",
            "must be a duration",
        ),
        ({"main": MAIN}, {"tiers": ["mian"]}, "/templates/t/tiers", '"mian" is no root'),
        ({"main": MAIN}, {"tiers": ["gs://"]}, "/templates/t/tiers", "no origin URL"),
        ({"main": MAIN}, {"tiers": "main"}, "/templates/t/tiers", "list of strings"),
        ({"main": MAIN}, {"tiers": ["main", "main"]}, "/templates/t/tiers/1", "twice"),
        (
            {"main": MAIN},
            {"tiers": [f"gs://b{i}" for i in range(9)]},
            "/templates/t/tiers",
            "more than 8 tiers",
        ),
        (
            {"a": "gs://a", "b": "gs://b"},
            {"origin": "a", "tiers": ["a", "b"]},
            "/templates/t/tiers",
            "cannot be before others",
        ),
    ],
)
def test_mistake_is_named_with_its_place(
    roots: dict[str, Any], policy: dict[str, Any], where: str, message: str
) -> None:
    problem = mistake(roots, **policy)
    assert problem.where == where
    assert message in problem.message


def test_wrong_root_in_the_defaults_is_told_once() -> None:
    made = document({"t": "t", "u": "u"}, defaults={"origin": "mian", "tiers": ["nera"]})
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(made), source="test.json")
    assert [one.where for one in caught.value.problems] == ["/defaults/origin", "/defaults/tiers"]
