"""Addresses to listen on, as the configuration has them: ``127.0.0.1:9400``, ``[::1]:9400``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from shotfs.config.mistake import Mistake

_WITH_PORT = re.compile(r"(?:\[(?P<long>[^\]]*)\]|(?P<short>[^:\[\]]*)):(?P<port>\d{1,5})\Z")

PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: an IP address, as the socket module wants it.
        port: 1 to 65535.
        loopback: only this machine can reach it.
    """

    host: str
    port: int
    loopback: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that *text* names.

    Host names are refused, but for localhost: what a name means may change, and with it who can
    connect.

    Raises:
        Mistake: it is none.
    """
    match = _WITH_PORT.match(text)
    fix = "write ADDRESS:PORT, for example 127.0.0.1:9400 or [::1]:9400"
    if match is None:
        raise Mistake(f"{text!r} is not an address with a port", fix)
    host = match["long"] if match["long"] is not None else match["short"]
    port = int(match["port"])
    if not 1 <= port <= PORT_MAX:
        raise Mistake(f"there is no port {port}", f"use one from 1 to {PORT_MAX}")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise Mistake(f"{host!r} is not an IP address", fix) from None
    return Address(str(address), port, address.is_loopback)
