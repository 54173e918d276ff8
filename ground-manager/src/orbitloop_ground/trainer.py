"""``orbitloop-trainer``: the detector's workers of an IncrementalLearningJob, wired together.

A round's ``train`` makes a model folder of another one, inside the bytes that an update may take; its ``evaluate``
measures such folders. Everything is told by the environment, as Sedna tells its workers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.ports.trainer import Lessons
from orbitloop.wire.model_folder import WEIGHTS, Model
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker import LOGGER, IncrementalLearning
from orbitloop.worker.files import local_path
from orbitloop.worker.last_words import LastWords
from orbitloop.worker.settings import environment
from orbitloop_ground.adapters.tile_lists import drawn, earlier_lists, lessons_of, lines_of
from orbitloop_ground.adapters.torchrun import is_to_be_started, joined, recording, start
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_ground.adapters.yolo.network import network_with
from orbitloop_ground.adapters.yolo.peers import ALONE, Peers
from orbitloop_ground.trainer_settings import TrainerSettings

_TOLD_EVERY = 10
"""Steps, or pictures, between two lines of the log."""

_ABOUT = """\
The detector's workers of an IncrementalLearningJob. What they are told is in the environment: TRAIN_DATASET_URL,
BASE_MODEL_URL and MODEL_URL of a training, TEST_DATASET_URL and MODEL_URLS of an evaluation, and the settings of
docs/reference/trainer.md. With torchrun's PET_NNODES and so on, a training is several processes on one or many pods.

Exit codes: 0 it is done, 1 it failed, 2 it was called wrongly. Why is the last line of the log, and is reported."""


class Detector:
    """The estimator that the worker library drives.

    Args:
        told: how to train.
        base: ``BASE_MODEL_URL``.
        peers: the processes that train together.
    """

    def __init__(self, told: TrainerSettings, base: str, peers: Peers) -> None:
        self._told = told
        self._base = base
        self._peers = peers
        recipe = FineTuning(
            steps=told.steps,
            batch=told.batch,
            side=told.side,
            keeping=told.keeping,
            replay=told.replay,
            seed=told.seed,
        )
        self._trainer = TorchTrainer(recipe, _measured, peers)
        self._made: Model | None = None

    def train(self, train_data: str, **_others: Any) -> None:
        """Fine-tune the base model on a round's list of pictures.

        Raises:
            BadInput: list, pictures or base model cannot be used.
            Untrusted: the base model's weights are not those that its folder names.
        """
        if not train_data:
            raise BadInput("TRAIN_DATASET_URL is not set; it says which pictures the round brings")
        base = _model_at(self._base, "BASE_MODEL_URL")
        lessons = self._lessons(local_path(train_data), base)
        known = f"{len(lessons.new)} new pictures and {len(lessons.old)} of earlier rounds"
        LOGGER.info("trains on %s, as process %d of %d", known, self._peers.rank + 1, self._peers.size)
        made = self._trainer.train(base, lessons, self._told.update_bytes, self._step)
        self._made = Model(spec=base.spec, weights=made.weights, graph=base.graph)

    def evaluate(self, data: str, model_path: str, **_others: Any) -> dict[str, float]:
        """``precision``: mean average precision at IoU 0.5 of a model over a list of pictures.

        Raises:
            BadInput, Untrusted: as :meth:`train`.
        """
        if not data:
            raise BadInput("TEST_DATASET_URL is not set; it says which pictures models are measured on")
        model = _model_at(model_path, "MODEL_URLS")
        source = local_path(data)
        lessons = lessons_of(lines_of(source), model.spec.classes, str(source))
        if not any(len(lesson.truth.labels) for lesson in lessons):
            raise BadInput(f"{source}: no picture with an object; models cannot be told apart by it")
        LOGGER.info("measures %s on %d pictures", model_path, len(lessons))
        return {"precision": self._trainer.precision(model, lessons)}

    def save(self, model_path: str) -> str:
        """Write the model folder that ``model_path`` is in; the path of its weights."""
        assert self._made is not None, "it is saved once it is trained"
        folder = Path(model_path).parent
        write_model(folder, self._made)
        return str(folder / WEIGHTS)

    def _lessons(self, source: Path, base: Model) -> Lessons:
        chance = np.random.default_rng(self._told.seed)
        classes = base.spec.classes
        new = drawn(lines_of(source), self._told.most_pictures, chance)
        if not new:
            raise BadInput(f"{source}: lists no picture; there is nothing to learn from")
        before = [line for earlier in earlier_lists(source) for line in lines_of(earlier)]
        old = drawn(sorted(set(before) - set(new)), self._told.most_replayed, chance)
        return Lessons(new=lessons_of(new, classes, str(source)), old=lessons_of(old, classes, "earlier rounds"))

    def _step(self, step: int, steps: int, loss: float) -> None:
        if step % _TOLD_EVERY == 0 or step == steps:
            LOGGER.info("step %d of %d, loss %.3f", step, steps, loss)


def _measured(done: int, total: int) -> None:
    if done % _TOLD_EVERY == 0 or done == total:
        LOGGER.info("measured %d of %d pictures", done, total)


def _model_at(url: str, variable: str) -> Model:
    """The model folder whose weights, or which itself, a URL names."""
    path = local_path(url)
    if not url or (path.name != WEIGHTS and not path.is_dir()):
        raise BadInput(f"{variable} is {url!r}; name {WEIGHTS} in a model folder")
    model = read_model(path if path.is_dir() else path.parent)
    try:
        network_with(dict(model.weights), model.spec)
    except (RuntimeError, ValueError) as error:
        why = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise BadInput(f"{variable}: {path} is of another network ({why}); this trains a YOLOv3-tiny") from error
    return model


def _job(given: Mapping[str, str], peers: Peers = ALONE) -> IncrementalLearning:
    def detector() -> Detector:
        return Detector(TrainerSettings.read(given), given.get("BASE_MODEL_URL", ""), peers)

    return IncrementalLearning(estimator=detector)  # made when it is used, so that what is wrong with it is reported


def _train() -> None:
    given = environment()
    if is_to_be_started(given):
        _train_together()
        return
    with joined(given) as peers:
        job = _job(given, peers)
        job.train(job.settings.train_dataset_url)


def _train_together() -> None:
    """As several processes; each reports for itself, and what only shows from outside is reported here."""
    job = _job(environment())
    try:
        start("orbitloop_ground.trainer", ["train"])
    except OrbitloopError as error:
        words = LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.FAILED, message=str(error))
        words.leave(job.settings.orbitloop_termination_log)
        job.report_task_info(None, WorkerStatus.FAILED, kind=WorkerKind.TRAIN, reason=str(error))
        raise


def _evaluate() -> None:
    job = _job(environment())
    job.evaluate(job.settings.test_dataset_url)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one worker's part; returns the exit code."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="orbitloop-trainer", description=_ABOUT, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="train|evaluate")
    commands.add_parser("train", help="make a round's model").set_defaults(work=_train)
    commands.add_parser("evaluate", help="compare models").set_defaults(work=_evaluate)
    work: Callable[[], None] = parser.parse_args(arguments).work
    try:
        recording(work)
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop-trainer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
