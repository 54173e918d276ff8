"""Contexts by rules of experts, label vectors, and what an engine's outputs mean."""

from __future__ import annotations

import numpy as np
import pytest

from orbitloop.domain.contexts import (
    OTHER,
    UNLIKE,
    Index,
    IndexRule,
    MapRule,
    TileView,
    engine_answer,
    expert_context,
    index_of,
    label_vector,
)
from orbitloop.domain.errors import BadInput


def tile(place: tuple[float, float] | None = None, **bands: float) -> TileView:
    filled = {name: np.full((4, 4), value, np.float32) for name, value in bands.items()}
    longitude, latitude = place or (None, None)
    return TileView(bands=filled, longitude=longitude, latitude=latitude)


SEA = tile(red=0.05, green=0.1, blue=0.12, nir=0.02)
FOREST = tile(red=0.05, green=0.1, blue=0.05, nir=0.4)
CLOUD = tile(red=0.9, green=0.9, blue=0.9, nir=0.9)
RULES = (
    IndexRule(context="bright", index=Index.BRIGHTNESS, low=0.7, high=2.0),
    IndexRule(context="water", index=Index.NDWI, low=0.2, high=1.1),
    IndexRule(context="plants", index=Index.NDVI, low=0.3, high=1.1),
    MapRule(context="fiji", west=176, south=-20, east=-178, north=-12),
)


@pytest.mark.parametrize(
    ("view", "context"),
    [
        (SEA, "water"),
        (FOREST, "plants"),
        (CLOUD, "bright"),
        (tile((179.9, -15), red=0.3, green=0.3, blue=0.3, nir=0.3), "fiji"),
        (tile((-179.5, -15), red=0.3, green=0.3, blue=0.3, nir=0.3), "fiji"),
        (tile((0, -15), red=0.3, green=0.3, blue=0.3, nir=0.3), OTHER),
        (tile(red=0.3, green=0.3, blue=0.3, nir=0.3), OTHER),
    ],
    ids=["sea", "forest", "cloud", "west of the date line", "east of it", "elsewhere", "nowhere"],
)
def test_the_first_rule_that_fits_says_the_context(view: TileView, context: str) -> None:
    assert expert_context(view, RULES) == context


def test_an_index_of_nothing_is_nothing() -> None:
    assert not index_of(Index.NDWI, tile(green=0.0, nir=0.0).bands).any()


def test_a_rule_names_the_band_that_is_missing() -> None:
    with pytest.raises(BadInput, match="no band 'nir', only blue, green, red"):
        expert_context(tile(red=0.1, green=0.1, blue=0.1), RULES)


@pytest.mark.parametrize("box", [(0, 10, 5, 10), (0, -91, 5, 0), (200, 0, 10, 5)])
def test_a_box_that_is_none_is_refused(box: tuple[float, float, float, float]) -> None:
    west, south, east, north = box
    with pytest.raises(BadInput, match="is no box"):
        MapRule(context="x", west=west, south=south, east=east, north=north)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="'x': no ndwi lies"):
        IndexRule(context="x", index=Index.NDWI, low=0.5, high=0.5)


def test_label_vectors_are_shares_and_end_with_the_tags() -> None:
    vectors = [label_vector(view, 0.25, (1.0, 0.0)) for view in (SEA, FOREST, CLOUD)]
    for vector in vectors:
        assert vector.dtype == np.float32
        assert ((vector >= 0) & (vector <= 1)).all()
        assert vector[0] == 0.25
        assert vector[-2:].tolist() == [1.0, 0.0]
    sea, forest, cloud = vectors
    assert (sea[1], forest[1]) == (1.0, 0.0)
    assert (sea[2], forest[2]) == (0.0, 1.0)
    assert (cloud[3], sea[4]) == (1.0, 1.0)


def test_without_infrared_nothing_is_said_of_water_and_plants() -> None:
    assert label_vector(tile(red=0.1, green=0.1, blue=0.5), 0.0)[1:3].tolist() == [0.0, 0.0]


def test_an_engine_says_unknown_beyond_its_reach_and_of_what_is_no_number() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [5.0, 0.0], [np.nan, 0.0]], np.float32)
    answer = engine_answer(logits, np.array([1.0, 9.0, 9.1, 0.0], np.float32), 9.0)
    assert answer.contexts.tolist() == [0, 1, UNLIKE, UNLIKE]


def test_an_engine_of_other_shapes_is_refused() -> None:
    with pytest.raises(BadInput, match="transform again"):
        engine_answer(np.zeros((2, 3), np.float32), np.zeros(3, np.float32), 1.0)
