"""A teacher on disk: a model's folder with ``teacher.json`` beside its weights, which says how it looks and what its
scores are worth.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.calibration import Calibration
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText
from orbitloop.wire.model_folder import DETECTOR, Model, read_file
from orbitloop_ground.adapters.teacher import Fitted, Teacher, Views, teacher_of
from orbitloop_ground.adapters.yolo.compute import Compute

TEACHER = "teacher.json"

_log = logging.getLogger(__name__)


class TeacherText(BaseModel):
    """``teacher.json``.

    Attributes:
        digest: of the weights that were calibrated.
        scales: of its views, as factors on a picture's resolution.
        mirrored: whether each view is looked at both ways round.
        scores, confidence: points of the calibration.
        shown_at: factor on the resolution of the pictures that it was calibrated on.
        pictures, boxes: how many these were.
        error_before, error_after: expected calibration error of bare and of calibrated scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    digest: DigestText
    scales: tuple[float, ...]
    mirrored: bool
    scores: tuple[float, ...]
    confidence: tuple[float, ...]
    shown_at: float = Field(gt=0)
    pictures: int = Field(ge=1)
    boxes: int = Field(ge=1)
    error_before: float = Field(ge=0, le=1)
    error_after: float = Field(ge=0, le=1)


def write_teacher(folder: Path, digest: Digest, views: Views, fitted: Fitted, *, shown_at: float) -> TeacherText:
    """Write ``teacher.json`` beside the weights ``digest``; returns what it says."""
    text = TeacherText(
        digest=digest,
        scales=views.scales,
        mirrored=views.mirrored,
        scores=tuple(round(score, 5) for score in fitted.calibration.scores),
        confidence=tuple(round(value, 5) for value in fitted.calibration.confidence),
        shown_at=shown_at,
        pictures=fitted.pictures,
        boxes=fitted.boxes,
        error_before=round(fitted.error_before, 4),
        error_after=round(fitted.error_after, 4),
    )
    write_durably(folder / TEACHER, (text.model_dump_json(indent=2) + "\n").encode())
    return text


def read_teacher(
    folder: Path, classes: tuple[str, ...] | None, compute: Compute, *, calibrated: bool = False
) -> Teacher:
    """The teacher in a model's folder. Without ``teacher.json`` its scores are taken at their word.

    Args:
        classes: what it must detect, in this order; ``None``: whatever it does.
        calibrated: ask for ``teacher.json``.

    Raises:
        BadInput: a file is missing or damaged, the tensors do not fit the network, the classes are others, or it was
            calibrated with other weights.
        Untrusted: the weights are not those that the folder names.
    """
    if not (folder / DETECTOR).exists():
        raise BadInput(f"teacher {folder}: is no folder of a model; write one there with orbitloop teacher")
    model = read_model(folder)
    if calibrated and not (folder / TEACHER).exists():
        raise BadInput(
            f"teacher {folder}: is not calibrated, {TEACHER} is missing; what its scores are worth is unknown: "
            "write it with orbitloop calibrate"
        )
    if classes is not None and model.spec.classes != classes:
        raise BadInput(
            f"{folder}: detects {', '.join(model.spec.classes)}, the launched model {', '.join(classes)}; "
            "a teacher needs the same classes in the same order"
        )
    views, calibration = _read_text(folder, model)
    try:
        return teacher_of(model, compute, views, calibration)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise BadInput(
            f"{folder}: cannot be loaded as a teacher ({reason}); train one with orbitloop teacher"
        ) from error


def _read_text(folder: Path, model: Model) -> tuple[Views, Calibration]:
    path = folder / TEACHER
    if not path.exists():
        _log.warning("teacher_not_calibrated", extra={"folder": str(folder)})
        return Views(), Calibration.none()
    try:
        text = TeacherText.model_validate_json(read_file(path))
        views = Views(scales=text.scales, mirrored=text.mirrored)
        calibration = Calibration(scores=text.scores, confidence=text.confidence)
    except ValidationError as error:
        raise BadInput(f"{path}: {first_complaint(error)}; write it anew with orbitloop calibrate") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}; write it anew with orbitloop calibrate") from error
    if text.digest != weights_digest(model.weights):
        raise BadInput(
            f"{path}: was calibrated with other weights than {DETECTOR} names; write it anew with orbitloop calibrate"
        )
    return views, calibration
