"""Configuration: one TOML file, environment overrides, and where each value came from."""

from shotfs.config.hook_models import HookSettings
from shotfs.config.loading import PATH_DEFAULT, PATH_VARIABLE, Loaded, load
from shotfs.config.models import (
    ControlSettings,
    LogSettings,
    MountSettings,
    NodeSettings,
    Settings,
    ShowSettings,
)
from shotfs.config.network_models import NetworkSettings, OriginSettings
from shotfs.config.record_models import RecordSettings
from shotfs.config.storage_models import CacheSettings, SpoolSettings
from shotfs.config.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "PATH_DEFAULT",
    "PATH_VARIABLE",
    "CacheSettings",
    "ControlSettings",
    "HookSettings",
    "Loaded",
    "LogSettings",
    "MountSettings",
    "NetworkSettings",
    "NodeSettings",
    "OriginSettings",
    "RecordSettings",
    "Settings",
    "ShowSettings",
    "SpoolSettings",
    "format_duration",
    "format_size",
    "load",
    "parse_duration",
    "parse_size",
]
