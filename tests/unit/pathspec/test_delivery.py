"""Deliveries: what is misnamed, missing, too much; without a disk."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from shotfs.pathspec import Specification
from shotfs.pathspec import gaps as gaps_module
from shotfs.pathspec.delivery import Entry, EntryKind, FindingKind, Report, judge

from .documents import spec
from .small_dna import FRAME, SHOT, small

FIELDS = {
    "shot": {"type": "str", "pattern": "[a-z]{2}[0-9]{3}"},
    "version": {"type": "version"},
    "layer": {"type": "enum", "choices": ["beauty", "shadow"]},
    "view": {"type": "view"},
    "tile": {"type": "udim"},
    "frame": {"type": "frame", "negative": True},
}


def stereo() -> Specification:
    return spec(
        {
            "frames": "{shot}_{version}[/{view}]/{layer}.{frame}.exr",
            "texture": "tex/{layer}[.{view}].{tile}.tif",
        },
        FIELDS,
    )


def lint(made: Specification, paths: Iterable[str | Entry], **wanted: Any) -> Report:
    entries = (Entry(one, size_bytes=1) if isinstance(one, str) else one for one in paths)
    return judge(made, entries, **wanted)


def found(report: Report) -> list[tuple[FindingKind, str]]:
    return [(one.kind, one.path) for one in report.findings]


def test_complete_delivery_is_in_order() -> None:
    paths = [
        f"ab010_v001/{view}/beauty.{n}.exr" for view in ("left", "right") for n in (1001, 1002)
    ]
    report = lint(stereo(), paths)
    assert report.in_order
    assert (report.files, report.templates["frames"].files, report.findings) == (4, 4, [])


@pytest.mark.parametrize(
    ("path", "kind", "suggestion"),
    [
        (FRAME.replace(".png", ".PNG"), FindingKind.WRONG_CASE, FRAME),
        (FRAME.replace(".1001", ".101"), FindingKind.MISNAMED, FRAME.replace(".1001", ".0101")),
        (FRAME.replace("v005.", "v004."), FindingKind.MISNAMED, FRAME),
        (FRAME.replace("v005.", "V5."), FindingKind.MISNAMED, FRAME),
        (FRAME.replace("_v005.", "-v005."), FindingKind.MISNAMED, FRAME),
        (
            FRAME.replace("/beauty/", "/beauti/"),
            FindingKind.MISNAMED,
            "render/" + SHOT + "/beauty/",
        ),
        (FRAME.replace("render/", "rendr/"), FindingKind.MISNAMED, "render/"),
        (FRAME.replace("png", "jpg"), FindingKind.MISNAMED, None),
        ("notes.docx", FindingKind.EXTRA, None),
    ],
)
def test_misnamed_file_gets_the_name_that_it_should_have(
    path: str, kind: FindingKind, suggestion: str | None
) -> None:
    (finding,) = lint(small(), [path]).findings
    assert (finding.kind, finding.suggestion) == (kind, suggestion)


def test_every_suggestion_is_a_path_of_the_specification() -> None:
    made = small()
    for index in range(len(FRAME)):
        for path in (FRAME[:index] + FRAME[index + 1 :], FRAME[:index] + "x" + FRAME[index:]):
            for finding in lint(made, [path]).findings:
                if finding.suggestion is not None and not finding.suggestion.endswith("/"):
                    assert made.resolve(finding.suggestion) is not None


def test_misnamed_directory_is_told_once_with_the_number_of_its_files() -> None:
    paths = [FRAME.replace("beauty", "Beauty").replace("1001", str(n)) for n in range(1001, 1051)]
    report = lint(small(), [*paths, "render/zz"])
    first = report.findings[0]
    assert (first.path, first.files) == (f"render/{SHOT}/Beauty/", 50)
    assert report.counts == {FindingKind.WRONG_CASE: 1, FindingKind.MISNAMED: 1}


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        (Entry(".DS_Store"), FindingKind.JUNK, "delete"),
        (Entry("render/Thumbs.db"), FindingKind.JUNK, "delete"),
        (Entry("__MACOSX/x/._y"), FindingKind.JUNK, "delete"),
        (Entry(FRAME, size_bytes=0), FindingKind.EMPTY, "no content"),
        (Entry(FRAME + ".tmp", size_bytes=1), FindingKind.SCRATCH, "unfinished"),
        (Entry("render/a\nb", size_bytes=1), FindingKind.BAD_NAME, "control character"),
        (Entry("render/\udcff", size_bytes=1), FindingKind.BAD_NAME, "not UTF-8"),
        (Entry("x/" * 600 + "y", size_bytes=1), FindingKind.BAD_NAME, "1201 bytes"),
        (Entry("x" * 256, size_bytes=1), FindingKind.BAD_NAME, "255 bytes"),
        (Entry("render /x", size_bytes=1), FindingKind.BAD_NAME, "space"),
        (Entry("a/b", EntryKind.LINK, target="../../etc"), FindingKind.LINK, "out of the delivery"),
        (Entry("a/b", EntryKind.LINK, target="/etc"), FindingKind.LINK, "out of the delivery"),
        (Entry("a/b", EntryKind.LINK, target="c"), FindingKind.LINK, "symbolic link"),
        (Entry("a/b", EntryKind.SPECIAL), FindingKind.SPECIAL, "neither"),
        (Entry("a", EntryKind.UNREADABLE, reason="denied"), FindingKind.UNREADABLE, "denied"),
    ],
)
def test_what_does_not_belong_into_a_delivery(entry: Entry, kind: FindingKind, words: str) -> None:
    (finding,) = lint(small(), [entry]).findings
    assert finding.kind is kind
    assert words in finding.message


def test_version_alias_is_a_link_that_belongs_there() -> None:
    fields = {**FIELDS, "version": {"type": "version", "aliases": ["latest"]}}
    made = spec({"t": "{shot}_{version}/x"}, fields)
    link = Entry("ab010_latest", EntryKind.LINK, target="ab010_v001")
    assert lint(made, [link]).in_order
    assert not lint(made, [Entry("ab010_newest", EntryKind.LINK, target="x")]).in_order


def test_names_that_differ_by_case_only_are_told() -> None:
    paths = [
        Entry("render", EntryKind.DIRECTORY),
        Entry(f"render/{SHOT}", EntryKind.DIRECTORY),
        Entry(f"render/{SHOT}/log", EntryKind.DIRECTORY),
        Entry(f"render/{SHOT}/log/A.txt", size_bytes=1),
        Entry(f"render/{SHOT}/log/a.txt", size_bytes=1),
        Entry(f"render/{SHOT}/log/b.txt", size_bytes=1),
    ]
    report = lint(small(), paths)
    assert found(report) == [(FindingKind.TWIN, f"render/{SHOT}/log/a.txt")]


@pytest.mark.parametrize(
    ("frames", "missing"),
    [
        ([1001, 1002, 1005], "2 of 5 frames are missing: 1003-1004"),
        ([1001, 1003, 1005, 1007], None),
        ([1001, 1003], "1 of 3 frames are missing: 1002"),
        ([1, 3, 5, 8], "4 of 8 frames are missing: 2, 4, 6-7"),
        ([1, 5, 9, 17], "1 of 5 frames are missing: 13"),
        ([7], None),
        ([-2, 0], "1 of 3 frames are missing: -1"),
        ([1, 10**9], f"{10**9 - 2} of {10**9} frames are missing: 2-{10**9 - 1}"),
    ],
)
def test_gaps_in_a_sequence(frames: list[int], missing: str | None) -> None:
    paths = [f"ab010_v001/beauty.{n:04d}.exr" for n in frames]
    messages = [one.message for one in lint(stereo(), paths).findings]
    assert messages == ([] if missing is None else [missing])


def test_expected_frames_count_where_they_are_given() -> None:
    paths = [f"ab010_v001/beauty.{n}.exr" for n in (1002, 1003)]
    (finding,) = lint(stereo(), paths, expected=range(1001, 1006)).findings
    assert finding.path == "ab010_v001/beauty.####.exr"
    assert finding.message == "3 of 5 frames are missing: 1001, 1004-1005"


def test_each_view_must_have_all_frames_and_every_view_must_be_there() -> None:
    paths = [f"ab010_v001/left/beauty.{n}.exr" for n in (1001, 1002, 1003)]
    report = lint(stereo(), paths)
    assert found(report) == [(FindingKind.VIEW, "ab010_v001/%V/beauty.####.exr")]
    assert "right" in report.findings[0].message
    paths += [f"ab010_v001/right/beauty.{n}.exr" for n in (1001, 1003)]
    (finding,) = lint(stereo(), paths).findings
    assert finding.path == "ab010_v001/right/beauty.####.exr"
    assert "1002" in finding.message


def test_files_with_and_without_an_optional_part_are_different_sequences() -> None:
    made = spec({"t": "{shot}[_proxy].{frame}.exr"}, FIELDS)
    paths = [*(f"ab010.{n}.exr" for n in (1001, 1002, 1003)), "ab010_proxy.1001.exr"]
    assert lint(made, paths).findings == []
    (finding,) = lint(made, [*paths, "ab010_proxy.1003.exr"]).findings
    assert finding.path == "ab010_proxy.####.exr"


def test_tiles_that_are_left_out_in_a_row_are_worth_a_look_and_no_mistake() -> None:
    report = lint(stereo(), [f"tex/beauty.{n}.tif" for n in (1001, 1003, 1011)])
    (finding,) = report.findings
    assert (finding.kind, finding.path) == (FindingKind.SPARSE, "tex/beauty.<UDIM>.tif")
    assert finding.message.startswith("1 of 4 tiles are left out")
    assert finding.message.endswith(": 1002")
    assert report.in_order


def test_tiles_must_be_the_same_for_all_views() -> None:
    paths = ["tex/beauty.left.1001.tif", "tex/beauty.left.1002.tif", "tex/beauty.right.1001.tif"]
    (finding,) = lint(stereo(), paths).findings
    assert (finding.kind, finding.path) == (FindingKind.TILES, "tex/beauty.right.<UDIM>.tif")
    assert finding.message == "1 of 2 tiles are missing: 1002"


def test_skipped_version_is_worth_a_look_and_no_mistake() -> None:
    paths = [f"ab010_v{n:03d}/beauty.1001.exr" for n in (1, 2, 5)] + ["ab020_v004/beauty.1001.exr"]
    report = lint(stereo(), paths)
    assert report.in_order
    assert found(report) == [(FindingKind.VERSION, "ab010_v003")]
    assert report.findings[0].message == "2 of 5 versions are skipped: v003, v004"


def test_required_template_without_a_file_is_missing() -> None:
    report = lint(stereo(), ["tex/beauty.1001.tif"], required=["frames", "texture"])
    assert [(one.kind, one.message) for one in report.findings] == [
        (FindingKind.REQUIRED, 'no file of template "frames"')
    ]
    assert not report.in_order


def test_all_findings_are_counted_and_a_limit_of_them_is_kept_and_announced() -> None:
    report = lint(small(), (f"render/{SHOT}/log/{n}" for n in range(50)), shown_max=10)
    assert report.counts == {FindingKind.MISNAMED: 50}
    assert len(report.findings) == 10
    assert "misnamed: 10 of 50 are shown" in report.notes


def test_files_beyond_the_limit_of_open_sequences_are_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gaps_module, "GROUPS_MAX", 10)
    names = (f"{a}{b}010_v001.1001" for a in "abcdef" for b in "abcdef")
    made = spec({"t": "all/{shot}_{version}.{frame}"}, FIELDS)
    report = lint(made, (f"all/{name}" for name in names))
    assert any("were not searched" in note for note in report.notes)
    assert report.templates["t"].files == 36


def test_s10_memory_does_not_grow_with_the_number_of_files() -> None:
    def many(count: int) -> Iterator[Entry]:
        for shot in range(count // 100):
            name = f"render/xy_1_{shot:03d}_030_00_v001"
            for frame in range(100):
                yield Entry(f"{name}/beauty/{name[7:]}.{1001 + frame}.png", size_bytes=1)

    made = small()

    def peak(count: int) -> int:
        tracemalloc.start()
        report = judge(made, many(count))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report.files == count
        return most

    peak(200)  # what is made once
    assert peak(10_000) < 2 * peak(1_000) + 100_000
