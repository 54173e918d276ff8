"""Model files as training leaves them: safetensors, ONNX with its weights inside, or a state dictionary of torch."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.wire.model_folder import MAX_TENSOR_FILE, decode_weights

Arrays = dict[str, NDArray[np.float32]]

_STATES = ("state_dict", "model_state_dict")
_KINDS = "write safetensors, ONNX or a state dictionary by torch.save"


def read_model_file(path: Path) -> bytes:
    """The bytes of a model file. Raises ``BadInput`` if there is none, or a larger one than any model's."""
    try:
        if not path.is_file():
            raise BadInput(
                f"{path}: no such file on the gateway's machine; mount the storage there that training writes to"
            )
        if path.stat().st_size > MAX_TENSOR_FILE:
            raise BadInput(f"{path}: larger than {MAX_TENSOR_FILE} bytes; this is no model of ours")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); let the gateway read it") from error


def trained_weights(data: bytes, source: str) -> Arrays:
    """The tensors of a model file by name, as float32.

    Raises:
        BadInput: it is of no kind that is known, or damaged; ``source`` is named.
    """
    if not data:
        raise BadInput(f"{source}: an empty file; {_KINDS}")
    if data[:2] == b"PK":
        return _from_torch(data, source)
    if data[8:9] == b"{":
        return decode_weights(data, source)
    return _from_onnx(data, source)


def _from_torch(data: bytes, source: str) -> Arrays:
    import torch  # only where such a file comes: it takes a second and 200 MB

    try:
        loaded: Any = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # torch raises whatever pickle and zip do
        raise BadInput(f"{source}: torch cannot read it ({str(error)[:200]}); {_KINDS}") from None
    for name in _STATES:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    tensors = {} if not isinstance(loaded, dict) else loaded
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise BadInput(f"{source}: holds no state dictionary; {_KINDS}")
    return {
        str(name): np.ascontiguousarray(tensor.float().numpy())
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }


def _from_onnx(data: bytes, source: str) -> Arrays:
    import onnx  # only where such a file comes
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load_from_string(data).graph
    except DecodeError:
        raise BadInput(f"{source}: neither safetensors nor ONNX nor torch; {_KINDS}") from None
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    found = {
        tensor.name: np.ascontiguousarray(numpy_helper.to_array(tensor), np.float32)
        for tensor in graph.initializer
        if tensor.data_type in floats
    }
    if not found:
        raise BadInput(f"{source}: an ONNX graph without weights; {_KINDS}")
    return found
