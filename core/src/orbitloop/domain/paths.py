"""Paths that came from outside and may not leave their folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from orbitloop.domain.errors import BadInput


def contained_path(folder: Path, name: str) -> Path:
    """``folder / name``, refused if it would lie outside ``folder``.

    Purely lexical: absolute names, ``..``, backslashes, NUL and drive letters are refused without touching the disk.

    Raises:
        BadInput: the name climbs out of the folder or is not a plain relative path.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or any(character in name for character in "\\\0")
        or ":" in parts[0]
    ):
        raise BadInput(f"path {name!r} leaves its folder {folder}; use a plain relative path")
    return folder.joinpath(*parts)
