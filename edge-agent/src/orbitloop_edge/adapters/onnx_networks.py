"""Networks that came in one file each, run by onnxruntime; the lately used ones stay loaded under a memory limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop.wire.onnx_file import reaches_outside
from orbitloop.wire.selection_file import ENGINE
from orbitloop_edge.adapters.onnx_detector import UNLOADABLE

_FACTOR = 3
_ACTIVATIONS = 20 * 2**20


def session_size(graph: bytes) -> int:
    """Bytes that a network takes once it has been used: three times its file for packed weights and the graph, and
    20 MiB that onnxruntime keeps for a batch of activations, which a file of a few kilobytes takes as well (measured:
    21 MB for a network of 1 MB).
    """
    return _FACTOR * len(graph) + _ACTIVATIONS


class OnnxNetwork:
    """One loaded network.

    Args:
        graph: ONNX bytes with the weights inside; one input.
        threads: of its session.

    Raises:
        BadInput: it does not load, or wants anything but one input.
    """

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            if reaches_outside(graph):  # onnxruntime would look for the file wherever the process happens to be
                raise BadInput("weights of it are in another file, which did not come with it")
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except (*UNLOADABLE, BadInput) as error:
            raise BadInput(f"a network of {len(graph)} bytes does not load: {error}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise BadInput(f"a network has {len(inputs)} inputs instead of one, its tiles; transform again")
        self._input = inputs[0].name

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

    What was used longest ago is let go when all together would take more than ``memory``, the context engine last, for
    every frame begins with it; the one that is asked for is always loaded, for a frame must go on. ``loads`` counts
    loadings: in the steady state it stands still.

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
        while self._loaded and self._taken() + session_size(self._graphs[name]) > self._memory:
            del self._loaded[next((each for each in self._loaded if each != ENGINE), ENGINE)]
        self._loaded[name] = OnnxNetwork(self._graphs[name], threads=self._threads)
        self.loads += 1
        return self._loaded[name]

    def rest(self) -> None:
        """Let go of all; whoever is asked for next is loaded again, in some hundredths of a second."""
        self._loaded.clear()

    @property
    def warm(self) -> tuple[str, ...]:
        """The networks that are loaded, the one used longest ago first."""
        return tuple(self._loaded)

    def _taken(self) -> int:
        return sum(session_size(self._graphs[name]) for name in self._loaded)
