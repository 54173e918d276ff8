"""The desired state that the ground sent last, in a file that is replaced whole."""

from __future__ import annotations

import logging
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, write_durably
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet, Refused
from orbitloop.domain.units import Digest
from orbitloop.ports.node_channel import DesiredState

_log = logging.getLogger(__name__)

DOCUMENT = "document"


class NothingDesired:
    """A node that has nothing to look after: what is wanted of it is kept, and nothing follows."""

    def apply(self, document: bytes) -> None:
        """Nothing."""


class FileDesired:
    """The :class:`~orbitloop.ports.node_channel.DesiredShelf` on the node's disk: the digest on a line, then the bytes.

    It is kept before it is applied, and applied again at every start: a node that is killed in between comes to what
    is wanted all the same. A file that the disk has damaged is forgotten, and the ground sends it again.

    Args:
        folder: made if it is not there.
        state: what brings the node towards it.
    """

    def __init__(self, folder: Path, state: DesiredState) -> None:
        self._path = folder / DOCUMENT
        self._state = state
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)
        self._document = self._read()
        self._applied: Digest | None = None

    def digest(self) -> Digest | None:
        """Of the document that is here."""
        return None if self._document is None else digest_of(self._document)

    def put(self, document: bytes) -> None:
        """Keep it in place of the one before, durably, then apply it.

        Raises:
            NoSpace: the disk is full; the one before stays.
            Refused: it is here, and cannot be used.
            NotYet: it is here, and :meth:`settle` applies it later.
        """
        write_durably(self._path, f"{digest_of(document)}\n".encode() + document)
        self._document = document
        self._apply(document)

    def settle(self) -> None:
        """Apply the document that is here, unless that is done or can never be."""
        if self._document is None or self._applied == digest_of(self._document):
            return
        try:
            self._apply(self._document)
        except NotYet as error:
            _log.info("desired_state_put_off", extra={"why": str(error)})
        except Refused as error:
            _log.error("desired_state_refused", extra={"digest": self._applied, "why": str(error)})

    def _apply(self, document: bytes) -> None:
        try:
            self._state.apply(document)
        except Refused:
            self._applied = digest_of(document)
            raise
        self._applied = digest_of(document)

    def _read(self) -> bytes | None:
        if not self._path.exists():
            return None
        head, _, document = self._path.read_bytes().partition(b"\n")
        if head != digest_of(document).encode():
            _log.warning("desired_state_damaged", extra={"path": str(self._path)})
            return None
        return document
