"""Bundles that arrive as CFDP files: into the same ledger, under the same digests, as those that the gateway takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from orbitloop.adapters.cfdp.values import EntityId, ReceivedFile, SendResult, TransactionKey
from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.units import Bytes
from orbitloop.wire.bundle import MAGIC
from orbitloop_ground.usecases.receive import Receiver

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What came by CFDP.

    Args:
        stored: bundles whose samples are in the ledger, repeated ones included.
        refused: files that were no bundle, of no satellite, or bad.
        broken: transactions that never became a whole file.
    """

    stored: int = 0
    refused: int = 0
    broken: int = 0


class CfdpReception:
    """A :class:`~orbitloop.adapters.cfdp.values.Listener` that feeds the ground.

    CFDP authenticates nobody, so a source entity id is only a claim; the bundle names its satellite again, and must
    name the same one.

    Args:
        receiver: where bundles go.
        satellites: which satellite has which entity id.
    """

    def __init__(self, receiver: Receiver, satellites: Mapping[EntityId, str]) -> None:
        self.tally = Tally()
        self._receiver = receiver
        self._satellites = dict(satellites)
        self._turn = threading.Lock()

    def received(self, file: ReceivedFile) -> None:
        """Enter a bundle; the file is removed once the ledger holds it.

        Raises:
            Refused: it is no bundle, of no known satellite, or bad: the sender is told.
            NotYet: there is no room just now; the sender may try again.
        """
        try:
            with self._turn:
                self._enter(file)
        except Refused as error:
            self.tally.refused += 1
            _log.warning("cfdp_file_refused", extra={"transaction": str(file.key), "why": str(error)})
            raise
        self.tally.stored += 1
        file.path.unlink(missing_ok=True)

    def sent(self, result: SendResult) -> None:
        """A file that the ground sent has ended."""
        _log.info("cfdp_file_sent", extra={"transaction": str(result.key), "outcome": str(result.outcome)})

    def failed(self, key: TransactionKey, reason: str) -> None:
        """A file never became whole, or was refused."""
        self.tally.broken += 1
        _log.warning("cfdp_transaction_failed", extra={"transaction": str(key), "why": reason})

    def _enter(self, file: ReceivedFile) -> None:
        satellite = self._satellites.get(file.key.source)
        if satellite is None:
            raise Untrusted(f"CFDP entity {file.key.source} is no satellite's; add it to the table of entities")
        if file.size > self._receiver.largest:
            raise BadInput(f"file {file.key} of {file.size} bytes exceeds the limit of {self._receiver.largest}")
        data = file.path.read_bytes()
        if not data.startswith(MAGIC):
            raise BadInput(f"file {file.key} ({file.announced!r}) is no bundle; only bundles are taken")
        upload = self._receiver.begin(satellite, file.digest, Bytes(len(data)))
        if not upload.complete:
            upload = self._receiver.write(upload, 0, data)
        if self._receiver.receipt(satellite, file.digest) is None:
            raise BadInput(f"bundle {file.digest} of {satellite} is not whole after all its bytes were written")
