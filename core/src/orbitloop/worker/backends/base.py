"""An estimator by its methods: whatever has ``train``, ``evaluate``, ``predict``, ``load`` and ``save``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from orbitloop.domain.errors import BadInput
from orbitloop.worker.backends.calls import accepted, call, is_maker, takes


class Backend:
    """User code's estimator, an instance or a class; attributes that are not here are the estimator's.

    Args:
        estimator: an instance, or a class (or function) that makes one when it is first needed.
        framework: ``torch``, ``onnx``, ``tensorflow`` …, or empty.
        suffix: of model files of that framework, with its dot; empty if it has none of its own.
    """

    def __init__(self, estimator: Any, *, framework: str = "", suffix: str = "") -> None:
        self.framework = framework
        self.suffix = suffix
        self._maker: Callable[..., Any] | None = estimator if is_maker(estimator) else None
        self._instance = None if self._maker else estimator
        self._made_with: dict[str, Any] = {}

    @property
    def estimator(self) -> Any:
        """The instance, made now if a class was given."""
        return self.made()

    def made(self, **kwargs: Any) -> Any:
        """The instance; if it is made now, with those arguments that its constructor names."""
        if self._instance is None and self._maker is not None:
            self._made_with = accepted(self._maker, kwargs)
            self._instance = self._maker(**self._made_with)
        return self._instance

    def fresh(self) -> Self | None:
        """A second backend with an estimator of its own, not loaded; none where an instance was given."""
        if self._maker is None:
            return None
        other = type(self)(self._maker, framework=self.framework, suffix=self.suffix)
        other.made(**self._made_with)
        return other

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.estimator, name)

    def start_from(self, base_model_url: str) -> None:
        """Before training: the model to begin with. User code's ``train`` finds it by itself in ``BASE_MODEL_URL``."""

    def train(self, train_data: Any, valid_data: Any = None, **kwargs: Any) -> Any:
        """What the estimator's ``train`` (or ``fit``) gives.

        Raises:
            BadInput: it has neither.
        """
        estimator = self.made(**kwargs)
        fit = self._own("train") or self._own("fit")
        if fit is None:
            raise self._lacks(estimator, "train(train_data, valid_data=None, **kwargs)")
        return call(fit, "train_data", train_data, valid_data=valid_data, **kwargs)

    def evaluate(self, data: Any, model_path: str, **kwargs: Any) -> Any:
        """What the estimator's ``evaluate`` gives; one that takes no ``model_path`` has the model loaded before.

        Raises:
            BadInput: it has none.
        """
        estimator = self.made(**kwargs)
        evaluate = self._own("evaluate")
        if evaluate is None:
            raise self._lacks(estimator, "evaluate(data, model_path=..., **kwargs)")
        if not takes(evaluate, "model_path"):
            self.load(model_path)
        return call(evaluate, "data", data, model_path=model_path, **kwargs)

    def predict(self, data: Any, **kwargs: Any) -> Any:
        """What the estimator's ``predict`` gives.

        Raises:
            BadInput: it has none.
        """
        estimator = self.made(**kwargs)
        predict = self._own("predict")
        if predict is None:
            raise self._lacks(estimator, "predict(data, **kwargs)")
        return call(predict, "data", data, **kwargs)

    def load(self, model_url: str) -> None:
        """Have the estimator load this model.

        Raises:
            BadInput: it has no ``load``.
        """
        load = self._own("load")
        if load is None:
            raise self._lacks(self.estimator, "load(model_url)")
        load(model_url)

    def save(self, model_path: str) -> str:
        """Have the estimator save its model; gives the path that it really wrote.

        Raises:
            BadInput: it has no ``save``, or wrote nothing there.
        """
        save = self._own("save")
        if save is None:
            raise self._lacks(self.estimator, "save(model_path)")
        Path(model_path).parent.mkdir(parents=True, exist_ok=True)
        said = save(model_path)
        return _written(Path(model_path), said)

    def _own(self, name: str) -> Callable[..., Any] | None:
        """The estimator's method, where user code brought one."""
        method = getattr(self.estimator, name, None)
        return method if callable(method) else None

    def _lacks(self, estimator: Any, method: str) -> BadInput:
        return BadInput(f"the estimator {type(estimator).__name__} has no method {method}; add it")


def _written(asked: Path, said: object) -> str:
    """Where the model is: as asked, as ``save`` says, or as asked with a suffix that the framework put behind."""
    if asked.exists():
        return str(asked)
    if isinstance(said, str | Path) and Path(said).exists():
        return str(said)
    beside = sorted(asked.parent.glob(f"{asked.name}.*"))
    if len(beside) == 1:
        return str(beside[0])
    raise BadInput(
        f"the estimator's save left no model at {asked}; write to the path that it is given, or return yours"
    )
