"""A model at rest: a folder with ``detector.json``, ``weights.safetensors`` and ``graph.onnx``.

The graph holds no weights: every tensor is an initializer by name, supplied when a session is created, so that a
satellite replaces tensors without rewriting a graph. Weights may be stored as float16 when they hold it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orbitloop.domain.detection import DetectorSpec, Head
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText

DETECTOR, WEIGHTS, GRAPH = "detector.json", "weights.safetensors", "graph.onnx"
MAX_TENSOR_FILE = 256 * 1024 * 1024


Side = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class HeadText(BaseModel):
    """One output scale, as written in ``detector.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stride: int = Field(gt=0)
    anchors: tuple[tuple[Side, Side], ...] = Field(min_length=1)


class SpecText(BaseModel):
    """How to read the graph's outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    classes: tuple[str, ...]
    heads: tuple[HeadText, ...]
    tile: int = Field(gt=0, le=4096)

    def spec(self) -> DetectorSpec:
        """The domain's view of it."""
        heads = tuple(Head(stride=head.stride, anchors=head.anchors) for head in self.heads)
        return DetectorSpec(classes=self.classes, heads=heads, tile=self.tile)


class DetectorText(SpecText):
    """``detector.json``: how to read the graph's outputs, and the digest of the weights beside it."""

    digest: DigestText


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A detector: what it is, its tensors (float32) and its graph (ONNX bytes without weights)."""

    spec: DetectorSpec
    weights: Weights
    graph: bytes


def encode_weights(weights: Weights, *, half: bool = False) -> bytes:
    """The tensors as a safetensors file, as float16 if ``half``.

    Raises:
        BadInput: ``half`` is asked for and a tensor would change.
    """
    if half:
        for name, tensor in weights.items():
            if not np.array_equal(tensor.astype(np.float16).astype(np.float32), tensor):
                raise BadInput(f"tensor {name} does not fit float16 exactly; store float32")
    return save({name: tensor.astype(np.float16) if half else tensor for name, tensor in weights.items()})


def decode_weights(data: bytes, source: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Tensors of a safetensors file as float32.

    Raises:
        BadInput: the file is damaged or holds something else than floats; ``source`` is named.
    """
    try:
        tensors = load(data)
    except KeyError as error:
        raise BadInput(f"{source}: a tensor is {error}; models hold float16 or float32") from error
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"{source}: not a safetensors file ({error}); fetch the model again") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (np.float16, np.float32):
            raise BadInput(f"{source}: tensor {name} is {tensor.dtype}; models hold float16 or float32")
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}


def detector_text(spec: DetectorSpec, digest: str) -> str:
    """``detector.json`` for a specification and the digest of its weights."""
    text = DetectorText.model_validate(spec_text(spec).model_dump() | {"digest": digest})
    return text.model_dump_json(indent=2) + "\n"


def spec_digest(spec: DetectorSpec) -> Digest:
    """The digest of a specification: it stays while weights are replaced."""
    return digest_of(spec_text(spec).model_dump_json().encode())


def spec_text(spec: DetectorSpec) -> SpecText:
    """A specification as it is written."""
    heads = tuple(HeadText(stride=head.stride, anchors=head.anchors) for head in spec.heads)
    return SpecText(classes=spec.classes, heads=heads, tile=spec.tile)


def read_file(path: Path) -> bytes:
    """The bytes of a model's file; raises ``BadInput`` when it cannot be read or is larger than any model."""
    try:
        if path.stat().st_size > MAX_TENSOR_FILE:
            raise BadInput(f"{path}: larger than {MAX_TENSOR_FILE} bytes; this is no model of ours")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file; a model is a folder with {DETECTOR}, {WEIGHTS} and {GRAPH}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a model folder of your own") from error


def read_detector(path: Path) -> DetectorText:
    """Read ``detector.json``; raises ``BadInput`` naming the file and the field."""
    try:
        return DetectorText.model_validate_json(read_file(path))
    except ValidationError as error:
        raise BadInput(f"{path}: {first_complaint(error)}; fetch the model again") from error
