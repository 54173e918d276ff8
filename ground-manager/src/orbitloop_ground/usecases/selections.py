"""Selection logics at an operator's behest: signed here, with a version that the satellite takes, and put on offer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import MOST_SELECTION, LogicOnBoard
from orbitloop.wire.selection_file import SelectionPackage, pack_selection, unpack_selection
from orbitloop.wire.update import Sign
from orbitloop_ground.usecases.nodes import TooLarge

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffer:
    """What a satellite is offered at an operator's behest.

    Args:
        source: digest of the file that the operator gave.
        digest: of the file that was signed for this satellite.
        version: that it was signed with.
        application: whose logic it is.
        target: the computer that it was made for.
    """

    source: Digest
    digest: Digest
    version: int
    application: str
    target: str


class Selections(Protocol):
    """Where the logics are that satellites are offered."""

    def content(self, satellite: str) -> bytes | None:
        """The file that a satellite is offered, whoever had it offered."""
        ...

    def noted(self, satellite: str) -> OnOffer | None:
        """What operators had offered last, whether it is on offer still or not."""
        ...

    def commissioned(self, satellite: str) -> OnOffer | None:
        """The same, if it is on offer now."""
        ...

    def commission(self, satellite: str, data: bytes, note: OnOffer) -> None:
        """Offer ``data`` from the next contact on, durably. Raises ``NoSpace``; what was offered before stays."""
        ...

    def withdraw(self, satellite: str) -> bool:
        """Offer it no more, if operators had it offered; whether that was so."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A file that was on offer: its version, and its digest."""

    version: int
    digest: Digest


class OfferSelections:
    """Signs and offers. Threads may share one: it makes one at a time; of several processes only one may.

    Args:
        shelf: where they are offered.
        read: bytes of a file on this machine; raises ``Refused``.
        sign: signs what satellites believe.
        said: what a satellite said last of selection logics on board.
    """

    def __init__(
        self,
        shelf: Selections,
        read: Callable[[Path], bytes],
        sign: Sign,
        said: Callable[[str], LogicOnBoard | None],
    ) -> None:
        self._shelf, self._read, self._sign, self._said = shelf, read, sign, said
        self._turn = threading.Lock()

    def offer(self, satellite: str, path: Path, source: Digest) -> OnOffer:
        """Offer ``satellite`` the logic in the file at ``path``, signed or not, from its next contact on.

        The same logic again is the same offer. Another one gets the next version, whatever its file says: what was
        offered before is rolled back to by offering it again.

        Raises:
            BadInput: the file is missing, another one than ``source``, or no selection logic.
            TooLarge: it is larger than a satellite fetches.
            NoSpace: the disk is full; what was offered before stays.
        """
        with self._turn:
            data = self._read(path)
            if (actual := digest_of(data)) != source:
                raise BadInput(f"{path}: its bytes are {actual}, not {source}; it was replaced or damaged since")
            package = _read(data, path)
            signed, version = self._signed(satellite, package)
            if (size := len(signed)) > MOST_SELECTION:  # by a digit of its version
                raise TooLarge(f"{path}: {size} bytes are more than the {MOST_SELECTION} that a satellite fetches")
            made = OnOffer(
                source=source,
                digest=digest_of(signed),
                version=version,
                application=package.application,
                target=package.target,
            )
            if self._shelf.commissioned(satellite) != made:
                self._shelf.commission(satellite, signed, made)
                fields = {"satellite": satellite, "selection": made.digest, "version": version}
                _log.info("selection_offered", extra=fields)
            return made

    def withdraw(self, satellite: str) -> bool:
        """Offer a satellite no more what operators had offered; whether there was any. What flies goes on."""
        with self._turn:
            withdrawn = self._shelf.withdraw(satellite)
        if withdrawn:
            _log.info("selection_withdrawn", extra={"satellite": satellite})
        return withdrawn

    def _signed(self, satellite: str, package: SelectionPackage) -> tuple[bytes, int]:
        """The file with the version that it was offered with before, if that may still fly; else with the next one."""
        known, said = self._known(satellite), self._said(satellite) or LogicOnBoard()
        flying = said.flying_version or 0
        for before in known:
            if flying < before.version or said.flying == before.digest:
                signed = pack_selection(replace(package, version=before.version), self._sign)
                if digest_of(signed) == before.digest:
                    return signed, before.version
        version = max(package.version, 1 + max([flying, *(before.version for before in known)]))
        return pack_selection(replace(package, version=version), self._sign), version

    def _known(self, satellite: str) -> list[_Known]:
        found: list[_Known] = []
        if (noted := self._shelf.noted(satellite)) is not None:
            found.append(_Known(version=noted.version, digest=noted.digest))
        if (content := self._shelf.content(satellite)) is not None:
            try:
                version = unpack_selection(content, _anyone).version
            except Refused as error:
                _log.warning("selection_damaged", extra={"satellite": satellite, "why": str(error)})
            else:
                found.append(_Known(version=version, digest=digest_of(content)))
        return found


def _read(data: bytes, path: Path) -> SelectionPackage:
    try:
        return unpack_selection(data, _anyone)
    except Refused as error:
        raise BadInput(f"{path}: {error}") from error


def _anyone(_signature: bytes, _message: bytes) -> None:
    """Takes every signature: the digest came from the operator."""
