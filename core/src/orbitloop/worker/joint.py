"""Joint inference: a small model at the edge, and a big one for what is hard."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop.worker.cloud import BigModelClient
from orbitloop.worker.job import PostProcess, callback_for
from orbitloop.worker.log import LOGGER
from orbitloop.worker.mining_job import MiningJob
from orbitloop.worker.reports import Reporter
from orbitloop.worker.settings import WorkerSettings


class JointInference(MiningJob):
    """The edge worker of a JointInferenceService; see :class:`MiningJob` for its arguments.

    The estimator is the small model, with ``predict`` and ``load``.

    Raises:
        BadInput: as of :class:`MiningJob`, or data is to be mined before inference and no miner is named.
    """

    owner_kind: ClassVar[str] = "jointinferenceservice"

    def __init__(
        self,
        estimator: Any = None,
        hard_example_mining: Mapping[str, Any] | None = None,
        *,
        settings: WorkerSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        super().__init__(estimator, hard_example_mining, settings=settings, reporter=reporter)
        self.cloud = BigModelClient(self.settings)
        self._mines_first = self.settings.mining_mode == "mining-then-inference"
        if self._mines_first and self.hard_example_mining_algorithm is None:
            raise BadInput("MINING_MODE is mining-then-inference and no miner is named; set HEM_NAME")

    def inference(self, data: Any = None, post_process: PostProcess = None, **kwargs: Any) -> list[Any]:
        """``[is_hard_example, final_result, edge_result, cloud_result]``.

        ``edge_result`` is raw. ``final_result`` is the edge's after ``post_process``, or the big model's where that was
        asked and answered; the big model applies a ``post_process`` itself if that is a name.

        Args:
            data: what ``predict`` takes.
            post_process: a callable, or the name of a registered one.
            **kwargs: for ``predict``, here and there.
        """
        if self._mines_first:
            hard = self.is_hard(data)
            final, edge = (None, None) if hard else self._at_the_edge(data, post_process, kwargs)
        else:
            final, edge = self._at_the_edge(data, post_process, kwargs)
            hard = self.is_hard(final)
        answer = self._at_the_cloud(data, post_process, kwargs) if hard else None
        if answer is not None:
            final = answer["result"]
        elif hard and self._mines_first:
            final, edge = self._at_the_edge(data, post_process, kwargs)
        self._statistics.count(hard=hard, uploaded=answer is not None)
        return [hard, final, edge, None if answer is None else answer["result"]]

    def _at_the_edge(self, data: Any, post_process: PostProcess, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        callback = callback_for(post_process)
        raw = self.infer(data, **kwargs)
        return (callback(copy.deepcopy(raw)) if callback else raw), raw

    def _at_the_cloud(self, data: Any, post_process: PostProcess, kwargs: dict[str, Any]) -> dict[str, Any] | None:
        name = post_process if isinstance(post_process, str) else None
        try:
            return self.cloud.inference(data, post_process=name, **kwargs)
        except (NotYet, Refused) as error:
            LOGGER.warning("the edge's result stands: %s", error)
            return None
