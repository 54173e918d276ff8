"""What applying an update takes on board: seconds from its bytes to the new weights, and memory beside what flies."""

from __future__ import annotations

import time
import tracemalloc

from orbitloop.domain.delta import apply
from orbitloop.domain.versions import Weights
from orbitloop.wire.update import unpack_update


def applied(base: Weights, data: bytes) -> tuple[float, float]:
    """Seconds, and the most memory that is taken beside the base, in sizes of the model."""
    begun = time.perf_counter()
    _made(base, data)
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    try:
        _made(base, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return seconds, peak / sum(tensor.nbytes for tensor in base.values())


def _made(base: Weights, data: bytes) -> Weights:
    update = unpack_update(data, lambda signature, message: None)
    weights: Weights = dict(base)
    for step in update.steps:
        weights = apply(weights, step.changes)
    return weights
