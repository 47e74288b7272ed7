"""A budget of egress through a real mount: what applications see when it is spent."""

from __future__ import annotations

import errno

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.processes import cat, errno_of
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20


def test_s10_reads_beyond_the_budget_get_edquot_and_cached_files_work_also_after_a_restart(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    for name, size_mib in (("small", 4), ("large", 16), ("other", 5)):
        gcs.put(f"ant/library/{name}.mov", bytes(size_mib * MIB))
    budget = (
        f'[origins."gs://{gcs.bucket}"]\negress_bytes_per_day_max = {8 * MIB}\n'
        'bandwidth = ["1 GiB"]\n'
    )
    node = new_gcs_node(budget).mount()
    assert errno_of(cat(node.show / "library/small.mov"), timeout_s=30) == 0
    assert errno_of(cat(node.show / "library/large.mov"), timeout_s=30) == errno.EDQUOT
    node.wait_logged("egress_bytes_per_day_max")
    assert errno_of(cat(node.show / "library/small.mov"), timeout_s=30) == 0
    node.remount()
    # Before anything asks the origin.
    (told,) = node.status()["origins"].values()
    assert told["bandwidth_bytes_per_s"] == 1 << 30
    assert told["egress"]["day_bytes_max"] == 8 * MIB
    assert told["egress"]["day_bytes"] >= 4 * MIB
    assert node.metric(f'shotfs_egress_day_bytes{{account="gs://{gcs.bucket}"}}') >= 4 * MIB
    assert errno_of(cat(node.show / "library/small.mov"), timeout_s=30) == 0
    assert errno_of(cat(node.show / "library/other.mov"), timeout_s=30) == errno.EDQUOT
    assert gcs.sent_bytes("ant/library/small.mov") == 4 * MIB
