"""Any text: strings in quotes that look like paths."""

from __future__ import annotations

from pathlib import Path

from shotfs.prewarm.scanners import registry
from tests.unit.prewarm.scanners.scanned import inputs, of_text

TEXT = """
it's a note about "nothing" and http://example.com/a.exr
load('/shows/dog/a.%04d.exr', "tex/b.<UDIM>.tx", `rel/c.xyz`, "/bin/no-suffix")
say("and/or", "a/b", "24/7.") 'x "/shows/dog/d \\"e\\".png'
"/shows/dog/open.exr
"""


def test_only_what_looks_like_a_path_is_found_and_it_counts_little(tmp_path: Path) -> None:
    assert inputs(of_text("quoted", tmp_path, TEXT)) == {
        "/shows/dog/a.%04d.exr": 0.3,
        "tex/b.<UDIM>.tx": 0.2,
    }


def test_it_reads_a_file_only_when_it_is_asked_to() -> None:
    assert registry.choose("/a/b.txt", b'"/shows/a.exr"') is None
    assert registry.choose("/a/b.txt", b'"/shows/a.exr"', ["quoted"]) == "quoted"
