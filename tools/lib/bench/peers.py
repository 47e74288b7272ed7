"""The systems that shotfs is compared with, each started on loopback and ended by its own id."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from running import interrupts, processes
from running.processes import StartFailed

MOUNT_TIMEOUT_S = 20.0

_NGINX = """\
daemon off;
{user}
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {place}/nginx-temp;
    proxy_temp_path {place}/nginx-temp;
    fastcgi_temp_path {place}/nginx-temp;
    uwsgi_temp_path {place}/nginx-temp;
    scgi_temp_path {place}/nginx-temp;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {data};
        autoindex on;  # rclone lists by it
    }}
}}
"""


def start_nginx(stack: ExitStack, data: str, place: str) -> str:
    """Serve the directory *data*; *stack* ends it. Return the URL, without a trailing slash."""
    port = processes.free_port()
    configuration = f"{place}/nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(_NGINX.format(user=user, place=place, port=port, data=data))
    log = f"{place}/nginx.log"
    process = processes.start(
        stack,
        ["nginx", "-p", place, "-e", f"{place}/nginx-error.log", "-c", configuration],
        log=log,
    )
    processes.wait_for_port(process, port, name="nginx", log=log)
    return f"http://127.0.0.1:{port}"


def mount_bindfs(stack: ExitStack, data: str, place: str) -> str:
    """Mount *data* with bindfs; *stack* unmounts it. Return the mount point."""
    return _mount(stack, "bindfs", place, lambda point: ["bindfs", "-f", data, point])


def mount_rclone(stack: ExitStack, url: str, place: str) -> str:
    """Mount *url* with rclone, whole files cached on disk; *stack* unmounts it."""
    return _mount(
        stack,
        "rclone",
        place,
        lambda point: [
            "rclone",
            "mount",
            ":http:",
            point,
            f"--http-url={url}/",
            f"--config={place}/rclone.conf",
            f"--cache-dir={place}/rclone-cache",
            "--vfs-cache-mode=full",
            "--vfs-cache-max-age=24h",
            "--dir-cache-time=24h",
            "--read-only",
        ],
    )


def _mount(stack: ExitStack, name: str, place: str, command: Callable[[str], Sequence[str]]) -> str:
    point = f"{place}/{name}"
    log = f"{place}/{name}.log"
    with interrupts.held():
        os.makedirs(point)
        # Last in, first out: the mount is detached before its process is ended.
        process = processes.start(stack, command(point), log=log)
        stack.callback(processes.unmount, point)
    deadline = time.monotonic() + MOUNT_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if point in processes.mounts_below(place):
            return point
        time.sleep(0.05)
    raise StartFailed(f"{name} did not mount; its output is in {log}")
