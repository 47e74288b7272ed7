"""A prewarm and the budget of an origin: what is left of it is for who reads."""

from __future__ import annotations

from pathlib import Path

from shotfs.control.client import Client
from shotfs.control.prewarm_service import Order
from tests.fuse.node import wait_until
from tests.unit.prewarm.localize.served import Served


def test_a_prewarm_stops_where_the_budget_of_an_origin_warns(tmp_path: Path) -> None:
    served = Served(tmp_path)
    with served.node.config.open("a") as config:
        config.write(f'\n[origins."file://{served.origin}"]\negress_bytes_per_day_max = "1 MiB"\n')
    for number in range(20):
        served.put(f"ant/library/oak/{number}.tx", bytes([number]) * 100_000)
    served.start()
    try:
        with Client(served.socket) as client:
            number = client.prewarm.begin(Order(targets=("ant/library/oak",)))
            client.prewarm.start(number)
            wait_until(lambda: client.prewarm.show(number)["state"] == "ended", 60)
            report = client.prewarm.show(number)
        assert report["stopped"] == "egress budget"
        assert "prewarming" in report["reason"]
        assert 0 < report["fetched_files"] < 12
    finally:
        served.stop()
