"""A job whose inference mines hard examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orbitloop.worker.config import Context, HardExampleMining, parameters_in
from orbitloop.worker.job import JobBase
from orbitloop.worker.mining import filter_from
from orbitloop.worker.reports import Reporter
from orbitloop.worker.settings import WorkerSettings, environment, read_settings


class MiningJob(JobBase):
    """Base of jobs that mine.

    Args:
        estimator: an instance or a class.
        hard_example_mining: ``{"method": "IBT", "param": {...}}``; what the manifest asks for, where it is not given.
        settings: those of the environment, where they are not given.
        reporter: the Local Controller of the settings, where it is not given.

    Raises:
        BadInput: a setting, the miner's alias or one of its parameters cannot be read.
    """

    def __init__(
        self,
        estimator: Any = None,
        hard_example_mining: Mapping[str, Any] | None = None,
        *,
        settings: WorkerSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        known = settings or read_settings(environment())
        asked = _asked_by(known) if hard_example_mining is None else hard_example_mining
        self.hard_example_mining_algorithm = filter_from(asked)
        super().__init__(estimator, settings=known, reporter=reporter)

    @classmethod
    def get_hem_algorithm_from_config(cls, **param: Any) -> HardExampleMining:
        """``{"method", "param"}`` of ``HEM_NAME`` and ``HEM_PARAMETERS``, or empty; arguments win over the manifest."""
        return Context.get_algorithm_from_api("HEM", **param)

    def is_hard(self, result: Any) -> bool:
        """What the miner says; nothing is hard where there is none."""
        mine = self.hard_example_mining_algorithm
        return bool(mine(result)) if mine else False


def _asked_by(settings: WorkerSettings) -> HardExampleMining:
    if not settings.hem_name:
        return {}
    return {"method": settings.hem_name, "param": parameters_in("HEM_PARAMETERS", settings.hem_parameters)}
