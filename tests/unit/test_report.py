"""The mission report: its form, its words, where things lie in its charts, and its page as text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop_mission import generate
from orbitloop_mission.report import MissionReport, read_report, render_page, write_report
from orbitloop_mission.report.accuracy import accuracy_drawing, accuracy_figure, forgetting_drawing
from orbitloop_mission.report.drawing import Bar, Drawing, Form, Line, Mark, Text, outline
from orbitloop_mission.report.files import report_json
from orbitloop_mission.report.gallery import data_uri, found_in
from orbitloop_mission.report.geometry import Linear, Logarithmic, decades, spread, ticks, time_ticks
from orbitloop_mission.report.reference import page_text, schema
from orbitloop_mission.report.schema import RoundOutcome
from orbitloop_mission.report.tables import key_figures, round_sections, target_rows
from orbitloop_mission.report.timeline import GAP, placed, timeline_drawing
from orbitloop_mission.report.traffic import airtime_drawing, busy_down, share_drawing, updates_drawing
from orbitloop_mission.report.wording import (
    bytes_text,
    count_text,
    headline,
    percent_text,
    points_text,
    rate_text,
    seconds_text,
)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "report-three-rounds.json"
PNG = b"\x89PNG\r\n\x1a\n and so on"
NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report() -> MissionReport:
    """A mission of three rounds and ten passes; the second update was rolled back, two passes were cut."""
    return read_report(GOLDEN)


@pytest.fixture(scope="module")
def pictures(report: MissionReport) -> dict[str, bytes]:
    return {tile.image: PNG for tile in report.gallery}


def edited(edit: Callable[[dict[str, Any]], object]) -> MissionReport:
    """The golden report after ``edit`` has changed its JSON."""
    loaded = json.loads(GOLDEN.read_text())
    edit(loaded)
    return MissionReport.model_validate(loaded)


def without_reference(report: MissionReport) -> MissionReport:
    return report.model_copy(
        update={"rounds": tuple(entry.model_copy(update={"map50_all_data": None}) for entry in report.rounds)}
    )


def nothing_flown(report: MissionReport) -> MissionReport:
    return report.model_copy(update={"rounds": (), "passes": (), "gallery": (), "targets": ()})


def plain(text: str) -> str:
    """The same words with ordinary spaces."""
    return re.sub(r"[\u00a0\u202f]", " ", text)


def texts(drawing: Drawing, kind: str) -> list[str]:
    return [plain(shape.text) for shape in drawing.shapes if isinstance(shape, Text) and shape.kind == kind]


def marks(drawing: Drawing, kind: str) -> list[Mark]:
    return [shape for shape in drawing.shapes if isinstance(shape, Mark) and shape.kind == kind]


def bars(drawing: Drawing, kind: str) -> list[Bar]:
    return [shape for shape in drawing.shapes if isinstance(shape, Bar) and shape.kind == kind]


# The form


def test_a_report_is_read_as_it_was_written(report: MissionReport, pictures: dict[str, bytes], tmp_path: Path) -> None:
    figures, page = write_report(tmp_path / "demo", report, pictures)
    assert read_report(figures) == report
    assert page.read_text().startswith("<!doctype html>")
    assert {path.name for path in figures.parent.iterdir()} == {"report.json", "report.html"}


def test_the_golden_report_is_written_byte_for_byte(report: MissionReport) -> None:
    assert report_json(report) == GOLDEN.read_bytes()


def test_the_figures_are_on_disk_even_if_the_page_cannot_be_drawn(report: MissionReport, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such picture"):
        write_report(tmp_path, report, {})
    assert read_report(tmp_path / "report.json") == report


def test_the_names_that_others_rely_on_are_there() -> None:
    written = json.loads(GOLDEN.read_text())
    assert {
        "round",
        "flying_model",
        "map50_new_before",
        "map50_new_after",
        "map50_old_after",
        "map50_all_data",
        "frames",
        "captured_bytes",
        "downlinked_bytes",
        "samples_sent",
        "delta_bytes",
        "uplink_seconds",
        "outcome",
    } <= written["rounds"][0].keys()
    assert {
        "captured_bytes",
        "downlinked_bytes",
        "dropped_frames",
        "lost_samples",
        "passes",
        "wall_seconds",
    } <= written["totals"].keys()
    assert {"parameters", "full_bytes"} <= written["model"].keys()
    assert {"downlink_bps", "uplink_bps", "orbit", "station"} <= written["link"].keys()


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda it: it.update(colour="blue"), "colour"),
        (lambda it: it["rounds"][0].update(loss=0.1), "loss"),
        (lambda it: it["totals"].update(lost_samples=-1), "lost_samples"),
        (lambda it: it["rounds"][0].update(map50_new_after=1.5), "map50_new_after"),
        (lambda it: it["totals"].update(wall_seconds=float("nan")), "wall_seconds"),
        (lambda it: it["rounds"].append(it["rounds"][0]), "round 1 is reported more than once"),
        (lambda it: it["passes"].append(it["passes"][3]), "pass 4 is reported more than once"),
        (lambda it: it["passes"][0].update(los=it["passes"][0]["aos"]), "pass 1 ends"),
        (lambda it: it["passes"][0].update(aos="2024-03-29T02:12:00"), "timezone"),
        (lambda it: it["gallery"][0].update(truth=[[9, 9, 3, 3]]), "ends before it begins"),
        (lambda it: it["rounds"][0].update(outcome="lost in space"), "outcome"),
        (lambda it: it.update(version=2), "version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused(edit: Callable[[dict[str, Any]], object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        edited(edit)


def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(BadInput, match=r"report\.json is not a mission report"):
        read_report(tmp_path / "report.json")


def test_a_report_does_not_change(report: MissionReport) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        report.seed = 1  # type: ignore[misc]  # what is tried here


# What is generated from the form


def test_every_field_says_what_it_is() -> None:
    whole = schema()
    parts = [whole, *(part for part in whole["$defs"].values() if "properties" in part)]
    silent = [
        field
        for part in parts
        for field, form in part["properties"].items()
        if not form.get("description") and "$ref" not in form
    ]
    assert silent == []
    assert "|  |\n" not in page_text()


def test_every_size_rate_and_time_has_a_unit() -> None:
    whole = schema()
    parts = [whole, *(part for part in whole["$defs"].values() if "properties" in part)]
    bare = [
        field
        for part in parts
        for field, form in part["properties"].items()
        if re.search("_bytes$|^bytes_|_bps$|seconds$|^map50_|_deg$|^[al]os$", field)
        and '"unit"' not in json.dumps(form)
    ]
    assert bare == []


@pytest.mark.verify
def test_generated_files_are_what_the_code_makes() -> None:
    assert generate.stale(generate.ROOT, generate.GENERATED) == []


def test_a_stale_file_is_named_with_the_command_that_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([], root=tmp_path) == 0
    (tmp_path / "docs/reference/report.md").write_text("edited by hand")
    capsys.readouterr()
    assert generate.main(["--check"], root=tmp_path) == 1
    told = capsys.readouterr().err
    assert "docs/reference/report.md" in told
    assert generate.COMMAND in told
    assert "report.schema.json" not in told


def test_generating_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main([], root=tmp_path)
    capsys.readouterr()
    assert generate.main([], root=tmp_path) == 0
    assert generate.main(["--check"], root=tmp_path) == 0
    assert capsys.readouterr().out == ""


# Words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (bytes_text(0), "0 B"),
        (bytes_text(999), "999 B"),
        (bytes_text(999_600), "1.00 MB"),
        (bytes_text(3_000_000), "3 MB"),
        (bytes_text(214_113), "214 kB"),
        (bytes_text(4_100_338_391), "4.10 GB"),
        (rate_text(100_000_000), "100 Mbit/s"),
        (count_text(6_055_842), "6 055 842"),
        (percent_text(0.0), "0 %"),
        (percent_text(0.00001), "< 0.01 %"),
        (percent_text(0.0919), "9.19 %"),
        (percent_text(0.1002), "10.0 %"),
        (percent_text(0.1), "10 %"),
        (seconds_text(0), "0.0 s"),
        (seconds_text(0.01), "< 0.1 s"),
        (seconds_text(1.77), "1.8 s"),
        (seconds_text(59.7), "1 min 00 s"),
        (seconds_text(47_100), "13 h 05 min"),
        (points_text(0.2514), "+25.1"),
        (points_text(-0.013), "\N{MINUS SIGN}1.3"),
        (points_text(-0.0002), "±0.0"),
    ],
    ids=lambda value: plain(str(value)),
)
def test_figures_read_well(written: str, expected: str) -> None:
    assert plain(written) == expected


def sentence(report: MissionReport) -> str:
    return plain("".join(phrase.text for phrase in headline(report)))


def test_the_headline_tells_the_result_in_one_sentence(report: MissionReport) -> None:
    assert sentence(report) == (
        "Three rounds of learning raised mAP@0.5 on the new domain from 0.312 to 0.563; 9.19 % of the captured bytes "
        "came down, and the largest update took 246 kB."
    )


def test_the_headline_does_not_hide_a_loss(report: MissionReport) -> None:
    worse = report.totals.model_copy(update={"map50_new_final": 0.3})
    assert "lowered mAP@0.5 on the new domain from 0.312 to 0.300" in sentence(
        report.model_copy(update={"totals": worse})
    )


def test_the_headline_of_a_mission_without_rounds_claims_nothing(report: MissionReport) -> None:
    totals = report.totals.model_copy(update={"map50_new_final": 0.312, "captured_bytes": 0})
    idle = nothing_flown(report).model_copy(update={"totals": totals})
    assert sentence(idle) == (
        "No rounds of learning left mAP@0.5 on the new domain at 0.312; nothing was captured, and no update was built."
    )


def test_a_missed_target_is_printed_as_it_was_reached(report: MissionReport) -> None:
    states = {row.target.name: (row.words, row.target.reached) for row in target_rows(report)}
    assert states["Share of the reference trained on all data"] == ("missed", "95.7 %")
    assert states["Energy per frame on the target board"] == ("not measured", "not measured")


def test_every_row_of_the_table_has_a_cell_for_every_round(report: MissionReport) -> None:
    assert {len(row.cells) for section in round_sections(report) for row in section.rows} == {3}


def test_key_figures_hold_what_was_reached_against_something(report: MissionReport) -> None:
    beside = {figure.name: (plain(figure.figure), plain(figure.beside)) for figure in key_figures(report)}
    assert beside["Largest update"] == ("246 kB", "1/98 of the whole model, 24.2 MB")
    assert beside["Samples lost"] == ("0", "955 received of 1 011 spooled")


# Geometry


@given(value=st.floats(-1e6, 1e6))
def test_a_linear_scale_keeps_proportions(value: float) -> None:
    scale = Linear(low=-1e6, high=1e6, start=300, stop=10)
    assert scale(value) + scale(-value) == pytest.approx(310)


def test_a_logarithmic_scale_gives_every_decade_the_same_length() -> None:
    scale = Logarithmic(low=1e4, high=1e8, start=0, stop=400)
    assert [scale(10.0**power) for power in range(4, 9)] == pytest.approx([0, 100, 200, 300, 400])
    assert scale(0) == 0


@pytest.mark.parametrize("make", [lambda: Linear(low=1, high=1, start=0, stop=1), lambda: decades(0, 1)])
def test_a_scale_without_length_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(BadInput):
        make()


@given(low=st.floats(-1e5, 1e5), length=st.floats(1e-3, 1e5), about=st.integers(2, 10))
def test_ticks_are_round_and_enclose_what_is_drawn(low: float, length: float, about: int) -> None:
    marks = ticks(low, low + length, about)
    steps = {f"{after - before:.4g}" for before, after in pairwise(marks)}
    assert marks[0] <= low + 1e-6
    assert marks[-1] >= low + length - 1e-6
    assert len(steps) == 1
    assert steps.pop().lstrip("0.").rstrip("0.")[:1] in "125"
    assert len(marks) <= about + 3


def test_decades_enclose_what_is_drawn() -> None:
    assert decades(208_114, 30_000_000) == (1e5, 1e6, 1e7, 1e8)
    assert decades(1_000, 1_000) == (1e3, 1e4)


def test_time_ticks_are_full_hours_and_not_too_many() -> None:
    found = time_ticks(NOON + timedelta(minutes=7), NOON + timedelta(hours=50), at_most=9)
    assert [moment.hour for moment in found] == [18, 0, 6, 12, 18, 0, 6, 12]


@given(
    places=st.lists(st.floats(0, 1000), max_size=30),
    gap=st.floats(0.5, 80),
)
def test_neighbours_are_spread_without_changing_their_order(places: list[float], gap: float) -> None:
    moved = spread(places, gap=gap, low=20, high=980)
    assert len(moved) == len(places)
    assert all(20 - 1e-6 <= place <= 980 + 1e-6 for place in moved)
    order = sorted(range(len(places)), key=lambda index: places[index])
    apart = [moved[after] - moved[before] for before, after in pairwise(order)]
    wanted = min(gap, 960 / max(1, len(places) - 1))
    assert all(distance >= wanted - 1e-6 for distance in apart)


def test_places_that_are_far_enough_apart_stay() -> None:
    assert spread([100, 300, 200], gap=50, low=0, high=1000) == (100, 300, 200)


def test_close_places_are_spread_around_their_mean() -> None:
    assert spread([100, 110], gap=50, low=0, high=1000) == pytest.approx((80, 130))


@pytest.mark.parametrize("form", Form)
def test_every_form_lies_around_its_point(form: Form) -> None:
    assert outline(form, 50, 50, 5).startswith("M")
    assert len({outline(each, 50, 50, 5) for each in Form}) == len(Form)


# Charts


def test_a_better_round_lies_higher(report: MissionReport) -> None:
    after = marks(accuracy_drawing(report.rounds, width=500), "new after")
    assert [mark.y for mark in after] == sorted((mark.y for mark in after), reverse=True)
    assert after[0].y == after[1].y  # the second update was rolled back


def test_the_reference_is_drawn_only_where_there_is_one(report: MissionReport) -> None:
    bare = without_reference(report)
    assert len(marks(accuracy_drawing(report.rounds, width=500), "reference")) == 3
    assert marks(accuracy_drawing(bare.rounds, width=500), "reference") == []
    assert "without the reference" in accuracy_figure(bare).note
    assert all(key.kind != "reference" for key in accuracy_figure(bare).keys)


def test_labels_of_close_values_do_not_touch(report: MissionReport) -> None:
    drawing = accuracy_drawing(report.rounds, width=500)
    values = [shape for shape in drawing.shapes if isinstance(shape, Text) and shape.kind.startswith("value")]
    for x in {shape.x for shape in values}:
        column = sorted(shape.y for shape in values if shape.x == x)
        assert all(below - above >= 12.9 for above, below in pairwise(column))


def test_a_round_that_was_not_applied_says_so(report: MissionReport) -> None:
    assert texts(accuracy_drawing(report.rounds, width=500), "warning") == ["rolled back"]


def test_many_rounds_are_numbered_rather_than_written_over_each_other(report: MissionReport) -> None:
    many = tuple(report.rounds[1].model_copy(update={"round": number}) for number in range(1, 13))
    drawing = accuracy_drawing(many, width=340)
    assert texts(drawing, "label") == [str(number) for number in range(1, 13)]
    assert texts(drawing, "warning") == []
    assert len(marks(drawing, "cut")) == 12


def test_forgetting_points_down(report: MissionReport) -> None:
    drawing = forgetting_drawing(((1, -0.02), (2, 0.01)), width=500)
    zero = next(shape.y1 for shape in drawing.shapes if isinstance(shape, Line) and shape.kind == "zero")
    worse, better = marks(drawing, "old after")
    assert worse.y > zero > better.y


def test_a_small_change_on_the_old_domain_looks_small() -> None:
    small = marks(forgetting_drawing(((1, -0.001),), width=500), "old after")[0]
    zero = marks(forgetting_drawing(((1, 0.0),), width=500), "old after")[0]
    assert abs(small.y - zero.y) < 5


def test_updates_are_held_against_3_and_30_megabytes(report: MissionReport) -> None:
    drawing = updates_drawing(report.rounds, report.model.full_bytes, width=500)
    assert texts(drawing, "guide-label") == ["3 MB", "30 MB"]
    guides = [shape.x1 for shape in drawing.shapes if isinstance(shape, Line) and shape.kind == "guide"]
    assert all(mark.x < guides[0] for mark in marks(drawing, "up"))
    assert guides[0] < marks(drawing, "whole")[0].x < guides[1]


def test_a_round_without_an_update_says_so() -> None:
    idle = edited(lambda it: it["rounds"][1].update(delta_bytes=0, outcome="not_sent", uplink_seconds=0))
    assert idle.rounds[1].outcome is RoundOutcome.NOT_SENT
    drawing = updates_drawing(idle.rounds, idle.model.full_bytes, width=500)
    assert texts(drawing, "note") == ["no update was built"]
    assert len(marks(drawing, "up")) == 2


def test_twice_the_share_is_twice_as_long(report: MissionReport) -> None:
    entry = report.rounds[0].model_copy(update={"captured_bytes": 1_000, "downlinked_bytes": 40})
    double = entry.model_copy(update={"round": 2, "downlinked_bytes": 80})
    once, twice = bars(share_drawing((entry, double), width=500), "down")
    assert twice.width == pytest.approx(2 * once.width)


def test_airtime_is_bytes_over_the_rate(report: MissionReport) -> None:
    assert busy_down(report.passes[0], report.link) == pytest.approx(61_200_000 * 8 / 100e6)
    drawing = airtime_drawing(report.passes, report.link, width=1_080)
    assert len(marks(drawing, "window")) == len(report.passes)
    assert len(marks(drawing, "down")) == sum(entry.bytes_down > 0 for entry in report.passes)


def test_passes_stay_in_order_and_apart(report: MissionReport) -> None:
    places = placed(report.passes, width=1_080)
    assert all(after.x - before.x >= GAP - 1e-6 for before, after in pairwise(places))
    assert all(after.at > before.at for before, after in pairwise(places))


def test_the_timeline_shows_cuts_and_which_update_went_up(report: MissionReport) -> None:
    drawing = timeline_drawing(report.passes, width=1_080)
    assert len(marks(drawing, "cut")) == 2
    assert texts(drawing, "value update") == ["1", "2", "2", "3"]
    assert "215 kB" in texts(drawing, "value up")


def test_up_is_above_down(report: MissionReport) -> None:
    drawing = timeline_drawing(report.passes, width=1_080)
    lowest_up = max(bar.y + bar.height for bar in bars(drawing, "up"))
    assert lowest_up < min(bar.y for bar in bars(drawing, "down"))


def test_many_passes_leave_out_figures_rather_than_overlap(report: MissionReport) -> None:
    many = tuple(
        report.passes[0].model_copy(
            update={
                "number": number,
                "aos": NOON + timedelta(hours=6 * number),
                "los": NOON + timedelta(hours=6 * number, minutes=8),
            }
        )
        for number in range(1, 61)
    )
    drawing = timeline_drawing(many, width=1_080)
    assert texts(drawing, "value up") == []
    drawn = sorted(bars(drawing, "down"), key=lambda bar: bar.x)
    assert all(before.x + before.width < after.x for before, after in pairwise(drawn))


# The gallery


def test_each_label_is_found_once() -> None:
    truth = ((10.0, 10.0, 50.0, 50.0), (100.0, 100.0, 140.0, 140.0))
    boxes = ((10.0, 10.0, 50.0, 50.0, 0.9), (11.0, 10.0, 51.0, 50.0, 0.8), (300.0, 10.0, 340.0, 50.0, 0.7))
    assert found_in(boxes, truth).words == "1 of 2 found, 2 false"


@pytest.mark.parametrize(
    ("boxes", "truth", "words"),
    [
        ((), (), "0 of 0 found, 0 false"),
        ((), ((0.0, 0.0, 9.0, 9.0),), "0 of 1 found, 0 false"),
        (((0.0, 0.0, 9.0, 9.0),), (), "0 of 0 found, 1 false"),
    ],
)
def test_empty_tiles_are_counted(
    boxes: tuple[tuple[float, ...], ...], truth: tuple[tuple[float, ...], ...], words: str
) -> None:
    assert found_in(boxes, truth).words == words


@pytest.mark.parametrize(
    ("picture", "kind"),
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp")],
)
def test_a_picture_is_told_by_its_first_bytes(picture: bytes, kind: str) -> None:
    assert data_uri(picture).startswith(f"data:{kind};base64,")


def test_a_picture_that_could_hold_references_is_refused() -> None:
    with pytest.raises(BadInput, match="give PNG"):
        data_uri(b"<svg><script/></svg>")


# The page


def variants(report: MissionReport) -> dict[str, MissionReport]:
    return {"whole": report, "no reference": without_reference(report), "nothing flown": nothing_flown(report)}


@pytest.mark.parametrize("name", ["whole", "no reference", "nothing flown"])
def test_the_page_asks_for_nothing_from_outside(report: MissionReport, pictures: dict[str, bytes], name: str) -> None:
    page = render_page(variants(report)[name], pictures)
    assert not re.search(r"https?://|//[a-z]+\.", page)
    assert "<script" not in page
    assert "<link" not in page
    assert not re.search(r"@import|url\(", page)
    assert all(target.startswith(("#", "data:image/")) for target in re.findall(r'(?:href|src)="([^"]*)"', page))


def test_the_same_report_gives_the_same_page(report: MissionReport, pictures: dict[str, bytes]) -> None:
    assert render_page(report, pictures) == render_page(report, pictures)


def test_hostile_names_stay_words() -> None:
    def poison(loaded: dict[str, Any]) -> None:
        loaded["mission"] = loaded["link"]["orbit"] = loaded["link"]["station"] = HOSTILE
        loaded["software_version"] = loaded["rounds"][1]["reason"] = loaded["rounds"][0]["base_model"] = HOSTILE
        loaded["targets"][0].update(name=HOSTILE, wanted=HOSTILE, reached=HOSTILE)
        loaded["passes"][0].update(station=HOSTILE, events=[HOSTILE])
        loaded["gallery"][0].update(frame=HOSTILE, image=HOSTILE)

    poisoned = edited(poison)
    page = render_page(poisoned, {tile.image: PNG for tile in poisoned.gallery})
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") >= 10


def test_a_mission_without_rounds_and_passes_shows_no_empty_charts(
    report: MissionReport, pictures: dict[str, bytes]
) -> None:
    page = render_page(nothing_flown(report), pictures)
    assert re.findall(r'id="figure-(\w+)"', page) == ["updates"]


def test_a_picture_is_carried_once_and_shown_twice(report: MissionReport, pictures: dict[str, bytes]) -> None:
    page = render_page(report, pictures)
    assert page.count("data:image/png") == len(report.gallery)
    assert page.count('<use href="#picture-1"/>') == 2


def test_everything_drawn_is_also_told_in_words(report: MissionReport, pictures: dict[str, bytes]) -> None:
    page = render_page(report, pictures)
    drawn = re.findall(r"<svg[^>]*>", page)
    assert all('role="img" aria-label="' in tag or 'aria-hidden="true"' in tag for tag in drawn)
    assert page.count("<th scope=") > 20
    assert '<html lang="en">' in page


def test_every_id_is_used_once(report: MissionReport, pictures: dict[str, bytes]) -> None:
    ids = re.findall(r' id="([^"]+)"', render_page(report, pictures))
    assert len(ids) == len(set(ids))
