"""Compares what writers were told with what the origin has and a second node reads."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shotfs.digest import digest_bytes
from tests.crash.life import Report
from tests.crash.origins import Holding
from tests.crash.told import LISTED, Accounts, Content

KINDS = ("lost", "changed", "duplicated", "half_published", "orphans")

EMPTY = digest_bytes(b"")

NO_RIVALS: Mapping[str, str] = {}


@dataclass(slots=True)
class Verdict:
    """What is wrong, by kind: a sentence for each thing. Empty: nothing.

    Attributes:
        lost: a file that was closed is not in the origin.
        changed: it has other bytes than were closed, or is there though it was removed.
        duplicated: it was made twice, or is under two names.
        half_published: the origin has bytes that nobody ever meant to close.
        orphans: something is there that nobody was told of: under a scratch name, unfinished
            uploads, temporary files, markers.
    """

    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    half_published: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)

    def counts(self) -> dict[str, int]:
        """Return how many things are wrong of each kind."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    def text(self) -> str:
        """Return all of it."""
        return "\n".join(f"{kind}: {one}" for kind in KINDS for one in getattr(self, kind))


def judge(
    accounts: Accounts, holding: Holding, report: Report, rivals: Mapping[str, str] = NO_RIVALS
) -> Verdict:
    """Compare everything.

    Args:
        accounts: what writers were told.
        holding: what the origin has, seen from behind.
        report: what the second node reads, and what is left in the queue of the first.
        rivals: digests of what another node had published before, by path.
    """
    verdict = Verdict()
    listed = {item["path"] for item in report.queue}
    for path, account in accounts.of.items():
        if _is_scratch(path):
            continue
        if path in rivals:
            if None not in account.may_be and path not in listed:
                verdict.lost.append(f"{path}: lost against another node's, and not listed")
            account.may_be = {rivals[path]}
            account.whole.add(rivals[path])
        found = holding.objects.get(path)
        if LISTED in account.may_be and account.mutable and path in listed:
            # The writer itself has overwritten what it closed last, perhaps before that arrived.
            account.may_be |= account.whole
        if found not in account.may_be and not (found is None and LISTED in account.may_be):
            _blame(verdict, path, found, account.may_be, account.whole)
        elif found is None and None not in account.may_be and path not in listed:
            verdict.lost.append(f"{path}: written again when it ended, and not listed")
        if report.read.get(path) != found:
            _blame(verdict, path, report.read.get(path), {found}, account.whole)
    _judge_names(verdict, {*accounts.of, *rivals}, holding, report)
    _judge_queue(verdict, accounts, report, rivals)
    _judge_copies(verdict, accounts, holding)
    return verdict


def _blame(
    verdict: Verdict, path: str, found: str | None, may_be: set[Content], whole: set[str]
) -> None:
    said = f"{path}: is {found}, may be {sorted(map(str, may_be))}"
    if found is None:
        verdict.lost.append(said)
    elif found in whole or found.startswith("error"):
        verdict.changed.append(said)
    else:
        verdict.half_published.append(said)


def _judge_names(verdict: Verdict, known: set[str], holding: Holding, report: Report) -> None:
    for key in holding.objects:
        if _is_scratch(key) or key not in known:
            verdict.orphans.append(f"{key}: nobody was told of it")
    for path in report.read:
        if path not in holding.objects:
            verdict.orphans.append(f"{path}: the second node shows it, the origin has it not")
    verdict.orphans.extend(f"{one}: an upload that was not finished" for one in holding.leftovers)


def _judge_queue(
    verdict: Verdict, accounts: Accounts, report: Report, rivals: Mapping[str, str]
) -> None:
    """What was closed for certain does not wait any more; quarantine is for two writers."""
    for item in report.queue:
        said = f"{item['path']}: {item['state']} in the end: {item['error']}"
        account = accounts.of.get(item["path"])
        closed = account is not None and not account.may_be & {None, LISTED}
        if item["path"] in rivals:
            continue
        if item["state"] == "quarantined":
            verdict.changed.append(said)
        elif item["state"] != "failed" and closed:
            verdict.lost.append(said)


def _judge_copies(verdict: Verdict, accounts: Accounts, holding: Holding) -> None:
    for key, made in holding.made.items():
        mutable = key in accounts.of and accounts.of[key].mutable
        twice = any(one == other for one, other in itertools.pairwise(made))
        if twice or (len(made) > 1 and not mutable):
            verdict.duplicated.append(f"{key}: made {len(made)} times: {made}")
    for digest, count in Counter(holding.objects.values()).items():
        if count > 1 and digest != EMPTY:
            names = [key for key, one in holding.objects.items() if one == digest]
            verdict.duplicated.append(f"{digest}: under {names}")


def _is_scratch(path: str) -> bool:
    return path.endswith(".tmp")


def total(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many things are wrong of each kind in all *verdicts*."""
    counts = Counter(dict.fromkeys(KINDS, 0))
    for verdict in verdicts:
        counts.update(verdict.counts())
    return dict(counts)
