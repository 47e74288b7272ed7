"""Tell systemd how the service is doing (sd_notify), if systemd asked to be told.

The protocol is one datagram of ``KEY=value`` lines to the socket in ``$NOTIFY_SOCKET``
(sd_notify(3)); a library for that would be larger than this file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

READY = "READY=1"
"""The mount serves: units that come after this one may start."""

STOPPING = "STOPPING=1"
"""The service is draining: systemd shows it as deactivating."""


def notify(*lines: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send *lines*; return False if nobody asked, or if whoever asked is gone.

    Never waits and never raises: a service does not fail because its supervisor did not listen.

    Args:
        lines: `READY`, `STOPPING`, or text such as ``STATUS=draining, 12 left``.
        environ: where ``NOTIFY_SOCKET`` is looked up.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(errors="backslashreplace"), address)
    except OSError:
        return False
    return True
