"""The models that the ground knows, by the digest of their weights: what flies can always be looked up."""

from __future__ import annotations

from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, sync_folder, write_durably
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
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


def read_model(folder: Path) -> Model:
    """A model folder, checked.

    Raises:
        BadInput: a file is missing or damaged.
        Untrusted: the weights are not those that ``detector.json`` names.
    """
    detector = read_detector(folder / DETECTOR)
    weights = decode_weights(read_file(folder / WEIGHTS), str(folder / WEIGHTS))
    if weights_digest(weights) != detector.digest:
        raise Untrusted(f"{folder / WEIGHTS}: not the weights that {DETECTOR} names; fetch the model again")
    return Model(spec=detector.spec(), weights=weights, graph=read_file(folder / GRAPH))


def write_model(folder: Path, model: Model, *, half: bool = False) -> Digest:
    """Write a model folder, ``detector.json`` last: without it, a folder that was cut short is no model."""
    folder.mkdir(parents=True, exist_ok=True)
    discard_unfinished(folder)
    digest = weights_digest(model.weights)
    write_durably(folder / GRAPH, model.graph)
    write_durably(folder / WEIGHTS, encode_weights(model.weights, half=half))
    write_durably(folder / DETECTOR, detector_text(model.spec, digest).encode())
    sync_folder(folder.parent)
    return digest


class ModelRegistry:
    """Model folders under their digests.

    Args:
        folder: where they live; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, model: Model) -> Digest:
        """Keep a model; idempotent."""
        digest = weights_digest(model.weights)
        if not (self._path(digest) / DETECTOR).exists():
            write_model(self._path(digest), model)
        return digest

    def get(self, digest: Digest) -> Model:
        """The model with these weights; raises ``BadInput`` if the ground never knew it."""
        if not (self._path(digest) / DETECTOR).exists():
            raise BadInput(f"model {digest} is unknown on the ground; register the folder that was installed on board")
        return read_model(self._path(digest))

    def _path(self, digest: Digest) -> Path:
        return self._folder / hexadecimal(digest)
