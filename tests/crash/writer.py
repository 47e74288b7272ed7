"""A writer with the habits of renderers, that writes down what it was told.

Everything it does follows from a seed. What it holds open it also holds in memory, so that it can
say which content it is about to close. An error ends the habit, never the writer: a full disk and
a refused name are part of the work.
"""

from __future__ import annotations

import errno
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import trio

from shotfs.digest import digest_bytes
from tests.crash.hands import Hand, OpenFile, PosixFile
from tests.crash.site import PART_BYTES
from tests.crash.told import Accounts, Told

KIB = 1 << 10

REFUSALS = frozenset(
    {errno.EEXIST, errno.EPERM, errno.ENOENT, errno.EXDEV, errno.EACCES, errno.EROFS}
)
"""After these what was asked for was certainly not done; after others it may have been."""

LOOKS, LOOK_S = 500, 0.02
"""How often and how soon again a writer looks whether its file is published."""

RENDER_S_MAX = 0.06

IN_SPOOL = ("open", "sealed", "uploading", "published")

SHARED = 3
"""So many mutable files are written again and again, also by the next lives."""


class Page:
    """A file that the writer has open, and its bytes as they are meant to be."""

    def __init__(self, path: str, file: OpenFile, content: bytes, *, mutable: bool) -> None:
        self.path = path
        self.file = file
        self.content = bytearray(content)
        self.mutable = mutable
        self.whole = True
        self.changed = False


class Writer:
    """Works through habits.

    Args:
        hand: what it works with.
        told: where it writes down what it was told.
        accounts: what it was told before; kept up to date.
        chance: everything random.
        name: unique among the writers of a round; part of all names. Its last character says which
            of the writers of a life it is.
        unfinished: paths that earlier lives left in doubt, for this writer to write again.
    """

    def __init__(
        self,
        hand: Hand,
        told: Told,
        accounts: Accounts,
        chance: random.Random,
        name: str,
        unfinished: Iterable[str] = (),
    ) -> None:
        self._hand = hand
        self._told = told
        self._accounts = accounts
        self._chance = chance
        self._name = name
        self._unfinished = list(unfinished)
        self._count = 0

    # --- what is asked for, and what was told ----------------------------------------------------

    def _note(self, event: str, path: str, **more: object) -> None:
        self._told.note(event, path, **more)
        self._accounts.note(event, path, **more)

    @asynccontextmanager
    async def _asking(self, path: str) -> AsyncIterator[None]:
        """Note it when what was asked for in the block was refused."""
        try:
            yield
        except OSError as error:
            if error.errno in REFUSALS:
                self._note("refused", path)
            raise

    async def _create(self, path: str, *, mutable: bool = False) -> Page:
        self._note("writing", path, mutable=mutable)
        async with self._asking(path):
            file = await self._hand.create(path)
        page = Page(path, file, b"", mutable=mutable)
        page.changed = True
        return page

    async def _open(self, path: str, content: bytes, *, mutable: bool = False) -> Page:
        return Page(path, await self._hand.open(path), content, mutable=mutable)

    async def _write(self, page: Page, offset: int, data: bytes) -> None:
        if not page.changed:
            page.changed = True
            self._note("writing", page.path, mutable=page.mutable)
        content = page.content
        if len(content) < offset + len(data):
            content.extend(bytes(offset + len(data) - len(content)))
        content[offset : offset + len(data)] = data
        try:
            await page.file.write(offset, data)
        except OSError:
            page.whole = False
            self._note("spoiled", page.path)
            raise

    async def _close(self, page: Page) -> None:
        """close(2): from its answer on the content must never be lost."""
        digest = digest_bytes(bytes(page.content))
        try:
            if page.whole and page.changed:
                self._note("closing", page.path, digest=digest)
            await page.file.close()
            if page.whole and page.changed:
                self._note("closed", page.path, digest=digest)
        finally:
            await page.file.release()

    @asynccontextmanager
    async def _written(self, opening: Awaitable[Page]) -> AsyncIterator[Page]:
        page = await opening
        try:
            yield page
        except OSError:
            with suppress(OSError):
                await self._close(page)
            raise
        await self._close(page)

    async def _put(self, path: str, content: bytes, *, mutable: bool = False) -> None:
        async with self._written(self._create(path, mutable=mutable)) as page:
            middle = self._chance.randrange(len(content) + 1)
            await self._write(page, 0, content[:middle])
            if self._chance.random() < 0.3:
                await self._render()
            await self._write(page, middle, content[middle:])

    async def _rename(self, old: str, new: str, *, mutable: bool = False) -> None:
        self._note("renaming", old, to=new, mutable=mutable)
        async with self._asking(old):
            await self._hand.rename(old, new)
        self._note("renamed", old, to=new)

    async def _patch(self, page: Page) -> None:
        """Write a header, in two steps."""
        await self._write(page, 0, self._chance.randbytes(16))
        await self._render()
        await self._write(page, 16, self._chance.randbytes(16))

    async def _render(self) -> None:
        """Take some time, with a file half-written."""
        await trio.sleep(self._chance.random() * RENDER_S_MAX)

    async def _unlink(self, path: str) -> None:
        self._note("unlinking", path)
        async with self._asking(path):
            await self._hand.unlink(path)
        self._note("unlinked", path)

    async def _arrived(self, path: str) -> None:
        """Return when *path* is published, or has not been for long enough."""
        for _ in range(LOOKS):
            with suppress(OSError):  # it is on its way from the spool to the cache
                if await self._hand.state(path) not in IN_SPOOL:
                    return
            await trio.sleep(LOOK_S)

    # --- names and bytes -------------------------------------------------------------------------

    def _frame(self, kind: str = "render") -> str:
        self._count += 1
        layer = "passes/beauty" if kind == "passes" else kind
        suffix = "exr" if kind == "safe" else f"{self._count:04}.exr"
        return f"{layer}/{self._name}.{self._count}.{suffix}"

    def _bytes(self, low: int = 1, high: int = 60 * KIB) -> bytes:
        return self._chance.randbytes(self._chance.randint(low, high))

    # --- habits ----------------------------------------------------------------------------------

    async def whole(self) -> None:
        """One frame, written and closed."""
        await self._put(self._frame(), self._bytes())

    async def renamed(self) -> None:
        """Under a scratch name first."""
        path = self._frame()
        await self._put(f"{path}.tmp", self._bytes())
        await self._rename(f"{path}.tmp", path)

    async def patched(self) -> None:
        """Closed, opened again, and its header written."""
        path, content = self._frame("passes"), self._bytes(64)
        await self._put(path, content)
        async with self._written(self._open(path, content)) as page:
            await self._patch(page)

    async def appended(self) -> None:
        """Two passes to one file."""
        path, content = self._frame("passes"), self._bytes()
        await self._put(path, content)
        async with self._written(self._open(path, content)) as page:
            await self._write(page, len(content), self._bytes())

    async def truncated(self) -> None:
        """Truncated and written anew."""
        path = self._frame("passes")
        await self._put(path, self._bytes())
        await self._put(path, self._bytes())

    async def tiles(self) -> None:
        """Tiles at random offsets."""
        async with self._written(self._create(self._frame())) as page:
            for index in self._chance.sample(range(8), 8):
                await self._write(page, index * 9000, self._chance.randbytes(9000))
            await self._render()
            await self._write(page, 0, self._chance.randbytes(100))

    async def many(self) -> None:
        """Many small files."""
        for _ in range(self._chance.randint(5, 15)):
            await self._put(self._frame(), self._bytes(1, 2 * KIB))

    async def large(self) -> None:
        """Larger than a part of an upload."""
        content = self._chance.randbytes(PART_BYTES + self._chance.randint(1, 2 << 20))
        await self._put(self._frame(), content)

    async def large_changed(self) -> None:
        """A mutable one that is patched, moved or removed while its parts are on their way."""
        self._count += 1
        path = f"config/{self._name}.{self._count}.json"
        content = self._chance.randbytes(PART_BYTES + self._chance.randint(1, 2 << 20))
        await self._put(path, content, mutable=True)
        await self._render()
        match self._chance.randrange(3):
            case 0:
                async with self._written(self._open(path, content, mutable=True)) as page:
                    await self._patch(page)
            case 1:
                await self._rename(path, path.replace(".json", ".moved.json"), mutable=True)
            case _:
                await self._unlink(path)

    async def sidecar(self) -> None:
        """A second file beside it, a moment later."""
        path = self._frame()
        await self._put(path, self._bytes())
        await self._put(self._frame(), self._bytes(1, KIB))

    async def directory(self) -> None:
        """An output directory that is removed and made again."""
        self._count += 1
        layer = f"passes/{self._name.replace('-', '')}l{self._count}"
        paths = [f"{layer}/out.{frame:04}.exr" for frame in range(3)]
        for _ in range(2):
            await self._hand.mkdir(layer)
            for path in paths:
                await self._put(path, self._bytes())
            if self._chance.random() < 0.3:
                return
            for path in paths:
                await self._unlink(path)
            await self._hand.rmdir(layer)
        await self._hand.mkdir(layer)
        await self._put(paths[0], self._bytes())

    async def removed(self) -> None:
        """A file that nobody wants after all, and the same path again."""
        path = self._frame("passes")
        await self._put(path, self._bytes())
        await self._unlink(path)
        if self._chance.random() < 0.6:
            await self._put(path, self._bytes())

    async def renamed_over(self) -> None:
        """A finished file that replaces one that is not published yet."""
        path = self._frame("passes")
        await self._put(path, self._bytes())
        await self._put(f"{path}.tmp", self._bytes())
        await self._rename(f"{path}.tmp", path)

    async def rewritten(self) -> None:
        """A mutable file, written anew: also what earlier lives left."""
        path = f"config/shared{self._name[-1]}{self._chance.randrange(SHARED)}.json"
        await self._put(path, self._bytes(), mutable=True)

    async def rewritten_often(self) -> None:
        """A mutable file that is replaced in the origin again and again."""
        path = f"config/often{self._name[-1]}.json"
        for _ in range(3):
            await self._put(path, self._bytes(), mutable=True)
            await self._arrived(path)

    async def edited(self) -> None:
        """A mutable file that is written, and patched when it may be published already."""
        self._count += 1
        path = f"config/{self._name}.{self._count}.json"
        content = self._bytes(64)
        await self._put(path, content, mutable=True)
        if self._chance.random() < 0.9:
            await self._arrived(path)
        async with self._written(self._open(path, content, mutable=True)) as page:
            await self._patch(page)

    async def moved(self) -> None:
        """A mutable file that is renamed when it may be published already."""
        self._count += 1
        path = f"config/{self._name}.{self._count}.json"
        await self._put(path, self._bytes(), mutable=True)
        if self._chance.random() < 0.5:
            await self._arrived(path)
        await self._rename(path, path.replace(".json", ".moved.json"), mutable=True)

    async def discarded(self) -> None:
        """A mutable file that is removed when it may be published already."""
        self._count += 1
        path = f"config/{self._name}.{self._count}.json"
        await self._put(path, self._bytes(), mutable=True)
        if self._chance.random() < 0.5:
            await self._arrived(path)
        await self._unlink(path)

    async def synced(self) -> None:
        """fsync on the way."""
        async with self._written(self._create(self._frame())) as page:
            await self._write(page, 0, self._bytes())
            await page.file.fsync()
            await self._render()
            await self._write(page, len(page.content), self._bytes())

    async def touched(self) -> None:
        """An empty file."""
        await self._put(self._frame(), b"")

    async def safe(self) -> None:
        """Durability: origin. close waits for the upload."""
        await self._put(self._frame("safe"), self._bytes())

    async def mapped(self) -> None:
        """Through a mapping; on a mount only."""
        async with self._written(self._create(self._frame("passes"))) as page:
            data = self._bytes(4 * KIB)
            if not isinstance(page.file, PosixFile):
                await self._write(page, 0, data)
                return
            page.content[:] = data
            try:
                await page.file.map(len(data), data)
            except OSError:
                page.whole = False
                raise

    async def killed(self) -> None:
        """A process that is killed while it writes, or while it patches what it has closed."""
        path, content = self._frame("passes"), self._bytes(64)
        if self._chance.random() < 0.5:
            await self._put(path, content)
            page = await self._open(path, content)
        else:
            page = await self._create(path)
        await self._write(page, 0, self._chance.randbytes(32))
        await page.file.die()

    async def rendered_again(self) -> None:
        """After a crash the farm renders again what was not finished, with other bytes perhaps."""
        while self._unfinished:
            path = self._unfinished.pop()
            await self._put(f"{path}.tmp", self._bytes())
            await self._rename(f"{path}.tmp", path)

    async def work(self, steps: int, *, only: str | None = None) -> None:
        """Follow so many habits, or one of them so often; errors end a habit, not the work."""
        for _ in range(steps):
            habit = self._habit() if only is None else getattr(self, only)
            with suppress(OSError):
                await habit()

    def _habit(self) -> Callable[[], Awaitable[None]]:
        names, weights = zip(*HABITS.items(), strict=True)
        habit: Callable[[], Awaitable[None]] = getattr(
            self, self._chance.choices(names, weights)[0]
        )
        return habit


HABITS = {
    "whole": 8,
    "renamed": 8,
    "patched": 4,
    "appended": 3,
    "truncated": 3,
    "tiles": 3,
    "many": 2,
    "large": 1,
    "large_changed": 1,
    "sidecar": 3,
    "directory": 2,
    "removed": 4,
    "renamed_over": 3,
    "rewritten": 5,
    "edited": 3,
    "moved": 3,
    "discarded": 2,
    "synced": 3,
    "touched": 1,
    "safe": 2,
    "mapped": 2,
    "killed": 2,
    "rendered_again": 4,
}
"""What a writer does, by how often."""
