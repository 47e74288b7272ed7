"""The scanner of OpenColorIO against configurations of both versions, and against bad YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Scope
from shotfs.prewarm.scanners.closure import close_over
from shotfs.prewarm.scanners.local_files import LocalFiles
from shotfs.prewarm.scanners.ocio import OcioScanner

V1 = """\
ocio_profile_version: 1
search_path: luts:../shared
strictlyparse: true
roles:
  default: raw
  scene_linear: lnf
displays:
  sRGB:
    - !<View> {name: Film, colorspace: srgb8}
colorspaces:
  - !<ColorSpace>
    name: lnf
    description: |
      src: not.cube
    to_reference: !<FileTransform> {src: lnf.spi1d, interpolation: linear}
  - !<ColorSpace>
    name: srgb8
    from_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: lnf, dst: lg}
        - !<FileTransform> {src: film.cube, interpolation: best}
  - !<ColorSpace>
    name: shot
    to_reference: !<FileTransform> {src: "${SHOT}/grade.cc", cccid: a}
"""

V2 = """\
ocio_profile_version: 2.3
environment:
  SHOT: "010"
  LUTS: ../shared/${SHOT}
search_path:
  - luts
  - $LUTS
roles:
  scene_linear: acescg
file_rules:
  - !<Rule> {name: Default, colorspace: log}
display_colorspaces:
  - !<ColorSpace>
    name: monitor
    from_display_reference: &lut !<FileTransform> {src: monitor.clf}
colorspaces:
  - !<ColorSpace> {name: acescg, to_scene_reference: *lut}
  - !<ColorSpace> {name: log, to_scene_reference: !<FileTransform> {src: log.csp}}
looks:
  - !<Look> {name: grade, transform: !<FileTransform> {src: $SHOT.cdl}}
view_transforms:
  - !<ViewTransform> {name: v, from_scene_reference: !<FileTransform> {src: view.3dl}}
"""


def scanned(path: Path, content: str | bytes, **variables: str) -> list[Edge]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(OcioScanner().scan(str(path), Scope(variables=variables)))


def test_tables_of_version_1_are_named_with_their_search_path(tmp_path: Path) -> None:
    search = ("luts", "../shared")
    assert scanned(tmp_path / "config.ocio", V1) == [
        Edge("lnf.spi1d", confidence=0.6, line=15, search=search),
        Edge("film.cube", confidence=0.6, line=21, search=search),
        Edge("${SHOT}/grade.cc", confidence=0.3, line=24, search=search),
    ]


def test_version_2_has_values_for_variables_unless_the_render_has(tmp_path: Path) -> None:
    edges = scanned(tmp_path / "config.ocio", V2)
    assert {edge.target: edge.confidence for edge in edges} == {
        "monitor.clf": 0.6,  # its space has a role, through the alias
        "log.csp": 0.6,
        "010.cdl": 0.3,
        "view.3dl": 0.6,
    }
    assert edges[0].search == ("luts", "../shared/010")
    edges = scanned(tmp_path / "config.ocio", V2, SHOT="020")
    assert "$SHOT.cdl" in {edge.target for edge in edges}
    assert edges[0].search == ("luts", "../shared/${SHOT}")


def test_a_table_is_taken_from_the_first_directory_that_has_it(tmp_path: Path) -> None:
    for name in ("c/luts/lnf.spi1d", "shared/lnf.spi1d", "shared/film.cube", "c/020/grade.cc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"lut")
    config = tmp_path / "c/config.ocio"
    config.write_text(V1)
    found = close_over([str(config)], LocalFiles(), root=str(tmp_path))
    there = [entry.path for entry in found.entries]
    assert there == ["c/config.ocio", "c/luts/lnf.spi1d", "shared/film.cube"]
    (unknown,) = found.unresolved
    assert (unknown.line, "SHOT is not set" in unknown.reason) == (24, True)


BOMB = "ocio_profile_version: 2\na0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)


def test_aliases_of_aliases_stay_small(tmp_path: Path) -> None:
    assert scanned(tmp_path / "a.ocio", BOMB) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 100,
        b"- 1",
        b"text",
        b"a: 1",
        b"ocio_profile_version: 2\na: *nothing",
        b"ocio_profile_version: 2\nx: " + b"[" * 5000,
        b"ocio_profile_version: 2\n" + b"\t- {",
        b"ocio_profile_version: 2\na: \xff\xfe",
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ScanFailed, match=r"a[.]ocio"):
        scanned(tmp_path / "a.ocio", content)


def test_tags_make_no_objects(tmp_path: Path) -> None:
    text = 'ocio_profile_version: 2\nx: !!python/object/apply:os.mkdir ["{}/made"]\n'
    assert scanned(tmp_path / "a.ocio", text.format(tmp_path)) == []
    assert not (tmp_path / "made").exists()
