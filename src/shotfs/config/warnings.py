"""What a configuration may say but probably does not mean. Looks at files, changes nothing."""

from __future__ import annotations

import os

from shotfs.config.document import Document
from shotfs.config.models import Settings
from shotfs.config.problems import key_text
from shotfs.config.secrets import secret_options
from shotfs.config.units import format_duration, format_size
from shotfs.errors import Problem


def warnings_of(settings: Settings, document: Document) -> tuple[Problem, ...]:
    """Return what should be looked at, with the line of the first setting concerned."""
    found = [
        *_timing(settings, document),
        *_room(settings, document),
        *_missing_files(settings, document),
        *_secrets(settings, document),
    ]
    return tuple(found)


def _timing(settings: Settings, document: Document) -> list[Problem]:
    deadline = settings.mount.request_deadline_s
    return [
        _warning(
            document,
            ("network", field),
            f"{format_duration(value)} is not below mount.request_deadline_s"
            f" ({format_duration(deadline)}): applications give up before a second attempt",
            f"use less than {format_duration(deadline)}, or a longer mount.request_deadline_s",
        )
        for field, value in (
            ("metadata_timeout_s", settings.network.metadata_timeout_s),
            ("progress_timeout_s", settings.network.progress_timeout_s),
        )
        if value >= deadline
    ]


def _room(settings: Settings, document: Document) -> list[Problem]:
    range_bytes, bytes_max = settings.network.range_bytes, settings.cache.bytes_max
    if range_bytes <= bytes_max:
        return []
    return [
        _warning(
            document,
            ("cache", "bytes_max"),
            f"{format_size(bytes_max)} hold not even one request of network.range_bytes"
            f" ({format_size(range_bytes)})",
            "enlarge the cache",
        )
    ]


def _missing_files(settings: Settings, document: Document) -> list[Problem]:
    named = [(("shows", name, "spec"), show.spec) for name, show in settings.shows.items()] + [
        (("origins", prefix, "credentials_file"), origin.credentials_file)
        for prefix, origin in settings.origins.items()
        if origin.credentials_file is not None
    ]
    return [
        _warning(document, path, f"there is no file {file}", "write the file or correct the path")
        for path, file in named
        if file.startswith("/") and not os.path.exists(file)
    ]


def _secrets(settings: Settings, document: Document) -> list[Problem]:
    return [
        _warning(
            document,
            ("origins", prefix, "options"),
            f"'{name}' looks like a secret, which everybody who may read the file then knows",
            "use credentials_file, or access_key_env and secret_key_env",
        )
        for prefix, origin in settings.origins.items()
        for name in secret_options(origin.options)
    ]


def _warning(document: Document, path: tuple[str, ...], message: str, fix: str) -> Problem:
    position = document.nearest(path)
    line, column = (None, None) if position is None else (position.line, position.column)
    return Problem(key_text(path), message, fix, line=line, column=column)
