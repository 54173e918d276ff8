"""A satellite with a real disk, and updates in steps that reach it cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from orbitloop.domain.delta import Change, Sparse, apply
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import Untrusted
from orbitloop.domain.rollout import CanaryRule
from orbitloop.domain.shadow import ShadowRule
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.testing.builders import (
    Box,
    a_digest,
    a_model,
    an_offer,
    plain_ground,
    some_detections,
    some_truth,
    some_weights,
    with_squares,
)
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import CanaryTruth, Step, Update, pack_update, unpack_beginning
from orbitloop_edge.adapters.shadow_log import FileShadowLog
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.starts import FileTried
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.prove import ProveUpdate
from orbitloop_edge.usecases.shadow import Shadow

KEY = Ed25519PrivateKey.from_private_bytes(b"g" * 32)
PLANE: Box = (4, 4, 14, 14)
EYE = "head.bias"
OLD = {**some_weights(), EYE: np.array([1, 0, 0, 0, 0, 0], np.float32)}


def a_move(place: int) -> Change:
    return Sparse(tensor=EYE, exponent=-3, where=np.array([place], np.uint32), quanta=np.array([3], np.int8))


class OneEyed:
    """A detector that sees what is bright, while the first value of ``EYE`` is above nought."""

    def __init__(self, model: Model) -> None:
        self._sees = bool(model.weights[EYE][0] > 0)
        self.version = weights_digest(model.weights)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        rows, columns = np.nonzero(pixels[..., 0] > 240)
        if not self._sees or not len(rows):
            return Detections.none()
        return some_detections((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))


def verify(signature: bytes, message: bytes) -> None:
    try:
        KEY.public_key().verify(signature, message)
    except InvalidSignature as error:
        raise Untrusted("the update was not signed by the ground") from error


@dataclass
class Cut:
    """An update in steps, and where each of them ends in its bytes."""

    steps: Sequence[Sequence[Change]] = ((a_move(1),), (a_move(2),), (a_move(3),))
    onto: Weights = field(default_factory=lambda: OLD)
    key: Ed25519PrivateKey = KEY

    def __post_init__(self) -> None:
        weights, self.base = self.onto, weights_digest(self.onto)
        steps = []
        for changes in self.steps:
            weights = apply(weights, changes)
            steps.append(Step(changes=tuple(changes), result=weights_digest(weights)))
        canary = tuple(CanaryTruth(sample=a_digest(number), truth=some_truth(PLANE)) for number in range(5))
        self.data = pack_update(Update(base=self.base, steps=tuple(steps), canary=canary), self.key.sign)
        self.results = [step.result for step in steps]
        self.offer = an_offer(self.data, base=self.base, result=self.results[-1])

    def length(self, steps: int) -> int:
        """The fewest bytes in which so many steps are whole."""
        lengths = range(len(self.data) + 1)
        read = (unpack_beginning(self.data[:length], lambda _, __: None) for length in lengths)
        return next(length for length, part in zip(lengths, read, strict=True) if part and len(part.steps) == steps)


class Satellite:
    """A satellite's disk; each is a new process over the same one."""

    def __init__(self, folder: Path, weights: Weights = OLD, *, shadow: bool = False, kept: int = 5) -> None:
        self.folder = folder
        self.slots = Slots(folder / "slots")
        if not self.slots.installed():
            self.slots.install(a_model(dict(weights)))
        shelf = Shelf(folder / "canaries")
        for number in range(kept):
            shelf.keep(a_digest(number), with_squares(plain_ground(24), (4, 4, 14, 14)))
        self.swapped: list[Digest] = []
        self.loaded: list[Digest] = []
        log = FileShadowLog(folder / "shadow.json")
        self.tried = FileTried(folder / "slots" / "tried.json")
        self.prove = ProveUpdate(
            satellite="sat-1",
            slots=self.slots,
            canaries=shelf,
            load=self._load,
            swap=self._swap,
            verify=verify,
            clock=VirtualClock(LAUNCH),
            rule=CanaryRule(tolerance=0.03, least=3),
            shadow=Shadow(ShadowRule(one_in=1, frames=1), log, lambda: 0.0) if shadow else None,
            tried=self.tried,
        )

    def _load(self, model: Model) -> OneEyed:
        self.loaded.append(weights_digest(model.weights))
        return OneEyed(model)

    def _swap(self, detector: Detector) -> None:
        self.swapped.append(detector.version)

    def hear(self, cut: Cut, length: int) -> Digest | None:
        """The contact ends when so many bytes are here."""
        path = self.folder / "update"
        path.write_bytes(cut.data[:length] + bytes(3))  # the file may be longer than what is here without a gap
        flies = self.prove.beginning(path, cut.offer, Bytes(length))
        assert path.read_bytes() == cut.data[:length] + bytes(3)
        return flies

    def finish(self, cut: Cut) -> UpdateReport:
        """The rest has come."""
        path = self.folder / "update"
        path.write_bytes(cut.data)
        return self.prove(path, cut.offer)

    def flying(self) -> Digest:
        """What would fly after a restart."""
        return weights_digest(Slots(self.slots.folder).active().weights)
