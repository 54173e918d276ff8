"""Accuracy of what really flies: the satellite's own runtime over frames that were never trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orbitloop.domain.detection import Detections, mean_average_precision
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_mission.embedded.scenery import Scenery


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accuracy:
    """mAP@0.5 of one model on both domains, and what it found in the new one's frames."""

    new: float
    old: float
    found: list[Detections]


class Gauge:
    """Measures each model once.

    Args:
        scenery: the test frames.
        on_picture: told after each picture: what is measured, pictures done, pictures in all.
    """

    def __init__(self, scenery: Scenery, on_picture: Callable[[str, int, int], None]) -> None:
        self._scenery = scenery
        self._on_picture = on_picture
        self._known: dict[Digest, Accuracy] = {}

    def accuracy(self, model: Model, name: str) -> Accuracy:
        """How good ``model`` is; ``name`` is shown meanwhile."""
        digest = weights_digest(model.weights)
        if digest not in self._known:
            detector = OnnxDetector(model.graph, model.weights, model.spec)
            new, old = self._scenery.test_new, self._scenery.test_old
            total = len(new) + len(old)
            found: list[Detections] = []
            for lesson in [*new, *old]:
                found.append(detector.detect(lesson.pixels))
                self._on_picture(name, len(found), total)
            classes = len(model.spec.classes)
            self._known[digest] = Accuracy(
                new=_precision(found[: len(new)], new, classes),
                old=_precision(found[len(new) :], old, classes),
                found=found[: len(new)],
            )
        return self._known[digest]

    def known(self, digest: Digest) -> Accuracy:
        """How good a model is that was measured before."""
        return self._known[digest]


def _precision(found: list[Detections], lessons: list[Lesson], classes: int) -> float:
    return mean_average_precision(found, [lesson.truth for lesson in lessons], classes=classes)
