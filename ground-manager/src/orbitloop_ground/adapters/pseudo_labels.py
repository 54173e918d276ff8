"""Labels without hands: what models on the ground agree on, with how far it can be believed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats, iou
from orbitloop.domain.errors import BadInput
from orbitloop.domain.fusion import Fused, fuse
from orbitloop.ports.reviews import Proposal
from orbitloop_ground.adapters.labels import LEAST_KNOWN, known_share
from orbitloop_ground.adapters.teacher import Teacher

_SAME = 0.55
"""IoU from which a fused box is one that a model saw; as in fusion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What confidence is enough; what lies between is doubtful.

    Args:
        object: from which a box is an object.
        background: up to which there is nothing.

    Raises:
        BadInput: they are no shares, or in the wrong order.
    """

    object: float = 0.7
    background: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.background <= self.object <= 1:
            raise BadInput(f"trust of {self.background:g} to {self.object:g} must rise and be from 0 to 1")


class PseudoLabels:
    """Labels by models on the ground: what they agree on, with how far it can be believed.

    Each model's look at a picture is kept, so that the same is not looked at twice, and their confidence is averaged
    (the linear pool of Stone 1961): a box that another model does not see is believed less.

    Args:
        teachers: who looks: the teacher, and the models that came out of the rounds so far, if they are asked too.
        trust: what is enough.
    """

    def __init__(self, teachers: Callable[[], Sequence[Teacher]], trust: Trust = Trust()) -> None:
        self._teachers = teachers
        self._trust = trust
        self._looks: dict[tuple[str, str], Fused] = {}

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:  # noqa: ARG002  # the port's signature
        """What is more than background, where at least half is known."""
        picture = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        opinions = [self._look(teacher, picture, pixels) for teacher in self._teachers()]
        found = fuse([opinion.found for opinion in opinions]).found
        found = found.take(found.scores > self._trust.background)
        found = found.take(known_share(found.boxes, known) >= LEAST_KNOWN)
        return Proposal(
            boxes=found.boxes,
            labels=found.labels,
            confidence=found.scores,
            doubtful=found.scores < self._trust.object,
            agreement=np.mean([_agreed(found, opinion) for opinion in opinions], axis=0).astype(np.float32),
        )

    def _look(self, teacher: Teacher, picture: str, pixels: NDArray[np.uint8]) -> Fused:
        key = (teacher.name, picture)
        if key not in self._looks:
            self._looks[key] = teacher.opinion(pixels)
        return self._looks[key]


def _agreed(found: Detections, opinion: Fused) -> Floats:
    """``(n,)``: the share of one model's views that saw each box."""
    same = iou(found.boxes, opinion.found.boxes) * (found.labels[:, None] == opinion.found.labels[None])
    if not same.size:
        return np.zeros(len(found), np.float32)
    best = same.argmax(axis=1)
    seen = same[np.arange(len(found)), best] > _SAME
    return np.where(seen, opinion.agreement[best], np.float32(0))
