"""What looks at frames."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.units import Digest


class Detector(Protocol):
    """A loaded model."""

    @property
    def version(self) -> Digest:
        """Digest of its weights."""
        ...

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What it sees in a picture, ``(h, w, 3)`` uint8 RGB."""
        ...
