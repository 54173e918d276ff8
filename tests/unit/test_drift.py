"""Whether a satellite sees other things than it used to, told by sketches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.drift import MEASURES, MOST_CLASSES, NOTHING, SCORE_BINS, Sketch, drift, sketch_of
from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import some_detections


def ground(seed: int, *, brightness: float = 90, contrast: float = 20) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).normal(brightness, contrast, (640, 640, 3))
    return values.clip(0, 255).astype(np.uint8)


def objects(scores: list[float], label: int = 0) -> Detections:
    found = some_detections(*[(10 * index, 10, 10 * index + 8, 18) for index in range(len(scores))], scores=scores)
    return replace(found, labels=np.full(len(scores), label, np.int64))


def seen(seeds: range, found: Detections, **look: float) -> Sketch:
    return sum((sketch_of(ground(seed, **look), found) for seed in seeds), start=NOTHING)


SURE = objects([0.9, 0.92, 0.88, 0.95, 0.9, 0.85])
USUAL = seen(range(8), SURE)


def test_the_same_kind_of_frames_does_not_drift() -> None:
    assert drift(USUAL, seen(range(8, 16), SURE)).largest < 0.05


@pytest.mark.parametrize(
    ("recent", "moved"),
    [
        (seen(range(8), objects([0.3, 0.4, 0.2, 0.5, 0.35, 0.6])), "scores"),
        (seen(range(8), objects([0.9] * 30)), "density"),
        (seen(range(8), objects([0.9] * 6, label=1)), "density"),
        (seen(range(8), SURE, brightness=140), "appearance"),
        (seen(range(8), SURE, contrast=60), "appearance"),
    ],
    ids=["less sure", "many more", "another class", "brighter", "rougher"],
)
def test_what_moves_is_named(recent: Sketch, moved: str) -> None:
    told = drift(USUAL, recent)
    assert getattr(told, moved) > 0.25
    assert told.largest == max(told.scores, told.density, told.appearance)


def test_few_detections_tell_nothing_of_scores() -> None:
    assert drift(seen(range(2), objects([0.9])), seen(range(2), objects([0.1]))).scores == 0


def test_a_plain_frame_of_nothing_can_be_compared() -> None:
    plain = sketch_of(np.zeros((320, 320, 3), np.uint8), Detections.none())
    assert drift(plain, plain).largest == 0


def test_faint_detections_and_classes_beyond_the_last_are_kept_in_bounds() -> None:
    sketch = sketch_of(ground(0), objects([0.01, 1.0, 0.5], label=MOST_CLASSES + 9))
    assert sum(sketch.scores) == 2
    assert len(sketch.classes) == MOST_CLASSES
    assert sketch.classes[-1] == 2


@pytest.mark.parametrize(
    "wrong",
    [{"scores": (1,)}, {"sums": (1.0,)}, {"classes": (1,) * (MOST_CLASSES + 1)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_sketch_of_another_form_is_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(BadInput, match="a sketch"):
        replace(USUAL, **wrong)  # type: ignore[arg-type]


def test_a_sketch_of_no_frame_tells_nothing() -> None:
    with pytest.raises(BadInput, match="no frame"):
        drift(NOTHING, USUAL)


sketches = st.builds(
    Sketch,
    frames=st.integers(1, 50),
    tiles=st.integers(1, 500),
    scores=st.tuples(*[st.integers(0, 1_000)] * SCORE_BINS),
    classes=st.lists(st.integers(0, 1_000), max_size=4).map(tuple),
    sums=st.tuples(*[st.floats(0, 500)] * MEASURES),
    squares=st.tuples(*[st.floats(0, 500)] * MEASURES),
)


@given(first=sketches, second=sketches)
def test_drift_is_finite_symmetric_and_nothing_from_oneself(first: Sketch, second: Sketch) -> None:
    there, back = drift(first, second), drift(second, first)
    assert 0 <= there.largest < float("inf")
    assert (there.scores, there.density) == pytest.approx((back.scores, back.density))
    assert there.appearance == pytest.approx(back.appearance)
    assert drift(first, first).largest == pytest.approx(0, abs=1e-9)


@given(first=sketches, second=sketches, third=sketches)
def test_sketches_add_up_in_any_order(first: Sketch, second: Sketch, third: Sketch) -> None:
    one, other = first + (second + third), third + (second + first)
    assert (one.frames, one.tiles, one.scores, one.classes) == (other.frames, other.tiles, other.scores, other.classes)
    assert one.sums == pytest.approx(other.sums)
