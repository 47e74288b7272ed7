"""Root URLs and keys."""

from __future__ import annotations

import pytest

from shotfs.errors import Unsupported
from shotfs.tiers.base import ListPage
from shotfs.tiers.keys import is_key, parse_root
from shotfs.tiers.pages import Pages


@pytest.mark.parametrize(
    ("url", "name", "prefix"),
    [
        ("gs://bucket", "gs://bucket", ""),
        ("gcs://bucket/", "gs://bucket", ""),
        ("GS://bucket/a/b/", "gs://bucket/a/b", "a/b/"),
        ("s3a://bucket/a#b?c", "s3://bucket/a#b?c", "a#b?c/"),
        ("https://User:secret@Host.example:8443/a/", "https://host.example:8443/a", "a/"),
        ("http://host", "http://host", ""),
        ("file:///srv/shows/", "file:///srv/shows", ""),
        ("sftp://me@host/a", "sftp://host/a", "a/"),
    ],
)
def test_a_root_has_one_name_without_credentials(url: str, name: str, prefix: str) -> None:
    root = parse_root(url)
    assert (root.name, root.key_prefix) == (name, prefix)


@pytest.mark.parametrize("url", ["", "bucket", "gs://", "s3:///a", "file://relative", "http:///a"])
def test_what_is_no_root_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse_root(url)
    assert caught.value.fix is not None


def test_a_key_that_cannot_be_encoded_is_none() -> None:
    assert not is_key("a\udcff")
    assert is_key("a" * 1024)
    assert not is_key("a" * 1025)


async def test_pages_repeat_the_one_that_failed_and_end_when_closed() -> None:
    fetched: list[int] = []

    async def fetch(place: int) -> tuple[ListPage, int | None]:
        fetched.append(place)
        if fetched == [1, 2]:
            raise ConnectionError
        return ListPage((), (str(place),)), place + 1 if place < 3 else None

    pages = Pages(1, fetch)
    assert (await anext(pages)).prefixes == ("1",)
    with pytest.raises(ConnectionError):
        await anext(pages)
    assert [page.prefixes async for page in pages] == [("2",), ("3",)]
    unfinished = Pages(1, fetch)
    await unfinished.aclose()
    assert [page async for page in unfinished] == []
