"""The selection logic on disk: a new file is flown once it has proved good, and the last good one is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.contexts import engine_answer
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.resampling import GLIMPSE, INPUT
from orbitloop.domain.units import Digest
from orbitloop.domain.value_map import regrid
from orbitloop.wire.messages import DigestText, LogicOnBoard
from orbitloop.wire.model_folder import read_file
from orbitloop.wire.selection_file import ENGINE, SelectionPackage, unpack_selection
from orbitloop.wire.update import Verify
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork
from orbitloop_edge.adapters.selection_word import SelectionWord
from orbitloop_edge.adapters.slot_state import Checked
from orbitloop_edge.adapters.starts import FileStarts
from orbitloop_edge.usecases.select import BATCH

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrived:
    """A logic that may fly: its signature is right, and all of its networks load and answer."""

    package: SelectionPackage
    digest: Digest


class SelectionFile:
    """One file that may be replaced at any time, and a copy of the last good one.

    A logic that the worker dies of, while it is proved or while the first frame of a process goes by it, flies no more
    after a few deaths: whoever comes next would die of it as well.

    Args:
        path: where new ones are put.
        kept: where the last good one is kept; beside it, how often the worker died of which.
        verify: checks the ground's signature.
        deaths: so many are enough.
    """

    def __init__(self, path: Path, kept: Path, verify: Verify, *, deaths: int = 2) -> None:
        self._path, self._kept, self._verify, self._deaths = path, kept, verify, deaths
        self._starts = FileStarts(kept.parent / "starts.json")
        self._word = SelectionWord(kept.parent / "refused.json")
        self._seen: tuple[int, int] | None = None
        self._version = 0
        self._told = self._lives = False
        self._flying: Digest | None = None

    @property
    def said(self) -> LogicOnBoard:
        """What became of logics on board; any thread may ask."""
        return self._word.said

    def kept(self) -> Arrived | None:
        """The last good one, as it was left by the process before; ``None`` where there is none.

        Raises:
            Refused: it has been damaged meanwhile, or the worker died of it.
            NoSpace: nothing can be noted; it is looked at again with :meth:`new`.
        """
        if not self._kept.exists():
            self._told = True
            return None
        data = read_file(self._kept)
        try:
            arrived = self._checked(data)
        except Refused as error:
            self._told = True
            self._word.refused(digest_of(data), str(error))
            raise
        self._told = True
        return self._flies(arrived)

    def new(self) -> Arrived | None:
        """What has been put there since it was last asked, if it is newer than what flies; looked at once.

        Raises:
            Refused: it cannot fly; what flies goes on.
            NoSpace: it could not be kept; it is looked at again.
        """
        if not self._told and (kept := self.kept()) is not None:
            return kept
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        now = stat.st_mtime_ns, stat.st_size
        if now == self._seen:
            return None
        data = read_file(self._path)
        try:
            arrived = self._newer(data)
        except Refused as error:
            self._seen = now
            self._word.refused(digest_of(data), str(error))
            raise
        self._seen = now
        return arrived

    @contextmanager
    def trial(self) -> Iterator[None]:
        """While the first frame of a process goes by what flies: a death in here is noted as its own.

        Raises:
            NoSpace: nothing can be noted.
        """
        if self._lives or self._flying is None:
            yield
            return
        self._starts.begin(self._flying)
        try:
            yield
        except BaseException:
            self._starts.end(self._flying)
            raise
        self._starts.lives(self._flying)
        self._lives = True

    def _newer(self, data: bytes) -> Arrived | None:
        if self._kept.exists() and data == read_file(self._kept):
            if self._flying is not None:
                self._word.accepted()
            return None
        arrived = self._checked(data)
        if arrived.package.version <= self._version:
            raise BadInput(
                f"{self._path}: version {arrived.package.version} is no newer than {self._version}, which flies; "
                "transform again with a higher --version"
            )
        write_durably(self._kept, data)
        self._word.accepted()
        return self._flies(arrived)

    def _flies(self, arrived: Arrived) -> Arrived:
        self._version, self._flying, self._lives = arrived.package.version, arrived.digest, False
        self._word.flies(arrived.digest, arrived.package)
        return arrived

    def _checked(self, data: bytes) -> Arrived:
        package, digest = unpack_selection(data, self._verify), digest_of(data)
        if (died := self._starts.deaths(digest)) >= self._deaths:
            raise BadInput(f"the worker died {died} times of this selection logic; transform again")
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        self._starts.begin(digest)
        try:
            prove(package)
        finally:
            self._starts.end(digest)
        return Arrived(package=package, digest=digest)


def prove(package: SelectionPackage) -> None:
    """Load every network once, and let it answer: what would fail in the midst of a frame fails here.

    Raises:
        BadInput: one does not load, or answers in another form than it should.
    """
    logic = package.logic
    for name, graph in package.parts.items():
        network = OnnxNetwork(graph)
        side = GLIMPSE if name == ENGINE else INPUT
        tiles = np.zeros((BATCH, 3, side, side), np.float32)
        for count in (1, BATCH):
            outputs = network(tiles[:count])
            if any(not np.issubdtype(output.dtype, np.floating) for output in outputs):
                raise BadInput(f"network {name!r} answers with something else than floats; transform again")
            if name == ENGINE:
                if len(outputs) != 2 or outputs[0].shape != (count, len(package.contexts)):
                    raise BadInput(
                        f"the context engine does not tell {len(package.contexts)} contexts apart; transform again"
                    )
                engine_answer(outputs[0], outputs[1], 0.0)
            elif len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[0] != count:
                raise BadInput(f"network {name!r} makes no value map; transform again")
            else:
                regrid(outputs[0], logic.cells // logic.tiles, highest=package.highest)


class _Decision(Checked):
    frame: str
    logic: DigestText
    processed: bool


class FileDecisions:
    """The :class:`~orbitloop_edge.usecases.select.Decisions` in a file; a damaged one counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: _Decision | None = None
        if path.exists():
            try:
                self._last = _Decision.of(path)
            except BadInput as error:
                _log.warning("begun_anew", extra={"path": str(path), "why": str(error)})

    @property
    def frame(self) -> str:
        """The latest frame of which something has been sent; empty where there is none."""
        return "" if self._last is None else self._last.frame

    def decided(self, frame: str, logic: Digest) -> bool | None:
        """Whether ``frame`` was processed by ``logic``; ``None`` where nothing of it has been sent."""
        last = self._last
        return last.processed if last is not None and (last.frame, last.logic) == (frame, logic) else None

    def decide(self, frame: str, logic: Digest, *, processed: bool) -> None:
        """Something of ``frame`` is about to be sent. Raises ``NoSpace``."""
        last = _Decision(frame=frame, logic=logic, processed=processed)
        write_durably(self._path, last.text())
        self._last = last
