"""One service for the tests of a module; each test has files and a tree of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shotfs.localizing import Localizer
from tests.unit.prewarm.localize.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"), "[mount]\nallow_other = true")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def localizer(served: Served, tmp_path: Path) -> Localizer:
    return Localizer(served.socket, str(tmp_path / "local"), ["/shows"])
