"""Documents for the tests of path specifications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shotfs.pathspec import Specification, load

DNA = Path(__file__).with_name("dna.json")
"""The DNA naming in one small document; docs/examples/dna.json has the full form."""

SHOT = "xy_1_100_030_00_v005"
FRAME = f"render/{SHOT}/beauty/{SHOT}.1001.png"


def document(
    templates: dict[str, Any], fields: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A document with one root; a template may be given as its path alone."""
    return {
        "spec": "shotfs-path/1",
        "show": "ant",
        "roots": {"main": "gs://bucket/ant"},
        "fields": fields or {},
        "templates": {
            name: {"path": one} if isinstance(one, str) else one for name, one in templates.items()
        },
        **more,
    }


def spec(
    templates: dict[str, Any], fields: dict[str, Any] | None = None, **more: Any
) -> Specification:
    """The specification of `document`, which must be in order."""
    return load(json.dumps(document(templates, fields, **more), indent=1), source="test.json")


def dna() -> Specification:
    """The DNA naming."""
    return load(DNA.read_text(), source="dna.json")
