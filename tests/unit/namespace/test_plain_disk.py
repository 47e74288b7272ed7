"""The catalog's database holds JSON only: who can write it runs no code here (CVE-2025-69872)."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from shotfs.namespace.plain_disk import PlainDisk, RowDamaged


def test_the_catalog_never_unpickles_and_never_pickles(tmp_path: Path) -> None:
    disk = PlainDisk(str(tmp_path))
    with pytest.raises(TypeError):
        disk.store(object(), read=False)
    with pytest.raises(TypeError):
        disk.put(("a", "tuple"))
    marker = tmp_path / "executed"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    pickled = pickle.dumps(Attack())
    for mode in (1, 2, 3, 4):
        with pytest.raises((RowDamaged, ValueError)):
            disk.fetch(mode, None, pickled, read=False)
    with pytest.raises(RowDamaged):
        disk.get(pickled, raw=False)
    assert not marker.exists()
