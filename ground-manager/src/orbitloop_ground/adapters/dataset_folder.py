"""A dataset on disk: an index of one image a line, and the images beside it."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, sync_folder, write_durably, write_unlisted
from orbitloop.domain.errors import BadInput


class IndexedFolder:
    """The :class:`~orbitloop_ground.usecases.exports.DatasetFolder` in ``folder``; made if it is not there.

    Readers see the index as it was or as it is; images are there before a line names them.

    Args:
        folder: of the index.
        name: of the index in it.

    Raises:
        BadInput: the name is no file's, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, name: str = "index.txt") -> None:
        if name != Path(name).name or not name:
            raise BadInput(f"index {name!r}: write the name of a file in {folder}")
        self._folder = folder.resolve()
        self._path = self._folder / name
        try:
            with naming_full_disk(folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            discard_unfinished(self._folder)
        except OSError as error:
            raise BadInput(f"{folder}: {error.strerror}; name a folder that can be written to") from error

    @property
    def index(self) -> str:
        """Path of the index, absolute."""
        return str(self._path)

    def listed(self) -> Set[str]:
        """The images that the index names."""
        return {line.split(" ", 1)[0] for line in self._lines()}

    def append(self, images: Mapping[str, bytes], lines: Sequence[str]) -> int:
        """Keep images by their names, then lines at the end of the index, durably; returns how many lines it has.

        Raises:
            NoSpace: the disk is full; the index is as it was.
        """
        shelves = {(self._folder / name).parent for name in images}
        with naming_full_disk(self._folder):
            for shelf in shelves:
                shelf.mkdir(parents=True, exist_ok=True)
            for name, data in images.items():
                write_unlisted(self._folder / name, data)
            for folder in [*shelves, *{shelf.parent for shelf in shelves}]:
                sync_folder(folder)
        with (self._folder / f".{self._path.name}.turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two exports into one folder: each line once, none lost
            before = self._lines()
            named = {line.split(" ", 1)[0] for line in before}
            after = [*before, *(line for line in lines if line.split(" ", 1)[0] not in named)]
            write_durably(self._path, "".join(f"{line}\n" for line in after).encode())
        return len(after)

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._path}: no index ({error}); name another folder, or move it away") from error
