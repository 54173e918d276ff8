"""Networks that came in one file each, run by onnxruntime; the lately used ones stay loaded under a memory limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop_edge.adapters.onnx_detector import UNLOADABLE

SESSION_FACTOR = 3
"""How many times its file a loaded network takes: packed weights, the graph, and activations of a batch."""


class OnnxNetwork:
    """One loaded network.

    Args:
        graph: ONNX bytes with the weights inside; one input.
        threads: of its session.

    Raises:
        BadInput: it does not load.
    """

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except UNLOADABLE as error:
            raise BadInput(f"a network of {len(graph)} bytes does not load: {error}") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, tiles: Floats) -> list[Floats]:
        """Its outputs for a batch of tiles.

        Raises:
            BadInput: it wants tiles of another shape.
        """
        try:
            return [np.asarray(output) for output in self._session.run(None, {self._input: tiles})]
        except UNLOADABLE as error:
            raise BadInput(f"the network does not take tiles of shape {tiles.shape}: {error}") from error


class WarmNetworks:
    """Networks by name, loaded when they are first used.

    What was used longest ago is let go when all together would take more than ``memory``; the one that is asked for
    is always loaded, for a frame must go on. ``loads`` counts loadings: in the steady state it stands still.

    Args:
        graphs: ONNX bytes by name.
        memory: bytes that loaded networks may take.
        threads: of each session.
    """

    def __init__(self, graphs: Mapping[str, bytes], *, memory: int, threads: int = 1) -> None:
        self._graphs, self._memory, self._threads = graphs, memory, threads
        self._loaded: OrderedDict[str, OnnxNetwork] = OrderedDict()
        self.loads = 0

    def get(self, name: str) -> OnnxNetwork:
        """The network ``name``, loaded. Raises ``BadInput`` where there is none, or it does not load."""
        if name in self._loaded:
            self._loaded.move_to_end(name)
            return self._loaded[name]
        if name not in self._graphs:
            raise BadInput(f"the selection logic runs {name!r}, which did not come with it; transform again")
        while self._loaded and self._taken() + self._size(name) > self._memory:
            self._loaded.popitem(last=False)
        self._loaded[name] = OnnxNetwork(self._graphs[name], threads=self._threads)
        self.loads += 1
        return self._loaded[name]

    @property
    def warm(self) -> tuple[str, ...]:
        """The networks that are loaded, the one used longest ago first."""
        return tuple(self._loaded)

    def _taken(self) -> int:
        return sum(self._size(name) for name in self._loaded)

    def _size(self, name: str) -> int:
        return SESSION_FACTOR * len(self._graphs[name])
