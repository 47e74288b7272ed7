"""The settings of how a node hears that it is taken away, and what it does then."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shotfs.config.mistake import Mistake
from shotfs.config.section import Section
from shotfs.config.units import Seconds


def _endpoint(url: str) -> str:
    host = url.removeprefix("http://")
    if host == url or not host.strip("/") or "@" in host or any(sign in host for sign in "?# "):
        raise Mistake(
            f"{url!r} is not the address of a metadata server",
            'write "http://" and host and port; they speak no https',
        )
    return url.rstrip("/")


class PreemptionSettings(Section):
    """Notices that this node is taken away, and what holds a shutdown up."""

    watch: Literal["auto", "gce", "ec2", "off"] = Field(
        default="auto",
        description="Where notices come from: the metadata server of Google Compute Engine"
        " ('gce'), that of Amazon EC2 ('ec2'). 'auto' asks once after the start which of them"
        " answers, for a second, and never again if none does. A notice drains as SIGTERM does,"
        " then the service ends.",
    )
    endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        examples=["http://169.254.169.254"],
        max_length=1024,
        description="Another address of the metadata server. Default: 169.254.169.254 of both"
        " clouds, by its number, so that nothing depends on a resolver.",
    )
    deadline_s: Seconds | None = Field(
        default=None,
        gt=0,
        le=3600,
        examples=[25.0],
        description="How long, in seconds, a notice leaves for draining. Default: 25 on Google"
        " Compute Engine, which leaves 30; on EC2 until 10 seconds before the time that the notice"
        " names, at most 110.",
    )
    inhibit: Literal["delay", "block", "off"] = Field(
        default="delay",
        description="Hold a shutdown of this machine up through systemd-inhibit while outputs are"
        " not in the origin: 'delay' as long as InhibitDelayMaxSec of logind allows, 'block' until"
        " they are there (needs the right to), 'off' not at all.",
    )
