"""The selection logic on disk: a new file is flown once it has proved good, and the last good one is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orbitloop.adapters.durable import copy_durably, naming_full_disk, write_durably
from orbitloop.domain.contexts import engine_answer
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.resampling import INPUT
from orbitloop.domain.units import Digest
from orbitloop.wire.model_folder import read_file
from orbitloop.wire.selection_file import ENGINE, SelectionPackage, unpack_selection
from orbitloop.wire.update import Verify
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrived:
    """A logic that may fly: its signature is right, and all of its networks load and answer."""

    package: SelectionPackage
    digest: Digest


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


class SelectionFile:
    """One file that may be replaced at any time, and a copy of the last good one.

    Args:
        path: where new ones are put.
        kept: where the last good one is kept.
        verify: checks the ground's signature.
    """

    def __init__(self, path: Path, kept: Path, verify: Verify) -> None:
        self._path, self._kept, self._verify = path, kept, verify
        self._seen: tuple[int, int] | None = None
        self._version = 0

    def kept(self) -> Arrived | None:
        """The last good one, as it was left by the process before; ``None`` where there is none.

        Raises:
            Refused: it has been damaged meanwhile.
        """
        return self._proved(self._kept) if self._kept.exists() else None

    def new(self) -> Arrived | None:
        """What has been put there since it was last asked, if it is newer than what flies; looked at once.

        Raises:
            Refused: it cannot fly; what flies goes on.
            NoSpace: it could not be kept.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        if (stat.st_mtime_ns, stat.st_size) == self._seen:
            return None
        self._seen = stat.st_mtime_ns, stat.st_size
        flying = self._version
        data = read_file(self._path)
        if self._kept.exists() and data == read_file(self._kept):
            return None
        arrived = self._checked(data)
        if arrived.package.version <= flying:
            raise BadInput(
                f"{self._path}: version {arrived.package.version} is no newer than {flying}, which flies; transform "
                "again with a higher --version"
            )
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._kept, data)
        self._version = arrived.package.version
        return arrived

    def _proved(self, path: Path) -> Arrived:
        arrived = self._checked(read_file(path))
        self._version = arrived.package.version
        return arrived

    def _checked(self, data: bytes) -> Arrived:
        package = unpack_selection(data, self._verify)
        prove(package.parts, len(package.contexts))
        return Arrived(package=package, digest=digest_of(data))


def prove(parts: Mapping[str, bytes], contexts: int) -> None:
    """Load every network once, and let it answer: what would fail in the midst of a frame fails here.

    Raises:
        BadInput: one does not load, or answers in another form than it should.
    """
    tile = np.zeros((1, 3, INPUT, INPUT), np.float32)
    for name, graph in parts.items():
        outputs = OnnxNetwork(graph)(tile)
        if name == ENGINE:
            if len(outputs) != 2 or outputs[0].shape != (1, contexts):
                raise BadInput(f"the context engine does not tell {contexts} contexts apart; transform again")
            engine_answer(outputs[0], outputs[1], 0.0)
        elif len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[0] != 1:
            raise BadInput(f"network {name!r} makes no value map; transform again")
