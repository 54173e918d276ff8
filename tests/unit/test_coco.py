"""Annotations from outside: read right, or refused by file, id and reason."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.coco import MAX_ANNOTATION_BYTES, read_coco

SET: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "images/7.png", "width": 40, "height": 30, "split": "train"},
        {"id": 3, "file_name": "images/3.png", "width": 20, "height": 20, "split": "test"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 20]},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0.5, 0, 40, 30]},
        {"id": 3, "image_id": 7, "category_id": 4, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
    "categories": [{"id": 9, "name": "ship"}, {"id": 4, "name": "airplane"}],
}
Change = Callable[[dict[str, Any]], object]


def write(folder: Path, document: object) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def test_a_set_is_read_with_its_classes_boxes_and_own_fields(tmp_path: Path) -> None:
    found = read_coco(write(tmp_path, SET))
    assert found.classes == ("airplane", "ship")
    assert [image.id for image in found.images] == [3, 7]
    empty, full = found.images
    assert full.path == tmp_path / "images/7.png"
    assert full.truth.boxes.tolist() == [[1, 2, 11, 22], [0.5, 0, 40.5, 30]]
    assert full.truth.labels.tolist() == [1, 0]
    assert full.extra == {"split": "train"}
    assert empty.truth.boxes.shape == (0, 4)


def test_images_are_chosen_by_their_own_fields(tmp_path: Path) -> None:
    found = read_coco(write(tmp_path, SET))
    assert [image.id for image in found.where(split="test").images] == [3]
    assert found.where(split="test").classes == found.classes
    assert found.where(split="none").images == ()
    assert found.where(camera="A").images == ()


def box(*values: object) -> Change:
    return lambda document: document["annotations"][0].update(bbox=list(values))


def annotation(**fields: object) -> Change:
    return lambda document: document["annotations"][0].update(fields)


def image(**fields: object) -> Change:
    return lambda document: document["images"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("images"), "COCO needs the lists"),
        (lambda d: d.pop("annotations"), "COCO needs the lists"),
        (lambda d: d.update(categories={}), "COCO needs the lists"),
        (lambda d: d.update(categories=[]), "every category needs a name, and there must be at least one"),
        (lambda d: d["categories"][0].pop("name"), "every category needs a name"),
        (lambda d: d["categories"][0].update(name=""), "every category needs a name"),
        (lambda d: d["categories"].append(d["categories"][0]), "categories 9: the id occurs twice"),
        (lambda d: d["images"].append(d["images"][0]), "images 7: the id occurs twice"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "annotations 1: the id occurs twice"),
        (lambda d: d["images"].append(5), "images at position 2: has no integer id"),
        (lambda d: d["annotations"][1].pop("id"), "annotations at position 1: has no integer id"),
        (image(id="7"), "images at position 0: has no integer id"),
        (annotation(image_id=8), "annotation 1: image 8 is not listed"),
        (annotation(image_id=[7]), r"annotation 1: image \[7\] is not listed"),
        (annotation(image_id=None), "annotation 1: image None is not listed"),
        (annotation(category_id=5), "annotation 1: category 5 is not listed"),
        (annotation(category_id={}), "annotation 1: category {} is not listed"),
        (annotation(bbox=None), "annotation 1: bbox must be four finite numbers, not None"),
        (box(1, 2, 3), "annotation 1: bbox must be four finite numbers"),
        (box(1, 2, 3, "4"), "annotation 1: bbox must be four finite numbers"),
        (box(float("nan"), 2, 3, 4), "annotation 1: bbox must be four finite numbers"),
        (box(1, 2, float("inf"), 4), "annotation 1: bbox must be four finite numbers"),
        (box(1, 2, 10**400, 4), "annotation 1: bbox must be four finite numbers"),
        (box(1, 2, -3, 4), "annotation 1: bbox .* has no area"),
        (box(1, 2, 3, 0), "annotation 1: bbox .* has no area"),
        (box(-2, 2, 3, 4), "annotation 1: bbox .* leaves the image of 40x30 pixels"),
        (box(35, 2, 7, 4), "annotation 1: bbox .* leaves the image"),
        (box(1, 20, 7, 12), "annotation 1: bbox .* leaves the image"),
        (image(file_name=None), "image 7: has no file_name"),
        (image(file_name=""), "image 7: has no file_name"),
        (image(file_name="../7.png"), "image 7: path '../7.png' leaves its folder"),
        (image(file_name="/etc/passwd"), "image 7: path '/etc/passwd' leaves its folder"),
        (image(width=0), "image 7: width and height must be positive integers, not 0, 30"),
        (image(height=None), "image 7: width and height must be positive integers"),
        (image(width=40.0), "image 7: width and height must be positive integers"),
        (image(width=20_000, height=20_000), "image 7: 20000x20000 are more than 100000000 pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_entry_is_named_by_file_id_and_reason(tmp_path: Path, change: Change, reason: str) -> None:
    document = copy.deepcopy(SET)
    change(document)
    path = write(tmp_path, document)
    with pytest.raises(BadInput, match=f"{path}: {reason}"):
        read_coco(path)


@pytest.mark.parametrize("slack", [(-0.9, 0, 40.9, 30), (0, -0.9, 40, 31.8)], ids=str)
def test_a_box_may_leave_its_image_by_the_rounding_of_a_labelling_tool(
    tmp_path: Path, slack: tuple[float, ...]
) -> None:
    document = copy.deepcopy(SET)
    box(*slack)(document)
    assert len(read_coco(write(tmp_path, document)).images) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5_000, "not JSON"),
        (b"[]", "COCO needs the lists"),
        (b"null", "COCO needs the lists"),
    ],
    ids=["empty", "cut short", "not UTF-8", "nested too deep", "an endless number", "a list", "null"],
)
def test_a_file_that_is_no_set_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"{path}: {reason}"):
        read_coco(path)


def test_a_file_that_is_missing_a_folder_or_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file; give the path"):
        read_coco(tmp_path / "annotations.json")
    with pytest.raises(BadInput, match=f"{tmp_path}: cannot be read"):
        read_coco(tmp_path)
    path = tmp_path / "annotations.json"
    path.touch()
    os.truncate(path, MAX_ANNOTATION_BYTES + 1)  # sparse: takes no room
    with pytest.raises(BadInput, match=r"larger than .* split the set"):
        read_coco(path)


# Pictures


def load(folder: Path) -> Image.Image:
    return read_coco(write(folder, SET)).where(split="train").images[0].load()


def picture(folder: Path) -> Path:
    path = folder / "images/7.png"
    path.parent.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_picture_comes_as_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (40, 30), (204, 204, 204)).convert(mode).save(picture(tmp_path))
    pixels = np.asarray(load(tmp_path))
    assert pixels.shape == (30, 40, 3)
    assert np.median(pixels) == 204


def noise_picture(path: Path) -> None:
    path.write_bytes(b"noise")


def truncated_picture(path: Path) -> None:
    Image.effect_noise((40, 30), 50).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def turned_picture(path: Path) -> None:
    Image.new("RGB", (30, 40)).save(path)


def huge_picture(path: Path) -> None:
    path.write_bytes(b"P6 60000 60000 255\n" + b"\0" * 99)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such image"),
        (noise_picture, "cannot be read as an image"),
        (truncated_picture, "cannot be read as an image"),
        (lambda path: path.write_bytes(b""), "cannot be read as an image"),
        (lambda path: path.mkdir(), "cannot be read as an image"),
        (turned_picture, "image is 30x40, the annotations say 40x30"),
        (huge_picture, "cannot be read as an image"),
    ],
    ids=["missing", "noise", "truncated", "empty", "a folder", "another size", "a decompression bomb"],
)
def test_a_picture_that_is_not_what_the_annotations_say_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(picture(tmp_path))
    with pytest.raises(BadInput, match=f"{tmp_path}/images/7.png: {reason}"):
        load(tmp_path)
