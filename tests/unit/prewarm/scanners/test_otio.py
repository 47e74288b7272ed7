"""The scanner of OpenTimelineIO against timelines that OpenTimelineIO wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("opentimelineio", reason="OpenTimelineIO is not installed")

import opentimelineio as otio

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.otio import OtioScanner


def scanned(path: Path) -> list[Edge]:
    return list(OtioScanner().scan(str(path), Scope()))


def span(first: float, count: float, rate: float = 24) -> object:
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(count, rate)
    )


def sequence(**options: object) -> object:
    return otio.schema.ImageSequenceReference(
        target_url_base="file:///shows/plates",
        name_prefix="p.",
        name_suffix=".exr",
        start_frame=1001,
        rate=24,
        frame_zero_padding=4,
        **options,
    )


def test_media_of_all_clips_are_named_with_their_frames(tmp_path: Path) -> None:
    timeline = otio.schema.Timeline("cut")
    track, stack, inner = otio.schema.Track(), otio.schema.Stack(), otio.schema.Track()
    track.append(otio.schema.Clip(media_reference=otio.schema.ExternalReference("cut/a.mov")))
    track.append(otio.schema.Gap())
    track.append(otio.schema.Transition(in_offset=otio.opentime.RationalTime(1, 24)))
    plate = sequence(available_range=span(0, 10), frame_step=1)
    track.append(otio.schema.Clip(media_reference=plate))
    stepped = sequence(available_range=span(0, 10), frame_step=3)
    inner.append(otio.schema.Clip(media_reference=stepped))
    inner.append(otio.schema.Clip(media_reference=otio.schema.MissingReference()))
    inner.append(otio.schema.Clip(media_reference=sequence()))
    inner.append(otio.schema.Clip(media_reference=otio.schema.ExternalReference("sub.otio")))
    stack.append(inner)
    track.append(stack)
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(tmp_path / "a.otio"))
    plates = "file:///shows/plates/p.%04d.exr"
    last = stepped.end_frame()
    assert scanned(tmp_path / "a.otio") == [
        Edge("cut/a.mov"),
        Edge(plates, file_frames="1001-1010"),
        Edge(plates, file_frames=f"1001-{last}x3"),
        Edge(plates),
        Edge("sub.otio", Kind.SCENE),
    ]


def test_the_names_of_a_sequence_are_those_that_the_library_gives(tmp_path: Path) -> None:
    for padding in (0, 1, 4, 6):
        plate = sequence(available_range=span(0, 3))
        plate.frame_zero_padding = padding
        path = tmp_path / f"{padding}.otio"
        otio.adapters.write_to_file(otio.schema.Clip(media_reference=plate), str(path))
        (edge,) = scanned(path)
        names = {edge.target % frame for frame in range(1001, 1004)}
        assert names == {plate.target_url_for_image_number(n) for n in range(3)}


def test_proxies_are_less_likely_than_what_a_clip_shows(tmp_path: Path) -> None:
    clip = otio.schema.Clip()
    media = {key: otio.schema.ExternalReference(f"{key}.mov") for key in ("full", "proxy")}
    clip.set_media_references(media, "full")
    collection = otio.schema.SerializableCollection(children=[clip])
    otio.adapters.write_to_file(collection, str(tmp_path / "a.otio"))
    likely = {edge.target: edge.confidence for edge in scanned(tmp_path / "a.otio")}
    assert likely == {"full.mov": 1.0, "proxy.mov": 0.3}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 500,
        b"{",
        b"[" * 200_000,
        b'{"OTIO_SCHEMA": "Timeline.1", "tracks": 7}',
        b'{"OTIO_SCHEMA": "Clip.2", "media_references": {"a": {"OTIO_SCHEMA": "Clip.2"}}}',
        b'{"OTIO_SCHEMA": "Timeline.1", "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    ],
)
def test_what_is_no_timeline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.otio"
    path.write_bytes(content)
    with pytest.raises(ScanFailed, match=r"a[.]otio"):
        scanned(path)


def test_a_collection_that_holds_itself_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.otio"
    path.write_text(
        '{"OTIO_SCHEMA": "SerializableCollection.1", "OTIO_REF_ID": "a", "children": ['
        '{"OTIO_SCHEMA": "SerializableObjectRef.1", "id": "a"}, '
        '{"OTIO_SCHEMA": "ExternalReference.1", "target_url": "a.mov"}]}'
    )
    assert scanned(path) == [Edge("a.mov")]


def test_a_timeline_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.otio", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ScanFailed, match="the limit is"):
        scanned(tmp_path / "a.otio")


def test_frames_without_an_end_are_not_made(tmp_path: Path) -> None:
    huge = otio.schema.Clip(media_reference=sequence(available_range=span(0, 1e12)))
    otio.adapters.write_to_file(huge, str(tmp_path / "a.otio"))
    (edge,) = scanned(tmp_path / "a.otio")
    assert edge.unresolved.startswith("its frames are 1001-")
