"""Clients of two clouds that are imported at once, in an interpreter of their own."""

from __future__ import annotations

import subprocess
import sys

RACE = """
import threading, warnings
from shotfs.config import NetworkSettings, OriginSettings
from shotfs.tiers.cloud.gcs_api import GcsApi
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.s3_api import S3Api
from shotfs.tiers.keys import parse_root

PATIENCE_S = 2.0  # by then the two have not met, since one waits for the other
inside, ignored, left = threading.Event(), threading.Event(), threading.Event()
leave, simplefilter = warnings.catch_warnings.__exit__, warnings.simplefilter


def leave_late(self, *exc):
    if threading.current_thread() is not botocore:
        return leave(self, *exc)
    inside.set()
    ignored.wait(PATIENCE_S)
    leave(self, *exc)
    left.set()


def ignore_early(action, category=Warning, **rest):
    simplefilter(action, category, **rest)
    if category.__name__ == "DependencyWarning":
        ignored.set()
        left.wait(PATIENCE_S)


def origin(url):
    return Origin(parse_root(url), OriginSettings(anonymous=True), NetworkSettings())


warnings.catch_warnings.__exit__, warnings.simplefilter = leave_late, ignore_early
botocore = threading.Thread(target=S3Api(origin("s3://oak"))._open)
botocore.start()
assert inside.wait(30), "botocore does not touch the filters any more"
GcsApi(origin("gs://oak")).file_system()
botocore.join()
import requests
assert requests.exceptions
"""


def test_clients_of_two_clouds_can_be_imported_at_once() -> None:
    command = [sys.executable, "-W", "error", "-c", RACE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
