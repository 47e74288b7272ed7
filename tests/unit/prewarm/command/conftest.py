"""One service for the tests of a module, over an origin that is a directory of this disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.prewarm.localize.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = "[mount]\nallow_other = true"
    served = Served(tmp_path_factory.mktemp("served"), settings)
    with served.node.config.open("a") as config:
        config.write(f'\n[origins."file://{served.origin}"]\negress_price_per_gib = 1024.0\n')
    served.start()
    yield served
    served.stop()
