"""Models on disk: weights beside the specification that names their digest, checked whenever they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.durable import discard_unfinished, write_durably
from orbitloop.domain.detection import DetectorSpec
from orbitloop.domain.errors import Untrusted
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.model_folder import (
    DETECTOR,
    GRAPH,
    WEIGHTS,
    Model,
    decode_weights,
    detector_text,
    encode_weights,
    read_detector,
    read_file,
)


def read_weights(folder: Path) -> tuple[DetectorSpec, dict[str, NDArray[np.float32]]]:
    """Specification and weights of a folder.

    Raises:
        BadInput: a file is missing or damaged.
        Untrusted: the weights are not those that ``detector.json`` names.
    """
    detector = read_detector(folder / DETECTOR)
    weights = decode_weights(read_file(folder / WEIGHTS), str(folder / WEIGHTS))
    if weights_digest(weights) != detector.digest:
        raise Untrusted(f"{folder / WEIGHTS}: not the weights that {DETECTOR} names; install or fetch the model again")
    return detector.spec(), weights


def write_weights(folder: Path, spec: DetectorSpec, weights: Weights, *, half: bool = False) -> Digest:
    """Write both durably, ``detector.json`` last: without it, a folder that was cut short is no model."""
    digest = weights_digest(weights)
    write_durably(folder / WEIGHTS, encode_weights(weights, half=half))
    write_durably(folder / DETECTOR, detector_text(spec, digest).encode())
    return digest


def read_model(folder: Path) -> Model:
    """A model folder, checked; errors as :func:`read_weights`."""
    spec, weights = read_weights(folder)
    return Model(spec=spec, weights=weights, graph=read_file(folder / GRAPH))


def write_model(folder: Path, model: Model, *, half: bool = False) -> Digest:
    """Write a model folder; made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    discard_unfinished(folder)
    write_durably(folder / GRAPH, model.graph)
    return write_weights(folder, model.spec, model.weights, half=half)
