"""The settings of what lies on this node's disks: the cache, and the spool of outputs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shotfs.config.network_models import OriginPrefix
from shotfs.config.section import LocalPath, Section
from shotfs.config.units import GIB, KIB, MIB, Seconds, SizeBytes

Count = Annotated[int, Field(ge=1, le=10**9)]


class CacheSettings(Section):
    """The local cache of verified content."""

    directory: LocalPath = Field(
        default="/var/cache/shotfs",
        description="Where the cache lives: a directory of mode 0700 that belongs to the service"
        " user, on a fast local disk. One process owns it.",
    )
    bytes_max: SizeBytes = Field(
        default=100 * GIB,
        gt=0,
        description="How many bytes of content the cache keeps at most. 100 GiB is an assumption"
        " that fits a small farm node; give it most of a disk that does nothing else.",
    )
    files_max: Count = Field(
        default=1_000_000,
        description="How many files the cache keeps at most. A million small textures stay far"
        " below the inodes of a 100 GiB ext4.",
    )
    free_bytes_min: SizeBytes = Field(
        default=2 * GIB,
        description="How many bytes of the cache's disk are always left free, whoever fills it. A"
        " full cache streams without keeping; a full system disk stops the node. 0 switches the"
        " floor off.",
    )
    eviction: Literal["s3-fifo", "lru"] = Field(
        default="s3-fifo",
        description="What goes first when the cache is full. s3-fifo keeps what is used again and"
        " again while large files are read once; lru drops what was not used for the longest time."
        " Both keep the same record, so changing it keeps the cache.",
    )
    catalog_paths_max: Count = Field(
        default=1_000_000,
        description="How many paths the catalog remembers (revision, digest, attributes, and that"
        " a path does not exist). As many as the"
        " cache may have files.",
    )
    verify_bytes_per_s: SizeBytes = Field(
        default=256 * MIB,
        ge=MIB,
        description="How many bytes a second `shotfs cache verify` reads at most. 256 MiB leave"
        " half of a SATA SSD to the jobs; the command's --rate says otherwise for one run.",
    )
    scrub_days: Annotated[float, Field(ge=0, le=365)] = Field(
        default=7.0,
        description="In how many days each cached file is hashed once in the background, to find"
        " what the disk forgot before a job does. 0 switches that off.",
    )
    scrub_bytes_per_s: SizeBytes = Field(
        default=32 * MIB,
        ge=64 * KIB,
        description="How many bytes a second the background check reads at most, also to catch up"
        " after the node was off. 32 MiB are 19 TiB a week, and little for any disk.",
    )


class SpoolSettings(Section):
    """Outputs that this node wrote and the origin does not have yet."""

    directory: LocalPath | None = Field(
        default=None,
        examples=["/ssd2/shotfs-spool"],
        description="Where outputs wait. Default: 'spool' in cache.directory, so that a published"
        " file becomes a cached one by a rename. On another disk it is copied.",
    )
    bytes_max: SizeBytes = Field(
        default=100 * GIB,
        gt=0,
        description="How many bytes of outputs may wait; beyond it writers get ENOSPC. Large"
        " enough for a night's frames of one node while the origin is gone.",
    )
    free_bytes_min: SizeBytes = Field(
        default=GIB,
        description="How many bytes of the spool's disk are always left free; below it writers get"
        " ENOSPC. Smaller than the cache's floor, so that outputs win over cached files.",
    )
    scratch_ttl_s: Seconds = Field(
        default=86400.0,
        gt=0,
        description="How long, in seconds, an untouched scratch file (*.tmp, lock files) is kept."
        " A day outlives the longest frame.",
    )
    emergency: OriginPrefix | None = Field(
        default=None,
        examples=["gs://studio-rescue/spool", "file:///mnt/filer/shotfs-rescue"],
        max_length=1024,
        description="Root URL where a drain copies what cannot reach its origin before this node"
        " goes: another bucket, or a peer's disk. `shotfs publish rescue` on any node publishes it"
        " from there. Must not lie below an origin of a show. Default: nothing is copied.",
    )
