"""The scanner of MaterialX against documents that MaterialX wrote, and what it resolves itself."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("MaterialX", reason="MaterialX is not installed")

import MaterialX

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.loose_xml import Escaper
from shotfs.prewarm.scanners.materialx import MaterialXScanner


def scanned(path: Path) -> list[Edge]:
    return list(MaterialXScanner().scan(str(path), Scope()))


def test_file_names_are_those_that_materialx_resolves(tmp_path: Path) -> None:
    document = MaterialX.createDocument()
    document.setFilePrefix("library/")
    truth = set()
    for number, prefix in enumerate((None, "textures/", "")):
        graph = document.addNodeGraph(f"graph{number}")
        if prefix is not None:
            graph.setFilePrefix(prefix)
        graph.addToken("kind").setValueString("wood")
        for name in ("plain.exr", "[kind].<UDIM>.exr", "[kind]/<UVTILE>.tx"):
            node = graph.addNode("image", f"image{len(truth)}", "color3")
            value = node.setInputValue("file", name, "filename")
            truth.add(value.getResolvedValueString(value.createStringResolver()))
    document.addNode("constant", "c", "string").setInputValue("value", "no.exr", "string")
    MaterialX.writeToXmlFile(document, str(tmp_path / "a.mtlx"))
    edges = scanned(tmp_path / "a.mtlx")
    assert {edge.target for edge in edges} == truth
    assert {edge.confidence for edge in edges} == {1.0}
    lines = (tmp_path / "a.mtlx").read_text().splitlines()
    assert all('type="filename"' in lines[(edge.line or 0) - 1] for edge in edges)


def test_included_documents_are_scenes_and_frames_are_tokens(tmp_path: Path) -> None:
    path = tmp_path / "a.mtlx"
    path.write_text(
        '<?xml version="1.0"?>\n<materialx version="1.39" cmsconfig="config.ocio" '
        'xmlns:xi="http://www.w3.org/2001/XInclude">\n<xi:include href="library.mtlx"/>\n'
        '<nodedef name="n"><input name="f" type="filename" value="default.exr"/></nodedef>\n'
        '<token name="look" value="a"/><token name="look" value="b"/>\n'
        '<input name="f" type="filename" value="&lt;look&gt;.{04frame}.exr"/>\n</materialx>\n'
    )
    assert scanned(path) == [
        Edge("config.ocio", Kind.SCENE, confidence=0.5, line=2),
        Edge("library.mtlx", Kind.SCENE, line=3),
        Edge("default.exr", confidence=0.5, line=4),
        Edge("a.%04d.exr", line=6),
        Edge("b.%04d.exr", confidence=0.5, line=6),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_bare_sign_in_a_value_is_read_however_the_document_is_cut(size: int) -> None:
    document = (
        b'<?xml version=\'1.0\'?><!-- "it\'s <b> -- > --><a x="<UDIM>" y=\'<"\' >t<b z="1>2"/></a>'
    )
    escaper = Escaper()
    pieces = [escaper.feed(document[at : at + size]) for at in range(0, len(document), size)]
    whole = b"".join(pieces) + escaper.finish()
    assert whole == document.replace(b'"<UDIM>"', b'"&lt;UDIM>"').replace(b"'<\"'", b"'&lt;\"'")


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + ']><materialx><input name="f" type="filename" value="&j;"/></materialx>'
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no element"),
        (b"\x00" * 100, ":1:"),
        (b"<html/>", "begins with <html>"),
        (b"<materialx>", ":1: no element|unclosed"),
        (b"<materialx>" + b"<a>" * 5000, "within each other"),
        (BOMB.encode(), "DTD"),
        (b'<!DOCTYPE x SYSTEM "/etc/passwd"><materialx/>', "DTD"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.mtlx"
    path.write_bytes(content)
    with pytest.raises(ScanFailed, match=why):
        scanned(path)
