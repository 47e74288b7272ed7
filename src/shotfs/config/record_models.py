"""The settings of the recorder: whose opens are noted, and what becomes of that."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shotfs.config.section import Section
from shotfs.config.units import GIB, MIB, Seconds, SizeBytes


class RecordSettings(Section):
    """The recorder: learns from what jobs open which files a frame needs."""

    jobs: Literal["all", "named", "off"] = Field(
        default="all",
        description="Whose opens are recorded: of every process that has a job"
        " (node.job_variables), only of jobs that `shotfs exec` or `shotfs record start` names, or"
        " nobody's. Only paths are recorded, sizes and times, never a command line. 'off' costs"
        " nothing.",
    )
    publish: bool = Field(
        default=True,
        description="Share what is learned through the origins, below .shotfs/recorded of each"
        " show, so that other nodes know it too. An origin that cannot be written is left alone,"
        " and a read-only mount writes to none.",
    )
    publish_s: Seconds = Field(
        default=120.0,
        ge=1,
        le=86_400,
        description="How often what was learned is brought to the origins, in seconds: one request"
        " to read and one to write for each shot, task, frame and view of that time. Prewarming the"
        " next frame elsewhere does not need it sooner.",
    )
    files_max: Annotated[int, Field(ge=1, le=400_000)] = Field(
        default=100_000,
        description="How many files of one run of a job are noted; each takes about 500 bytes of"
        " memory while it runs. More than any frame reads.",
    )
    bytes_max: SizeBytes = Field(
        default=GIB,
        ge=MIB,
        description="How many bytes of recordings this node keeps, beside the cache's content. 1"
        " GiB holds 5,000 frames of 1,000 files. The oldest go first.",
    )
