"""What all jobs of a worker have in common: settings, the estimator, where models are, and reports."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.wire.worker_messages import ReportedModel, WorkerInfo, WorkerKind, WorkerStatus
from orbitloop.worker.backends import Backend, set_backend
from orbitloop.worker.config import BaseConfig, Context
from orbitloop.worker.files import FileOps
from orbitloop.worker.hot_update import HotUpdate, Outcome
from orbitloop.worker.last_words import LastWords
from orbitloop.worker.log import log_from
from orbitloop.worker.registry import ClassFactory, ClassType
from orbitloop.worker.reports import HttpReporter, NoReporter, Reporter
from orbitloop.worker.serving import Serving
from orbitloop.worker.settings import WorkerSettings, environment, read_settings
from orbitloop.worker.statistics import OwnerInfo, Statistics

PostProcess = str | Callable[[Any], Any] | None
MODEL_SUFFIXES = frozenset({".pb", ".ckpt", ".pth", ".pt", ".onnx", ".om", ".npz", ".npy", ".pkl", ".h5", ".keras"})


class JobBase:
    """A worker's part in a job.

    Args:
        estimator: an instance or a class; see :func:`orbitloop.worker.backends.set_backend`.
        settings: those of the environment, where they are not given.
        reporter: the Local Controller of the settings, where it is not given.

    Raises:
        BadInput: a setting cannot be read.
    """

    owner_kind: ClassVar[str] = ""

    def __init__(
        self, estimator: Any = None, *, settings: WorkerSettings | None = None, reporter: Reporter | None = None
    ) -> None:
        self.settings = settings or read_settings(environment())
        self.config = BaseConfig()
        log_from(self.settings.log_level)
        self._reporter = reporter or _reporter(self.settings, self.settings.orbitloop_report_tries)
        self._brief_reporter = reporter or _reporter(self.settings, 1)
        self._serving = Serving(set_backend(estimator, self.settings))
        self._statistics = Statistics(WallClock(), self.settings.lc_period, self._report_statistics)
        self._hot_update = self._following_updates() if self.settings.model_hot_update else None

    @property
    def job_name(self) -> str:
        """The job or service that this worker belongs to."""
        return self.settings.owner

    @property
    def worker_name(self) -> str:
        """This worker's name."""
        return self.settings.worker_name or self.settings.owner or "worker"

    @property
    def estimator(self) -> Backend:
        """The estimator, in the backend that jobs use; after a hot update another one."""
        return self._serving.backend

    @property
    def loaded_from(self) -> str | None:
        """The model that answers, once one was loaded."""
        return self._serving.loaded_from

    @property
    def model_path(self) -> str:
        """Where the model is that is served, or where a trained one goes."""
        url, settings = self.settings.model_url, self.settings
        if not url or settings.model_load_mode != "file" or FileOps.is_remote(url) or _names_a_file(url):
            return url
        if settings.model_path:
            return settings.model_path
        return FileOps.join_path(url, self._model_name())

    def _model_name(self) -> str:
        settings = self.settings
        bases = (settings.base_model_url, settings.pretrained_model_url)
        suffixes = [suffix for base in bases if (suffix := Path(base).suffix)]
        return settings.model_name or f"model{next(iter(suffixes), self.estimator.suffix)}"

    def get_parameters(self, param: str, default: Any = None) -> Any:
        """A variable of the environment, see :meth:`Context.get_parameters`."""
        return Context.get_parameters(param, default)

    def infer(self, data: Any, **kwargs: Any) -> Any:
        """The estimator's raw result for ``data``; the model is loaded before the first one."""
        return self._serving.predict(data, model_url=self._served_path(), **kwargs)

    def _served_path(self) -> str:
        if self._serving.loaded_from is not None:
            return ""
        path = self.model_path
        if FileOps.is_remote(path) and self.settings.model_load_mode == "file":
            return FileOps.download(path)
        named = self.settings.model_url
        # a saved model may be a folder as a whole
        return named if path and not Path(path).exists() and Path(named).is_dir() else path

    def _following_updates(self) -> HotUpdate:
        settings = self.settings
        update = HotUpdate(
            Path(settings.model_hot_update_config),
            self._serving,
            settings.model_poll_period_seconds,
            self._report_update,
        )
        update.start()
        return update

    def report_task_info(
        self,
        task_info: Mapping[str, Any] | None,
        status: str | None,
        results: Sequence[Mapping[str, Any]] | None = None,
        kind: str = "train",
        *,
        reason: str = "",
    ) -> bool:
        """Tell the Local Controller; whether it took it. What goes wrong is logged, and takes bounded time.

        Args:
            task_info: statistics, sent as ``ownerInfo``.
            status: ``running``, ``completed``, ``failed``, or none.
            results: models, each with ``format``, ``url`` and ``metrics``.
            kind: ``train``, ``eval``, ``deploy`` or ``inference``.
            reason: why it failed.
        """
        return self._reporter.send(self._info(task_info, status, results, kind, reason))

    def _info(
        self,
        task_info: Mapping[str, Any] | None,
        status: str | None,
        results: Sequence[Mapping[str, Any]] | None,
        kind: str,
        reason: str,
    ) -> WorkerInfo:
        return WorkerInfo(
            name=self.worker_name,
            namespace=self.settings.namespace,
            owner_name=self.job_name,
            owner_kind=self.owner_kind,
            kind=kind,
            status=status or "",
            owner_info=None if task_info is None else dict(task_info),
            results=tuple(ReportedModel.model_validate(result) for result in results or ()),
            reason=reason,
        )

    def _report_statistics(self, info: OwnerInfo) -> None:
        self._brief_reporter.send(self._info(info, None, None, WorkerKind.INFERENCE, ""))

    def _report_update(self, outcome: Outcome) -> None:
        result = described(outcome.wanted.path, digest=outcome.digest)
        self.report_task_info(None, outcome.status, [result], WorkerKind.DEPLOY, reason=outcome.reason)

    @contextlib.contextmanager
    def _failure_is_reported(self, kind: WorkerKind) -> Iterator[None]:
        """What user code raises is left and reported as failed, and raised on."""
        try:
            yield
        except BaseException as error:
            reason = str(error) if isinstance(error, OrbitloopError) else f"{type(error).__name__}: {error}"
            self._conclude(kind, WorkerStatus.FAILED, (), reason)
            raise

    def _conclude(
        self, kind: WorkerKind, status: WorkerStatus, results: Sequence[Mapping[str, Any]], reason: str = ""
    ) -> None:
        """Leave the result where Kubernetes finds it, then tell the Local Controller, which may take a while.

        Of processes that work together each pod says how its part went, and rank 0 reports; any may say why it failed.
        """
        failed = status is WorkerStatus.FAILED
        if failed or self.settings.local_rank == 0:
            words = LastWords(kind=kind, status=status, results=results, message=reason)
            words.leave(self.settings.orbitloop_termination_log)
        if failed or self.settings.rank == 0:
            self.report_task_info(None, status, results, kind, reason=reason)


def _reporter(settings: WorkerSettings, tries: int) -> Reporter:
    if not settings.lc_server:
        return NoReporter()
    return HttpReporter(settings.lc_server, timeout=settings.orbitloop_report_timeout_seconds, tries=tries)


def _names_a_file(url: str) -> bool:
    path = Path(url)
    return path.is_file() or (not path.is_dir() and path.suffix.lower() in MODEL_SUFFIXES)


def callback_for(post_process: PostProcess) -> Callable[[Any], Any] | None:
    """The callable that ``post_process`` is, or names in :class:`ClassFactory`.

    Raises:
        BadInput: nobody registered that name.
    """
    if post_process is None:
        return None
    found: Callable[[Any], Any] = ClassFactory.get_cls(ClassType.CALLBACK, post_process)
    return found


def described(url: str, *, metrics: Mapping[str, Any] | None = None, digest: str | None = None) -> dict[str, Any]:
    """A model as reports describe it: format, URL, metrics, and the digest of a file."""
    local = not FileOps.is_remote(url) and Path(url).is_file()
    known = digest or (f"sha256:{FileOps.get_file_hash(url)}" if local else None)
    model: dict[str, Any] = {"format": Path(url).suffix.removeprefix("."), "url": url}
    if metrics is not None:
        model["metrics"] = plain_metrics(metrics)
    return model if known is None else model | {"digest": known}


def plain_metrics(metrics: Any) -> dict[str, float | list[float]]:
    """Metrics as a report carries them: numbers, or lists of numbers; arrays and tensors are turned into these.

    Raises:
        BadInput: it is no mapping, or a value is no finite number.
    """
    if not isinstance(metrics, Mapping):
        raise BadInput(f"evaluate gave a {type(metrics).__name__}; it must give a dictionary of metrics")
    return {str(name): _plain(str(name), value) for name, value in metrics.items()}


def _plain(name: str, value: Any) -> float | list[float]:
    given = value.tolist() if hasattr(value, "tolist") else value
    try:
        read = [float(one) for one in given] if isinstance(given, list | tuple) else [float(given)]
    except (TypeError, ValueError) as error:
        raise BadInput(f"the metric {name} is {value!r}; it must be a number or a list of numbers") from error
    if not all(math.isfinite(one) for one in read):
        raise BadInput(f"the metric {name} is {value!r}; it must be finite")
    return read if isinstance(given, list | tuple) else read[0]
