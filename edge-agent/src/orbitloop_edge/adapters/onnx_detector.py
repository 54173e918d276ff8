"""The detector on board: one onnxruntime session whose weights are supplied by name."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

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
from orbitloop.domain.quantising import Tensors, in_cells
from orbitloop.domain.tiling import Looking, Tiles, in_floats, look
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.onnx_integers import tensors_for
from orbitloop_edge.adapters.host import give_memory_back

UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException, ValueError)
"""What onnxruntime raises for graphs and tensors that it cannot use; its types share no base below Exception."""

_ASKED = 64
"""Side of the picture that a session is asked about, pixels."""


class OnnxDetector:
    """A graph with one set of weights, which stay as they are, so that a swap is one assignment.

    Args:
        graph: ONNX bytes without weights, as exported on the ground. One that computes in 8-bit integers gets those,
            made of the weights each time it is loaded; its input is cells of pixels, as bytes.
        weights: float32 tensors by initializer name.
        spec: how to read the outputs.
        threads: tiles that are looked at at once, each by one thread: layers of one tile leave threads waiting.

    Raises:
        BadInput: the graph does not load with these tensors.
    """

    def __init__(self, graph: bytes, weights: Weights, spec: DetectorSpec, *, threads: int = 2) -> None:
        self._graph, self._weights, self._threads = graph, weights, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tile") if threads > 1 else None
        self._loading = Lock()
        self._session: ort.InferenceSession | None = self._loaded()
        self._in_cells = "uint8" in self._session.get_inputs()[0].type
        self.spec = spec
        self.version = weights_digest(weights)

    def _loaded(self) -> ort.InferenceSession:
        try:
            session = _session(self._graph, tensors_for(self._graph, self._weights))
        except (*UNLOADABLE, BadInput) as error:
            raise BadInput(f"the graph does not load with these {len(self._weights)} tensors: {error}") from error
        give_memory_back()  # a session is made of several copies of the weights, and keeps one
        return session

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
        if self._in_cells:
            return self._run(in_cells(np.rint(images * np.float32(255)).astype(np.uint8).transpose(0, 2, 3, 1)))
        return self._run(images)

    def see(self, tiles: Tiles) -> list[Floats]:
        """Raw outputs per head for ``(b, tile, tile, 3)`` uint8."""
        return self._run(in_cells(tiles) if self._in_cells else in_floats(tiles))

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What the model sees in one frame of any size, ``(h, w, 3)`` uint8 RGB."""
        spread = self._pool.map if self._pool is not None else map
        return look(pixels, self.see, self.spec, Looking(spread=spread))

    def _run(self, images: NDArray[Any]) -> list[Floats]:
        with self._loading:
            session = self._session = self._session or self._loaded()
        return [np.asarray(output, np.float32) for output in session.run(None, {"images": images})]


def _session(graph: bytes, tensors: Tensors) -> ort.InferenceSession:
    """A session of one thread with its own copy of ``tensors``."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    names = sorted(tensors)
    values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensors[name])) for name in names]
    options.add_external_initializers(names, values)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _question() -> Floats:
    """A picture of all levels in no order: Knuth's multiplicative hash of each value's position."""
    place = np.arange(3 * _ASKED * _ASKED, dtype=np.uint32) * np.uint32(2_654_435_761)
    return (place >> np.uint32(24)).astype(np.float32).reshape(1, 3, _ASKED, _ASKED) / np.float32(255)
