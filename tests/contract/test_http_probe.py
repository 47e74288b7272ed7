"""Whether a directory of a web server has anything in it costs one round trip."""

from __future__ import annotations

from contextlib import aclosing

from shotfs.tiers.base import Tier
from tests.contract.places import Place, at, write_file
from tests.servers.handles import HttpRoot


@at("http")
async def test_who_asks_for_the_first_of_a_directory_asks_for_few_of_its_files(
    http_root: HttpRoot, place: Place, tier: Tier
) -> None:
    for number in range(100):
        write_file(http_root.path, f"set/{number:03}.tx", b"x")
    async with aclosing(tier.list("set")) as pages:
        found = next(
            page.objects for page in [await anext(pages), await anext(pages)] if page.objects
        )
    assert found[0].key == "set/000.tx"
    assert len(http_root.requests("stat")) == len(found) <= 32
    async with aclosing(tier.list("set")) as pages:
        names = [one.key async for page in pages for one in page.objects]
    assert names == [f"set/{number:03}.tx" for number in range(100)]
