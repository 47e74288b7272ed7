"""The access token of a Google account: one source for both engines, renewed when it is refused.

google-auth renews a token when its time is over. A store may refuse one earlier: the account's key
was replaced, its sessions were ended, or a clock is wrong. Without asking for another, every
request would be denied until the hour is over. Blocking; called by worker threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

RENEW_PAUSE_S = 10.0
"""An account that may not do what it tries is refused with every token: so often it is renewed."""


class AccessToken:
    """The token of one origin. Any thread may use it.

    Args:
        file_system: returns the gcsfs file system, whose credentials these are.
        clock: seconds that only rise.
    """

    def __init__(
        self, file_system: Callable[[], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file_system = file_system
        self._clock = clock
        self._lock = threading.Lock()
        self._given: str | None = None
        self._not_before_s = -RENEW_PAUSE_S

    def provide(self) -> dict[str, Any]:
        """Return the token in the form of obstore's credential providers.

        Raises:
            Exception: whatever gcsfs and google-auth raise when they cannot have one.
        """
        credentials = self._file_system().credentials
        credentials.maybe_refresh()
        self._given = credentials.credentials.token
        expiry = credentials.credentials.expiry
        return {
            "token": self._given,
            # google-auth's expiry is UTC without saying so.
            "expires_at": None if expiry is None else expiry.replace(tzinfo=UTC),
        }

    def renew_provided(self) -> bool:
        """As `renew`, for the token that obstore was given last."""
        return self._given is not None and self.renew(self._given)

    def renew(self, refused: str) -> bool:
        """Have another token than the one that was *refused*; return whether there is one.

        Raises:
            As `provide`.
        """
        credentials = self._file_system().credentials
        held = credentials.credentials
        if held is None:
            return False
        with self._lock:
            if held.token == refused:
                if self._clock() < self._not_before_s:
                    return False
                self._not_before_s = self._clock() + RENEW_PAUSE_S
                held.token = None  # google-auth's way to say that there is none
        credentials.maybe_refresh()
        return bool(held.token != refused)
