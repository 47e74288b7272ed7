"""Run the server as a process of its own: ``python -m tests.servers.gcs --json-ready``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys

from tests.servers.gcs.server import GcsServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the first line of output tells the endpoint and the pid."""
    options = _parse(arguments)
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread starts, so that all threads inherit it and sigwait gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server = GcsServer(
        port=options.port,
        tokens=frozenset(options.token) if options.token else None,
        read_tokens=frozenset(options.read_token),
        data_directory=options.data_directory,
    )
    for name in options.bucket:
        server.store.create_bucket(name, versioning=options.versioning)
    with server:
        ready = {"endpoint": server.endpoint, "port": server.port, "pid": os.getpid()}
        text = json.dumps(ready) if options.json_ready else f"serving on {server.endpoint}"
        print(text, flush=True)
        signal.sigwait(signals)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.gcs", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--bucket", action="append", default=[], help="create it; repeatable")
    parser.add_argument("--versioning", action="store_true", help="those buckets keep versions")
    parser.add_argument("--token", action="append", default=[], help="required bearer token")
    parser.add_argument("--read-token", action="append", default=[], help="may only read")
    parser.add_argument("--data-directory", help="for large objects; default: a temporary one")
    parser.add_argument("--json-ready", action="store_true", help="first line is JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
