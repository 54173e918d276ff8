"""Where the Local Controller puts selection logics that it fetched. It loads none: that is the worker's matter."""

from __future__ import annotations

import re
from pathlib import Path

from orbitloop.adapters.durable import copy_durably, naming_full_disk, write_durably
from orbitloop.domain.units import Digest


class FileSelectionShelf:
    """The :class:`~orbitloop_edge.usecases.selection_channel.SelectionShelf` on disk.

    Args:
        path: where the worker looks for new logics.
        fetched: file with the digest of what was fetched last.
    """

    def __init__(self, path: Path, fetched: Path) -> None:
        self._path, self._fetched = path, fetched
        with naming_full_disk(fetched):
            fetched.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)

    def digest(self) -> Digest | None:
        """Of what was fetched last, whatever became of it."""
        try:
            return digest_named(self._fetched.read_text(encoding="ascii", errors="replace").strip())
        except FileNotFoundError:
            return None

    def put(self, path: Path, digest: Digest) -> None:
        """Put the file at ``path`` where the worker looks, then note its digest. Raises ``NoSpace``."""
        copy_durably(path, self._path, expected=digest)
        write_durably(self._fetched, f"{digest}\n".encode())


def digest_named(text: str) -> Digest | None:
    """The digest that ``text`` is, if it is one."""
    return Digest(text) if re.fullmatch(r"sha256:[0-9a-f]{64}", text) else None
