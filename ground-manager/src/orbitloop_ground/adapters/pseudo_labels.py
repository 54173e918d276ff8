"""Labels without hands: what models on the ground agree on, with how far it can be believed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput
from orbitloop.domain.fusion import fuse
from orbitloop.ports.reviews import Proposal
from orbitloop_ground.adapters.labels import LEAST_KNOWN, known_share
from orbitloop_ground.adapters.teacher import Teacher


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
        self._looks: dict[tuple[str, str], Detections] = {}

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:  # noqa: ARG002  # the port's signature
        """What is more than background, where at least half is known."""
        picture = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        found = fuse([self._look(teacher, picture, pixels) for teacher in self._teachers()]).found
        found = found.take(found.scores > self._trust.background)
        found = found.take(known_share(found.boxes, known) >= LEAST_KNOWN)
        return Proposal(
            boxes=found.boxes,
            labels=found.labels,
            confidence=found.scores,
            doubtful=found.scores < self._trust.object,
        )

    def _look(self, teacher: Teacher, picture: str, pixels: NDArray[np.uint8]) -> Detections:
        key = (teacher.name, picture)
        if key not in self._looks:
            self._looks[key] = teacher.look(pixels)
        return self._looks[key]
