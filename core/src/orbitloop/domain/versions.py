"""What a model version is: named float32 tensors and the digest over them that both sides compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes, Digest

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Tensors by name; convolution weights ``(out, in, k, k)``, biases ``(out,)``."""


def weights_digest(weights: Weights) -> Digest:
    """SHA-256 over names, shapes and little-endian float32 values, in the order of the names.

    Raises:
        BadInput: a tensor is not float32.
    """
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        if tensor.dtype != np.float32:
            raise BadInput(f"tensor {name} is {tensor.dtype}; versions are compared as float32")
        shape = "x".join(str(side) for side in tensor.shape)
        total.update(f"{name}\0{shape}\0".encode())
        total.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    return Digest(f"sha256:{total.hexdigest()}")


def weights_size(weights: Weights) -> Bytes:
    """Bytes of all tensors as float32."""
    return Bytes(sum(tensor.nbytes for tensor in weights.values()))
