"""Whole missions in small: real frames cut down, few training steps, real sockets, every part in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import LearningRule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import CanaryRule
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import weights_digest
from orbitloop_mission.embedded.flight import Flown, fly
from orbitloop_mission.embedded.narrator import Silent
from orbitloop_mission.embedded.plan import Labels, MissionPlan
from orbitloop_mission.embedded.telling import report_of
from orbitloop_mission.report.files import read_report, write_report

EXAMPLES = Path(__file__).parents[2] / "examples"
SIDE = 640

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight corners of bundled frames, each around an airplane: five to fly over, one archived, two to measure on."""
    folder = tmp_path_factory.mktemp("data")
    source = EXAMPLES / "data/airbus-aircraft"
    document = json.loads((source / "annotations.json").read_text())
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, split in enumerate(("train",) * 5 + ("val",) + ("test",) * 2):
        entry = document["images"][number]
        boxes = [a["bbox"] for a in document["annotations"] if a["image_id"] == entry["id"]]
        x = min(int(boxes[0][0]), entry["width"] - SIDE) // 2
        y = min(int(boxes[0][1]), entry["height"] - SIDE) // 2
        with Image.open(source / entry["file_name"]) as picture:
            picture.crop((x, y, x + SIDE, y + SIDE)).save(folder / f"{number}.jpg", quality=80)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": SIDE, "height": SIDE, "split": split})
        for left, top, width, height in boxes:
            box = [left - x, top - y, width, height]
            if box[0] >= 0 and box[1] >= 0 and box[0] + width <= SIDE and box[1] + height <= SIDE:
                annotations.append({"id": len(annotations), "image_id": number, "category_id": 1, "bbox": box})
    categories = [{"id": 1, "name": "airplane"}]
    (folder / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


@pytest.fixture(scope="module")
def plan(data: Path, tmp_path_factory: pytest.TempPathFactory) -> MissionPlan:
    """A mission of three rounds that sends whatever a few steps of training make."""
    return MissionPlan(
        out=tmp_path_factory.mktemp("mission"),
        data=data / "annotations.json",
        model=EXAMPLES / "models/airplane-1m",
        steps=16,
        cut_round=2,
        cut_after=Bytes(8_000),
        policy=LinkPolicy(downlink_share=0.6, update_budget=Bytes(60_000)),
        rule=LearningRule(least_samples=1, least_gain=-1.0, least_held_out=0),
        canary=CanaryRule(least=0, tolerance=1.0),
    )


@pytest.fixture(scope="module")
def flown(plan: MissionPlan) -> Flown:
    return fly(plan, Silent())


def test_every_round_sends_an_update_that_flies(flown: Flown) -> None:
    report, _ = report_of(flown)
    assert [(entry.outcome.value, entry.reason) for entry in report.rounds] == [("applied", "")] * 3
    assert all(entry.reconstructed_identical for entry in report.rounds)
    assert [entry.base_model for entry in report.rounds[1:]] == [entry.flying_model for entry in report.rounds[:-1]]


def test_what_flies_in_the_end_is_not_what_was_launched(flown: Flown) -> None:
    assert weights_digest(flown.final.weights) != weights_digest(flown.base.weights)
    assert weights_digest(flown.final.weights) == flown.logbook.rounds[-1].after


def test_no_frame_is_dropped_and_no_sample_lost(flown: Flown) -> None:
    totals = report_of(flown)[0].totals
    assert (totals.frames_captured, totals.frames_processed, totals.dropped_frames) == (5, 5, 0)
    assert totals.samples_received == totals.samples_spooled > 0
    assert totals.lost_samples == 0


def test_an_update_that_lost_the_signal_goes_on_in_the_next_pass(flown: Flown) -> None:
    """What crossed in both passes together is the update and little more: nothing acknowledged was sent again."""
    second = flown.logbook.rounds[1]
    assert second.state is not None
    assert second.state.candidate is not None
    passes = [entry for entry in flown.logbook.passes if 2 in entry.update_rounds]
    assert [entry.cut for entry in passes] == [True, False]
    assert sum(entry.up for entry in passes) < second.state.candidate.size + 8_000  # handshakes and messages


def test_updates_keep_to_the_budget(flown: Flown) -> None:
    for entry in flown.logbook.rounds:
        assert entry.state is not None
        assert entry.state.candidate is not None
        assert 0 < entry.state.candidate.size <= flown.plan.policy.update_budget


def test_what_comes_down_keeps_to_its_share(flown: Flown) -> None:
    """The share counts pixels; headers, detections and the protocol come on top, and weigh much on small frames."""
    pixels = sum(path.stat().st_size for path in (flown.plan.out / "state/ground/blobs").rglob("*") if path.is_file())
    assert 0 < pixels <= 0.6 * flown.telemetry.captured_bytes


def test_the_report_is_written_and_read_again(flown: Flown, tmp_path: Path) -> None:
    report, pictures = report_of(flown)
    figures, page = write_report(tmp_path, report, pictures)
    assert read_report(figures) == report
    assert f"{report.totals.map50_new_final:.3f}" in page.read_text()


def test_a_reference_and_a_teacher_can_fly_along(plan: MissionPlan, tmp_path: Path) -> None:
    """The launched model serves as its own teacher: labels need not be good to travel the whole way."""
    alone = replace(
        plan, out=tmp_path, rounds=1, reference=True, labels=Labels.TEACHER, teacher=plan.model, cut_round=None
    )
    report, _ = report_of(fly(alone, Silent()))
    assert report.rounds[0].map50_all_data is not None
    assert report.rounds[0].outcome.value == "applied"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("data", "missing/annotations.json", "no such file"),
        ("model", "missing", "no such file"),
        ("rounds", 9, "too few for 9 rounds"),
    ],
    ids=["no data", "no model", "more rounds than frames"],
)
def test_a_mission_that_cannot_fly_says_why_and_leaves_the_last_one_alone(
    plan: MissionPlan, tmp_path: Path, field: str, value: str | int, complaint: str
) -> None:
    kept = tmp_path / "state/satellite/spool.db"
    kept.parent.mkdir(parents=True)
    kept.write_text("of the last mission")
    wrong: dict[str, object] = {"out": tmp_path, field: Path(value) if isinstance(value, str) else value}
    with pytest.raises(BadInput, match=complaint):
        fly(replace(plan, **wrong), Silent())  # type: ignore[arg-type]  # one field of any type
    assert kept.read_text() == "of the last mission"


def test_a_corrupt_frame_costs_itself_and_nothing_else(plan: MissionPlan, data: Path, tmp_path: Path) -> None:
    """The image is damaged after the annotations were read: the satellite meets it, not the ground."""
    frames = tmp_path / "data"
    frames.mkdir()
    for path in data.iterdir():
        (frames / path.name).write_bytes(path.read_bytes())
    (frames / "0.jpg").write_bytes(np.random.default_rng(0).bytes(3_000))
    flown = fly(replace(plan, out=tmp_path / "out", data=frames / "annotations.json", rounds=1), Silent())
    assert flown.telemetry.frames_processed == 5
    assert flown.received > 0


def test_a_mission_that_cannot_learn_says_what_it_waited_for(plan: MissionPlan, tmp_path: Path) -> None:
    patient = replace(plan, out=tmp_path, rounds=1, rule=LearningRule(least_samples=10_000))
    flown = fly(patient, Silent())
    assert "of 10000 samples" in flown.logbook.unfinished
    assert report_of(flown)[0].rounds == ()


def test_an_update_that_nothing_proved_does_not_fly(plan: MissionPlan, tmp_path: Path) -> None:
    strict = replace(plan, out=tmp_path, rounds=1, canary=CanaryRule(least=1_000), cut_round=None)
    report, _ = report_of(fly(strict, Silent()))
    assert [entry.outcome.value for entry in report.rounds] == ["rolled_back"]
    assert report.rounds[0].flying_model == report.rounds[0].base_model
    assert "canary tiles" in report.rounds[0].reason
