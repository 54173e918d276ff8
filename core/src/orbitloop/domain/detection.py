"""Boxes, their decoding from a detector's raw output, suppression and accuracy.

Boxes are float32 arrays of shape ``(n, 4)`` holding ``x0, y0, x1, y1`` in pixels, origin at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput

Floats: TypeAlias = NDArray[np.float32]

_AT_ONCE = 256
"""Boxes that are compared with each other and with all that are worse in one go: bounds the memory that takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One output scale of a YOLO detector: its stride and anchors (width, height), all in pixels."""

    stride: int
    anchors: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """What must be known to read a detector's raw output.

    Args:
        classes: class names in the order of the output channels.
        heads: output scales in the order of the graph's outputs.
        tile: side of the square input, in pixels; a multiple of every stride.
    """

    classes: tuple[str, ...]
    heads: tuple[Head, ...]
    tile: int

    def __post_init__(self) -> None:
        if not self.classes or not self.heads:
            raise BadInput("a detector needs at least one class and one head")
        if any(self.tile % head.stride for head in self.heads):
            raise BadInput(f"tile side {self.tile} is not a multiple of every stride")

    @property
    def channels(self) -> int:
        """Values predicted per anchor: 4 box terms, objectness, one score per class."""
        return 5 + len(self.classes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """What a detector found in one image.

    Args:
        boxes: ``(n, 4)`` float32, pixels.
        scores: ``(n,)`` float32 in [0, 1], sorted from high to low by every producer in this module.
        labels: ``(n,)`` int64, index into ``DetectorSpec.classes``.
    """

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise BadInput(f"detections disagree: {self.boxes.shape} boxes, {count} scores, {self.labels.shape} labels")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Self:
        """No detections at all."""
        return cls(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), labels=np.zeros(0, np.int64))

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Detections:
        """The detections that ``index`` selects, in its order."""
        return Detections(boxes=self.boxes[index], scores=self.scores[index], labels=self.labels[index])

    def shifted(self, *, x: float, y: float) -> Detections:
        """The same detections with the origin moved by ``(x, y)`` pixels."""
        return Detections(boxes=self.boxes + np.array([x, y, x, y], np.float32), scores=self.scores, labels=self.labels)


def concatenate(parts: list[Detections]) -> Detections:
    """All detections of ``parts``, in order."""
    if not parts:
        return Detections.none()
    return Detections(
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


def areas(boxes: Floats) -> Floats:
    """Area of each box in square pixels; shape ``(n,)``. Inverted boxes have area 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def intersections(first: Floats, second: Floats) -> Floats:
    """Intersection areas of every pair; shape ``(n, m)``, square pixels."""
    corner_low = np.maximum(first[:, None, :2], second[None, :, :2])
    corner_high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(corner_high - corner_low, 0.0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every pair; shape ``(n, m)``, in [0, 1]."""
    shared = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), np.float32)


def _logit(probability: float) -> float:
    return float(np.log(probability / (1.0 - probability)))


def decode(raw: list[Floats], spec: DetectorSpec, *, floor: float = 0.01) -> list[Detections]:
    """Boxes of a batch from a detector's raw outputs, before suppression.

    The parametrisation is YOLOv3's (Redmon and Farhadi 2018) with the bounded one of Scaled-YOLOv4
    (Wang et al. 2021): centre ``2 sigma(t) - 0.5 + cell``, size ``anchor * (2 sigma(t))**2``.

    Args:
        raw: one array per head, shape ``(batch, anchors * spec.channels, rows, columns)``, float32 logits.
        floor: objectness times class score below which a box is dropped; in (0, 1).

    Returns:
        One ``Detections`` per image of the batch, highest score first.

    Raises:
        BadInput: an output's shape does not fit ``spec``.
    """
    if len(raw) != len(spec.heads):
        raise BadInput(f"the graph has {len(raw)} outputs, the detector's specification {len(spec.heads)}")
    batch = raw[0].shape[0]
    found: list[list[Detections]] = [[] for _ in range(batch)]
    for output, head in zip(raw, spec.heads, strict=True):
        if output.shape[1] != len(head.anchors) * spec.channels:
            raise BadInput(f"output of stride {head.stride} has {output.shape[1]} channels")
        for image, part in _decode_head(output, head, spec, floor):
            found[image].append(part)
    merged = [concatenate(parts) for parts in found]
    return [part.take(np.argsort(-part.scores, kind="stable")) for part in merged]


def _decode_head(output: Floats, head: Head, spec: DetectorSpec, floor: float) -> list[tuple[int, Detections]]:
    batch, _, rows, columns = output.shape
    grid = output.reshape(batch, len(head.anchors), spec.channels, rows, columns)
    image, anchor, row, column = np.nonzero(grid[:, :, 4] >= _logit(floor))
    values = _sigmoid(grid[image, anchor, :, row, column])
    class_scores = values[:, 5:]
    labels = class_scores.argmax(axis=1) if len(values) else np.zeros(0, np.int64)
    scores = values[:, 4] * class_scores[np.arange(len(values)), labels]
    cell = np.stack([column, row], axis=1).astype(np.float32)
    centre = (2.0 * values[:, :2] - 0.5 + cell) * head.stride
    size = (2.0 * values[:, 2:4]) ** 2 * np.array(head.anchors, np.float32)[anchor]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
    keep = scores >= floor
    every = Detections(boxes=boxes[keep], scores=scores[keep].astype(np.float32), labels=labels[keep].astype(np.int64))
    return [(index, every.take(image[keep] == index)) for index in range(batch)]


def suppress(detections: Detections, *, overlap: float = 0.5, contained: float | None = None) -> Detections:
    """Greedy non-maximum suppression, class by class.

    Args:
        overlap: a box is dropped when its IoU with a kept, higher-scored one exceeds this.
        contained: if given, a box is dropped as well when this share of the smaller of the two lies inside
            the other: the halves that neighbouring tiles see of one object.

    Returns:
        The kept detections, highest score first.
    """
    ranked = detections.take(np.argsort(-detections.scores, kind="stable"))
    waiting = np.arange(len(ranked))
    kept: list[NDArray[np.intp]] = []
    while len(waiting):
        best, later = ranked.take(waiting[:_AT_ONCE]), ranked.take(waiting[_AT_ONCE:])
        first = _undisputed(_rivals(best, best, overlap, contained))
        kept.append(waiting[:_AT_ONCE][first])
        beaten = _rivals(best.take(first), later, overlap, contained).any(axis=0)
        waiting = waiting[_AT_ONCE:][~beaten]
    return ranked.take(np.concatenate(kept)) if kept else ranked


def _rivals(first: Detections, second: Detections, overlap: float, contained: float | None) -> NDArray[np.bool_]:
    """Which pairs are one object seen twice; shape ``(n, m)``."""
    shared = intersections(first.boxes, second.boxes)
    mine, theirs = areas(first.boxes)[:, None], areas(second.boxes)[None, :]
    same = shared / np.maximum(mine + theirs - shared, 1e-9) > overlap
    if contained is not None:
        same |= shared > contained * np.maximum(np.minimum(mine, theirs), 1e-9)
    return np.asarray(same & (first.labels[:, None] == second.labels[None, :]), np.bool_)


def _undisputed(rivals: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Those of ``n`` ranked boxes that no kept, better one rivals; ``rivals`` is ``(n, n)``."""
    alive = np.ones(len(rivals), bool)
    for index in np.flatnonzero(np.triu(rivals, 1).any(axis=1)):
        if alive[index]:
            alive[index + 1 :] &= ~rivals[index, index + 1 :]
    return np.flatnonzero(alive)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """The annotated objects of one image: ``boxes`` ``(n, 4)`` float32 pixels, ``labels`` ``(n,)`` int64."""

    boxes: Floats
    labels: NDArray[np.int64]


def average_precision(
    predicted: list[Detections], truth: list[Truth], *, label: int = 0, overlap: float = 0.5
) -> float:
    """Average precision of one class over a set of images.

    All-point interpolation, as PASCAL VOC has used since 2010 (Everingham et al.); with ``overlap=0.5`` and the
    mean over classes this is mAP@0.5.

    Args:
        predicted: one entry per image.
        truth: one entry per image, in the same order.

    Returns:
        Value in [0, 1]; 0 when there is nothing to find.
    """
    total = sum(int((image.labels == label).sum()) for image in truth)
    scores: list[float] = []
    hits: list[bool] = []
    for found, image in zip(predicted, truth, strict=True):
        mine = found.take(found.labels == label)
        matched = _match(mine, image.boxes[image.labels == label], overlap)
        scores.extend(mine.scores.tolist())
        hits.extend(matched)
    if not total or not scores:
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    true_positives = np.cumsum(np.array(hits)[order])
    precision = true_positives / np.arange(1, len(order) + 1)
    recall = true_positives / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], recall]))
    return float((steps * envelope).sum())


def _match(found: Detections, boxes: Floats, overlap: float) -> list[bool]:
    """Whether each detection, best first, hits an object that no better one has taken; in ``found``'s order."""
    hit = [False] * len(found)
    if not len(boxes) or not len(found):
        return hit
    overlaps = iou(found.boxes, boxes)
    taken = np.zeros(len(boxes), bool)
    for index in np.argsort(-found.scores, kind="stable"):
        best = int(overlaps[index].argmax())
        if overlaps[index, best] >= overlap and not taken[best]:
            taken[best] = True
            hit[index] = True
    return hit


def mean_average_precision(
    predicted: list[Detections], truth: list[Truth], *, classes: int = 1, overlap: float = 0.5
) -> float:
    """Mean of :func:`average_precision` over the classes that occur in ``truth``; in [0, 1]."""
    present = sorted({int(label) for image in truth for label in image.labels} & set(range(classes)))
    if not present:
        return 0.0
    values = [average_precision(predicted, truth, label=label, overlap=overlap) for label in present]
    return sum(values) / len(values)
