"""What was seen in shadow so far, in one JSON file, replaced whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.shadow import Compared
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import DigestText


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: DigestText
    compared: Compared


class FileShadowLog:
    """A :class:`~orbitloop_edge.usecases.shadow.ShadowLog`. A file that the disk has damaged counts for nothing.

    Args:
        path: the file; its folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, model: Digest) -> Compared:
        """What is kept of ``model``."""
        try:
            kept = _Kept.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Compared()
        return kept.compared if kept.model == model else Compared()

    def write(self, model: Digest, compared: Compared) -> None:
        """Replace it. Raises ``NoSpace`` when the disk is full."""
        write_durably(self._path, _Kept(model=model, compared=compared).model_dump_json().encode())

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)
