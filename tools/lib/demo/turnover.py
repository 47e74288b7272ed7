"""The end of the story: a version is approved, handed over as a whole, and seen by another node."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from running import service

from demo import show
from demo.check import CheckFailed
from demo.render import Pass

TURNOVER = f"{show.SHOT_DIRECTORY}/turnover/{show.SHOT}_t01"
LATEST = f"{show.SHOT_DIRECTORY}/turnover/{show.SHOT}_latest"
COMMAND_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class HandOver:
    """What was handed over and what the other node saw of it.

    Attributes:
        approved: the version that the alias of each layer points to.
        files: in the turnover.
        refused: errno names of the attempts to change it.
        impossible_requests: requests that an impossible path cost.
    """

    approved: str
    files: int
    refused: tuple[str, ...]
    impossible_requests: int


def hand_over(first: Pass, other: Pass, say: Callable[[str], None]) -> HandOver:
    """Approve what *first* rendered, hand it over, and look at it from the node of *other*.

    Raises:
        CheckFailed: the other node sees something else, or a published turnover can be changed.
        ServiceFailed: a command failed.
    """
    version = f"v{first.version:03d}"
    for layer in show.LAYERS:
        _shotfs(first, "version", "alias", _alias(first, layer), version, "--why", "supervisor")
    say(f"approved {version}: {len(show.LAYERS)} aliases point to it, on every node")
    count = _copy_approved(first)
    first.node.wait_until_published(COMMAND_TIMEOUT_S)
    _shotfs(first, "version", "publish", _absolute(first, TURNOVER), "--why", "for compositing")
    say(f"published turnover t01: {count} files under one manifest; nothing in it changes again")
    _compare(first, other)
    refused = tuple(_refusal(other, attempt) for attempt in (_overwrite, _remove, _add))
    say(
        f"the other node reads them through {os.path.basename(LATEST)}; overwriting, removing and "
        f"adding are refused: {', '.join(refused)}"
    )
    requests = _requests_for_impossible(other)
    say(f"an impossible path cost the other node {requests} requests")
    return HandOver(version, count, refused, requests)


def _copy_approved(first: Pass) -> int:
    os.makedirs(_absolute(first, TURNOVER))
    count = 0
    for layer in show.LAYERS:
        for frame in show.FRAMES:
            source = os.path.join(
                _alias(first, layer), os.path.basename(show.output(layer, first.version, frame))
            )
            shutil.copyfile(source, _absolute(first, _turned_over(TURNOVER, layer, frame)))
            count += 1
    with open(_absolute(first, f"{TURNOVER}/notes.txt"), "w", encoding="utf-8") as file:
        file.write(f"{show.SHOT}: all layers as approved\n")
    return count + 1


def _compare(first: Pass, other: Pass) -> None:
    for layer in show.LAYERS:
        for frame in show.FRAMES:
            mine = _read(_absolute(first, show.output(layer, first.version, frame)))
            theirs = _read(_absolute(other, _turned_over(LATEST, layer, frame)))
            if mine != theirs:
                raise CheckFailed(f"frame {frame} of {layer.name} differs in the turnover")
    if os.readlink(_absolute(other, LATEST)) != os.path.basename(TURNOVER):
        raise CheckFailed(f"{LATEST} does not point to {TURNOVER} on {other.node.name}")


def _refusal(other: Pass, attempt: Callable[[str], None]) -> str:
    """Return the name of the errno with which *attempt* at the turnover is refused."""
    try:
        attempt(_absolute(other, TURNOVER))
    except OSError as exc:
        return errno.errorcode[exc.errno or 0]
    raise CheckFailed(f"{TURNOVER} is published, and {attempt.__name__} was not refused")


def _overwrite(directory: str) -> None:
    with open(f"{directory}/notes.txt", "w", encoding="utf-8") as file:
        file.write("changed my mind\n")


def _remove(directory: str) -> None:
    os.unlink(f"{directory}/notes.txt")


def _add(directory: str) -> None:
    layer = show.LAYERS[0].name
    with open(f"{directory}/{layer}.{show.FRAMES[-1] + 1:04d}.png", "wb") as file:
        file.write(b"late")


def _requests_for_impossible(other: Pass) -> int:
    before = other.node.counters().total("shotfs_tier_requests_total")
    if os.path.exists(_absolute(other, f"{show.SHOT_DIRECTORY}/images/drums/no_shot_name")):
        raise CheckFailed("a path that no template produces exists")
    return int(other.node.counters().total("shotfs_tier_requests_total") - before)


def _alias(one: Pass, layer: show.Layer) -> str:
    directory = os.path.dirname(show.output_directory(layer, one.version))
    return _absolute(one, f"{directory}/{show.SHOT}_approved")


def _turned_over(directory: str, layer: show.Layer, frame: int) -> str:
    return f"{directory}/{layer.name}.{frame:04d}.png"


def _shotfs(one: Pass, *arguments: str) -> None:
    service.run(*arguments, "--config", one.node.config, timeout_s=COMMAND_TIMEOUT_S)


def _absolute(one: Pass, path: str) -> str:
    return f"{one.node.mountpoint}/{show.SHOW}/{path}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
