"""A model at rest: what is written is read back, and damage is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_spec, some_weights
from orbitloop.wire.model_folder import (
    MAX_TENSOR_FILE,
    decode_weights,
    detector_text,
    encode_weights,
    read_detector,
    read_file,
)


@given(seed=st.integers(0, 999))
def test_weights_come_back_bit_for_bit(seed: int) -> None:
    weights = some_weights(seed)
    assert weights_digest(decode_weights(encode_weights(weights), "f")) == weights_digest(weights)


def test_weights_that_float16_holds_come_back_from_half_the_bytes() -> None:
    weights = {name: tensor.astype(np.float16).astype(np.float32) for name, tensor in some_weights().items()}
    whole, half = encode_weights(weights), encode_weights(weights, half=True)
    assert len(half) < 0.8 * len(whole)
    assert weights_digest(decode_weights(half, "f")) == weights_digest(weights)


@pytest.mark.parametrize("value", [1 / 3, 1e6, 1e-9], ids=["too fine", "too large", "too small"])
def test_weights_that_float16_would_change_are_not_halved(value: float) -> None:
    with (
        np.errstate(over="ignore"),
        pytest.raises(BadInput, match="tensor bias does not fit float16 exactly; store float32"),
    ):
        encode_weights({"bias": np.array([value], np.float32)}, half=True)


def test_weights_that_are_no_numbers_stay_in_single_precision() -> None:
    broken = {"bias": np.array([np.nan, np.inf], np.float32)}
    assert np.isnan(decode_weights(encode_weights(broken), "f")["bias"][0])


def of_type(name: str) -> bytes:
    """A safetensors file with one tensor of two bytes of the named type."""
    header = json.dumps({"bias": {"dtype": name, "shape": [1], "data_offsets": [0, 2]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0\0"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 64, "not a safetensors file"),
        (encode_weights(some_weights())[:-1], "not a safetensors file"),
        (b"\x02" + b"\0" * 7 + b"[]", "not a safetensors file"),
        (save({"bias": np.zeros(2, np.float64)}), "tensor bias is float64; models hold float16 or float32"),
        (save({"bias": np.zeros(2, np.int8)}), "tensor bias is int8"),
        (of_type("BF16"), "models hold float16 or float32"),
    ],
    ids=["empty", "noise", "truncated", "not an object", "double", "integers", "bfloat16"],
)
def test_a_file_that_holds_no_weights_is_refused_by_name(data: bytes, complaint: str) -> None:
    with pytest.raises(BadInput, match=f"slots/a/weights: .*{complaint}"):
        decode_weights(data, "slots/a/weights")


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_another_version(position: int, flip: int) -> None:
    weights = some_weights()
    data = bytearray(encode_weights(weights))
    data[position % len(data)] ^= flip
    try:
        decoded = decode_weights(bytes(data), "f")
    except BadInput:
        return
    assert weights_digest(decoded) != weights_digest(weights)


@pytest.mark.parametrize(
    "classes", [("airplane",), ("ship", "car", "\u98de\u673a")], ids=["one class", "three classes"]
)
def test_a_specification_comes_back(classes: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    path.write_text(detector_text(a_spec(classes=classes), a_digest()), encoding="utf-8")
    detector = read_detector(path)
    assert detector.spec() == a_spec(classes=classes)
    assert detector.digest == a_digest()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"digest": "md5:0"}, "digest"),
        ({"tile": 0}, "tile"),
        ({"tile": 10_000}, "tile"),
        ({"heads": [{"stride": 0, "anchors": [[1, 2]]}]}, "heads.0.stride"),
        ({"heads": [{"stride": 32, "anchors": [[1]]}]}, "heads.0.anchors"),
        ({"heads": [{"stride": 32, "anchors": [[1, -2]]}]}, "heads.0.anchors"),
        ({"heads": [{"stride": 32, "anchors": [[1, float("nan")]]}]}, "heads.0.anchors"),
        ({"heads": [{"stride": 32, "anchors": []}]}, "heads.0.anchors"),
        ({"classes": "airplane"}, "classes"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_malformed_specification_is_refused_by_file_and_field(
    change: dict[str, Any], field: str, tmp_path: Path
) -> None:
    path = tmp_path / "detector.json"
    path.write_text(json.dumps({**json.loads(detector_text(a_spec(), a_digest())), **change}))
    with pytest.raises(BadInput) as refusal:
        read_detector(path)
    assert str(path) in str(refusal.value)
    assert field in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_what_is_not_json_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(BadInput, match=r"detector\.json"):
        read_detector(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="weights: no such file; a model is a folder with"):
        read_file(tmp_path / "weights")


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"{tmp_path}: cannot be read \(Is a directory"):
        read_file(tmp_path)


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with pytest.raises(BadInput, match=r"model/weights: cannot be read \(Not a directory"):
        read_file(tmp_path / "model" / "weights")


def test_a_file_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.touch()
    os.truncate(path, MAX_TENSOR_FILE + 1)  # sparse: takes no room
    with pytest.raises(BadInput, match="no model of ours"):
        read_file(path)
