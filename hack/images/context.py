"""What a builder is handed: a tar archive of just what one target takes, and a digest of it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hack.images.containerfile import WHEELS, Containerfile
from hack.images.docker import Failed

NAME = "Containerfile"
"""Where the context holds its Containerfile."""

_MADE = {"__pycache__", "build"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The files that one target is built from.

    Args:
        root: what paths are relative to.
        definition: the stages that the target needs.
    """

    root: Path
    definition: Containerfile

    def digest(self, arguments: Mapping[str, str]) -> str:
        """Of all that decides what the image becomes: instructions, files and their modes, the build's arguments."""
        found = hashlib.sha256(repr(sorted(arguments.items())).encode())
        found.update("\n".join(self.definition.lines()).encode())
        for name, path in self.files():
            executable = bool(path.stat().st_mode & 0o100)
            found.update(f"\0{name}\0{executable}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return found.hexdigest()[:16]

    def write(self, stream: IO[bytes], wheels: Path | None) -> None:
        """The archive; with the ``*.whl`` of a folder, if one is given. Raises :class:`Failed` if a file is missing."""
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _add(archive, NAME, "\n".join(self.definition.lines()).encode(), executable=False)
            _add(archive, f"{WHEELS}/README.md", b"", executable=False)
            for name, path in self.files():
                _add(archive, name, path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))
            for path in sorted(wheels.glob("*.whl")) if wheels else ():
                _add(archive, f"{WHEELS}/{path.name}", path.read_bytes(), executable=False)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Names in the archive, and paths; links as what they lead to."""
        given: set[str] = set()
        for source in self.definition.sources():
            top = self.root / source
            if not top.exists():
                raise Failed(f"{top} is not there; the checkout is not whole")
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                name = path.relative_to(self.root)
                made = any(part in _MADE or part.endswith(".egg-info") for part in name.parts)
                if path.is_file() and not made and str(name) not in given:
                    given.add(str(name))
                    yield str(name), path


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, executable: bool) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(data))
