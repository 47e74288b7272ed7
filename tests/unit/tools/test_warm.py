"""What tools/bench/warm makes of its figures: ratios, tables, page, chart; and its arguments."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.results import Results
from bench.warm_report import CPU, TARGETS, BadPage
from bench.warm_workloads import WORKLOADS
from PIL import Image
from rich.console import Console

from bench import warm, warm_chart, warm_loops, warm_report, warm_site, warm_systems

TITLES = {key: one.named(warm_site.FULL) for key, one in WORKLOADS.items()}
LESS_IS_BETTER = ("readdir_first", "readdir_again", "ls")


def measured(systems: Sequence[str] = warm_systems.SYSTEMS, *, rounds: int = 3) -> Results:
    """Return figures: native does 1,000 of everything, the next system half of that, and so on."""
    results = Results()
    for index, system in enumerate(systems):
        for key, workload in WORKLOADS.items():
            for number in range(rounds):
                speed = 1000.0 * (1 + number / 10) / 2**index
                value = 1e6 / speed if key in LESS_IS_BETTER else speed
                results.add(TITLES[key], system, value, workload.unit)
                results.add(TITLES[key] + CPU, system, 0.01 * index, "s")
    return results


def document_of(results: Results, systems: Sequence[str] = warm_systems.SYSTEMS) -> dict[str, Any]:
    warm_report.add_ratios(results, TITLES)
    results.notes.append("a note")
    made = results.as_json()
    made["machine"] |= {"file_system": "ext4", "versions": {"bindfs": "1.14.7"}}
    return made | {
        "scale": "full",
        "date": "2026-11-21",
        "systems": list(systems),
        "workloads": [title + end for title in TITLES.values() for end in ("", CPU)],
    }


def test_ratios_are_those_of_speed_and_of_time_where_less_is_better() -> None:
    ratios = document_of(measured())["ratios"]
    assert ratios["seq_first_vs_native"]["value"] == pytest.approx(1 / 32, abs=1e-3)
    assert ratios["readdir_vs_native"]["value"] == pytest.approx(32)
    assert ratios["zero_upcall_small_vs_native"]["runs"] == [pytest.approx(1 / 64, abs=1e-3)] * 3
    assert ratios["cpu_s_per_gb"]["value"] == pytest.approx(0.05)


def test_every_target_of_the_issue_has_a_ratio() -> None:
    assert document_of(measured())["ratios"].keys() == {*TARGETS, "cpu_s_per_gb"}


def test_ratios_of_what_was_not_measured_are_left_out() -> None:
    some = ("native", "privileged")
    assert document_of(measured(some), some)["ratios"].keys() == {
        name for name, target in TARGETS.items() if {target.system, target.base} <= set(some)
    } | {"cpu_s_per_gb"}


def test_cell_has_the_median_and_the_spread() -> None:
    assert warm_report.cell({"value": 1100.0, "runs": [1000, 1100, 1250]}) == "1,100 (1,000..1,250)"
    assert warm_report.cell({"value": 0.5, "runs": [0.5, 0.5, 0.5]}) == "0.5"
    assert warm_report.cell({"value": 2_345_678.0, "runs": [2_345_678.0]}) == "2.35M"
    assert warm_report.cell(None) == "–"


def test_tables_have_a_row_for_each_workload_and_say_which_targets_are_missed() -> None:
    text = warm_report.tables(document_of(measured()))
    for title in TITLES.values():
        assert text.count(f"| {title} |") == 2  # speed and CPU
    assert "| `seq_first_vs_native` | 0.031 | 0.031 0.031 0.031 | >= 0.85 | **missed** |" in text
    assert "1 of 14 targets are met. Missed: `seq_first_vs_native`" in text
    assert "a note" in text
    heads = [line for line in text.splitlines() if line.startswith("| workload")]
    assert ["native" in head for head in heads] == [True, False]


def test_rows_of_a_table_are_as_wide_as_its_head() -> None:
    lines = warm_report.tables(document_of(measured())).splitlines()
    head = 0
    for line in lines:
        if not line.startswith("|"):
            head = 0
            continue
        head = head or line.count("|")
        assert line.count("|") == head, line


def test_tables_are_printed_also_where_systems_miss_a_workload() -> None:
    results = measured()
    del results.runs[TITLES["write"], "zero-upcall"]
    text = io.StringIO()
    warm_report.show(document_of(results), Console(file=text, width=240))
    assert TITLES["write"] in text.getvalue()
    assert "–" in text.getvalue()


PAGE = """\
before
<!-- figures: begin (tools/bench/warm --doc) -->
old
<!-- figures: end -->
after
"""


def test_figures_are_put_between_the_markers_and_nowhere_else() -> None:
    made = warm_report.with_figures(PAGE, r"new \1", "page.md")
    assert made == PAGE.replace("old\n", "\nnew \\1\n\n")
    assert warm_report.with_figures(made, r"new \1", "page.md") == made


@pytest.mark.parametrize("page", ["no markers\n", PAGE * 2])
def test_a_page_without_one_place_for_figures_is_refused(page: str) -> None:
    with pytest.raises(BadPage, match="places for figures"):
        warm_report.with_figures(page, "new", "page.md")


def test_the_page_in_docs_has_a_place_for_figures_and_shows_the_chart() -> None:
    page = Path(warm.PAGE).read_text()
    assert warm_report.with_figures(page, "new", warm.PAGE) != page
    assert f"]({Path(warm.CHART).name})" in page


@pytest.mark.parametrize("change", [{"scale": "quick"}, {"ratios": {}}])
def test_documentation_shows_a_whole_run_only(change: dict[str, Any]) -> None:
    document = document_of(measured())
    warm_report.check_whole(document)
    with pytest.raises(BadPage, match="a whole run only"):
        warm_report.check_whole(document | change)


@pytest.mark.parametrize("document", [{}, [], {"rows": []}])
def test_figures_of_something_else_are_refused(document: Any) -> None:
    with pytest.raises(BadPage, match=r"other\.json has no .*tools/bench/warm --json"):
        warm_report.check(document, "other.json")


def test_chart_shows_each_system_beside_native() -> None:
    document = document_of(measured())
    groups = warm_chart.groups(document)
    assert [group.title for group in groups] == list(TITLES.values())
    for group in groups:
        assert [system for system, _ in group.bars] == list(warm_systems.SYSTEMS[1:])
        # Twice the time is half the speed.
        assert [ratio for _, ratio in group.bars] == pytest.approx(
            [1 / 2**index for index in range(1, 7)], rel=0.02
        )


@pytest.mark.parametrize("extreme", [1e-12, 1.0, 1e12])
def test_chart_is_a_picture_whatever_the_figures(tmp_path: Path, extreme: float) -> None:
    document = document_of(measured())
    document["rows"][0]["value"] *= extreme
    document["rows"][1]["value"] = 0.0
    path = tmp_path / "chart.png"
    warm_chart.draw(str(path), document)
    with Image.open(path) as picture:
        assert picture.width == warm_chart.WIDTH
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > len(warm_chart.COLOURS)


def test_chart_of_one_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPage, match="native and another system"):
        warm_chart.draw(str(tmp_path / "x.png"), document_of(measured(("native",)), ("native",)))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rounds", "0"], "give 1 to 100"),
        (["--rounds", "three"], "invalid int"),
        (["--only", "everything"], "invalid choice"),
        (["--systems", "nfs"], "invalid choice"),
        (["--place", "/nowhere/at/all"], "no such directory"),
        (["--doc", "--quick"], "a whole run"),
        (["--doc", "--systems", "native", "bindfs"], "a whole run"),
        (["--from", "x.json"], "needs --doc or --chart"),
        (["--from", "x.json", "--doc", "--rounds", "5"], "measures nothing"),
        (["--chart", "x.png", "--systems", "privileged"], "compares with native"),
        (["--chart", "x.png", "--systems", "native"], "compares with native"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        warm.parse(arguments)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


def test_figures_of_an_earlier_run_become_a_chart(tmp_path: Path) -> None:
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.png"
    figures.write_text(json.dumps(document_of(measured())))
    assert warm.main(["--from", str(figures), "--chart", str(chart)]) == 0
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_page_and_chart_are_made_again_from_the_figures_of_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, chart, figures = (tmp_path / name for name in ("page.md", "chart.png", "figures.json"))
    monkeypatch.setattr(warm, "PAGE", str(page))
    monkeypatch.setattr(warm, "CHART", str(chart))
    page.write_text(PAGE)
    document = document_of(measured())
    figures.write_text(json.dumps(document))
    assert warm.main(["--from", str(figures), "--doc"]) == 0
    assert page.read_text() == warm_report.with_figures(
        PAGE, warm_report.tables(document), "page.md"
    )
    assert chart.exists()
    figures.write_text(json.dumps(document | {"scale": "quick"}))
    before = page.read_text(), chart.read_bytes()
    assert warm.main(["--from", str(figures), "--doc"]) == 1
    assert (page.read_text(), chart.read_bytes()) == before
    assert {path.name for path in tmp_path.iterdir()} == {page.name, chart.name, figures.name}


@pytest.mark.parametrize("option", ["--json", "--chart"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing" / "file"
    assert warm.main(["--quick", "--place", str(tmp_path), option, str(path)]) == 1
    assert "cannot be written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_figures_that_cannot_be_used_end_with_an_error(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(text)
    chart = tmp_path / "chart.png"
    assert warm.main(["--from", str(figures), "--chart", str(chart)]) == 1
    assert "tools/bench/warm failed" in capsys.readouterr().out
    assert not chart.exists()


def test_loops_measure_what_they_are_told(tmp_path: Path) -> None:
    meter = warm_loops.Meter(None)
    big = tmp_path / "big"
    big.write_bytes(bytes(3 << 20))
    limits = {"limit_s": 5.0, "loop_s": 0.01}
    phases = warm_loops.sequential(meter, path=str(big), **limits)
    assert (phases["first"]["count"], phases["first"]["bytes"]) == (1, 3 << 20)
    assert phases["again"]["bytes"] >= 3 << 20
    assert phases["again"]["bytes"] % (3 << 20) == 0  # whole passes: an open has its price
    for mapped in (False, True):
        phases = warm_loops.scattered(
            meter, path=str(big), mapped=mapped, reads=100, limit_s=5.0, loop_s=0.0
        )
        assert (phases["first"]["count"], phases["first"]["bytes"]) == (100, 100 * 4096)
    listed = tmp_path / "listed"
    listed.mkdir()
    phases = warm_loops.frames(
        meter, directory=str(listed), count=3, size_bytes=2_500_000, fsync=True, limit_s=60.0
    )
    assert phases["first"]["bytes"] == 7_500_000
    sizes = {path.stat().st_size for path in listed.iterdir()}
    assert sizes == {2_500_000}
    assert len({path.read_bytes()[:8] for path in listed.iterdir()}) == 3
    assert {phase["count"] for phase in warm_loops.listing(meter, directory=str(listed)).values()}


def test_a_loop_that_is_too_slow_ends_and_repeats_only_what_it_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names").write_text("\n".join(f"n{index}" for index in range(1000)))
    monkeypatch.chdir(tmp_path)
    phases = warm_loops.files(
        warm_loops.Meter(None), what="miss", directory=str(tmp_path),
        names=str(tmp_path / "names"), limit_s=0.0, loop_s=0.0,
    )  # fmt: skip
    assert phases["first"]["count"] == warm_loops.NAMES_PER_LOOK
    pieces = [["a"], ["b"]]
    done = copy.deepcopy(pieces)
    phase, touched = warm_loops._first(warm_loops.Meter(None), done, len, 0.0)
    assert (phase["count"], touched) == (1, [["a"]])


def test_many_processes_share_the_files_and_do_each_of_them_once(tmp_path: Path) -> None:
    names = [f"n{index}" for index in range(100)]
    for name in names:
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "names").write_text("\n".join(names))
    done = subprocess.run(
        [sys.executable, "-I", "-S", warm_site.LOOPS, "crowd_of_files"],
        input=json.dumps({
            "pid": os.getpid(), "directory": str(tmp_path), "names": str(tmp_path / "names"),
            "processes": 8, "limit_s": 30.0, "loop_s": 0.01,
        }),
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    phases = json.loads(done.stdout)
    assert (phases["first"]["count"], phases["first"]["bytes"]) == (100, 500)
    assert phases["again"]["bytes"] == 5 * phases["again"]["count"] > 0
    assert phases["first"]["cpu_s"] >= 0


def test_a_quick_run_has_one_round_and_a_whole_one_three() -> None:
    rounds = [warm.parse(one).rounds for one in ([], ["--quick"], ["--quick", "--rounds", "5"])]
    assert rounds == [3, 1, 5]
