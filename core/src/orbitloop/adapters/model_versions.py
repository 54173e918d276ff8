"""Versions of one model in a folder that an inference worker follows: each under its digest, the newest one named."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.update_files import CONFIG, LOADED, Loaded, Wanted, loaded_in, wanted_in

_log = logging.getLogger(__name__)

_VERSION = re.compile(r"[0-9a-f]{64}")


class ModelVersions:
    """The folder; see :mod:`orbitloop.wire.update_files` for the two files in it.

    Args:
        folder: where it is; made when a version is put there.
        seen_at: where the worker sees it; the same place where this is left out.
    """

    def __init__(self, folder: Path, seen_at: Path | None = None) -> None:
        self.folder = folder
        self._seen_at = seen_at or folder

    @property
    def config(self) -> Path:
        """The file that the worker follows, as it sees it."""
        return self._seen_at / CONFIG

    def path(self, digest: Digest, name: str) -> Path:
        """Where the version of this digest goes; its folder is made."""
        version = self.folder / hexadecimal(digest)
        version.mkdir(parents=True, exist_ok=True)
        return version / name

    def current(self) -> Wanted | None:
        """What is announced; ``None`` if nothing is that can be read."""
        text = _text(self.folder / CONFIG)
        try:
            return None if text is None else wanted_in(text)
        except BadInput:
            return None  # it is replaced

    def answer(self) -> Loaded | None:
        """What the worker said last; ``None`` if it said nothing that can be read."""
        text = _text(self.folder / LOADED)
        try:
            return None if text is None else loaded_in(text)
        except BadInput:
            return None  # of another kind of worker: ours replaces it whole

    def is_announced(self, digest: Digest, name: str) -> bool:
        """Whether this version is the one that is announced."""
        current = self.current()
        return current is not None and (current.path, current.digest) == (str(self._seen(digest, name)), digest)

    def announce(self, digest: Digest, name: str, updated: str) -> Wanted:
        """Name a version that is there, durably.

        Args:
            digest: of the version.
            name: of its file.
            updated: when; another time is another update, even of the same version.

        Raises:
            NoSpace: the disk is full; the one before stays announced.
        """
        self.path(digest, name).parent.touch()  # versions are kept by their age
        wanted = Wanted(path=str(self._seen(digest, name)), updated=updated, digest=digest)
        write_durably(self.folder / CONFIG, wanted.body())
        return wanted

    def prune(self, served: Digest, keep: int) -> None:
        """Remove the oldest versions beyond ``keep``, but never the one that is served."""
        kept = self.folder / hexadecimal(served)
        versions = [path for path in self.folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()]
        others = [path for path in versions if path != kept]
        others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in others[keep - 1 :]:
            try:
                shutil.rmtree(path)
            except OSError as error:
                _log.warning("old_version_stays", extra={"path": str(path), "why": str(error)})

    def _seen(self, digest: Digest, name: str) -> Path:
        return self._seen_at / hexadecimal(digest) / name


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
