"""Egress: how much was read from origins that bill for it, per day and per job.

A day is any 24 hours, counted by hours of a clock of its own: that of the machine's uptime while
it runs, which nobody can set, and the wall clock only across a boot, never backwards. So a wall
clock that jumps gives no fresh budget and locks nobody out. Kept in a small file, so that a
restart gives none either. Event loop only, except for `write`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shotfs.cache.scheduling.limits import MIB, OriginLimits
from shotfs.config.units import format_size, rounded_size
from shotfs.errors import EgressSpent

log = logging.getLogger(__name__)

HOURS = 24
JOBS_MAX = 1_000
"""Jobs of one account that are remembered; the longest unused are forgotten first."""

JOB_BYTES_MAX = 256
FORMAT = 1

_PREWARM = ", and what is left is not for prewarming"


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks of the machine say.

    Attributes:
        boot: which boot of the machine it is.
        uptime_s: since then, sleep included.
        wall_s: since the epoch.
    """

    boot: str
    uptime_s: float
    wall_s: float


def moment_of(boot: str) -> Callable[[], Moment]:
    """Return what reads the clocks of this machine, whose boot is *boot*."""
    return lambda: Moment(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@dataclass(frozen=True, slots=True)
class EgressUse:
    """How far a budget is used, for status.

    Attributes:
        account: the section of the configuration, or the origin.
        day_bytes: read in the last 24 hours.
        day_bytes_max: the budget; None: there is none.
        state: "ok", "warning" or "spent", of the day or the worst job.
        job: the job that has read most; "" if none is known.
        job_bytes: what it has read.
        job_bytes_max: the budget of each job; None: there is none.
    """

    account: str
    day_bytes: int
    day_bytes_max: int | None
    state: str
    job: str
    job_bytes: int
    job_bytes_max: int | None


@dataclass(slots=True)
class _Account:
    limits: OriginLimits
    hours: OrderedDict[int, int] = field(default_factory=OrderedDict)
    jobs: OrderedDict[str, int] = field(default_factory=OrderedDict)
    warned: set[str] = field(default_factory=set)
    """Of the day ("") and of jobs: who was warned of already."""
    told: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Refusals that the log has, by what they were of, and when."""


class Egress:
    """Counts what was read and refuses what is beyond a budget.

    Args:
        path: of the file; None keeps nothing.
        clocks: reads the clocks of the machine.
    """

    def __init__(self, path: str | None, clocks: Callable[[], Moment]) -> None:
        self._path = path
        self._clocks = clocks
        self._accounts: dict[str, _Account] = {}
        self._kept: dict[str, Any] = {}
        self._clock_s = 0.0
        self._last = clocks()
        self.changed = False

    def load(self) -> None:
        """Read the file. One that is damaged counts as absent, with a warning."""
        if self._path is None:
            return
        try:
            with open(self._path, encoding="utf-8") as file:
                self._restore(json.load(file))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("egress is counted from zero: %s cannot be read: %s", self._path, error)

    def refusal(
        self, account: str, limits: OriginLimits, length_bytes: int, job: str, *, prewarm: bool
    ) -> EgressSpent | None:
        """Return why *length_bytes* more may not be read; None: they may.

        Args:
            account: the section of the configuration, or the origin.
            limits: of the origin.
            length_bytes: of the request.
            job: who asks; "" if that is not known.
            prewarm: nobody has opened it yet: then the warning is the end of the budget.
        """
        found = self._account(account, limits)
        share, of_share = (1.0, "") if not prewarm else (limits.egress_warn_share, _PREWARM)
        day, day_max = self._day_bytes(found), limits.egress_day_bytes_max
        if day_max is not None and day + length_bytes > share * day_max:
            error = _spent(
                f"{account}: this node has read {rounded_size(day)} of the {format_size(day_max)}"
                f" that it may read in 24 hours{of_share}",
                account, "egress_bytes_per_day_max",
                f"wait (some is free again in {self._next_release_s(found) / 3600:.1f} h)",
            )  # fmt: skip
            return self._tell(found, f"day{of_share}", error)
        of_job, job_max = found.jobs.get(job[:JOB_BYTES_MAX], 0), limits.egress_job_bytes_max
        if job and job_max is not None and of_job + length_bytes > share * job_max:
            error = _spent(
                f"{account}: job {job} has read {rounded_size(of_job)} of the"
                f" {format_size(job_max)} that a job may read on this node{of_share}",
                account, "egress_bytes_per_job_max", "look what the job reads",
            )  # fmt: skip
            return self._tell(found, f"{job}{of_share}", error)
        return None

    def count(self, account: str, limits: OriginLimits, delta_bytes: int, job: str) -> None:
        """Count bytes, before they move; take back (negative) what did not."""
        found = self._account(account, limits)
        hour = int(self._now_s() // 3600)
        found.hours[hour] = max(0, found.hours.get(hour, 0) + delta_bytes)
        if job:
            job = job[:JOB_BYTES_MAX]
            found.jobs[job] = max(0, found.jobs.get(job, 0) + delta_bytes)
            found.jobs.move_to_end(job)
            if len(found.jobs) > JOBS_MAX:
                forgotten, _ = found.jobs.popitem(last=False)
                found.warned.discard(forgotten)
        self.changed = True
        self._warn(account, found, job)

    def used_bytes(self, account: str, limits: OriginLimits) -> int:
        """Return what was read in the last 24 hours."""
        return self._day_bytes(self._account(account, limits))

    def use(self, account: str, limits: OriginLimits) -> EgressUse:
        """Return how far a budget is used, also by an earlier process of which only the file says.

        Args:
            account: the section of the configuration, or the origin.
            limits: of the origin.
        """
        return self._use(account, self._account(account, limits))

    def snapshot(self) -> bytes:
        """Return what the file is to hold, and count as unchanged from now on."""
        clock_s = self._now_s()
        now = self._last
        self.changed = False
        accounts = self._kept | {
            name: {"hours": list(one.hours.items()), "jobs": list(one.jobs.items())}
            for name, one in self._accounts.items()
        }
        kept = {
            "format": FORMAT, "boot": now.boot, "uptime_s": now.uptime_s, "wall_s": now.wall_s,
            "clock_s": clock_s, "accounts": accounts,
        }  # fmt: skip
        return json.dumps(kept).encode()

    def write(self, content: bytes) -> None:
        """Replace the file, in a thread. Raises OSError."""
        if self._path is None:
            return
        fresh = f"{self._path}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)

    # --- inside ----------------------------------------------------------------------------------

    def _now_s(self) -> float:
        now, last = self._clocks(), self._last
        same_boot = now.boot == last.boot
        passed_s = now.uptime_s - last.uptime_s if same_boot else now.wall_s - last.wall_s
        self._clock_s += max(0.0, passed_s)
        self._last = now
        return self._clock_s

    def _restore(self, kept: dict[str, Any]) -> None:
        if kept["format"] != FORMAT:
            raise ValueError(f"format {kept['format']} is not {FORMAT}")
        last = Moment(str(kept["boot"]), float(kept["uptime_s"]), float(kept["wall_s"]))
        accounts = {
            str(name): {
                "hours": [(int(hour), int(count)) for hour, count in one["hours"]][-HOURS - 1 :],
                "jobs": [(str(job), int(count)) for job, count in one["jobs"]][-JOBS_MAX:],
            }
            for name, one in kept["accounts"].items()
        }
        self._clock_s, self._last, self._kept = float(kept["clock_s"]), last, accounts

    def _account(self, name: str, limits: OriginLimits) -> _Account:
        found = self._accounts.get(name)
        if found is None:
            kept = self._kept.pop(name, {"hours": [], "jobs": []})
            found = _Account(limits, OrderedDict(kept["hours"]), OrderedDict(kept["jobs"]))
            self._accounts[name] = found
        return found

    def _day_bytes(self, found: _Account) -> int:
        oldest = int(self._now_s() // 3600) - HOURS
        while found.hours and next(iter(found.hours)) <= oldest:
            found.hours.popitem(last=False)
        return sum(found.hours.values())

    def _tell(self, found: _Account, what: str, error: EgressSpent) -> EgressSpent:
        """Log a refusal once an hour: each read of a job meets it."""
        now_s = self._now_s()
        if now_s - found.told.get(what, -math.inf) >= 3600:
            log.error("%s", error)
            found.told[what] = now_s
            found.told.move_to_end(what)
            if len(found.told) > JOBS_MAX:
                found.told.popitem(last=False)
        return error

    def _next_release_s(self, found: _Account) -> float:
        first = next(iter(found.hours), 0)
        return max(0.0, (first + HOURS) * 3600 - self._clock_s)

    def _over(self, found: _Account, job: str, share: float) -> list[str]:
        limits, over = found.limits, []
        day_max, job_max = limits.egress_day_bytes_max, limits.egress_job_bytes_max
        if day_max is not None and self._day_bytes(found) >= share * day_max:
            over.append("")
        if job and job_max is not None and found.jobs.get(job, 0) >= share * job_max:
            over.append(job)
        return over

    def _warn(self, account: str, found: _Account, job: str) -> None:
        over = self._over(found, job, found.limits.egress_warn_share)
        for one in ("", job):
            if one not in over:
                found.warned.discard(one)
            elif one not in found.warned:
                found.warned.add(one)
                log.warning(
                    "%s: %s has used %.0f %% of its egress budget; nothing is prewarmed any more",
                    account,
                    f"job {one}" if one else "this node",
                    100 * found.limits.egress_warn_share,
                )

    def _use(self, account: str, found: _Account) -> EgressUse:
        limits = found.limits
        job = max(found.jobs, key=lambda one: found.jobs[one], default="")
        state = "ok"
        if self._over(found, job, limits.egress_warn_share):
            state = "warning"
        day_max, job_max = limits.egress_day_bytes_max, limits.egress_job_bytes_max
        if (day_max is not None and self._day_bytes(found) + MIB > day_max) or (
            job_max is not None and found.jobs.get(job, 0) + MIB > job_max
        ):
            state = "spent"
        return EgressUse(
            account, self._day_bytes(found), limits.egress_day_bytes_max, state, job,
            found.jobs.get(job, 0), limits.egress_job_bytes_max,
        )  # fmt: skip


def _spent(message: str, account: str, key: str, instead: str) -> EgressSpent:
    return EgressSpent(message, fix=f'raise origins."{account}".{key}, or {instead}')
