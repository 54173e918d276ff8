"""A folder of reviews that go to a tool, and the file that comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orbitloop.adapters.durable import naming_full_disk, write_durably
from orbitloop.domain.errors import BadInput

_MOST = 256 * 2**20
"""Bytes of a file that is read."""
_OURS = ("labels.json", "label-config.xml")
"""What is written for a tool to be set up by."""


class FilesOfReviews:
    """A :class:`~orbitloop_ground.usecases.review_files.ReviewFolder` at ``path``: a folder, or one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """Keep a file. Raises ``NoSpace``, and ``BadInput`` where nothing can be written."""
        target = self._path / name
        try:
            with naming_full_disk(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                write_durably(target, data)
        except OSError as error:
            raise BadInput(f"{target}: {error.strerror}; name a folder that can be written to") from error

    def returned(self, suffix: str) -> Path:
        """The one file with that suffix that came back. Raises ``BadInput`` where there is none, or several."""
        if self._path.is_file():
            return self._path
        found = sorted(path for path in self._path.glob(f"*{suffix}") if path.name not in _OURS)
        if not found:
            raise BadInput(f"{self._path}: holds no {suffix} file; name the folder or the file that the tool exported")
        if len(found) > 1:
            raise BadInput(f"{self._path}: holds {', '.join(path.name for path in found)}; name one of them by --from")
        return found[0]


def content_of(path: Path) -> bytes:
    """The bytes of a file. Raises ``BadInput`` if it cannot be read, or is too large."""
    try:
        if path.stat().st_size > _MOST:
            raise BadInput(f"{path}: larger than {_MOST} bytes; export fewer tiles at a time")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); name the file that the tool exported") from error


def json_of(path: Path) -> Any:
    """What a JSON file says. Raises ``BadInput``."""
    try:
        return json.loads(content_of(path))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error})") from error


def as_json(value: object) -> bytes:
    """``value`` as a file that people can read."""
    return json.dumps(value, indent=1).encode()
