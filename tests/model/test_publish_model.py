"""Outputs against a model, up to the origin: write, rename, unlink, close, kill, crash, publish.

One node with a spool, one origin that fails as told, and another node that writes the same names.
A crash is a copy of the spool's directory as a kill -9 leaves it, taken between two operations or
within an upload, before or after the origin has stored it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from shotfs.errors import AccessDenied, PublishConflict, TierError, TierUnavailable
from shotfs.publish import SpoolEntry, SpoolFile, State
from shotfs.tiers.base import Span
from tests.model.lives import Life
from tests.unit.publish.fakes import FakeTier, Site, key_of, make, site_in, terms

PATHS = ["show/a", "show/d/a", "show/b", "show/d/b", "show/c.tmp"]

FAULTS = ("none", "away", "refused", "answer lost", "crash before", "crash after")
"""What happens to one upload."""

DRAIN_S = 60.0


def is_immutable(path: str) -> bool:
    return path.endswith("a")


def is_scratch(path: str) -> bool:
    return path.endswith(".tmp")


@dataclass(eq=False)
class ModelFile:
    """What a name of this node stands for.

    Attributes:
        content: what reads give.
        base: content of the object that it replaces when it is published; None creates.
        tried: contents that may be in the origin from uploads without an answer.
        closed: somebody was told that all of the content is safe.
        closed_once: somebody was told so of an earlier content.
        cut_off: a writer was killed, and nobody has closed it since.
        published: its object is in the origin; it stays until it is forgotten here.
    """

    content: bytearray = field(default_factory=bytearray)
    base: bytes | None = None
    tried: list[bytes] = field(default_factory=list)
    closed: bool = False
    closed_once: bool = False
    cut_off: bool = False
    published: bool = False

    def close(self) -> None:
        self.closed = self.closed_once = True
        self.cut_off = False


Handle = tuple[SpoolFile, ModelFile, int]


class PublishMachine(RuleBasedStateMachine):
    """Each rule does the same to the node and to the model."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="publish-model-"))
        self.lives = 0
        self.tier = FakeTier()
        self.names: dict[str, ModelFile] = {}
        self.origin: dict[str, bytes] = {}
        self.quarantined: Counter[bytes] = Counter()
        self.partial: Counter[bytes] = Counter()
        self.life = self._begin()

    def _directory(self) -> Path:
        return self.root / str(self.lives)

    def _begin(self) -> Life[Site]:
        """Open the spool, with a publisher that acts when it is told to."""
        return Life(site_in(self._directory(), self.tier, run=False))

    @property
    def site(self) -> Site:
        return self.life.value

    # --- what applications do --------------------------------------------------------------------

    @rule(target=handles, path=st.sampled_from(PATHS))
    def create_or_open(self, path: str) -> Handle | None:
        model = self.names.get(path)
        if model is None:
            if is_immutable(path) and path in self.origin:
                return None  # the file system refuses it
            model = self.names[path] = ModelFile(base=self.origin.get(path))
            return self.life.run(self._create, path), model, self.lives
        entry = self._entry(path)
        if model.published or (is_immutable(path) and entry.state is not State.OPEN):
            return None  # as above
        return self.life.run(self._open_writable, entry), model, self.lives

    async def _create(self, path: str) -> SpoolFile:
        found = self.tier.objects.get(key_of(path))
        base = None if is_immutable(path) or found is None else found[0]
        return await make(
            self.site.spool,
            path,
            immutable=is_immutable(path),
            scratch=is_scratch(path),
            base=base,
        )

    async def _open_writable(self, entry: SpoolEntry) -> SpoolFile:
        return await self.site.spool.open(entry, writable=True)

    @rule(handle=handles, offset=st.integers(0, 9), data=st.binary(min_size=1, max_size=9))
    def write(self, handle: Handle | None, offset: int, data: bytes) -> None:
        if handle is None or handle[2] != self.lives:
            return
        file, model, _ = handle
        if model.content and not model.closed and not is_scratch(file.entry.path):
            assert file.entry.state is State.OPEN
        self.life.run(file.write, offset, data)
        model.content.extend(bytes(max(0, offset - len(model.content))))
        model.content[offset : offset + len(data)] = data
        model.closed = False

    @rule(handle=consumes(handles))
    def close(self, handle: Handle | None) -> None:
        if handle is None or handle[2] != self.lives:
            return
        file, model, _ = handle
        self.life.run(file.flush)
        self.life.run(file.close)
        model.close()

    @rule(handle=consumes(handles))
    def kill_writer(self, handle: Handle | None) -> None:
        if handle is None or handle[2] != self.lives:
            return
        file, model, _ = handle
        path, named = file.entry.path, model in self.names.values()
        self.life.run(file.cut_off)
        self.life.run(file.close)
        if not named:
            return
        model.cut_off |= not model.closed and not is_scratch(path)
        if file.entry.writers:
            return
        if not model.cut_off:
            model.close()  # what a scratch file holds, or what was closed
        elif is_immutable(path) or not model.closed_once:
            del self.names[path]
            if model.content or model.closed_once:
                self.partial[bytes(model.content)] += 1

    @rule(old=st.sampled_from(PATHS), new=st.sampled_from(PATHS))
    def rename(self, old: str, new: str) -> None:
        if old not in self.names or old == new or self._is_fixed(old) or self._is_fixed(new):
            return
        # A mutable object under the old name would go with it: other tests see to that.
        if self.names[old].base is not None or self.names[old].tried:
            return
        if new in self.names and (self.names[new].base is not None or self.names[new].tried):
            return
        if new in self.origin:
            return
        target = terms(key_of(new), immutable=is_immutable(new), scratch=is_scratch(new))
        self.life.run(self.site.spool.rename, old, new, target)
        self.names[new] = self.names.pop(old)

    @rule(path=st.sampled_from(PATHS))
    def unlink(self, path: str) -> None:
        if path not in self.names or self._is_fixed(path):
            return
        self.life.run(self.site.spool.unlink, path, self.site.publisher.remove_objects)
        model = self.names.pop(path)
        if path in self.origin and self.origin[path] in (model.base, *model.tried):
            del self.origin[path]

    def _is_fixed(self, path: str) -> bool:
        """Whether what stands under *path* may not be moved or removed any more."""
        model = self.names.get(path)
        if model is None:
            return False
        return model.published or (is_immutable(path) and self._entry(path).perhaps_in_origin)

    # --- what other nodes do ---------------------------------------------------------------------

    @rule(path=st.sampled_from(PATHS), content=st.binary(min_size=1, max_size=3))
    def other_node_publishes(self, path: str, content: bytes) -> None:
        if is_scratch(path) or (is_immutable(path) and path in self.origin):
            return
        self.tier.add(key_of(path), content)
        self.origin[path] = content

    # --- what the publisher does -----------------------------------------------------------------

    @rule(path=st.sampled_from(PATHS), fault=st.sampled_from(FAULTS))
    def publish(self, path: str, fault: str) -> None:
        model = self.names.get(path)
        if model is None or is_scratch(path) or model.published or self._entry(path).writers:
            return
        if model.cut_off or not model.closed:
            return
        copied = self._arm(fault)
        outcome = self.life.run(self._publish, self._entry(path))
        self.tier.before = self.tier.after = lambda _key: None
        stored = fault not in ("away", "refused", "crash before")
        self._upload(path, model, outcome, stored=stored)
        if copied:
            self._restart()

    async def _publish(self, entry: SpoolEntry) -> str:
        try:
            await self.site.publisher.publish_now(entry)
        except PublishConflict:
            return "conflict"
        except TierError:
            return "unanswered"
        return "published"

    def _arm(self, fault: str) -> list[Path]:
        """Let the next upload go wrong; returns where a crash leaves its copy, filled by then."""
        copied: list[Path] = []

        def fail(_key: str) -> None:
            if fault.startswith("crash"):
                copied.append(self.root / str(self.lives + 1))
                shutil.copytree(self._directory(), copied[0])
            if fault == "refused":
                raise AccessDenied("told to refuse")
            raise TierUnavailable("told to fail")

        if fault in ("away", "refused", "crash before"):
            self.tier.before = fail
        elif fault != "none":
            self.tier.after = fail
        return copied

    def _upload(self, path: str, model: ModelFile, outcome: str, *, stored: bool) -> None:
        """Say what the origin must have after an upload, and whether *outcome* is right."""
        content, there = bytes(model.content), self.origin.get(path)
        free = there is None if is_immutable(path) else there == model.base
        if there == content and outcome in ("published", "conflict") and not free:
            free = True  # the same bytes: success, whoever stored them
        if not is_immutable(path) and there in model.tried:
            free = True
        if outcome == "published":
            assert free, f"{path}: {content!r} took the place of {there!r}"
            self.origin[path] = content
            model.published = True
        elif outcome == "conflict":
            assert not free, f"{path}: {content!r} lost against {there!r}"
            self.quarantined[content] += 1
            del self.names[path]
        else:
            if stored and (there is None if is_immutable(path) else there == model.base):
                self.origin[path] = content
            if content not in model.tried:
                model.tried.append(content)

    @rule()
    def settle(self) -> None:
        """The origin is well: everything that was closed arrives, or its conflict is told."""
        remains = self.life.run(self._drain)
        for path, model in list(self.names.items()):
            waits = self._writers(path) or model.cut_off or is_scratch(path) or not model.closed
            if waits and not model.published:
                continue
            content = bytes(model.content)
            if model.published or self.origin.get(path) == content:
                assert self.origin[path] == content
            elif self.tier.objects[key_of(path)][1] == content:
                self._upload(path, model, "published", stored=True)
            else:
                self._upload(path, model, "conflict", stored=True)
                continue
            if not self._open_handles(path):
                del self.names[path]
        assert set(remains) <= {"open", "published", "failed", "quarantined"}

    async def _drain(self) -> list[str]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.site.publisher.run)
            remains = await self.site.publisher.drain(DRAIN_S)
            # What is in the origin goes to the cache after the drain is over.
            await self.site.until(
                lambda: (
                    not any(
                        entry.state is State.PUBLISHED and not entry.open_handles
                        for entry in self.site.spool.entries()
                    )
                )
            )
            nursery.cancel_scope.cancel()
        return [item.state.value for item in remains]

    # --- what kills it ---------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        shutil.copytree(self._directory(), self.root / str(self.lives + 1))
        self._restart()

    def _restart(self) -> None:
        """Go on with the copy that a crash left."""
        self.lives += 1
        old, self.life = self.life, self._begin()
        old.end()
        for path, model in list(self.names.items()):
            kept = model.closed or (model.closed_once and not is_immutable(path))
            if kept:
                model.cut_off |= not model.closed
                continue
            del self.names[path]
            if model.content or model.closed_once:
                self.partial[bytes(model.content)] += 1

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def the_origin_has_what_it_should(self) -> None:
        found = {key: content for key, (_, content) in self.tier.objects.items()}
        assert found == {key_of(path): content for path, content in self.origin.items()}

    @invariant()
    def this_node_has_the_rest(self) -> None:
        assert {entry.path for entry in self.site.spool.entries()} == set(self.names)
        for path, model in self.names.items():
            assert self.life.run(self._read, self._entry(path)) == bytes(model.content), path
        aside: dict[bool, Counter[bytes]] = {True: Counter(), False: Counter()}
        for entry in list(self.site.spool.aside()):
            content = self.life.run(self._read, entry)
            aside[entry.state is State.QUARANTINED][content] += 1
        assert aside[True] == self.quarantined
        assert aside[False] == self.partial

    async def _read(self, entry: SpoolEntry) -> bytes:
        file = await self.site.spool.open(entry, writable=False)
        try:
            return bytes(await file.read(Span(0, 1000)))
        finally:
            await file.close()

    def _entry(self, path: str) -> SpoolEntry:
        entry = self.site.spool.get(path)
        assert entry is not None, path
        return entry

    def _writers(self, path: str) -> int:
        entry = self.site.spool.get(path)
        return 0 if entry is None else entry.writers

    def _open_handles(self, path: str) -> int:
        entry = self.site.spool.get(path)
        return 0 if entry is None else entry.open_handles

    def teardown(self) -> None:
        self.life.end()
        shutil.rmtree(self.root)


TestPublishModel = PublishMachine.TestCase
TestPublishModel.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
