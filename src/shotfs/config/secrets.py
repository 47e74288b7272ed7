"""What looks like a secret among the options of an origin, and how to hide it. Pure."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "(hidden)"

_SECRET_NAME = re.compile(
    r"secret|token|passw|passphrase|credential|private|signature|(^|[_-])(key|sas|auth)\Z|connection_string",
    re.IGNORECASE,
)
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def looks_secret(name: str) -> bool:
    """Tell whether an option of this name probably holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redacted(value: Any) -> Any:
    """Return *value* with everything hidden that looks like a secret, at any depth."""
    if isinstance(value, dict):
        return {
            key: REDACTED if looks_secret(str(key)) else redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    if isinstance(value, str):
        return _URL_SECRET.sub(f"{REDACTED}@", value)
    return value


def secret_options(options: dict[str, Any]) -> list[str]:
    """Return the names in *options*, at any depth, that probably hold secrets."""
    found = []
    for key, value in options.items():
        if looks_secret(key):
            found.append(key)
        elif isinstance(value, dict):
            found.extend(f"{key}.{name}" for name in secret_options(value))
    return found
