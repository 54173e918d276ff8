"""Lists of labelled pictures: what is written in them, and what earlier rounds trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.tile_lists import drawn, earlier_lists, lessons_of, lines_of

CLASSES = ("airplane", "ship")


def picture(folder: Path, name: str) -> Path:
    path = folder / name
    Image.fromarray(np.full((8, 12, 3), 7, np.uint8)).save(path)
    return path


def test_a_line_is_a_picture_with_its_objects(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    (tmp_path / "index.txt").write_text("a.png 1,2,5,6,0 0,0,3,3,1\n\n   \n")
    (lesson,) = lessons_of(lines_of(tmp_path / "index.txt"), CLASSES, "index.txt")
    assert lesson.pixels.shape == (8, 12, 3)
    assert lesson.truth.boxes.tolist() == [[1, 2, 5, 6], [0, 0, 3, 3]]
    assert lesson.truth.labels.tolist() == [0, 1]


def test_a_picture_without_objects_is_background_and_a_box_without_area_is_none(tmp_path: Path) -> None:
    path = picture(tmp_path, "a.png")
    empty, flat = lessons_of([str(path), f"{path} 3,3,3,9,0"], CLASSES, "list")
    assert empty.truth.boxes.shape == flat.truth.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("1,2,3,4", "'1,2,3,4' is no object; write x0,y0,x1,y1,class in pixels"),
        ("plane", "'plane' is no object"),
        ("1,2,3,nan,0", "is no object"),
        ("1,2,3,4,2", "is of class 2, and the model knows 2, counted from 0"),
        ("1,2,3,4,0.5", "is of class 0.5"),
    ],
)
def test_a_line_that_says_no_boxes_is_refused_by_its_number(tmp_path: Path, words: str, why: str) -> None:
    path = picture(tmp_path, "a.png")
    with pytest.raises(BadInput, match="list: line 2: ") as refused:
        lessons_of([str(path), f"{path} {words}"], CLASSES, "list")
    assert why in str(refused.value)


def test_one_bad_picture_does_not_keep_the_others_from_being_learnt(tmp_path: Path) -> None:
    path = picture(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert len(lessons_of([str(path), f"{tmp_path}/b.png", f"{tmp_path}/gone.png"], CLASSES, "list")) == 1
    with pytest.raises(BadInput, match="none of its 2 pictures can be read"):
        lessons_of([f"{tmp_path}/b.png", f"{tmp_path}/gone.png"], CLASSES, "list")


def test_earlier_rounds_are_those_of_a_lower_number_in_their_order(tmp_path: Path) -> None:
    for name in ("1", "2", "10", "11", "notes"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "data.txt").write_text("")
    (tmp_path / "train" / "9").mkdir()  # closed before it had a list
    found = earlier_lists(tmp_path / "train" / "10" / "data.txt")
    assert [path.parent.name for path in found] == ["1", "2"]
    assert earlier_lists(tmp_path / "train" / "notes" / "data.txt") == []


def test_of_too_many_lines_some_are_drawn_the_same_ones_each_time() -> None:
    lines = [str(number) for number in range(100)]
    first, second = (drawn(lines, 10, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert sorted(first, key=int) == first
    assert len(set(first)) == 10
    assert drawn(lines, 100, np.random.default_rng(3)) == lines


def test_a_list_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"list.txt: cannot be read \(No such file"):
        lines_of(tmp_path / "list.txt")
