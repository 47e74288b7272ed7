"""Whatever a scene file holds: a scanner yields edges or says what is wrong, and comes to an end.

A scanner that hangs is ended by the suite's timeout; what is asserted is that nothing but
ScanFailed comes out, and that edges are such as the closure can use.
"""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shotfs.errors import ScanFailed
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Scope
from tests.unit.prewarm.scanners.scanned import SCENES

SCENE_OF = {
    "nuke": "comp.nk",
    "maya": "shot.ma",
    "arnold": "shot.ass",
    "rib": "shot.rib",
    "povray": "shot.pov",
    "katana": "shot.katana",
    "gaffer": "shot.gfr",
    "quoted": "shot.pov",
}
CONTENT = {name: (SCENES / "text" / file).read_bytes() for name, file in SCENE_OF.items()}
PIECES = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b"\\",
        b"\n",
        b"(",
        b")",
        b";",
        b"#",
        b"/*",
        b"*/",
        b"//",
    ),
    *(
        b"#if (",
        b"#while (1)",
        b"#macro A(",
        b"#end",
        b"#else",
        b"#declare A = ",
        b"A()",
        b"concat(",
    ),
    *(b"str(frame_number, -4, 0)", b"#include ", b"png ", b"{{", b"}}", b"[value root.name]"),
    *(b"<node ", b"</node>", b"<string_parameter ", b"&lt;", b"\xff\xfe", b"\x00", b"\x1f\x8b"),
    *(
        b"createNode file",
        b"setAttr ",
        b" -type ",
        b"end_group\n",
        b"Read {\n file ",
        b"1e999 ",
        b"9" * 50,
    ),
]
SCOPES = st.sampled_from([Scope(), Scope(frames="1-3"), Scope(all_variants=True, in_place=False)])


def scan(name: str, content: bytes, scope: Scope) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, SCENE_OF[name])
        with open(path, "wb") as file:
            file.write(content)
        try:
            for edge in registry.scanner(name).scan(path, scope):
                assert edge.target
                assert len(edge.target) <= 4096
                assert 0.0 <= edge.confidence <= 1.0
                assert edge.line is None or edge.line >= 1
                parse_frames(edge.frames)
                parse_frames(edge.file_frames)
        except ScanFailed as exc:
            said = str(exc)
            assert path in said


@pytest.mark.parametrize("name", SCENE_OF)
@given(pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=60), scope=SCOPES)
@example(pieces=[b"\x1f\x8b"], scope=Scope())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_makes_a_scanner_fail_otherwise(
    name: str, pieces: list[bytes], scope: Scope
) -> None:
    scan(name, b"".join(pieces), scope)


@pytest.mark.parametrize("name", SCENE_OF)
@given(data=st.data(), scope=SCOPES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_damage_to_a_scene_makes_its_scanner_fail_otherwise(
    name: str, data: st.DataObject, scope: Scope
) -> None:
    content = CONTENT[name]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 200))
        new = data.draw(st.sampled_from([b"", *PIECES, content[at : at + 300]]))
        content = content[:at] + new + content[at + gone :]
    scan(name, content, scope)


@pytest.mark.parametrize("name", SCENE_OF)
@pytest.mark.parametrize(
    "piece",
    [
        *(b"{", b"[", b'"', b"(", b"{a ", b"a{", b"/*", b"concat(", b"#if(1)", b"!", b"<a>"),
        *(b"[file dirname ", b"1", b" ", b'"/a/', b"-", b"]", b"\x1c"),
    ],
)
def test_many_times_the_same_comes_to_an_end(name: str, piece: bytes) -> None:
    scan(name, b"Read {\n file " + piece * 20_000, Scope(frames="1-3"))
    scan(name, b"#declare A = " + piece * 20_000, Scope())
