"""Which process is killed where: the plan of each round, from the seed and its number alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tests.crash.points import NAMES, Trap, When
from tests.crash.traps import BEGIN, COMMIT, PART, SINGLE, StoreTrap

Where = Literal["gcs", "s3", "directory"]

Trouble = Literal["none", "disk", "network", "rival"]
"""What else is wrong: the disk of the spool is too small; the network is cut now and then; another
node has published some of the paths before."""

STORE_NAMES = (BEGIN, PART, COMMIT, SINGLE)

MOUNT_ONLY = ("data-closed-mark",)
"""Points of lent files: there are none without a kernel."""

LATER_ONLY = ("rename-aside",)
"""Points of recovery: a life before must have left something half written."""

RIVAL_ONLY = ("rename-quarantine",)

ALONE = (
    "patched",
    "appended",
    "truncated",
    "tiles",
    "large_changed",
    "directory",
    "removed",
    "renamed",
    "renamed_over",
    "rewritten",
    "edited",
    "moved",
    "discarded",
    "synced",
    "safe",
    "killed",
)
"""Habits of which some rounds have nothing else."""

RARE = frozenset(
    {
        "data-copy-mark",
        "data-truncate",
        "journal-checkpoint",
        "journal-checkpoint-fsync",
        "spool-fsync",
        "origin-rename",
    }
)
"""Points that a life reaches a few times only."""

RANDOM_S_MAX = 0.35
"""How long a life lasts at most that is killed at no point in particular, without its start."""

STEPS_MAX = 4

HABIT_OF = {
    "data-copy-mark": "edited",
    "data-truncate": "truncated",
    "origin-rename": "rewritten_often",
    PART: "large",
    COMMIT: "large",
    BEGIN: "large",
}
"""What a writer has to do so that a point is reached; others are reached whatever it does."""


@dataclass(frozen=True, slots=True)
class Kill:
    """How a life ends: at a point, at a request, after some time, or when it has done all."""

    point: Trap | None = None
    store: StoreTrap | None = None
    after_s: float | None = None

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.point is not None:
            return f"{self.point.name}:{self.point.when.name.lower()}"
        if self.store is not None:
            return f"{self.store.name}:{self.store.when}"
        return "at rest" if self.after_s is None else "any instant"

    @property
    def habit(self) -> str:
        """What a writer has to do so that it is reached."""
        return HABIT_OF.get(self.name.partition(":")[0], "whole")

    def surely(self) -> Kill:
        """Return the same, for the first time that a life gets there."""
        return Kill(
            point=None if self.point is None else replace(self.point, nth=1),
            store=None if self.store is None else replace(self.store, nth=1),
            after_s=self.after_s,
        )

    @property
    def of_upload(self) -> bool:
        """Whether it can only hit a process with an upload in flight."""
        return self.store is not None or (
            self.point is not None and self.point.name.startswith("origin-")
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """One round.

    Attributes:
        number: unique; with the seed it says everything.
        where: the origin.
        kills: how each life ends; one more follows that is not killed.
        steps: habits of each writer, in each life.
        habit: the only one, or None.
        trouble: what else is wrong.
    """

    number: int
    where: Where
    kills: tuple[Kill, ...]
    steps: int
    habit: str | None = None
    trouble: Trouble = "none"


def fixed() -> list[Plan]:
    """Return a plan for each named point, so that each is hit: CI runs these, and all campaigns."""
    numbers = itertools.count()
    moments = itertools.cycle((When.BEFORE, When.AFTER))
    plans = [
        _at_point(next(numbers), name, next(moments)) for name in NAMES if name not in MOUNT_ONLY
    ]
    for name, when in itertools.product(STORE_NAMES, ("before", "after", "late")):
        kill = Kill(store=StoreTrap(name, 1, when))  # type: ignore[arg-type]
        plans.append(Plan(next(numbers), "gcs", (kill,), _steps(kill), kill.habit))
    for name, when in (*((name, "after") for name in STORE_NAMES), (COMMIT, "before")):
        kill = Kill(store=StoreTrap(name, 1, when))  # type: ignore[arg-type]
        plans.append(Plan(next(numbers), "s3", (kill,), _steps(kill), kill.habit))
    # In the middle of patching what was closed before: half of it must not be published.
    patching = Kill(point=Trap("data-write", 6, When.AFTER))
    plans.append(Plan(next(numbers), "gcs", (patching,), 2, "patched"))
    for trouble in ("disk", "network"):
        kills = (Kill(after_s=0.2), Kill())
        plans.append(Plan(next(numbers), "gcs", kills, STEPS_MAX, None, trouble))
    return plans


def all_of(seed: int, rounds: int) -> Iterator[Plan]:
    """Yield so many plans: the fixed ones, then others at random."""
    first = fixed()
    yield from first[:rounds]
    for number in range(len(first), rounds):
        yield drawn(seed, number)


def plan_of(seed: int, number: int) -> Plan:
    """Return the plan of one round."""
    first = fixed()
    return first[number] if number < len(first) else drawn(seed, number)


def _steps(kill: Kill) -> int:
    return 1 if kill.habit == "large" else 2


def drawn(seed: int, number: int) -> Plan:
    """Draw a plan: most lives end at a point, some at any instant; some rounds have two kills."""
    chance = random.Random(f"{seed}/{number}/plan")
    trouble = chance.choices(("none", "disk", "network", "rival"), (82, 6, 6, 6))[0]
    wheres: list[Where] = ["gcs", "s3", "directory"]
    where = chance.choices(wheres, (60, 10, 30))[0]
    if trouble in ("disk", "network", "rival"):
        where = "gcs"
    # A large file does not fit on the small disk.
    stores = (SINGLE,) if trouble == "disk" else STORE_NAMES
    kills = [_drawn_kill(chance, where, stores)]
    if trouble == "rival" and chance.random() < 0.5:
        when = chance.choice((When.BEFORE, When.AFTER))
        kills[0] = Kill(point=Trap(RIVAL_ONLY[0], 1, when))
    while len(kills) < 3 and chance.random() < 0.35:
        kills.append(_drawn_kill(chance, where, stores))
    if len(kills) > 1 and chance.random() < 0.15:
        # What a life left that was killed while it wrote is put aside by the next one.
        kills[0] = Kill(point=Trap("data-fsync", chance.randint(1, 3), When.BEFORE))
        kills[1] = Kill(point=Trap(LATER_ONLY[0], 1, chance.choice((When.BEFORE, When.AFTER))))
    habit = kills[0].habit if kills[0].habit != "whole" and chance.random() < 0.7 else None
    if habit is None and trouble == "none" and chance.random() < 0.35:
        # A kill in the middle of it is much likelier than among all others.
        habit = chance.choice(ALONE)
    steps = 1 + chance.randrange(STEPS_MAX)
    return Plan(number, where, tuple(kills), steps, habit, trouble)  # type: ignore[arg-type]


def _drawn_kill(chance: random.Random, where: Where, stores: tuple[str, ...]) -> Kill:
    dice = chance.random()
    if dice < 0.2:
        return Kill(after_s=chance.random() * RANDOM_S_MAX)
    if dice < 0.25:
        return Kill()
    if dice < 0.55 and where != "directory":
        name = chance.choice(stores)
        when = chance.choice(("before", "after", "late"))
        nth = 1 if name != SINGLE else _nth(chance, 4)
        return Kill(store=StoreTrap(name, nth, when))  # type: ignore[arg-type]
    names = [
        name
        for name in NAMES
        if name not in (*MOUNT_ONLY, *LATER_ONLY, *RIVAL_ONLY)
        and (where == "directory" or not name.startswith("origin-"))
    ]
    name = chance.choice(names)
    nth = _nth(chance, 0.5 if name in RARE else 4)
    return Kill(point=Trap(name, nth, chance.choice((When.BEFORE, When.AFTER))))


def _nth(chance: random.Random, mean: float) -> int:
    return 1 + int(chance.expovariate(1 / mean))


def _at_point(number: int, name: str, when: When) -> Plan:
    kill = Kill(point=Trap(name, 1, when))
    where: Where = "directory" if name.startswith("origin-") else "gcs"
    kills: tuple[Kill, ...] = (kill,)
    if name in LATER_ONLY:
        kills = (Kill(point=Trap("data-fsync", 1, When.BEFORE)), kill)
    trouble: Trouble = "rival" if name in RIVAL_ONLY else "none"
    return Plan(number, where, kills, 2, kill.habit, trouble)
