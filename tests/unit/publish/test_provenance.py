"""What an object says of where it comes from: small, plain, and never in the way of the upload."""

from __future__ import annotations

from shotfs.publish.provenance import (
    METADATA_BYTES_MAX,
    VALUE_CHARACTERS_MAX,
    Writer,
    metadata,
    moved,
    written_by,
)
from tests.unit.publish.fakes import terms


def test_fields_of_the_path_are_told_with_a_prefix_that_headers_can_carry() -> None:
    told = metadata(
        {"node": "n\u00e9", "site": "", "show": "ant"},
        [("shot_Name", "xy_010"), ("frame", "1001")],
    )
    assert told == {
        "shotfs-node": "n\\xe9",
        "shotfs-show": "ant",
        "shotfs-field-shot-name": "xy_010",
        "shotfs-field-frame": "1001",
    }


def test_values_are_one_line_of_printable_ascii() -> None:
    (value,) = metadata({"job": " a \n\x1b[31m  b\t" + "x" * 1000}, ()).values()
    assert value.startswith("a [31m b xxx")
    assert len(value) == VALUE_CHARACTERS_MAX


def test_all_together_stay_below_what_a_store_takes() -> None:
    fields = [(f"field{number}", "x" * 200) for number in range(20)]
    told = metadata({"node": "n", "show": "ant"}, fields)
    assert told["shotfs-node"] == "n"
    assert sum(len(name) + len(text) for name, text in told.items()) <= METADATA_BYTES_MAX
    made = written_by(terms("a", metadata=told), Writer("7" * 128, 1000))
    assert made.metadata["shotfs-uid"] == "1000"
    assert sum(len(name) + len(text) for name, text in made.metadata.items()) <= METADATA_BYTES_MAX


def test_the_next_writer_takes_the_place_of_the_one_before() -> None:
    made = written_by(terms("a", metadata={"shotfs-node": "n"}, released=True), Writer("7", 1000))
    assert made.metadata == {"shotfs-job": "7", "shotfs-uid": "1000", "shotfs-node": "n"}
    assert not made.released
    made = written_by(made, Writer("", 1001))
    assert made.metadata == {"shotfs-uid": "1001", "shotfs-node": "n"}
    assert written_by(made, Writer(None, None)).job is None


def test_under_a_new_name_the_writer_is_the_same() -> None:
    before = written_by(terms("a.tmp", scratch=True), Writer("7", 1000))
    after = moved(before, terms("a.exr", metadata={"shotfs-template": "frame"}))
    assert (after.job, after.uid, after.renamed, after.scratch) == ("7", 1000, True, False)
    assert after.metadata["shotfs-template"] == "frame"
    assert after.metadata["shotfs-job"] == "7"
