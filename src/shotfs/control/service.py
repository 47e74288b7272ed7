"""The service as the control socket sees it: the seam between `control` and `app`.

`app` implements `Service`; `control.server` calls it; tests use a fake. Values that cross the
socket are plain JSON: text, numbers, booleans, None, lists and dicts, or frozen dataclasses of
those, which the server turns into dicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shotfs.control.cache_service import CacheService
from shotfs.control.conflict_service import ConflictService
from shotfs.control.localize_service import LocalizeService
from shotfs.control.prewarm_service import PrewarmService
from shotfs.control.publish_service import PublishService
from shotfs.control.record_service import RecordService
from shotfs.control.version_service import VersionService


class Service(Protocol):
    """What can be asked of a running service. Every call happens in the service's trio loop."""

    @property
    def versions(self) -> VersionService:
        """What can be asked of versions and their aliases."""
        ...

    @property
    def cache(self) -> CacheService:
        """What can be asked of the cache, and of paths in it."""
        ...

    @property
    def publishing(self) -> PublishService:
        """What can be asked of outputs on their way to the origin."""
        ...

    @property
    def conflicts(self) -> ConflictService:
        """What can be asked of outputs that are kept aside."""
        ...

    @property
    def prewarming(self) -> PrewarmService:
        """What can be asked of prewarms."""
        ...

    @property
    def recording(self) -> RecordService:
        """What can be asked of recordings of what jobs open."""
        ...

    @property
    def localizing(self) -> LocalizeService:
        """What can be asked of files by those who have no mount."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return what the service is and how it is, from memory.

        Keys that the command line shows in a good place, each optional: ``state`` (serving,
        draining, stopping), ``version``, ``pid``, ``node``, ``mountpoint`` (absolute path without
        links; None for `shotfs serve`), ``read_only``, ``uptime_s``, ``config`` (path), ``shows``
        (name to a mapping), ``origins`` (URL to a mapping), ``cache`` (a mapping of numbers),
        ``spool`` (a mapping of numbers). Any others are shown as they are.
        """
        ...

    def cache_stats(self) -> Any:
        """Return the numbers of the cache: a dataclass or a mapping."""
        ...

    def queue(self) -> Sequence[Any]:
        """Return what is not in the origin yet, oldest first.

        Each a dataclass or a mapping with ``path`` (relative to the mount) and ``state``, and
        where known ``size_bytes``, ``age_s``, ``attempts`` and ``error`` (why it is still here).
        """
        ...

    def metrics_text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        ...

    async def reload_specs(self, shows: Sequence[str]) -> Sequence[Any]:
        """Look now whether the specifications of *shows* (none: of all) changed; load what did.

        Returns:
            For each show a dataclass or a mapping with ``show``, ``spec`` (where it is),
            ``outcome`` (unchanged, changed, refused, unreadable), ``digest`` and ``loaded_at`` of
            the one in force, ``message`` (why a newer one is not; None) and ``mistakes``.

        Raises:
            InvalidArgument: there is no such show.
        """
        ...

    async def evict(self, bytes_wanted: int | None) -> Any:
        """Free at least *bytes_wanted* bytes of the cache; None: everything that may go.

        Returns:
            What was freed: a dataclass or a mapping.
        """
        ...

    async def drain(
        self, deadline_s: float, *, emergency: bool = False, stop: bool = False
    ) -> Sequence[Any]:
        """Publish what is in the spool; return what remains after *deadline_s*, like `queue`.

        Args:
            deadline_s: how long it may take, in seconds.
            emergency: copy what is left to the emergency place, if there is one. Items then have
                ``emergency``: where their copy lies, or None.
            stop: refuse new work from now on, wait for open writers, too, and end afterwards. It
                implies *emergency*.
        """
        ...

    async def rescue(self, url: str | None, node: str | None, *, dry_run: bool) -> Sequence[Any]:
        """Publish what nodes left in an emergency place.

        Args:
            url: of the place; None: the one that is configured.
            node: which left it; None: every one.
            dry_run: only say what would be published.

        Returns:
            For each record a dataclass or a mapping with ``path``, ``node``, ``serial``,
            ``size_bytes``, ``outcome`` and ``message``.

        Raises:
            InvalidArgument: there is no such place.
        """
        ...

    async def stop(self, drain: bool, deadline_s: float) -> None:
        """Begin to stop: drain if asked to, unmount, end. Returns when this has begun, not ended.

        The answer to the client travels over the socket that stopping closes, so it must come
        first. Calling it again changes nothing.
        """
        ...
