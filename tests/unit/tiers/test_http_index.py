"""Index pages: what is an entry and what is not."""

from __future__ import annotations

from shotfs.tiers.cloud.http import entries_of

APACHE = """<table><tr><th><a href="?C=N;O=D">Name</a></th></tr>
<tr><td><a href="/shows/">Parent Directory</a></td></tr>
<tr><td><a href="sq010/">sq010/</a></td></tr>
<tr><td><a href="a%20b.exr">a b.exr</a></td></tr>
<tr><td><a href="long-name.exr">long-na..&gt;</a></td></tr></table>"""


def test_children_are_entries_under_their_whole_unquoted_names() -> None:
    assert entries_of(APACHE, "http://h/shows/one/") == (["a b.exr", "long-name.exr"], ["sq010"])


def test_links_that_lead_elsewhere_are_not() -> None:
    page = "".join(
        f'<a href="{target}">x</a>'
        for target in (
            "../", "..", "/", "./", "#top", "?C=M", "http://other/shows/one/x", "/shows/onex/y",
            "deep/er", "mailto:a@b", "%2e%2e/", "a%2Fb", "javascript:x", "y?z=1",
            "http://h/shows/one/full", "/shows/one/absolute", "./dot", "twice", "twice",
        )
    )  # fmt: skip
    files, directories = entries_of(page, "http://h/shows/one/")
    assert files == ["absolute", "dot", "full", "twice"]
    assert directories == []


def test_a_broken_page_has_what_can_be_read() -> None:
    assert entries_of("<a href=a><a href='b'><a href=", "http://h/") == (["a", "b"], [])
