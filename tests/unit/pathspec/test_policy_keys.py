"""Policy keys that came with the full form, and what they need of a template's path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import (
    Fill,
    Immutable,
    Lookahead,
    Policy,
    Retention,
    Retract,
    SealOn,
    Specification,
    load,
)

from .documents import document, spec

FIELDS: dict[str, Any] = {
    "name": {"type": "str", "pattern": "[a-z]+"},
    "version": {"type": "version"},
    "shot": {"type": "compound", "format": "{name}_{version}"},
    "frame": {"type": "frame"},
}


def policy(path: str = "{shot}/x", **keys: Any) -> Policy:
    return spec({"t": {"path": path, **keys}}, FIELDS).templates["t"].policy


def mistakes(templates: dict[str, Any], **more: Any) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(document(templates, FIELDS, **more), indent=1), source="test.json")
    return caught.value.problems


def test_prewarm_and_retention() -> None:
    assert policy().prewarm == Lookahead()
    assert policy().retention == Retention()
    assert policy(prewarm={"frames": 5}).prewarm == Lookahead(frames=5)
    assert policy(prewarm={"frames": 5.0}).prewarm == Lookahead(frames=5)
    assert policy(prewarm={"udims": 1000}).prewarm == Lookahead(udims=1000)
    assert policy(prewarm={"frames": 0}).prewarm == Lookahead(frames=0)
    assert not policy(prewarm={"frames": 0}).prewarm.off
    assert policy(prewarm={"frames": 0, "udims": 0}).prewarm.off
    assert policy(retention={"days": 0.5, "versions": 3}).retention == Retention(0.5, 3)


def test_stale_if_error_and_fill() -> None:
    assert (policy().stale_if_error_s, policy().fill) == (0.0, Fill.AUTO)
    found = policy(stale_if_error="1d", fill="ranges")
    assert (found.stale_if_error_s, found.fill) == (86400.0, Fill.RANGES)
    made = spec(
        {"t": {"path": "{shot}/x", "fill": "whole"}}, FIELDS, defaults={"stale_if_error": 90}
    )
    told = {one.key: (one.value, one.where) for one in made.explain("ab_v001/x").settings}
    assert told["stale_if_error"] == ("90 s", "/defaults/stale_if_error")
    assert told["fill"] == ("whole", "/templates/t/fill")


def test_seal_is_on_close_unless_the_template_says_otherwise() -> None:
    assert policy().seal is SealOn.CLOSE
    assert policy(flow="out", seal="on-rename").seal is SealOn.RENAME
    made = spec({"t": {"path": "{shot}/x", "flow": "out"}}, FIELDS, defaults={"seal": "on-job-end"})
    assert made.templates["t"].policy.seal is SealOn.JOB_END
    told = {one.key: (one.value, one.where) for one in made.explain("ab_v001/x").settings}
    assert told["seal"] == ("on-job-end", "/defaults/seal")
    assert not [one for one in made.warnings if "seal" in one.where]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seal": "on-job-end"}, "jobs do not write it"),
        ({"seal": "on-job-end", "flow": "out", "durability": "origin"}, "each close finishes it"),
        ({"seal": "on-rename", "flow": "out", "durability": "origin"}, "each close finishes it"),
        ({"seal": "on-rename", "flow": "out", "scratch": []}, "no scratch names"),
    ],
)
def test_a_seal_that_makes_no_sense_is_warned_of(keys: dict[str, Any], message: str) -> None:
    made = spec({"t": {"path": "{shot}/x", **keys}}, FIELDS)
    (warning,) = [one for one in made.warnings if one.where == "/templates/t/seal"]
    assert message in warning.message


VERSIONED: dict[str, Any] = {
    "shot": {"type": "str", "pattern": "[a-z]+"},
    "version": {"type": "version", "scheme": "v%03d"},
}


def versioned(notes: dict[str, Any], **keys: Any) -> Specification:
    frames = {"path": "render/{shot}_{version}/{shot}.exr", "immutable": "on-version-publish"}
    return spec(
        {
            "frames": {**frames, **keys},
            "notes": {"path": "render/{shot}_{version}/n.txt", **notes},
            "other": "render/list.txt",
        },
        VERSIONED,
    )


def test_retract_reaches_the_version_directory_and_the_one_that_holds_it() -> None:
    made = versioned({"retract": "publisher"}, retract="publisher")
    assert made.templates["frames"].policy.retract is Retract.PUBLISHER
    version, above = made.directory("render/ab_v001"), made.directory("render")
    assert version is not None
    assert above is not None
    assert (version.retract, version.holds_retractable) == (Retract.PUBLISHER, False)
    # "other" says never, and lies beside the versions.
    assert (above.retract, above.holds_retractable) == (Retract.NEVER, True)


def test_nobody_may_take_a_version_back_unless_the_template_says_so() -> None:
    made = versioned({})
    above = made.directory("render")
    assert above is not None
    assert (above.retract, above.holds_retractable) == (Retract.NEVER, False)


def test_two_ways_to_take_one_version_back_are_a_mistake() -> None:
    with pytest.raises(SpecInvalid) as caught:
        versioned({}, retract="admin")
    (problem,) = caught.value.problems
    assert problem.where == "/templates/notes"
    assert 'two ways to take it back ("admin", "never")' in problem.message
    assert problem.fix == 'give them the same "retract"'


def test_a_missing_output_is_remembered_shorter_than_an_input() -> None:
    assert policy().negative_ttl_s == 5.0
    assert policy(flow="out").negative_ttl_s == policy(flow="inout").negative_ttl_s == 1.0
    assert policy(flow="out", negative_ttl=30).negative_ttl_s == 30.0
    made = spec({"t": {"path": "{shot}/x", "flow": "out"}}, FIELDS)
    told = {one.key: (one.value, one.where) for one in made.explain("ab_v001/x").settings}
    assert told["negative_ttl"] == ("1 s", "built in")


def test_retention_replaces_that_of_the_defaults_as_a_whole() -> None:
    made = spec(
        {"t": {"path": "{shot}/x", "retention": {"versions": 3}}, "u": "u/{shot}"}, FIELDS,
        defaults={"retention": {"days": 3}},
    )  # fmt: skip
    assert made.templates["t"].policy.retention == Retention(None, 3)
    assert made.templates["u"].policy.retention == Retention(3.0, None)
    told = {one.key: one.value for one in made.explain("ab_v001/x").settings}
    assert (told["retention"], told["prewarm"]) == ("3 versions", "as learned")


@pytest.mark.parametrize(
    ("keys", "where", "message"),
    [
        ({"prewarm": 3}, "prewarm", "must be an object"),
        ({"prewarm": {"frame": 3}}, "prewarm/frame", 'unknown name "frame"'),
        ({"prewarm": {"frames": 1001}}, "prewarm/frames", "from 0 to 1000"),
        ({"prewarm": {"frames": True}}, "prewarm/frames", "whole number"),
        ({"prewarm": {"udims": -1}}, "prewarm/udims", "from 0 to 1000"),
        ({"retention": "3d"}, "retention", "must be an object"),
        ({"retention": {"days": 0}}, "retention/days", "over 0"),
        ({"retention": {"days": 10**200}}, "retention/days", "at most 36600"),
        ({"retention": {"days": "3"}}, "retention/days", "must be a number, not a string"),
        ({"retention": {"versions": 0}}, "retention/versions", "from 1"),
        ({"retention": {"version": 1}}, "retention/version", 'unknown name "version"'),
        ({"stale_if_error": "1w"}, "stale_if_error", "must be a duration"),
        ({"stale_if_error": -1}, "stale_if_error", "from 0 to"),
        ({"fill": "all"}, "fill", 'cannot be "all"'),
        ({"immutable": "on-publish"}, "immutable", 'cannot be "on-publish"'),
        ({"seal": "on-exit"}, "seal", 'cannot be "on-exit"'),
        ({"retract": "anybody"}, "retract", 'cannot be "anybody"'),
    ],
)
def test_mistake_is_named_with_its_place(keys: dict[str, Any], where: str, message: str) -> None:
    (problem,) = mistakes({"t": {"path": "{shot}/x", **keys}})
    assert problem.where == f"/templates/t/{where}"
    assert message in problem.message


def test_versions_to_keep_need_a_version() -> None:
    keep = {"retention": {"versions": 3}}
    (problem,) = mistakes({"t": {"path": "x/{name}", **keep}})
    assert problem.where == "/templates/t/retention"
    assert "its path names none" in problem.message
    assert policy("{name}_{version}.x", **keep).retention.versions == 3
    # What is inherited is for whoever has versions.
    made = spec({"t": "x/{name}"}, FIELDS, defaults=keep)
    assert made.templates["t"].policy.retention.versions == 3


def test_on_version_publish_needs_a_version_in_a_directory() -> None:
    sealed = {"immutable": "on-version-publish"}
    for path in ("{version}/x", "a/{shot}/b/x.{frame}", "a/{shot}[/{name}]/x"):
        assert policy(path, **sealed).immutable is Immutable.ON_VERSION_PUBLISH
    for path in ("a/x", "a/{shot}", "{name}[/{version}]/x"):
        (problem,) = mistakes({"t": {"path": path, **sealed}})
        assert problem.where == "/templates/t"
        assert "no directory in its path names a version" in problem.message
    (problem,) = mistakes({"t": "{shot}/x", "log": "log/{name}"}, defaults=sealed)
    assert problem.where == "/templates/log"


def test_one_version_directory_has_one_origin() -> None:
    templates: dict[str, Any] = {
        "beauty": {"path": "r/{shot}/b/{frame}.x", "immutable": "on-version-publish"},
        "log": {"path": "r/{shot}/log", "origin": "gs://log"},
        "apart": {"path": "log/{shot}/log", "origin": "gs://log"},
    }
    (problem,) = mistakes(templates)
    assert problem.where == "/templates/log"
    assert problem.message.startswith(
        'templates "beauty" (line 24) and "log" (line 28) have files in one version directory'
    )
    templates["beauty"]["immutable"] = "on-close"
    assert spec(templates, FIELDS).show == "ant"


def test_reserved_directory_cannot_be_a_template() -> None:
    for path in (".shotfs", ".shotfs/{name}", "[.shotfs]/x"):
        assert any("reserved" in one.message for one in mistakes({"t": path})), path
    assert spec({"t": "a/.shotfs/x", "u": ".shotfs{name}"}, FIELDS).resolve(".shotfs") is None
