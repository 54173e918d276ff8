"""The models that the ground knows, by the digest of their weights: what flies can always be looked up."""

from __future__ import annotations

from pathlib import Path

from orbitloop.adapters.durable import sync_folder
from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.wire.model_folder import DETECTOR, Model, read_detector


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
            sync_folder(self._folder)
        return digest

    def get(self, digest: Digest) -> Model:
        """The model with these weights; raises ``BadInput`` if the ground never knew it."""
        if not (self._path(digest) / DETECTOR).exists():
            raise BadInput(f"model {digest} is unknown on the ground; register the folder that was installed on board")
        return read_model(self._path(digest))

    def classes(self) -> tuple[str, ...]:
        """Names of the classes, of the model that has most of them; empty where there is no model."""
        found = [read_detector(path).spec().classes for path in sorted(self._folder.glob(f"*/{DETECTOR}"))]
        return max(found, key=len, default=())

    def _path(self, digest: Digest) -> Path:
        return self._folder / hexadecimal(digest)
