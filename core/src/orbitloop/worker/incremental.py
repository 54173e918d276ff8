"""Incremental learning: train, evaluate, and infer while hard examples are mined."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker.backends import Backend
from orbitloop.worker.job import PostProcess, callback_for, described
from orbitloop.worker.mining_job import MiningJob


class IncrementalLearning(MiningJob):
    """A worker of an IncrementalLearningJob; see :class:`MiningJob` for its arguments.

    The estimator has ``train``, ``evaluate``, ``predict``, ``load`` and ``save``, as far as they are needed.
    """

    owner_kind: ClassVar[str] = "incrementallearningjob"

    def train(self, train_data: Any, valid_data: Any = None, post_process: str | None = None, **kwargs: Any) -> Any:
        """Train, save to :attr:`model_path`, and report; gives the estimator, or what ``post_process`` makes of it.

        Where several processes train together, as torchrun starts them, all train, and ``RANK`` 0 saves and reports.

        Raises:
            BadInput: there is no ``MODEL_URL``, or ``save`` wrote nothing there. Whatever user code raises is reported
                as failed, and raised.
        """
        with self._failure_is_reported(WorkerKind.TRAIN):
            callback = callback_for(post_process)
            path = self.model_path
            if not path:
                raise BadInput("MODEL_URL is not set; it says where the trained model goes")
            self.estimator.start_from(self.settings.base_model_url)
            self.estimator.train(train_data, valid_data, **kwargs)
            results = [described(self.estimator.save(path))] if self.settings.rank == 0 else []
            trained: Backend = self.estimator
            given = callback(trained) if callback else trained
        self._conclude(WorkerKind.TRAIN, WorkerStatus.COMPLETED, results)
        return given

    def evaluate(self, data: Any, post_process: PostProcess = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Measure every model of ``MODEL_URLS`` in its order, and report; gives ``[{"format", "url", "metrics"}]``.

        Raises:
            BadInput: no model is named, one is missing, or metrics are no numbers. Whatever user code raises is
                reported as failed, and raised.
        """
        with self._failure_is_reported(WorkerKind.EVAL):
            callback = callback_for(post_process)
            urls = self.settings.urls_to_evaluate
            if not urls:
                raise BadInput("MODEL_URLS is not set; it says which models are compared: newest;older")
            results = []
            for url in urls:
                self._must_exist(url)
                found = self.estimator.evaluate(data, url, **kwargs)
                results.append(described(url, metrics=callback(found) if callback else found))
        self._conclude(WorkerKind.EVAL, WorkerStatus.COMPLETED, results)
        return [{name: result[name] for name in ("format", "url", "metrics")} for result in results]

    def inference(self, data: Any = None, post_process: PostProcess = None, **kwargs: Any) -> tuple[Any, Any, bool]:
        """The raw result, the post-processed one, and whether that is a hard example.

        Args:
            data: what ``predict`` takes.
            post_process: a callable, or the name of a registered one.
            **kwargs: for ``predict``.
        """
        callback = callback_for(post_process)
        raw = self.infer(data, **kwargs)
        result = callback(copy.deepcopy(raw)) if callback else raw
        hard = self.is_hard(result)
        self._statistics.count(hard=hard)
        return raw, result, hard

    def _must_exist(self, url: str) -> None:
        local = self.settings.model_load_mode == "file" and "://" not in url
        if local and not Path(url).exists():
            raise BadInput(f"the model {url} of MODEL_URLS does not exist")
