"""The settings: every field with its unit, its default and the reason for the default.

These models are the single source: the template of ``shotfs config init``, the reference in
``docs/configuration.md`` and the JSON Schema are generated from them. They are frozen, refuse
unknown fields, and know nothing of files, lines or the environment (see `loading`). The sections of
disks and of origins are in `storage_models` and `network_models`.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from shotfs.config.addresses import parse_address
from shotfs.config.hook_models import HookSettings
from shotfs.config.lookahead_models import LookaheadSettings
from shotfs.config.mistake import Mistake
from shotfs.config.moments import parse_moment
from shotfs.config.network_models import NetworkSettings, OriginPrefix, OriginSettings
from shotfs.config.preemption_models import PreemptionSettings
from shotfs.config.record_models import RecordSettings
from shotfs.config.section import LocalPath, Section, plain_path
from shotfs.config.storage_models import CacheSettings, SpoolSettings
from shotfs.config.units import GIB, KIB, MIB, Seconds, SizeBytes

SOCKET_PATH_BYTES_MAX = 107
"""What fits into the kernel's ``sun_path`` with its closing zero byte."""

KERNEL_BACKGROUND_MAX = 65_535
"""What FUSE_INIT can carry of waiting requests: ``max_background`` has 16 bits."""

NAME_BYTES_MAX = 255
"""NAME_MAX of Linux: a show's name is a directory under the mount."""

JOB_VARIABLES = ("SHOTFS_JOB", "CUE_JOB", "SLURM_JOB_ID", "TR_ENV_JID", "JOB_ID")
"""Where render managers name the job of a process: `shotfs exec`, OpenCue, Slurm, Tractor, and last
Grid Engine, whose name others use as well."""


class NodeSettings(Section):
    """Who this machine is."""

    name: str = Field(
        default_factory=socket.gethostname,
        examples=["render-0042"],
        min_length=1,
        max_length=NAME_BYTES_MAX,
        description="Name of this node in logs, metrics and the metadata of published files."
        " Default: the host name.",
    )
    site: str = Field(
        default="",
        max_length=NAME_BYTES_MAX,
        description="Name of the site (building, cloud region) that this node is in: chooses among"
        " the URLs that a specification gives a root for its sites. Empty: the URL without a"
        " site.",
    )
    preemptible: bool = Field(
        default=False,
        description="This node may vanish without warning (a spot instance). Then close() waits"
        " until an output is in the origin, for templates that do not say otherwise. Off: a node's"
        " disk outlives its jobs, and close() returns at the speed of that disk.",
    )
    job_variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]] = Field(
        default_factory=lambda: list(JOB_VARIABLES),
        max_length=16,
        examples=[["MY_FARM_JOB", "SHOTFS_JOB"]],
        description="Names of the environment variables in which render jobs carry their own name;"
        " the first that a process has counts. Default: SHOTFS_JOB, CUE_JOB (OpenCue),"
        " SLURM_JOB_ID, TR_ENV_JID (Tractor), JOB_ID (Grid Engine). Outputs, egress budgets and"
        " reports are by job. The environment is read once for each process that writes something"
        " or opens something cold; that of other users' processes only with CAP_SYS_PTRACE or as"
        " root, otherwise their job is unknown. Empty: nobody's environment is read.",
    )


class MountSettings(Section):
    """The mount, as applications and the kernel see it."""

    allow_other: bool = Field(
        default=False,
        description="Let users other than the service user into the mount; permissions then come"
        " from the specification. Off because FUSE keeps others out unless the administrator"
        " decides. A farm node needs it on; a mount by an ordinary user also needs"
        " 'user_allow_other' in /etc/fuse.conf.",
    )
    read_only: bool = Field(
        default=False,
        description="Refuse every write with EROFS, whatever the specification says.",
    )
    at: str | None = Field(
        default=None,
        examples=["2026-11-21T06:00:00Z", "-2h"],
        max_length=100,
        description="Show mutable paths and version aliases as they were at this time: ISO 8601"
        " with a zone, or a duration with a minus before it, counted from the start of the service."
        " Immutable paths are as ever. Needs buckets that keep object versions. Default: now.",
    )
    at_without_versions: Literal["refuse", "live", "deny"] = Field(
        default="refuse",
        description="What mount.at does with an origin that keeps no versions: 'refuse' to start,"
        " show its mutable paths as they are now ('live'), or not at all ('deny').",
    )
    pin: LocalPath | None = Field(
        default=None,
        examples=["/jobs/1234/shots.pin.json"],
        description="A pin file (shotfs pin create): below the trees that it names, the mount shows"
        " exactly what it says. Default: nothing is pinned.",
    )
    request_deadline_s: Seconds = Field(
        default=60.0,
        gt=0,
        description="How long, in seconds, a request of an application may make no progress before"
        " it gets ETIMEDOUT. 60 s outlasts a restart of a load balancer, and no job hangs for"
        " ever.",
    )
    requests_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2000,
        description="How many requests of the kernel are worked on at once. Must be above"
        " blocked_reads_max, so that warm files stay fast while cold reads wait.",
    )
    blocked_reads_max: Annotated[int, Field(ge=1, le=KERNEL_BACKGROUND_MAX)] = Field(
        default=1000,
        description="How many reads may wait for an origin at once; more of them queue. Half of"
        " requests_max: a slow origin then never takes the places that warm files need.",
    )
    readahead_bytes: SizeBytes = Field(
        default=MIB,
        le=GIB,
        description="The kernel's read-ahead for the mount, in bytes. 1 MiB doubles sequential"
        " first reads against the kernel's 128 KiB (measured 2026-11). Set as root only; 0 keeps"
        " the kernel's own.",
    )
    listings_per_s: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=10.0,
        description="How many directories a second one process may list at their origin in the"
        " long run; beyond it, it waits for its turn and is reported (`find /shows`, backups,"
        " indexers). What was listed within its ttl is answered from memory and costs nothing. 10"
        " on each of 1,000 nodes are what a bucket bears. 0: no limit.",
    )
    listings_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=500,
        description="How many directories one process may list at once before listings_per_s"
        " counts: more than any scene has, so that no renderer ever waits.",
    )
    passthrough: Literal["auto", "off"] = Field(
        default="auto",
        description="Let the kernel read cached files, and write outputs, by itself at the speed of"
        " the disk (Linux 6.9, root or CAP_SYS_ADMIN, the C helper). 'auto' where it can; 'off'"
        " never. `shotfs status` says what is in use, and why not.",
    )
    passthrough_bytes_min: SizeBytes = Field(
        default=128 * KIB,
        le=GIB,
        description="Cached files from this size on are opened passthrough, in bytes. After a read"
        " of one the kernel asks once more for its attributes, which costs smaller files more than"
        " they gain. With native_thread off, 1 MiB is better.",
    )
    passthrough_files_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=4096,
        description="How many files may be open passthrough at once; each holds a file open in the"
        " kernel. More of them are opened as usual.",
    )
    native_thread: Literal["auto", "off"] = Field(
        default="auto",
        description="Let a thread of the C helper answer for cached files that never change (opens,"
        " closes, reads that are in memory), without Python. 'auto' where the helper is built;"
        " 'off' never. Who opened such a file again is not known then.",
    )
    native_files_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=8192,
        description="How many files the native thread answers for at once; each holds a"
        " descriptor. More of them are opened through Python.",
    )
    zero_upcall: bool = Field(
        default=False,
        description="Have the kernel open files without asking, for libraries and published"
        " versions: opens cost what they cost on a local disk. Needs read_only and the C helper."
        " Nobody knows who opens what then: no opens are counted, and what is read may be evicted"
        " meanwhile and is fetched again.",
    )
    attribute_ttl_s_max: Seconds = Field(
        default=86400.0,
        description="The longest time, in seconds, that the kernel may keep attributes and names"
        " without asking again. A day: immutable paths never change, and an unmount forgets them"
        " anyway.",
    )

    @field_validator("at")
    @classmethod
    def _is_a_moment(cls, text: str | None) -> str | None:
        if text is not None:
            parse_moment(text, time.time_ns())
        return text

    @model_validator(mode="after")
    def _room_for_warm_files(self) -> MountSettings:
        if self.blocked_reads_max >= self.requests_max:
            raise Mistake(
                f"mount.blocked_reads_max ({self.blocked_reads_max}) is not below"
                f" mount.requests_max ({self.requests_max}): a slow origin would stop warm files",
                f"use at most {self.requests_max // 2}, or a larger mount.requests_max",
            )
        return self


class ControlSettings(Section):
    """The socket through which every other command talks to the running service."""

    socket: LocalPath = Field(
        default="/run/shotfs/control.sock",
        description="Path of the Unix socket. At most 107 bytes, the kernel's limit.",
    )
    admin_group: str = Field(
        default="shotfs",
        min_length=1,
        max_length=32,
        description="Members of this group may evict, drain and stop, as root and the service user"
        " may. Everybody else who may use the mount can ask for status.",
    )
    metrics_public: bool = Field(
        default=False,
        description="Let control.metrics_listen be an address that other machines reach. Off: a"
        " mistake in an address must not publish anything.",
    )
    metrics_listen: str | None = Field(
        default=None,
        examples=["127.0.0.1:9400"],
        max_length=64,
        description="Address and port where Prometheus may fetch GET /metrics, beside the socket."
        " Nothing else is answered there. Off by default: it has no passwords, and whoever can"
        " connect learns the names of the origins.",
    )

    @field_validator("socket")
    @classmethod
    def _fits_the_kernel(cls, path: str) -> str:
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_BYTES_MAX:
            raise Mistake(
                f"a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes, this one {length}",
                "use a shorter path, such as one in /run",
            )
        return path

    @field_validator("metrics_listen")
    @classmethod
    def _listens_where_it_may(cls, text: str | None, info: ValidationInfo) -> str | None:
        # `metrics_public` stands before it, and is missing here if it is a mistake itself.
        if text is None or parse_address(text).loopback or info.data.get("metrics_public", True):
            return text
        raise Mistake(
            f"control.metrics_listen {text} is not of this machine alone",
            "use 127.0.0.1, or set control.metrics_public = true: whoever can connect may read",
        )


class LogSettings(Section):
    """What the service says of itself."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least severe messages that are written. 'debug' writes several lines for"
        " each open.",
    )
    format: Literal["text", "json"] = Field(
        default="text",
        description="'text' for people, 'json' (one object a line) for log collectors.",
    )
    file: LocalPath | None = Field(
        default=None,
        examples=["/var/log/shotfs/shotfs.log"],
        description="Append to this file. Default: standard error, which systemd's journal takes."
        " The file is reopened when a tool like logrotate moves it away.",
    )


class ShowSettings(Section):
    """One show: a directory under the mount."""

    spec: str = Field(
        examples=["demo.json"],
        min_length=1,
        max_length=4096,
        description="The show's path specification, a JSON document: a path (relative ones are"
        " relative to the configuration file) or a URL in an origin.",
    )

    @field_validator("spec")
    @classmethod
    def _plain(cls, spec: str) -> str:
        return plain_path(spec)


def _show_name(name: str) -> str:
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise Mistake(
            f"{name!r} is not a show's name, which is a directory under the mount",
            "use a name that has no '/', no control characters and no '.' at its start",
        )
    if len(os.fsencode(name)) > NAME_BYTES_MAX:
        raise Mistake("the show's name is too long", f"use at most {NAME_BYTES_MAX} bytes")
    return name


ShowName = Annotated[str, AfterValidator(_show_name)]


class Settings(Section):
    """Everything that a node's configuration says."""

    node: NodeSettings = Field(default_factory=NodeSettings)
    mount: MountSettings = Field(default_factory=MountSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    preemption: PreemptionSettings = Field(default_factory=PreemptionSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    lookahead: LookaheadSettings = Field(default_factory=LookaheadSettings)
    control: ControlSettings = Field(default_factory=ControlSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    hooks: HookSettings = Field(default_factory=HookSettings)
    record: RecordSettings = Field(default_factory=RecordSettings)
    shows: dict[ShowName, ShowSettings] = Field(
        default_factory=dict, max_length=1000, description="The shows, by directory name."
    )
    origins: dict[OriginPrefix, OriginSettings] = Field(
        default_factory=dict,
        max_length=1000,
        description="How to reach origins, by URL prefix; the longest prefix that fits wins.",
    )

    @model_validator(mode="after")
    def _directories_differ(self) -> Settings:
        if self.spool.directory is not None and os.path.normpath(
            self.spool.directory
        ) == os.path.normpath(self.cache.directory):
            raise Mistake(
                "spool.directory is cache.directory itself",
                "use another directory, or remove spool.directory to have 'spool' in the cache's",
            )
        return self

    @property
    def spool_directory(self) -> str:
        """Where the spool is, with the default applied."""
        return self.spool.directory or os.path.join(self.cache.directory, "spool")

    def origin_for(self, url: str) -> OriginSettings:
        """Return the settings of the longest prefix of *url*; the default ones if none fits.

        A prefix ends at a whole path element: ``gs://a`` fits ``gs://a/b`` but not ``gs://ab``.
        """
        best = self.section_for(url)
        return OriginSettings() if best is None else self.origins[best]

    def section_for(self, url: str) -> str | None:
        """Return the longest prefix in `origins` that fits *url*; None if none does."""
        return max((p for p in self.origins if _covers(p, url)), key=len, default=None)


def _covers(prefix: str, url: str) -> bool:
    return url == prefix or url.startswith(prefix if prefix.endswith("/") else prefix + "/")
