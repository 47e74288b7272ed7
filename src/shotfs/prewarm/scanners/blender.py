"""Blender: files (.blend), through ``bat``, the program of blender-asset-tracer.

The format holds Blender's memory and changes with each release, so it is not read here. ``bat`` is
licensed under the GPL: it is run as a program of its own, never imported. It follows linked
libraries itself, as far as their data is used, and leaves out what is packed into the file. Of what
does not exist it only warns; these warnings become edges, so that the scan tells what is missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import named

TIMEOUT_S = 600
"""A file of 2 GB takes a minute; whatever takes ten does not end."""

OUTPUT_BYTES_MAX = 256 << 20
"""Of what ``bat`` lists: a million paths."""

WARNINGS_BYTES_MAX = 16 << 20

_MISSING = re.compile(
    r"Path (?P<path>/.{1,4096}?) does not exist for <BlockUsage .{0,2000}?"
    r"asset=BlendPath\(b(?P<asset>'[^'\n]{0,4096}'|\"[^\"\n]{0,4096}\")\)"
)
_PYTHON = re.compile(rb"#!.{0,500}python|#!/bin/sh\n'''exec' ")


class BlenderScanner:
    """Asks ``bat`` what a Blender file needs."""

    name = "blender"
    suffixes = (".blend",)
    extra = "blender"

    def available(self) -> str:
        """Return "" if there is ``bat``, else what to install."""
        return "" if _bat() else "there is no program bat of blender-asset-tracer"

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like a Blender file; packed, it cannot be seen."""
        return head.startswith(b"BLENDER")

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the file *path*, and the libraries that it links, name.

        Of a copy (`Scope.in_place` is False) ``bat`` finds nothing beside it; relative paths are
        told as they stand in the file, and libraries are followed by `closure`.

        Raises:
            ScanFailed: ``bat`` is missing, cannot read the file, or takes longer than `TIMEOUT_S`.
        """
        bat = _bat()
        if not bat:
            raise ScanFailed(f"{path}: {self.available()}", fix="pip install 'shotfs[blender]'")
        # Absolute, so that a name that begins with a dash is no option.
        listed, warnings = _run([bat, "list", "--json", os.path.abspath(path)], path)
        beside = os.path.realpath(path)
        for file, paths in listed.items():
            of = "" if os.path.realpath(file) == beside else file
            for target in paths:
                edge = named(target, kind=Kind.FILE)
                if edge is not None:
                    yield Edge(edge.target, edge.kind, unresolved=edge.unresolved, named_by=of)
        yield from _missing(warnings, in_place=scope.in_place)


def _missing(warnings: str, *, in_place: bool) -> Iterator[Edge]:
    """Yield what ``bat`` says it did not find."""
    for match in _MISSING.finditer(warnings):
        target = match["path"]
        asset = match["asset"][1:-1]
        if not in_place and asset.startswith("//"):
            target = asset[2:]
        kind = Kind.SCENE if target.endswith(".blend") else Kind.FILE
        edge = named(target, kind=kind, unresolved="" if "\\x" not in asset else "is not UTF-8")
        if edge is not None:
            yield edge


def _run(command: list[str], path: str) -> tuple[dict[str, list[str]], str]:
    """Return what *command* lists, and what it warns of."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=os.path.dirname(os.path.abspath(path)),
            start_new_session=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:surrogateescape"},
        ) as process:
            try:
                code = process.wait(TIMEOUT_S)
            except BaseException as exc:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(exc, subprocess.TimeoutExpired):
                    raise ScanFailed(f"{path}: bat took longer than {TIMEOUT_S} s") from None
                raise
        warnings = _text(err, WARNINGS_BYTES_MAX)
        if code:
            raise _failed(path, warnings)
        return _listed(path, _text(out, OUTPUT_BYTES_MAX + 1)), warnings


def _text(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    return file.read(limit).decode("utf-8", "surrogateescape")


def _failed(path: str, warnings: str) -> ScanFailed:
    last = next((line for line in reversed(warnings.splitlines()) if line.strip()), "no reason")
    fix = None
    if "zstandard" in warnings:
        fix = "pip install zstandard (Blender 3.0 and later pack files with it)"
    return ScanFailed(f"{path}: bat cannot read it: {last.strip()[:500]}", fix=fix)


def _listed(path: str, output: str) -> dict[str, list[str]]:
    """Return the paths by the file that names them."""
    if len(output) > OUTPUT_BYTES_MAX:
        raise ScanFailed(f"{path}: bat lists more than {OUTPUT_BYTES_MAX} bytes")
    try:
        listed = json.loads(output) if output.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise ScanFailed(f"{path}: what bat lists is not JSON: {exc}") from exc
    whole = isinstance(listed, dict) and all(
        isinstance(paths, list) and all(isinstance(one, str) for one in paths)
        for paths in listed.values()
    )
    if not whole:
        raise ScanFailed(f"{path}: what bat lists has another form than expected")
    return dict(listed)


def _bat() -> str:
    """Return the path of ``bat``: beside this Python, else in PATH; "" if there is none.

    Many machines have another ``bat``, which prints files; that one is no Python script.
    """
    for found in (os.path.join(os.path.dirname(sys.executable), "bat"), shutil.which("bat")):
        if found and os.access(found, os.X_OK):
            try:
                with open(found, "rb") as file:
                    if _PYTHON.match(file.read(600)):
                        return found
            except OSError:
                continue
    return ""
