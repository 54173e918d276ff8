"""The detector on the ground: the same tiling, decoding and suppression as on board, with torch underneath."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.tiling import detect
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.network import network_with


class TorchDetector:
    """A model, ready to look at pictures.

    Args:
        model: what to load; raises ``RuntimeError`` when tensors do not fit the network.
        compute: where to run.
    """

    def __init__(self, model: Model, compute: Compute) -> None:
        self._compute = compute
        self._network = compute.place(network_with(dict(model.weights), model.spec)).eval()
        self._spec = model.spec

    @torch.no_grad()
    def forward(self, images: Floats) -> list[Floats]:
        """Raw outputs per head for ``(b, 3, tile, tile)`` float32 in [0, 1]."""
        with self._compute.autocast():
            outputs = self._network(self._compute.move(torch.from_numpy(images)))
        return [output.float().cpu().numpy() for output in outputs]

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What the model sees in a picture of any size, ``(h, w, 3)`` uint8 RGB."""
        return detect(pixels, self.forward, self._spec)
