"""The settings of what is fetched before anybody has opened it."""

from __future__ import annotations

from pydantic import Field

from shotfs.config.section import Section
from shotfs.config.units import GIB, MIB, SizeBytes


class LookaheadSettings(Section):
    """Fetching what a job opens next: the next frames, the other tiles, what belongs together."""

    enabled: bool = Field(
        default=True,
        description="Whether anything is fetched before it is opened. A template switches it off"
        ' for its own files with `"prewarm": {"frames": 0, "udims": 0}`.',
    )
    bytes_max: SizeBytes = Field(
        default=16 * GIB,
        ge=MIB,
        description="How many bytes may wait here to be opened, or be on their way, for all jobs"
        " together; at most a sixteenth of cache.bytes_max, whatever this says.",
    )
    job_bytes_max: SizeBytes = Field(
        default=4 * GIB,
        ge=MIB,
        description="The same for one job: the next frames of a heavy shot, and not so much that"
        " one job has all.",
    )
