"""Labels for what came down, from annotations that exist."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Floats, Truth
from orbitloop.domain.tiling import Window
from orbitloop.ports.reviews import Proposal
from orbitloop_ground.adapters.coco import CocoSet

_log = logging.getLogger(__name__)

LEAST_KNOWN = 0.5
"""Share of an object that must have come down for it to be labelled."""


def known_share(boxes: Floats, known: NDArray[np.bool_]) -> Floats:
    """Share of each box's pixels that is ``known``; ``(n, 4)`` to ``(n,)``, by an integral image."""
    height, width = known.shape
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = known.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    corners = np.rint(boxes).astype(np.int64)
    x0, x1 = np.clip(corners[:, 0], 0, width), np.clip(corners[:, 2], 0, width)
    y0, y1 = np.clip(corners[:, 1], 0, height), np.clip(corners[:, 3], 0, height)
    inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    whole = np.maximum(1, (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))
    return np.asarray(inside / whole, np.float32)


def certain(truth: Truth) -> Proposal:
    """What is known to be there, without a doubt."""
    count = len(truth.labels)
    return Proposal(
        boxes=truth.boxes,
        labels=truth.labels,
        confidence=np.ones(count, np.float32),
        doubtful=np.zeros(count, bool),
    )


class ArchiveLabels:
    """Labels by looking up annotations of the same frames: ground truth, for reproducible missions.

    Args:
        archive: annotated images; frames are recognised by file name.
    """

    def __init__(self, archive: CocoSet) -> None:
        self._truth = {image.path.name: image.truth for image in archive.images}
        self._strangers: set[str] = set()

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:  # noqa: ARG002  # the port's signature
        """The annotated objects of which at least half is known; ``None`` for a frame that is not in the archive."""
        truth = self._truth.get(frame)
        if truth is None:
            self._note_stranger(frame)
            return None
        keep = known_share(truth.boxes, known) >= LEAST_KNOWN
        return certain(Truth(boxes=truth.boxes[keep], labels=truth.labels[keep]))

    def _note_stranger(self, frame: str) -> None:
        """Once a frame: many tiles of it come down."""
        if frame not in self._strangers:
            self._strangers.add(frame)
            _log.warning("frame_without_labels", extra={"frame": frame})


class TileLabels:
    """Labels of single tiles, by looking up annotations of the frames that they were cut from.

    Args:
        archive: annotated frames, recognised by file name.
    """

    def __init__(self, archive: CocoSet) -> None:
        self._truth = {image.path.name: image.truth for image in archive.images}

    def __call__(self, frame: str, window: Window) -> Truth | None:
        """The objects of which at least half lies in ``window``, cut at its edges, in its own pixels.

        ``None`` for a frame that is not in the archive.
        """
        truth = self._truth.get(PurePosixPath(frame).name)
        if truth is None:
            return None
        x0, y0, x1, y1 = window.box
        corner = np.array([x0, y0] * 2, np.float32)
        inside = np.clip(truth.boxes, corner, np.array([x1, y1] * 2, np.float32))
        keep = _areas(inside) >= LEAST_KNOWN * np.maximum(_areas(truth.boxes), 1)
        return Truth(boxes=inside[keep] - corner, labels=truth.labels[keep])


def _areas(boxes: Floats) -> Floats:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)
