"""What the worker says of selection logics: which one flies, and which it refused last, across restarts."""

from __future__ import annotations

import logging
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk, write_durably
from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import MOST_APPLICATION, MOST_REASON, DigestText, LogicOnBoard
from orbitloop.wire.selection_file import SelectionPackage
from orbitloop_edge.adapters.slot_state import Checked

_log = logging.getLogger(__name__)


class _Refusal(Checked):
    digest: DigestText
    reason: str


class SelectionWord:
    """One thread tells what became of logics, another may ask.

    Args:
        path: where the last refusal is kept; one that is damaged is forgotten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = LogicOnBoard()
        if path.exists():
            try:
                before = _Refusal.of(path)
            except BadInput as error:
                _log.warning("refusal_forgotten", extra={"path": str(path), "why": str(error)})
            else:
                self._said = LogicOnBoard(refused=before.digest, reason=before.reason)

    @property
    def said(self) -> LogicOnBoard:
        """What became of logics on board."""
        return self._said

    def flies(self, digest: Digest, package: SelectionPackage) -> None:
        """Frames go by this one from now on."""
        application = package.application[:MOST_APPLICATION]
        new = {"flying": digest, "flying_version": package.version, "application": application}
        self._said = self._said.model_copy(update=new)

    def refused(self, digest: Digest, why: str) -> None:
        """This one does not fly. A full disk keeps it from being remembered, not from being said."""
        refusal = _Refusal(digest=digest, reason=why[:MOST_REASON])
        self._said = self._said.model_copy(update={"refused": refusal.digest, "reason": refusal.reason})
        try:
            with naming_full_disk(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, refusal.text())
        except NoSpace as error:
            _log.warning("refusal_not_kept", extra={"why": str(error)})

    def accepted(self) -> None:
        """A good one has come after what was refused."""
        self._said = self._said.model_copy(update={"refused": None, "reason": ""})
        self._path.unlink(missing_ok=True)
