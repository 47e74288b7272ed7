"""The settings: every field with its unit, its default and the reason for the default.

These models are the single source: the template of ``shotfs config init``, the reference in
``docs/configuration.md`` and the JSON Schema are generated from them. They are frozen, refuse
unknown fields, and know nothing of files, lines or the environment (see `loading`).
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shotfs.config.addresses import parse_address
from shotfs.config.mistake import Mistake
from shotfs.config.moments import parse_moment
from shotfs.config.rates import Rate, parse_rate
from shotfs.config.units import Seconds, SizeBytes, format_duration

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

UPLOAD_PART_BYTES_MIN = 5 * MIB
"""S3 refuses smaller parts (EntityTooSmall), except for the last one of an upload."""

SOCKET_PATH_BYTES_MAX = 107
"""What fits into the kernel's ``sun_path`` with its closing zero byte."""

KERNEL_BACKGROUND_MAX = 65_535
"""What FUSE_INIT can carry of waiting requests: ``max_background`` has 16 bits."""

NAME_BYTES_MAX = 255
"""NAME_MAX of Linux: a show's name is a directory under the mount."""

_URL_PREFIX = re.compile(r"[a-z][a-z0-9+.-]*://")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _path(text: str) -> str:
    if "\0" in text:
        raise Mistake("a path cannot contain a zero byte", "remove it")
    if text.startswith("~"):
        raise Mistake("'~' is not expanded: a service has no home", "write the whole path")
    return text


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.match(text):
        # Somebody may have pasted a secret here: never repeat it in a message or a log.
        raise Mistake(
            "this is not the name of an environment variable",
            "give the name of a variable that holds the secret, never the secret itself",
        )
    return text


LocalPath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_path)]
"""A path of this machine. Relative ones are relative to the configuration file."""

EnvironmentName = Annotated[
    str, Field(min_length=1, max_length=255), AfterValidator(_environment_name)
]
"""The name of an environment variable."""

Count = Annotated[int, Field(ge=1, le=10**9)]


class Section(BaseModel):
    """What all sections share: frozen, no unknown fields, no silent conversions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )


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
    job_variable: str = Field(
        default="SHOTFS_JOB",
        max_length=NAME_BYTES_MAX,
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="Name of the environment variable in which render jobs carry their own name"
        " (Deadline, Tractor and others set one, too): egress budgets and reports are by job. It is"
        " read once for each process that opens something cold; the environment of other users'"
        " processes only with CAP_SYS_PTRACE or as root, otherwise their job is unknown. Empty:"
        " nobody's environment is read.",
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


class NetworkSettings(Section):
    """How origins are talked to. Per origin, unless it says otherwise."""

    connections_max: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=16,
        description="How many requests are under way to one origin at once. 16 of"
        " network.range_bytes keep 128 MiB on the way; times the nodes of a farm, many more would"
        " overload a store.",
    )
    metadata_timeout_s: Seconds = Field(
        default=20.0,
        gt=0,
        description="How long, in seconds, a look-up or one page of a listing may take before it"
        " is tried again.",
    )
    progress_timeout_s: Seconds = Field(
        default=30.0,
        gt=0,
        description="How long, in seconds, a transfer may stand still before it is given up and"
        " tried again. Half of mount.request_deadline_s: a second attempt fits.",
    )
    attempts_max: Annotated[int, Field(ge=1, le=100)] = Field(
        default=6,
        description="How often a request is tried before its error is reported. With the"
        " defaults of the back-off the attempts span several seconds.",
    )
    backoff_s: Seconds = Field(
        default=0.2,
        description="The first pause between attempts, in seconds; each next one is twice as"
        " long, with random jitter.",
    )
    backoff_s_max: Seconds = Field(
        default=10.0, description="The longest pause between two attempts, in seconds."
    )
    retry_budget_per_s: Annotated[float, Field(gt=0, le=10_000)] = Field(
        default=10.0,
        description="How many retries a second one origin gets from this node. Beyond it errors"
        " are reported at once: a farm that retries without limit keeps a sick store down.",
    )
    breaker_failures: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=5,
        description="How many requests in a row an origin may leave without an answer (refused, no"
        " route, timed out, 5xx) before it is asked whether it is there at all. If it is not, all"
        " requests to it fail at once with ENETDOWN until it is back, instead of each waiting for"
        " its deadline. 5: fewer than the attempts of one request, so the first that fails for"
        " good is the last that was waited for. 0 switches that off.",
    )
    probe_s_max: Seconds = Field(
        default=5.0,
        gt=0,
        description="The longest pause, in seconds, between two questions whether an origin that is"
        " gone is back. The first is half a second, each next one twice as long. 5 s: a farm of"
        " 1,000 nodes asks 200 to 400 times a second, which a store bears, and nobody waits long"
        " for what works again.",
    )
    spec_check_s: Seconds = Field(
        default=30.0,
        description="How often, in seconds, the documents of the specifications are looked at for"
        " changes: one request for each document in an origin, one stat for each file. A farm sees"
        " a new specification within half a minute; 1,000 nodes ask 33 times a second for each"
        " document. 0 looks only when told to (SIGHUP, `shotfs spec reload`).",
    )
    range_bytes: SizeBytes = Field(
        default=8 * MIB,
        ge=64 * KIB,
        le=GIB,
        description="Size of one bulk request, in bytes. 8 MiB makes the latency of a request"
        " small against its transfer, and a lost one cheap to repeat.",
    )
    memory_bytes_max: SizeBytes = Field(
        default=256 * MIB,
        ge=32 * MIB,
        description="How many bytes of content the service holds in memory at most, over all"
        " origins: half for what is on its way, a quarter for windows of files that are read"
        " without keeping, an eighth for second requests. 256 MiB fill 10 Gbit/s at 50 ms. What is"
        " beyond waits.",
    )
    hedge_budget: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.05,
        description="Which share of the requests that somebody waits for may be sent a second time"
        " when they are slower than 95 % of their like; the first answer wins. 0.05 bounds the"
        " extra load on a store to what the slowest twentieth needs. 0 switches it off.",
    )
    upload_part_bytes: SizeBytes = Field(
        default=16 * MIB,
        ge=UPLOAD_PART_BYTES_MIN,
        le=GIB,
        description="Size of one part of a large upload, in bytes. At least 5 MiB (S3's minimum);"
        " 16 MiB reach 156 GiB in the 10,000 parts that S3 allows.",
    )

    @model_validator(mode="after")
    def _backoff_grows(self) -> NetworkSettings:
        if self.backoff_s > self.backoff_s_max:
            raise Mistake(
                f"network.backoff_s ({format_duration(self.backoff_s)}) is above"
                f" network.backoff_s_max ({format_duration(self.backoff_s_max)})",
                "the first pause is the shortest: lower it, or raise the longest",
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
        return _path(spec)


class OriginSettings(Section):
    """How to reach the origins whose URLs start with this prefix."""

    endpoint_url: str | None = Field(
        default=None,
        examples=["https://minio.example:9000"],
        pattern=r"^https?://[^\s@]+$",
        description="Base URL of the store's API, for stores other than AWS's and Google's own"
        " (MinIO, Ceph, an emulator). Default: the provider's.",
    )
    anonymous: bool = Field(default=False, description="Send no credentials, for public buckets.")
    credentials_file: LocalPath | None = Field(
        default=None,
        examples=["/etc/shotfs/credentials.json"],
        description="Credentials in the provider's own format (a Google service account's JSON, an"
        " AWS shared credentials file). Default: the provider's usual search (environment, instance"
        " metadata).",
    )
    access_key_env: EnvironmentName | None = Field(
        default=None,
        examples=["SHOW_ACCESS_KEY"],
        description="Name of the environment variable that holds the access key's id. The secret"
        " itself never stands in this file.",
    )
    secret_key_env: EnvironmentName | None = Field(
        default=None,
        examples=["SHOW_SECRET_KEY"],
        description="Name of the environment variable that holds the secret key.",
    )
    region: str | None = Field(
        default=None,
        examples=["eu-central-1"],
        min_length=1,
        max_length=64,
        description="The bucket's region, for S3. Default: as the provider's tools find it.",
    )
    engine: Literal["auto", "obstore", "fsspec"] = Field(
        default="auto",
        description="The library that moves the bytes. 'auto' takes obstore where it knows the"
        " scheme (half the CPU of fsspec, measured 2026-11), else fsspec.",
    )
    connections_max: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        examples=[32],
        description="Requests under way to these origins at once. Default:"
        " network.connections_max.",
    )
    bytes_in_flight_max: SizeBytes | None = Field(
        default=None,
        examples=[64 * MIB],
        gt=0,
        description="Bytes on their way to and from these origins at once. Default: three eighths"
        " of network.memory_bytes_max, so that one that stands still never takes all.",
    )
    bandwidth: list[str] = Field(
        default_factory=list,
        examples=[["08:00-20:00 20 MiB", "200 MiB"]],
        max_length=24,
        description="Bytes per second to and from these origins together, for parts of the day in"
        " local time; the first entry that holds counts, and without one there is no limit. A"
        ' window may go over midnight ("22:00-06:00 50 MiB").',
    )
    egress_bytes_per_day_max: SizeBytes | None = Field(
        default=None,
        examples=["2 TiB"],
        gt=0,
        description="How many bytes this node reads from these origins in any 24 hours, which is"
        " what clouds bill. Beyond it reads of what is not cached get EDQUOT. Default: no limit.",
    )
    egress_bytes_per_job_max: SizeBytes | None = Field(
        default=None,
        examples=["500 GiB"],
        gt=0,
        description="How many bytes one render job reads from these origins on this node. Beyond"
        " it its reads of what is not cached get EDQUOT. Default: no limit.",
    )
    egress_warn_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8,
        description="From which share of an egress budget on the log and `shotfs why` warn, and"
        " nothing is prewarmed any more. 0.8 leaves a fifth of it to files that are open.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Passed to the fsspec file system as they are (its documentation names them)."
        " No secrets here.",
    )

    @field_validator("bandwidth")
    @classmethod
    def _are_rates(cls, texts: list[str]) -> list[str]:
        rates = [parse_rate(text) for text in texts]
        for text, rate in zip(texts[:-1], rates, strict=False):
            if rate.start_min is None:
                raise Mistake(
                    f"{text[:40]!r} holds all day: what stands after it never does",
                    "put what has no times last",
                )
        return texts

    @property
    def rates(self) -> tuple[Rate, ...]:
        """`bandwidth`, parsed."""
        return tuple(parse_rate(text) for text in self.bandwidth)

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> OriginSettings:
        if (self.access_key_env is None) != (self.secret_key_env is None):
            raise Mistake("access_key_env and secret_key_env go together", "set both or neither")
        ways = [
            name
            for name, used in (
                ("anonymous", self.anonymous),
                ("credentials_file", self.credentials_file is not None),
                ("access_key_env", self.access_key_env is not None),
            )
            if used
        ]
        if len(ways) > 1:
            raise Mistake(f"{' and '.join(ways)} exclude each other", "keep one of them")
        return self


def _show_name(name: str) -> str:
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise Mistake(
            f"{name!r} is not a show's name, which is a directory under the mount",
            "use a name that has no '/', no control characters and no '.' at its start",
        )
    if len(os.fsencode(name)) > NAME_BYTES_MAX:
        raise Mistake("the show's name is too long", f"use at most {NAME_BYTES_MAX} bytes")
    return name


def _origin_prefix(prefix: str) -> str:
    scheme = _URL_PREFIX.match(prefix)
    if scheme is None:
        raise Mistake(
            f"{prefix!r} is not the prefix of a URL",
            'write a scheme and what follows, such as "gs://bucket" or "s3://bucket/show"',
        )
    rest = prefix[scheme.end() :]
    if "@" in rest.split("/", 1)[0]:
        raise Mistake("an origin's URL must not contain credentials", "use credentials_file")
    if any(sign in rest for sign in "?# ") or not rest.isprintable():
        raise Mistake(
            f"{prefix!r} has a '?', a '#', a space or a control character",
            "write the scheme, the bucket and the beginning of the keys only",
        )
    return prefix if not rest.strip("/") else prefix.rstrip("/")


ShowName = Annotated[str, AfterValidator(_show_name)]
OriginPrefix = Annotated[str, AfterValidator(_origin_prefix)]


class Settings(Section):
    """Everything that a node's configuration says."""

    node: NodeSettings = Field(default_factory=NodeSettings)
    mount: MountSettings = Field(default_factory=MountSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    control: ControlSettings = Field(default_factory=ControlSettings)
    log: LogSettings = Field(default_factory=LogSettings)
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
