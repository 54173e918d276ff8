"""A teacher on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.calibration import Calibration
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_spec
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.teacher import Fitted, Views
from orbitloop_ground.adapters.teacher_files import TEACHER, read_teacher, write_teacher
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

CLASSES = ("airplane",)
FITTED = Fitted(
    calibration=Calibration(scores=(0.25, 0.75), confidence=(0.125, 0.875)),
    pictures=2,
    boxes=9,
    error_before=0.5,
    error_after=0.1,
)


def a_folder(folder: Path) -> Digest:
    spec = a_spec()
    network = YoloTiny(spec, normalised=False)
    return write_model(folder, Model(spec=spec, weights=weights_of(network), graph=export_graph(spec)))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    digest = a_folder(tmp_path)
    views = Views(scales=(0.5, 2.0), mirrored=False)
    write_teacher(tmp_path, digest, views, FITTED, shown_at=2.0)
    teacher = read_teacher(tmp_path, CLASSES, Compute.best())
    assert (teacher.name, teacher.views, teacher.calibration) == (digest, views, FITTED.calibration)


def test_without_a_calibration_scores_are_taken_at_their_word_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_folder(tmp_path)
    assert read_teacher(tmp_path, CLASSES, Compute.best()).calibration == Calibration.none()
    assert [record.message for record in caplog.records] == ["teacher_not_calibrated"]


def test_a_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    a_folder(tmp_path)
    write_teacher(tmp_path, a_digest("other"), Views(), FITTED, shown_at=2.0)
    with pytest.raises(BadInput, match=r"calibrated with other weights .* orbitloop calibrate"):
        read_teacher(tmp_path, CLASSES, Compute.best())


@pytest.mark.parametrize("field", [{"scores": [0.9, 0.1]}, {"scales": []}, {"boxes": 0}, {"extra": 1}])
def test_a_damaged_calibration_is_named_by_its_file(tmp_path: Path, field: dict[str, object]) -> None:
    write_teacher(tmp_path, a_folder(tmp_path), Views(), FITTED, shown_at=2.0)
    told = json.loads((tmp_path / TEACHER).read_text())
    (tmp_path / TEACHER).write_text(json.dumps(told | field))
    with pytest.raises(BadInput, match=r"teacher\.json: .* orbitloop calibrate"):
        read_teacher(tmp_path, CLASSES, Compute.best())


def test_the_bundled_model_can_label_on_the_ground() -> None:
    bundled = Path(__file__).parents[2] / "examples" / "models" / "airplane-1m"
    teacher = read_teacher(bundled, CLASSES, Compute.best())
    assert teacher.calibration != Calibration.none()
    assert 1.0 in teacher.views.scales


def test_a_teacher_that_must_be_calibrated_says_what_writes_that(tmp_path: Path) -> None:
    a_folder(tmp_path)
    assert read_teacher(tmp_path, None, Compute.best()).calibration == Calibration.none()
    with pytest.raises(BadInput, match=r"is not calibrated, teacher\.json is missing.*orbitloop calibrate"):
        read_teacher(tmp_path, None, Compute.best(), calibrated=True)
    write_teacher(tmp_path, weights_digest(read_model(tmp_path).weights), Views(), FITTED, shown_at=2.0)
    assert read_teacher(tmp_path, None, Compute.best(), calibrated=True).calibration == FITTED.calibration


def test_a_folder_without_a_model_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: is no folder of a model.*orbitloop teacher"):
        read_teacher(tmp_path / "nowhere", CLASSES, Compute.best())
