"""ONNX: user code's own methods where it has them, and a session of onnxruntime otherwise."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from orbitloop.domain.errors import BadInput, Refused
from orbitloop.worker.backends.base import Backend
from orbitloop.worker.backends.measures import labels_in, measured, samples_in


class OnnxBackend(Backend):
    """A graph, run by onnxruntime. ``estimator`` may be none: then ``load`` makes the session.

    A graph with one input takes an array, one with several takes them by name.
    """

    def __init__(self, estimator: Any = None, *, framework: str = "onnx", suffix: str = ".onnx") -> None:
        super().__init__(estimator, framework=framework, suffix=suffix)
        self._session: Any = None

    def fresh(self) -> Self | None:
        """A second backend; there is one too where only a session is needed."""
        if self._maker is None and self._instance is None:
            return type(self)(None, framework=self.framework, suffix=self.suffix)
        return super().fresh()

    def train(self, train_data: Any, valid_data: Any = None, **kwargs: Any) -> Any:
        """User code's training.

        Raises:
            Refused: there is none; onnxruntime does not train.
        """
        if self._own("train") is None and self._own("fit") is None:
            raise Refused("an ONNX graph is not trained here; train the module it came from, and export it in save()")
        return super().train(train_data, valid_data, **kwargs)

    def evaluate(self, data: Any, model_path: str, **kwargs: Any) -> Any:
        """User code's evaluation, or accuracy or squared error of the graph's first output."""
        self.made(**kwargs)
        if self._own("evaluate"):
            return super().evaluate(data, model_path, **kwargs)
        self.load(model_path)
        found = self.predict(samples_in(data))
        return measured(found[0] if isinstance(found, list) else found, labels_in(data))

    def predict(self, data: Any, **kwargs: Any) -> Any:
        """User code's prediction, or the graph's output; several outputs are a list.

        Raises:
            BadInput: the data does not fit the graph, or no model was loaded.
        """
        self.made(**kwargs)
        if self._own("predict"):
            return super().predict(data, **kwargs)
        if self._session is None:
            raise BadInput("no ONNX model is loaded; set MODEL_URL to one")
        outputs = self._session.run(None, self._inputs(samples_in(data)))
        return outputs[0] if len(outputs) == 1 else outputs

    def _inputs(self, data: Any) -> dict[str, Any]:
        wanted = self._session.get_inputs()
        given = data if isinstance(data, dict) else {wanted[0].name: data}
        missing = [one.name for one in wanted if one.name not in given]
        if missing:
            raise BadInput(f"the graph needs inputs {', '.join(missing)}; give a dictionary of arrays by name")
        return {one.name: np.asarray(given[one.name], _DTYPES.get(one.type)) for one in wanted}

    def load(self, model_url: str) -> None:
        """User code's loading, or a new session; the one before stays where the graph cannot be used.

        Raises:
            BadInput: the file is no graph that onnxruntime can run.
        """
        if self._own("load"):
            super().load(model_url)
            return
        self._session = session_of(model_url)


_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def session_of(path: str) -> Any:
    """A session of onnxruntime on the CPU.

    Raises:
        BadInput: onnxruntime is not installed, or cannot run the file.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BadInput("ONNX models need onnxruntime: pip install 'orbitloop-sedna[onnx]'") from error
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        Fail,
        InvalidArgument,
        InvalidGraph,
        InvalidProtobuf,
        NoSuchFile,
        NotImplemented,  # noqa: A004  # onnxruntime's name for an unknown operator
        RuntimeException,
    )

    # its types share no base below Exception
    unusable = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented, RuntimeException)
    try:
        return ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    except unusable as error:
        raise BadInput(f"onnxruntime cannot run {path}: {error}") from error
