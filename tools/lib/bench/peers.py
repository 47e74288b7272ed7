"""The systems that shotfs is compared with, each started on loopback and ended by its own id."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from running import interrupts, processes
from running.processes import StartFailed

MOUNT_TIMEOUT_S = 20.0
S3_KEY = "bench"
"""Both halves of the credentials: moto takes any and checks no signature."""

S3_REGION = "us-east-1"

_NGINX = """\
daemon off;
{user}
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    log_format sent "$uri $body_bytes_sent";
    access_log {access_log};
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


@dataclass(frozen=True, slots=True)
class Peer:
    """A mounted file system that we are compared with, and the process that serves it."""

    mountpoint: str
    pid: int


def start_nginx(stack: ExitStack, data: str, place: str, *, access_log: str | None = None) -> str:
    """Serve the directory *data*; *stack* ends it. Return the URL, without a trailing slash.

    Args:
        stack: ends it.
        data: what is served.
        place: a directory for its files.
        access_log: a file that gets a line for each answer: its path and how many bytes it had.
    """
    port = processes.free_port()
    configuration = f"{place}/nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(
            _NGINX.format(
                user=user,
                place=place,
                port=port,
                data=data,
                access_log=f"{access_log} sent" if access_log else "off",
            )
        )
    log = f"{place}/nginx.log"
    process = processes.start(
        stack,
        ["nginx", "-p", place, "-e", f"{place}/nginx-error.log", "-c", configuration],
        log=log,
    )
    processes.wait_for_port(process, port, name="nginx", log=log)
    return f"http://127.0.0.1:{port}"


def mount_bindfs(stack: ExitStack, data: str, place: str) -> Peer:
    """Mount *data* with bindfs; *stack* unmounts it. As root, for all users."""
    return _mount(stack, "bindfs", place, lambda point: ["bindfs", "-f", data, point])


def start_moto(stack: ExitStack, place: str) -> str:
    """Start an S3 server that keeps everything in memory; *stack* ends it. Return its URL."""
    return start_moto_process(stack, place)[0]


def start_moto_process(stack: ExitStack, place: str) -> tuple[str, int]:
    """As `start_moto`; return also the id of its process, which is one and all Python."""
    port = processes.free_port()
    log = f"{place}/moto.log"
    process = processes.start(
        stack,
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        log=log,
        # Without credentials in the environment, botocore inside moto would look for some.
        environment={"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_KEY},
    )
    processes.wait_for_port(process, port, name="moto", log=log)
    return f"http://127.0.0.1:{port}", process.pid


def rclone_http(url: str) -> list[str]:
    """Return rclone's name of the directory *url*, and what it needs to reach it."""
    return [":http:", f"--http-url={url}/"]


def rclone_s3(url: str, path: str) -> list[str]:
    """Return rclone's name of a bucket and prefix at the server *url*, and how to reach it."""
    return [
        f":s3:{path}",
        "--s3-provider=Other",
        f"--s3-endpoint={url}",
        f"--s3-access-key-id={S3_KEY}",
        f"--s3-secret-access-key={S3_KEY}",
        f"--s3-region={S3_REGION}",
    ]


def rclone_copy(remote: Sequence[str], target: str, place: str) -> list[str]:
    """Return the command that copies what is directly in *remote* into the directory *target*."""
    return [
        "rclone",
        "copy",
        remote[0],
        target,
        *remote[1:],
        f"--config={place}/rclone.conf",
        "--transfers=32",
        "--checkers=32",
    ]


def mount_rclone(
    stack: ExitStack,
    remote: Sequence[str],
    place: str,
    *,
    name: str = "rclone",
    cache: str | None = None,
    writable: bool = False,
    others: bool = False,
) -> Peer:
    """Mount *remote* with rclone, whole files cached on disk; *stack* unmounts it.

    Args:
        stack: unmounts it.
        remote: what, as `rclone_http` returns it; a directory's path is a remote as well.
        place: a directory for its files.
        name: of its mount point there.
        cache: its cache directory; by default one in *place*.
        writable: files can be written.
        others: other users can use it too.
    """
    access = [] if writable else ["--read-only"]
    access += ["--allow-other"] if others else []
    return _mount(
        stack,
        name,
        place,
        lambda point: [
            "rclone",
            "mount",
            remote[0],
            point,
            *remote[1:],
            f"--config={place}/rclone.conf",
            f"--cache-dir={cache or f'{place}/{name}-cache'}",
            "--vfs-cache-mode=full",
            "--vfs-cache-max-age=24h",
            "--dir-cache-time=24h",
            *access,
        ],
    )


def mount_s3fs(
    stack: ExitStack,
    url: str,
    bucket: str,
    place: str,
    *,
    cache: str | None = None,
    writable: bool = False,
    others: bool = False,
    part_mib: int = 10,
) -> Peer:
    """Mount *bucket* of the server *url* with s3fs, cached on disk; *stack* unmounts it.

    *cache*, *writable* and *others* are as `mount_rclone` has them; *part_mib* is how much it
    fetches with one request, 10 unless told otherwise.
    """
    secret = f"{place}/s3fs-passwd"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{S3_KEY}:{S3_KEY}\n")
    options = [
        f"url={url}",
        "use_path_request_style",
        f"passwd_file={secret}",
        f"endpoint={S3_REGION}",
        f"use_cache={cache or f'{place}/s3fs-cache'}",
        f"multipart_size={part_mib}",
        *([] if writable else ["ro"]),
        *(["allow_other", "umask=0000"] if others else []),
    ]
    return _mount(
        stack,
        "s3fs",
        place,
        lambda point: ["s3fs", bucket, point, "-f", "-o", ",".join(options)],
    )


def _mount(
    stack: ExitStack, name: str, place: str, command: Callable[[str], Sequence[str]]
) -> Peer:
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
            return Peer(point, process.pid)
        time.sleep(0.05)
    raise StartFailed(f"{name} did not mount; its output is in {log}")
