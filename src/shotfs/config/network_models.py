"""The settings of how origins are talked to: in general, and of each origin."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from shotfs.config.mistake import Mistake
from shotfs.config.rates import Rate, parse_rate
from shotfs.config.section import LocalPath, Section
from shotfs.config.units import GIB, KIB, MIB, Seconds, SizeBytes, format_duration

UPLOAD_PART_BYTES_MIN = 5 * MIB
"""S3 refuses smaller parts (EntityTooSmall), except for the last one of an upload."""

_URL_PREFIX = re.compile(r"[a-z][a-z0-9+.-]*://")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.match(text):
        # Somebody may have pasted a secret here: never repeat it in a message or a log.
        raise Mistake(
            "this is not the name of an environment variable",
            "give the name of a variable that holds the secret, never the secret itself",
        )
    return text


EnvironmentName = Annotated[
    str, Field(min_length=1, max_length=255), AfterValidator(_environment_name)
]
"""The name of an environment variable."""


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


OriginPrefix = Annotated[str, AfterValidator(_origin_prefix)]
"""The beginning of the URLs that an origin's settings are of."""


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
    egress_price_per_gib: Annotated[float, Field(ge=0, le=1_000_000)] | None = Field(
        default=None,
        examples=[0.09],
        description="What reading one GiB from these origins costs, in whatever currency you count:"
        " `shotfs prewarm --dry-run` says what a prewarm would cost. Default: not known.",
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
