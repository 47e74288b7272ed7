"""The process that reads USD files: ``python -P -m shotfs.prewarm.scanners.usd_worker``.

Reads one request a line on standard input, writes edges as lines of JSON on standard output, then
``{"done": true}`` or ``{"failed": why}``. usd-core is C++: what crashes it costs one scene.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import IO, Any

MEMORY_BYTES_MAX = 32 * 1024**3
"""More than that is not taken: the process ends, and its scene is told of."""


def main() -> None:
    """Answer requests until there are no more."""
    # Whatever a plugin prints must not look like an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY_BYTES_MAX if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES_MAX)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        _answer(json.loads(line), answers)
        answers.flush()


def _answer(request: dict[str, Any], answers: IO[str]) -> None:
    from shotfs.errors import ShotfsError
    from shotfs.prewarm.manifest.frames import parse_frames
    from shotfs.prewarm.scanners.usd_layers import edges

    frames = request["frames"]
    asked = parse_frames(frames) if frames else None
    try:
        found = edges(
            request["path"],
            asked,
            composed=request["composed"],
            all_variants=request["all_variants"],
            search=request["search"],
        )
        for edge in found:
            row = [
                edge.target,
                edge.kind.value,
                edge.frames,
                edge.confidence,
                edge.unresolved,
                edge.named_by,
            ]
            answers.write(json.dumps(row) + "\n")
    except ShotfsError as exc:
        answers.write(json.dumps({"failed": exc.message}) + "\n")
    except Exception as exc:  # noqa: BLE001 - usd-core raises RuntimeError and its own for anything
        why = f"{request['path']}: {type(exc).__name__}: {exc}"
        answers.write(json.dumps({"failed": " ".join(why.split())[:500]}) + "\n")
    else:
        answers.write('{"done": true}\n')


if __name__ == "__main__":
    main()
