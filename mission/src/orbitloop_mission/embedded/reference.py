"""What sending everything would reach: every captured frame, every weight, full precision, no budget."""

from __future__ import annotations

from orbitloop.ports.trainer import Lesson, Lessons
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.yolo.finetune import TorchTrainer
from orbitloop_mission.embedded.measure import Gauge
from orbitloop_mission.embedded.narrator import Narrator
from orbitloop_mission.embedded.scenery import Scenery, lesson_of


class Reference:
    """A model that learns beside the mission, as long per round, from whole frames with ground truth.

    Args:
        trainer: the mission's own, so that only data and budget differ.
        base: where it begins.
    """

    def __init__(self, trainer: TorchTrainer, base: Model, scenery: Scenery, narrator: Narrator) -> None:
        self._trainer = trainer
        self._model = base
        self._scenery = scenery
        self._narrator = narrator

    def learn(self, rounds: int, gauge: Gauge) -> float:
        """Learn from every frame captured in the first ``rounds`` rounds; mAP@0.5 on the new domain after it."""
        self._narrator.say(f"training the all-data reference of round {rounds}")
        names = {frame.name for frames in self._scenery.flown[:rounds] for frame in frames}
        seen: list[Lesson] = [lesson_of(image) for image in self._scenery.annotated.images if image.path.name in names]
        lessons = Lessons(new=seen, old=self._scenery.archive)
        weights = self._trainer.train_fully(self._model, lessons, self._narrator.step)
        self._model = Model(spec=self._model.spec, weights=weights, graph=self._model.graph)
        return gauge.accuracy(self._model, f"the all-data reference of round {rounds}").new
