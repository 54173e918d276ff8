"""The detector on board: one onnxruntime session whose weights are supplied by name."""

from __future__ import annotations

import hashlib

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004  # onnxruntime's name for an unknown operator
    RuntimeException,
)

from orbitloop.domain.detection import Detections, DetectorSpec, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import detect
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest

UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException, ValueError)
"""What onnxruntime raises for graphs and tensors that it cannot use; its types share no base below Exception."""

_ASKED = 64
"""Side of the picture that a session is asked about, pixels."""


class OnnxDetector:
    """A graph with one set of weights, which stay as they are, so that a swap is one assignment.

    Args:
        graph: ONNX bytes without weights, as exported on the ground.
        weights: float32 tensors by initializer name.
        spec: how to read the outputs.
        threads: threads of the session.

    Raises:
        BadInput: the graph does not load with these tensors.
    """

    def __init__(self, graph: bytes, weights: Weights, spec: DetectorSpec, *, threads: int = 2) -> None:
        self._graph, self._weights, self._threads = graph, weights, threads
        self._session: ort.InferenceSession | None = self._loaded()
        self.spec = spec
        self.version = weights_digest(weights)

    def _loaded(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        names = sorted(self._weights)
        values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(self._weights[name])) for name in names]
        options.add_external_initializers(names, values)
        try:
            return ort.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        except UNLOADABLE as error:
            raise BadInput(f"the graph does not load with these {len(names)} tensors: {error}") from error

    def rest(self) -> None:
        """Let go of what only looking takes, most of the memory: packed weights and activations.

        The next picture takes it up again, in some tenths of a second.
        """
        self._session = None

    @property
    def weights(self) -> Weights:
        """The float32 tensors that sessions are made of. A session packs a copy of its own: see :meth:`answer`."""
        return self._weights

    def answer(self) -> Digest:
        """Digest of the raw outputs on one fixed picture, from the session that serves: it changes when a bit of what
        the session has packed flips, unless rounding hides the bit on that picture.
        """
        total = hashlib.sha256()
        for output in self.forward(_question()):
            total.update(np.ascontiguousarray(output, np.dtype("<f4")).tobytes())
        return Digest(f"sha256:{total.hexdigest()}")

    def forward(self, images: Floats) -> list[Floats]:
        """Raw outputs per head for ``(b, 3, tile, tile)`` float32 in [0, 1]."""
        session = self._session = self._session or self._loaded()
        return [np.asarray(output, np.float32) for output in session.run(None, {"images": images})]

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What the model sees in one frame of any size, ``(h, w, 3)`` uint8 RGB."""
        return detect(pixels, self.forward, self.spec, batch=1)


def _question() -> Floats:
    """A picture of all levels in no order: Knuth's multiplicative hash of each value's position."""
    place = np.arange(3 * _ASKED * _ASKED, dtype=np.uint32) * np.uint32(2_654_435_761)
    return (place >> np.uint32(24)).astype(np.float32).reshape(1, 3, _ASKED, _ASKED) / np.float32(255)
