"""Boxes: reading a detector's raw output, thinning it out, and judging it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.detection import (
    Detections,
    DetectorSpec,
    Floats,
    Head,
    Truth,
    areas,
    average_precision,
    concatenate,
    decode,
    intersections,
    iou,
    mean_average_precision,
    suppress,
)
from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import Box, a_spec, boxes_of, some_detections, some_truth

HERE: Box = (0, 0, 10, 10)
NEARLY_HERE: Box = (0, 0, 10, 9)
THERE: Box = (50, 50, 60, 60)
ELSEWHERE: Box = (100, 100, 110, 110)


def overlap_of(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, written out."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    both = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1])
    return shared / (both - shared)


def as_boxes(boxes: Floats) -> list[Box]:
    return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in boxes]


@st.composite
def crowds(draw: st.DrawFn, most: int = 12) -> Detections:
    """Boxes on a small grid, so that they often overlap, with scores that all differ."""
    corners = draw(
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9)), max_size=most)
    )
    scores = draw(st.permutations(range(1, len(corners) + 1)))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(corners), max_size=len(corners)))
    return some_detections(
        *((x, y, x + w, y + h) for x, y, w, h in corners), scores=[score / 100 for score in scores], labels=labels
    )


# Decoding


def one_by_one(raw: list[Floats], spec: DetectorSpec, floor: float) -> list[list[tuple[float, ...]]]:
    """What decode does, one value at a time: score, label and box of every candidate, best first."""

    def squashed(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    images: list[list[tuple[float, ...]]] = []
    for image in range(len(raw[0])):
        found: list[tuple[float, ...]] = []
        for output, head in zip(raw, spec.heads, strict=True):
            for number, (width, height) in enumerate(head.anchors):
                for row in range(output.shape[2]):
                    for column in range(output.shape[3]):
                        start = number * spec.channels
                        t = [squashed(float(v)) for v in output[image, start : start + spec.channels, row, column]]
                        label = max(range(len(spec.classes)), key=lambda index: t[5 + index])
                        score = t[4] * t[5 + label]
                        if score < floor:
                            continue
                        x, y = (2 * t[0] - 0.5 + column) * head.stride, (2 * t[1] - 0.5 + row) * head.stride
                        w, h = (2 * t[2]) ** 2 * width, (2 * t[3]) ** 2 * height
                        found.append((score, label, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
        images.append(sorted(found, reverse=True))
    return images


def raw_output(spec: DetectorSpec, *, seed: int, batch: int, rows: int, columns: int) -> list[Floats]:
    rng = np.random.default_rng(seed)
    finest = min(head.stride for head in spec.heads)
    return [
        rng.normal(
            0,
            3,
            (
                batch,
                len(head.anchors) * spec.channels,
                rows * finest // head.stride or 1,
                columns * finest // head.stride or 1,
            ),
        ).astype(np.float32)
        for head in spec.heads
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    classes=st.integers(1, 3),
    floor=st.sampled_from([0.01, 0.1, 0.5]),
)
def test_decoding_all_at_once_equals_decoding_one_by_one(
    seed: int, batch: int, rows: int, columns: int, classes: int, floor: float
) -> None:
    spec = a_spec(classes=tuple(f"class {index}" for index in range(classes)), anchors=2)
    raw = raw_output(spec, seed=seed, batch=batch, rows=rows, columns=columns)
    for found, wanted in zip(decode(raw, spec, floor=floor), one_by_one(raw, spec, floor), strict=True):
        assert found.scores.tolist() == pytest.approx([row[0] for row in wanted], abs=1e-5)
        assert found.labels.tolist() == [row[1] for row in wanted]
        corners = [[float(value) for value in row[2:]] for row in wanted]
        np.testing.assert_allclose(found.boxes, np.array(corners, np.float32).reshape(-1, 4), atol=2e-3)
        assert found.scores.dtype == np.float32
        assert found.labels.dtype == np.int64


def test_a_quiet_output_finds_nothing() -> None:
    spec = a_spec()
    raw = [np.full_like(output, -9) for output in raw_output(spec, seed=0, batch=2, rows=4, columns=4)]
    assert [len(found) for found in decode(raw, spec)] == [0, 0]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf], ids=["not a number", "infinite", "minus infinite"])
def test_an_output_that_is_no_number_never_has_a_score_outside_its_range(broken: float) -> None:
    spec = a_spec()
    raw = [np.full_like(output, broken) for output in raw_output(spec, seed=0, batch=1, rows=2, columns=2)]
    assert all(((found.scores >= 0) & (found.scores <= 1)).all() for found in decode(raw, spec))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda raw: raw[:1], "1 outputs, the detector's specification 2"),
        (lambda raw: [raw[0], raw[1][:, 1:]], "output of stride 16 has 17 channels"),
    ],
    ids=["a head is missing", "a channel is missing"],
)
def test_an_output_of_another_shape_is_refused(change: object, complaint: str) -> None:
    spec = a_spec()
    raw = raw_output(spec, seed=0, batch=1, rows=2, columns=2)
    with pytest.raises(BadInput, match=complaint):
        decode(change(raw), spec)  # type: ignore[operator]  # one of the functions above


@pytest.mark.parametrize(
    ("classes", "heads", "tile", "complaint"),
    [
        ((), (Head(stride=32, anchors=((9, 9),)),), 64, "at least one class"),
        (("airplane",), (), 64, "at least one class and one head"),
        (("airplane",), (Head(stride=32, anchors=((9, 9),)),), 48, "48 is not a multiple"),
    ],
    ids=["no class", "no head", "a tile that the stride does not divide"],
)
def test_a_specification_that_makes_no_sense_is_refused(
    classes: tuple[str, ...], heads: tuple[Head, ...], tile: int, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        DetectorSpec(classes=classes, heads=heads, tile=tile)


# Geometry


@given(first=crowds(), second=crowds())
def test_overlap_is_that_of_the_definition_and_symmetric(first: Detections, second: Detections) -> None:
    overlaps = iou(first.boxes, second.boxes)
    wanted = [[overlap_of(a, b) for b in as_boxes(second.boxes)] for a in as_boxes(first.boxes)]
    np.testing.assert_allclose(overlaps, np.array(wanted).reshape(len(first), len(second)), atol=1e-6)
    np.testing.assert_array_equal(overlaps, iou(second.boxes, first.boxes).T)
    assert (intersections(first.boxes, second.boxes) <= areas(first.boxes)[:, None]).all()


def test_an_inverted_box_has_no_area_and_overlaps_nothing() -> None:
    inverted = boxes_of([(10, 10, 0, 0)])
    assert areas(inverted).tolist() == [0]
    assert iou(inverted, boxes_of([HERE])).tolist() == [[0]]


@given(found=crowds(), x=st.integers(-99, 99), y=st.integers(-99, 99))
def test_shifting_moves_boxes_and_nothing_else(found: Detections, x: int, y: int) -> None:
    moved = found.shifted(x=x, y=y)
    np.testing.assert_array_equal(moved.boxes, found.boxes + np.array([x, y, x, y]))
    np.testing.assert_array_equal(moved.scores, found.scores)
    np.testing.assert_array_equal(moved.shifted(x=-x, y=-y).boxes, found.boxes)


def test_detections_whose_parts_disagree_are_refused() -> None:
    with pytest.raises(BadInput, match="disagree"):
        Detections(boxes=boxes_of([HERE]), scores=np.zeros(2, np.float32), labels=np.zeros(2, np.int64))


def test_nothing_put_together_is_nothing() -> None:
    assert len(concatenate([])) == 0
    assert len(concatenate([Detections.none(), Detections.none()])) == 0


# Suppression


def greedily(found: Detections, limit: float) -> list[tuple[float, int]]:
    """Non-maximum suppression by its definition: scores and labels of the kept, best first."""
    rows = sorted(
        zip(found.scores.tolist(), as_boxes(found.boxes), found.labels.tolist(), strict=True),
        key=lambda row: -row[0],
    )
    kept: list[tuple[float, Box, int]] = []
    for score, box, label in rows:
        if all(other != label or overlap_of(box, better) <= limit for _, better, other in kept):
            kept.append((score, box, label))
    return [(score, label) for score, _, label in kept]


@given(found=crowds(), limit=st.sampled_from([0.3, 0.45, 0.5, 0.7]))
def test_suppression_keeps_what_its_definition_keeps(found: Detections, limit: float) -> None:
    kept = suppress(found, overlap=limit)
    assert list(zip(kept.scores.tolist(), kept.labels.tolist(), strict=True)) == greedily(found, limit)


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_too_large_to_be_compared_at_once_is_thinned_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, sides = rng.integers(0, 120, (600, 2)), rng.integers(4, 20, (600, 2))
    found = Detections(
        boxes=np.concatenate([low, low + sides], axis=1).astype(np.float32),
        scores=rng.permutation(600).astype(np.float32) / np.float32(600),
        labels=rng.integers(0, 2, 600),
    )
    kept = suppress(found, overlap=0.3)
    assert 256 < len(kept) < 600
    assert list(zip(kept.scores.tolist(), kept.labels.tolist(), strict=True)) == greedily(found, 0.3)


@given(found=crowds(), limit=st.sampled_from([0.3, 0.5]), contained=st.sampled_from([None, 0.6, 0.8]))
def test_kept_boxes_of_one_class_do_not_overlap_beyond_the_limit(
    found: Detections, limit: float, contained: float | None
) -> None:
    kept = suppress(found, overlap=limit, contained=contained)
    same_class = (kept.labels[:, None] == kept.labels[None, :]) & ~np.eye(len(kept), dtype=bool)
    assert (iou(kept.boxes, kept.boxes)[same_class] <= limit).all()
    if contained is not None:
        smaller = np.minimum(areas(kept.boxes)[:, None], areas(kept.boxes)[None, :])
        assert (intersections(kept.boxes, kept.boxes)[same_class] <= contained * smaller[same_class] + 1e-6).all()


@given(found=crowds())
def test_the_best_box_of_each_class_is_always_kept(found: Detections) -> None:
    kept = suppress(found, overlap=0.01, contained=0.01)
    for label in set(found.labels.tolist()):
        assert found.scores[found.labels == label].max() in kept.scores[kept.labels == label]


@given(found=crowds(), contained=st.sampled_from([None, 0.8]))
def test_suppressing_twice_is_suppressing_once(found: Detections, contained: float | None) -> None:
    once = suppress(found, contained=contained)
    twice = suppress(once, contained=contained)
    np.testing.assert_array_equal(once.boxes, twice.boxes)
    np.testing.assert_array_equal(once.scores, twice.scores)


def test_half_an_object_inside_the_whole_one_is_dropped_only_when_asked() -> None:
    whole_and_half = some_detections((0, 0, 40, 10), (0, 0, 15, 10))
    assert len(suppress(whole_and_half, overlap=0.5)) == 2
    assert len(suppress(whole_and_half, overlap=0.5, contained=0.8)) == 1


# Accuracy


@pytest.mark.parametrize(
    ("predicted", "truth", "wanted"),
    [
        ([some_detections(HERE)], [some_truth(HERE)], 1.0),
        ([some_detections(NEARLY_HERE)], [some_truth(HERE)], 1.0),
        ([Detections.none()], [some_truth(HERE)], 0.0),
        ([some_detections(HERE)], [some_truth()], 0.0),
        ([Detections.none()], [some_truth()], 0.0),
        ([], [], 0.0),
        ([some_detections(THERE)], [some_truth(HERE)], 0.0),
        ([some_detections(HERE)], [some_truth(HERE, THERE)], 0.5),
        ([some_detections(HERE, NEARLY_HERE)], [some_truth(HERE)], 1.0),
        ([some_detections(THERE, HERE)], [some_truth(HERE)], 0.5),
        ([some_detections(HERE, ELSEWHERE, THERE)], [some_truth(HERE, THERE)], 1 / 2 + 1 / 2 * 2 / 3),
        ([some_detections(HERE, NEARLY_HERE, THERE)], [some_truth(HERE, THERE)], 1 / 2 + 1 / 2 * 2 / 3),
        ([some_detections(ELSEWHERE, HERE, THERE)], [some_truth(HERE, THERE)], 2 / 3),
        (
            [some_detections(HERE, scores=[0.6]), some_detections(HERE, scores=[0.8])],
            [some_truth(HERE), some_truth()],
            0.5,
        ),
        ([some_detections(HERE, labels=[1])], [some_truth(HERE)], 0.0),
        ([some_detections((0, 0, 10, 5))], [some_truth(HERE)], 1.0),
        ([some_detections((0, 0, 10, 4))], [some_truth(HERE)], 0.0),
    ],
    ids=[
        "found",
        "found nearly there",
        "nothing found",
        "nothing to find",
        "nothing to find and nothing found",
        "no images",
        "found elsewhere",
        "one of two found",
        "a duplicate after everything was found",
        "a false alarm first",
        "a false alarm in the middle",
        "a duplicate in the middle",
        "a false alarm before two hits",
        "a better-scored false alarm in another image",
        "found as another class",
        "overlap just enough",
        "overlap not quite enough",
    ],
)
def test_average_precision_is_what_a_hand_computes(
    predicted: list[Detections], truth: list[Truth], wanted: float
) -> None:
    assert average_precision(predicted, truth) == pytest.approx(wanted)


def by_hand(predicted: list[Detections], truth: list[Truth], limit: float) -> float:
    """Average precision as PASCAL VOC describes it: walk down the ranking, then sum the envelope."""
    ranking = sorted(
        ((score, image, box) for image, found in enumerate(predicted) for score, box in scored_boxes(found)),
        key=lambda row: -row[0],
    )
    free = [as_boxes(image.boxes[image.labels == 0]) for image in truth]
    wanted = [list(boxes) for boxes in free]
    total = sum(len(boxes) for boxes in wanted)
    hits: list[bool] = []
    for _, image, box in ranking:
        best = max(wanted[image], key=lambda candidate: overlap_of(box, candidate), default=None)
        hit = best is not None and overlap_of(box, best) >= limit and best in free[image]
        if hit and best is not None:
            free[image].remove(best)
        hits.append(hit)
    if not total:
        return 0.0
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
    return sum(max(precisions[rank:]) / total for rank, hit in enumerate(hits) if hit)


def scored_boxes(found: Detections) -> list[tuple[float, Box]]:
    mine = found.take(found.labels == 0)
    return list(zip(mine.scores.tolist(), as_boxes(mine.boxes), strict=True))


@given(data=st.data(), images=st.integers(0, 3))
def test_average_precision_agrees_with_a_plain_implementation(data: st.DataObject, images: int) -> None:
    predicted = [data.draw(crowds(6)) for _ in range(images)]
    # Scores that differ between images as well: the order of equals is nobody's promise.
    predicted = [
        Detections(boxes=found.boxes, scores=found.scores + np.float32(image / 1000), labels=found.labels)
        for image, found in enumerate(predicted)
    ]
    annotated = [data.draw(crowds(4)) for _ in range(images)]
    distinct = [sorted({*zip(as_boxes(found.boxes), found.labels.tolist(), strict=True)}) for found in annotated]
    truth = [some_truth(*(box for box, _ in rows), labels=[label for _, label in rows]) for rows in distinct]
    value = average_precision(predicted, truth)
    assert 0 <= value <= 1
    assert value == pytest.approx(by_hand(predicted, truth, 0.5), abs=1e-6)


def test_the_mean_is_over_classes_that_occur() -> None:
    predicted = [some_detections(HERE, THERE, labels=[0, 2])]
    truth = [some_truth(HERE, ELSEWHERE, labels=[0, 1])]
    assert mean_average_precision(predicted, truth, classes=3) == pytest.approx(0.5)
    assert mean_average_precision(predicted, truth, classes=1) == pytest.approx(1.0)
    assert mean_average_precision(predicted, [some_truth()], classes=3) == 0.0
