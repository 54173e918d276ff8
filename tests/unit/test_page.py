"""What is to be learned from a frame that came down in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orbitloop.domain.tiling import PAD, Window
from orbitloop.testing.builders import plain_ground, some_truth
from orbitloop_ground.adapters.labels import certain
from orbitloop_ground.usecases.page import Page, put_together

LEFT, RIGHT = (Window(x0=x, y0=0, width=64, height=64) for x in (0, 48))


def a_page() -> Page:
    page = put_together([(LEFT, plain_ground(64)), (RIGHT, plain_ground(64))])
    assert page is not None
    return page


def test_no_tiles_are_no_page() -> None:
    assert put_together([]) is None


def test_a_certain_box_is_not_hidden_by_a_doubtful_one_over_it() -> None:
    opinion = replace(
        certain(some_truth((10, 10, 30, 30), (20, 10, 50, 30))),
        doubtful=np.array([False, True]),
    )
    lesson = a_page().labelled(opinion).lesson()
    assert (lesson.pixels[10:30, 10:30] == 90).all()
    assert (lesson.pixels[10:30, 31:50] == PAD).all()
    assert lesson.truth.boxes.tolist() == [[10, 10, 30, 30]]


def test_an_object_that_people_marked_in_two_tiles_is_one_and_whole() -> None:
    page = a_page().overruled(
        {LEFT: some_truth((50, 10, 64, 30)), RIGHT: some_truth((2, 10, 22, 30))},
    )
    assert page.lesson().truth.boxes.tolist() == [[50, 10, 70, 30]]


def test_what_a_tile_barely_shows_is_the_neighbours() -> None:
    page = a_page().labelled(certain(some_truth((60, 10, 90, 30)))).overruled({LEFT: some_truth()})
    assert page.lesson().truth.boxes.tolist() == [[60, 10, 90, 30]]
    assert page.overruled({RIGHT: some_truth()}).lesson().truth.boxes.tolist() == []


def test_a_tile_that_one_person_rejected_and_its_neighbour_shows_stays_where_the_neighbour_does() -> None:
    lesson = a_page().overruled({LEFT: None, RIGHT: some_truth()}).lesson()
    assert (lesson.pixels[:, :48] == PAD).all()
    assert (lesson.pixels[:, 48:] == 90).all()


def test_the_part_of_a_page_is_in_the_tiles_own_pixels() -> None:
    page = a_page().labelled(certain(some_truth((56, 10, 76, 30), (10, 10, 20, 20))))
    assert page.part(RIGHT).boxes.tolist() == [[8, 10, 28, 30]]
    assert page.is_certain
    assert not page.only([]).is_certain
