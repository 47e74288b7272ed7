"""nginx over a directory: fast, real, and not ours. For benchmarks, and to check `http` against."""

from __future__ import annotations

import os
import shutil
from typing import Self

from tests.servers.process import ServerProcess

_CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location / {{ autoindex {autoindex}; }}
    }}
}}
"""


def program() -> str | None:
    """Return the path of nginx, which Debian keeps where a user's PATH does not look."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Nginx:
    """nginx serving *directory*, with its own configuration and files in *prefix*.

    Args:
        prefix: an empty directory of ours.

    Raises:
        RuntimeError: from `start`, when it cannot run; the message has its output.
    """

    def __init__(self, directory: str, prefix: str, *, index_pages: bool = True) -> None:
        executable = program()
        if executable is None:
            raise FileNotFoundError("nginx is not installed (Debian: nginx-light)")
        configuration = os.path.join(prefix, "nginx.conf")
        # "-e": else it writes to the system's log before it has read its configuration.
        self.process = ServerProcess(
            [executable, "-e", f"{prefix}/error.log", "-p", prefix, "-c", configuration]
        )
        text = _CONFIGURATION.format(
            prefix=prefix,
            root=os.path.realpath(directory),
            port=self.process.port,
            autoindex="on" if index_pages else "off",
        )
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(text)

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
