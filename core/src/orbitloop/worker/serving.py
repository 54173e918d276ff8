"""The model that answers, and how it is replaced between two answers."""

from __future__ import annotations

import threading
from typing import Any

from orbitloop.worker.backends.base import Backend


class Serving:
    """A backend behind a lock: one inference at a time, and none while models change places.

    Args:
        backend: with the estimator.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self._loaded_from: str | None = None

    @property
    def backend(self) -> Backend:
        """What answers now."""
        return self._backend

    @property
    def loaded_from(self) -> str | None:
        """The model that it was loaded from, if it was."""
        return self._loaded_from

    def load_once(self, model_url: str) -> None:
        """Load ``model_url`` unless a model is loaded already; an estimator without a model's URL is taken as it is."""
        with self._lock:
            if self._loaded_from is None and model_url:
                self._backend.load(model_url)
                self._loaded_from = model_url

    def predict(self, data: Any, *, model_url: str = "", **kwargs: Any) -> Any:
        """The estimator's prediction, after it loaded ``model_url`` if it has loaded none yet."""
        with self._lock:
            self._backend.made(**kwargs)
            self.load_once(model_url)
            return self._backend.predict(data, **kwargs)

    def replace(self, model_url: str) -> None:
        """Serve another model from the next prediction on; raises what ``load`` raises, and the old one stays.

        A second estimator loads it while the first one still answers. Where there can be none, because user code gave
        an instance, predictions wait; if loading fails then, the instance gets its attributes and its old model back.
        """
        shadow = self._backend.fresh()
        if shadow is None:
            with self._lock:
                self._load_in_place(model_url)
                self._loaded_from = model_url
            return
        shadow.load(model_url)
        with self._lock:
            self._backend = shadow
            self._loaded_from = model_url

    def _load_in_place(self, model_url: str) -> None:
        attributes = getattr(self._backend.estimator, "__dict__", {})
        before = dict(attributes)
        try:
            self._backend.load(model_url)
        except BaseException:
            attributes.clear()
            attributes.update(before)
            if self._loaded_from is not None:
                self._backend.load(self._loaded_from)
            raise
