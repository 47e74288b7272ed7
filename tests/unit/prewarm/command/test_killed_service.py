"""A service that is killed in the middle of a prewarm, and the same prewarm afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

from shotfs.control.client import Client
from shotfs.control.prewarm_service import Mode, Order
from tests.fuse.node import wait_until
from tests.unit.prewarm.localize.served import Served

FILES, SIZE_BYTES = 60, 20_000


def test_a_prewarm_goes_on_where_a_killed_service_was(tmp_path: Path) -> None:
    served = Served(tmp_path)
    plain = served.node.config.read_text()
    slowly = f'\n[origins."file://{served.origin}"]\nbandwidth = ["256 KiB"]\n'
    served.node.config.write_text(plain + slowly)
    for number in range(FILES):
        served.put(f"ant/library/oak/{number}.tx", b"%02d" % number * (SIZE_BYTES // 2))
    served.start()
    order = Order(targets=("ant/library/oak",))
    with Client(served.socket) as client:
        number = client.prewarm.begin(order)
        client.prewarm.start(number)
        wait_until(lambda: client.prewarm.show(number)["fetched_files"] >= 5, 60)
        pid = client.status()["pid"]
    process = served._process
    assert process is not None
    assert process.pid == pid
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    served.node.config.write_text(plain)
    served.start()
    try:
        with Client(served.socket) as client:
            assert client.prewarm.list() == []
            number = client.prewarm.begin(order)
            client.prewarm.start(number)
            wait_until(lambda: client.prewarm.show(number)["state"] == "ended", 60)
            report = client.prewarm.show(number)
            assert report["stopped"] is None
            assert report["here_files"] >= 5
            assert report["here_files"] + report["fetched_files"] == FILES
            number = client.prewarm.begin(Order(Mode.CHECK, ("ant/library/oak",)))
            client.prewarm.start(number)
            wait_until(lambda: client.prewarm.show(number)["state"] == "ended", 60)
            assert client.prewarm.show(number)["here_files"] == FILES
        assert not list((served.node.directory / "cache" / "prewarm").glob("*"))
    finally:
        served.stop()
