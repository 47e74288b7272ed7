"""Discretion: other users' processes stay anonymous, also in reports of everything (S12)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from shotfs.app.discretion import SOMEBODY_ELSE, masked, own_part, owned_by
from shotfs.cache.inspect import LimitReport
from shotfs.cache.scheduling import EgressUse
from shotfs.control.access import Peer
from tests.unit.control.fake_reports import MAYA, top_report, why_report

OTHER = {"pid": 5, "name": "nuke", "job": ""}


def is_maya(asker: Mapping[str, Any]) -> bool:
    return asker["pid"] == MAYA["pid"]


def test_s12_every_process_of_others_is_masked_wherever_it_stands() -> None:
    told = masked(why_report(), is_maya)
    assert told["readers"] == [MAYA, SOMEBODY_ELSE]
    assert told["stream"]["waits"][0]["asker"] == MAYA
    assert told["stream"]["waits"][1]["asker"] == SOMEBODY_ELSE
    assert told["waiting"][0]["asker"] == MAYA
    assert "nuke" not in str(told)
    assert told["reasons"] == why_report()["reasons"]


def test_s12_the_job_that_has_read_most_is_not_named() -> None:
    use = EgressUse("gs://b", 900, 1000, "warning", "jobs/anna/1", 800, 1000)
    limits = dataclasses.asdict(LimitReport(None, use))
    told = masked(why_report(limits=limits), is_maya)
    assert told["limits"]["egress"] == {**limits["egress"], "job": ""}


def test_nobody_stays_nobody() -> None:
    nobody = {"pid": 0, "name": "", "job": ""}
    assert masked([nobody], lambda _: False) == [nobody]


def test_s12_of_top_a_user_sees_numbers_and_what_is_his_own() -> None:
    report = top_report()
    mine = own_part(report, is_maya)
    assert len(mine["waits"]) == len(mine["streams"]) == 1
    assert mine["streams"][0]["readers"] == [MAYA, SOMEBODY_ELSE]
    assert mine["crawlers"] == []
    theirs = own_part(report, lambda _: False)
    assert theirs["waits"] == theirs["streams"] == theirs["crawlers"] == []
    assert theirs["waiting"] == report["waiting"]


def test_s12_a_process_belongs_to_its_user() -> None:
    peer = Peer(uid=os.getuid(), gid=0, pid=1, groups=frozenset())
    other = Peer(uid=os.getuid() + 1, gid=0, pid=1, groups=frozenset())
    me = {"pid": os.getpid(), "name": "", "job": ""}
    assert owned_by(peer)(me)
    assert not owned_by(other)(me)
    assert not owned_by(peer)({"pid": 0, "name": "", "job": ""})
    assert not owned_by(peer)({"pid": 2**22 + 1, "name": "", "job": ""})  # beyond pid_max
