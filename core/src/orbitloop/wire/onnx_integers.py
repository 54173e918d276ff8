"""What a graph that computes in integers says of itself, and the tensors that it takes.

A graph without weights needs its scales before it can be loaded; they stand in the metadata of the ONNX file, field 14
of a model, as JSON below one key. A graph without that key takes the float32 weights as they are.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.domain.quantising import Integers, Tensors, quantised
from orbitloop.domain.versions import Weights
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.protobuf import BYTES, fields

KEY = "orbitloop.integers"
_METADATA, _KEY, _VALUE = 14, 1, 2
_SMALLEST = float(np.finfo(np.float32).tiny)

Scale = Annotated[float, Field(ge=_SMALLEST, le=1e6, allow_inf_nan=False)]
Digits = Annotated[str, Field(pattern="^[0-9]+$")]


class IntegersText(BaseModel):
    """The JSON below ``KEY``.

    Args:
        weight_bits: 8, or 7 for processors that add up products in 16 bits.
        input_scales: by convolution, each a float32 written as a decimal number.
        folded: convolutions that take cells of four pixels.
        output_shifts: by convolution, how many times each output channel is doubled, a digit each.
        input_shifts: by convolution, the same of its input's channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    weight_bits: Literal[7, 8] = 8
    input_scales: dict[str, Scale] = Field(min_length=1)
    folded: tuple[str, ...] = ()
    output_shifts: dict[str, Digits] = Field(default_factory=dict)
    input_shifts: dict[str, Digits] = Field(default_factory=dict)

    def integers(self) -> Integers:
        """The domain's view of it."""
        scales = {name: np.float32(scale) for name, scale in self.input_scales.items()}
        largest = 2 ** (self.weight_bits - 1) - 1
        return Integers(
            input_scales=scales,
            largest=largest,
            folded=frozenset(self.folded),
            output_shifts=_numbers(self.output_shifts),
            input_shifts=_numbers(self.input_shifts),
        )


def integers_of(graph: bytes) -> Integers | None:
    """How a graph computes in integers; ``None``: it does not.

    Raises:
        BadInput: it is no ONNX model, or what it says is not understood.
    """
    text = next((value for key, value in _metadata(graph) if key == KEY.encode()), None)
    if text is None:
        return None
    try:
        return IntegersText.model_validate_json(text).integers()
    except ValidationError as error:
        raise BadInput(f"the graph's {KEY}: {first_complaint(error)}; calibrate the model again") from error


def tensors_for(graph: bytes, weights: Weights) -> Tensors:
    """What a graph takes, by name: the weights, or integers made of them. Errors as :func:`integers_of`."""
    integers = integers_of(graph)
    return dict(weights) if integers is None else quantised(weights, integers)


def _numbers(digits: dict[str, str]) -> dict[str, NDArray[np.int64]]:
    return {name: np.array([int(digit) for digit in text], np.int64) for name, text in digits.items()}


def _metadata(graph: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    for field in fields(graph):
        if (field.number, field.kind) == (_METADATA, BYTES):
            entry = field.value(graph)
            parts = {part.number: part.value(entry) for part in fields(entry) if part.kind == BYTES}
            found.append((parts.get(_KEY, b""), parts.get(_VALUE, b"")))
    return found
