"""Two versions of a show, of which one is taken back, and what is looked at then."""

from __future__ import annotations

import json

from shotfs.namespace.retraction_document import key_of
from shotfs.vfs import Missing
from tests.unit.vfs.versioned import (
    LATEST,
    VersionNode,
)

MARK = key_of("render/xy_010_v005")
OLDER = "ant/render/xy_010_v004"
OLDER_FRAME = f"{OLDER}/beauty/xy_010_v004.1001.exr"


async def link(node: VersionNode, path: str = LATEST) -> str | None:
    found = await node.fs.lookup(path)
    return None if isinstance(found, Missing) else await node.fs.read_link(path)


def mark(node: VersionNode) -> list[dict[str, str]]:
    found = json.loads(node.origin.content(MARK))["history"]
    assert isinstance(found, list)
    return found
