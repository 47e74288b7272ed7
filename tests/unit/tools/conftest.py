"""Programs in tools/ import each other from tools/lib, as their starters set it up."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "tools/lib"))
