"""What `shotfs doctor` says of versions that were taken back."""

from __future__ import annotations

from typing import Any

import pytest

from shotfs.control.checks import Verdict
from shotfs.control.version_checks import retracted_of


@pytest.mark.parametrize(
    ("known", "verdict", "message"),
    [
        ({"versions": 2, "unfinished": []}, Verdict.NOTE, "2 that this node knows of"),
        ({"versions": 2, "unfinished": ["r/v5"]}, Verdict.WRONG, "deleted only in part: r/v5"),
    ],
)
def test_doctor_tells_what_was_taken_back(
    known: dict[str, Any], verdict: Verdict, message: str
) -> None:
    (found,) = retracted_of({"retracted": known})
    assert found.verdict is verdict
    assert message in found.message
    assert found.fix is not None


@pytest.mark.parametrize("status", [{}, {"retracted": {"versions": 0, "unfinished": []}}])
def test_doctor_says_nothing_where_nothing_was(status: dict[str, Any]) -> None:
    assert list(retracted_of(status)) == []
