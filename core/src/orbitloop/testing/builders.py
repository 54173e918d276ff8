"""Values to test with: valid, small, and told apart by the one thing that matters about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, DetectorSpec, Floats, Head, Truth
from orbitloop.domain.digests import digest_of
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.value import SIGNATURE_SIDE, Candidate
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop.wire.model_folder import Model

Box = tuple[float, float, float, float]


def a_digest(of: object = "anything") -> Digest:
    """A digest that is always the same for the same ``of``."""
    return digest_of(repr(of).encode())


def boxes_of(boxes: Sequence[Box]) -> Floats:
    """``(n, 4)`` float32 of corners; also of none."""
    return np.array(list(boxes), np.float32).reshape(-1, 4)


def some_detections(
    *boxes: Box, scores: Sequence[float] | None = None, labels: Sequence[int] | None = None
) -> Detections:
    """Detections at ``boxes``; scores fall from 0.9 and labels are 0 unless they are given."""
    given = np.linspace(0.9, 0.5, len(boxes)) if scores is None else scores
    return Detections(
        boxes=boxes_of(boxes),
        scores=np.array(given, np.float32),
        labels=np.array([0] * len(boxes) if labels is None else labels, np.int64),
    )


def detections_scored(*scores: float) -> Detections:
    """As many detections as scores, side by side."""
    return some_detections(*((20.0 * n, 0.0, 20.0 * n + 10, 10.0) for n in range(len(scores))), scores=scores)


def some_truth(*boxes: Box, labels: Sequence[int] | None = None) -> Truth:
    """Annotated objects at ``boxes``, of label 0 unless labels are given."""
    return Truth(boxes=boxes_of(boxes), labels=np.array([0] * len(boxes) if labels is None else labels, np.int64))


def a_spec(*, tile: int = 64, classes: tuple[str, ...] = ("airplane",), anchors: int = 3) -> DetectorSpec:
    """A detector with the two scales of a tiny YOLO, strides 32 and 16."""
    large = tuple((24.0 + 12 * n, 28.0 + 10 * n) for n in range(anchors))
    small = tuple((8.0 + 4 * n, 9.0 + 4 * n) for n in range(anchors))
    heads = (Head(stride=32, anchors=large), Head(stride=16, anchors=small))
    return DetectorSpec(classes=classes, heads=heads, tile=tile)


def some_weights(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A few small tensors: not a network, but a version of one."""
    rng = np.random.default_rng(seed)
    shapes = {"backbone.0.conv.weight": (4, 3, 3, 3), "backbone.0.conv.bias": (4,), "head.bias": (6,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def a_model(weights: dict[str, NDArray[np.float32]] | None = None) -> Model:
    """A model to be stored and moved; its graph is no graph."""
    return Model(spec=a_spec(), weights=some_weights() if weights is None else weights, graph=b"graph")


def a_candidate(
    number: int = 0,
    *,
    scores: Sequence[float] = (),
    structure: float = 0.5,
    size: int = 1_000,
    signature: int | None = None,
    hard: bool = True,
    surprises: Sequence[float] = (),
) -> Candidate:
    """The ``number``-th tile of a frame; tiles with the same ``signature`` look alike, by default none do."""
    pattern = np.random.default_rng(number if signature is None else signature).standard_normal(SIGNATURE_SIDE**2)
    return Candidate(
        window=Window(x0=320 * number, y0=0, width=320, height=320),
        found=detections_scored(*scores),
        structure=structure,
        signature=(pattern / np.linalg.norm(pattern)).astype(np.float32),
        size=Bytes(size),
        hard=hard,
        surprises=detections_scored(*surprises),
    )


def an_offer(data: bytes, *, base: Digest, result: Digest) -> Offer:
    """The ground's offer of the update ``data``."""
    return Offer(digest=digest_of(data), size=Bytes(len(data)), base=base, result=result)


def a_report(flying: dict[str, NDArray[np.float32]], *, outcome: Outcome = Outcome.APPLIED) -> UpdateReport:
    """What a satellite says after an update, with the weights ``flying`` flying."""
    return UpdateReport(
        satellite="sat-1", update=a_digest("update"), outcome=outcome, flying=weights_digest(flying), at=LAUNCH
    )


def plain_ground(side: int = 320, *, level: int = 90) -> NDArray[np.uint8]:
    """Pixels of a place where there is nothing to see, ``(side, side, 3)`` uint8."""
    return np.full((side, side, 3), level, np.uint8)


def with_squares(pixels: NDArray[np.uint8], *boxes: tuple[int, int, int, int], level: int = 250) -> NDArray[np.uint8]:
    """A copy of ``pixels`` with bright objects at ``boxes`` (x0, y0, x1, y1)."""
    drawn = pixels.copy()
    for x0, y0, x1, y1 in boxes:
        drawn[y0:y1, x0:x1] = level
    return drawn
