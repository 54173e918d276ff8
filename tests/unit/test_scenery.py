"""Data for a mission: frames that can be told apart and sent, classes that the model knows."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import a_model
from orbitloop_ground.adapters.coco import CocoSet
from orbitloop_ground.adapters.labels import ArchiveLabels
from orbitloop_mission.embedded.scenery import Scenery, check_classes, load_scenery

SIDE = 16


def a_set(folder: Path, *names: str, classes: tuple[str, ...] = ("airplane",)) -> Path:
    """Three frames, one a split, and one more of split train for each of ``names``."""
    named = [("train.png", "train"), ("val.png", "val"), ("test.png", "test"), *((name, "train") for name in names)]
    images = []
    for number, (name, split) in enumerate(named):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (SIDE, SIDE)).save(folder / name)
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE, "split": split})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    return path


def loaded(annotations: Path) -> Scenery:
    return load_scenery(annotations, rounds=1, old_scale=0.5, seed=0)


def test_frames_are_dealt_by_split(tmp_path: Path) -> None:
    scenery = loaded(a_set(tmp_path, "sub/A_1-b.2.png"))
    assert {path.name for path in scenery.flown[0]} == {"train.png", "A_1-b.2.png"}
    assert [lesson.pixels.shape for lesson in (*scenery.archive, *scenery.test_old)] == [(SIDE // 2, SIDE // 2, 3)] * 2
    assert [lesson.pixels.shape for lesson in scenery.test_new] == [(SIDE, SIDE, 3)]


def test_two_images_of_one_name_are_refused_by_their_ids(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"annotations\.json: images 2 and 3 are both named 'test\.png'"):
        loaded(a_set(tmp_path, "sub/test.png"))


@pytest.mark.parametrize("name", ["two words.png", "Flugplätze.png", "-dash.png", "a+b.png", f"{'n' * 197}.png"])
def test_a_name_that_no_bundle_takes_is_refused_by_its_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"annotations\.json: image 3: file name '.*' cannot be sent"):
        loaded(a_set(tmp_path, name))


@pytest.mark.parametrize(
    "classes", [("ship",), ("airplane", "ship"), ("Airplane",)], ids=["another", "one too many", "another spelling"]
)
def test_classes_that_the_model_does_not_detect_are_refused(tmp_path: Path, classes: tuple[str, ...]) -> None:
    annotations = a_set(tmp_path, classes=classes)
    with pytest.raises(BadInput, match=r"annotations\.json: categories by id are .*, the model detects airplane;"):
        check_classes(loaded(annotations), a_model(), annotations)


def test_the_models_classes_are_accepted(tmp_path: Path) -> None:
    annotations = a_set(tmp_path)
    check_classes(loaded(annotations), a_model(), annotations)


def test_a_frame_without_labels_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    labels = ArchiveLabels(CocoSet(classes=("airplane",), images=()))
    with caplog.at_level(logging.WARNING):
        for frame in ("a.png", "b.png", "a.png"):
            assert labels.label(frame, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool)) is None
    assert [(record.message, vars(record)["frame"]) for record in caplog.records] == [
        ("frame_without_labels", "a.png"),
        ("frame_without_labels", "b.png"),
    ]
