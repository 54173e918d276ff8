"""Bundles that arrive as CFDP files: into the same ledger, under the same digests, as those that the gateway takes."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orbitloop.adapters.cfdp.values import (
    EntityId,
    ReceivedFile,
    RemoteEntity,
    SendResult,
    TransactionKey,
    remote_at,
)
from orbitloop.domain.errors import BadInput, OrbitloopError, Untrusted
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.wire.bundle import MAGIC
from orbitloop_ground.usecases.receive import Receiver
from orbitloop_ground.usecases.refusals import refusal_of
from orbitloop_ground.usecases.watch import NobodyWatches, Watch, Way

_log = logging.getLogger(__name__)

_REMOTE = re.compile(r"(\d+)=([^@]+)@(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CfdpRemotes:
    """The entities that may send bundles.

    Args:
        entities: where each is reached.
        satellites: whose it is.
    """

    entities: tuple[RemoteEntity, ...]
    satellites: Mapping[EntityId, str]

    @staticmethod
    def of(written: Iterable[str], rate: BitsPerSecond) -> CfdpRemotes:
        """From ``ENTITY=SATELLITE@HOST:PORT`` each; ``rate`` bounds what is sent to each, headers included.

        Raises:
            BadInput: there is none, or one is written otherwise.
        """
        entities: list[RemoteEntity] = []
        satellites: dict[EntityId, str] = {}
        for text in written:
            match = _REMOTE.fullmatch(text)
            if match is None:
                raise BadInput(
                    f"cfdp_remotes: {text!r} names no entity of a satellite; write ENTITY=SATELLITE@HOST:PORT, "
                    "for instance 2=sat-1@192.0.2.20:7002"
                )
            entities.append(remote_at(int(match[1]), match[3], rate))
            satellites[entities[-1].id] = match[2]
        if not entities:
            raise BadInput("cfdp_port is given, but no satellite's entity: nobody would be heard; give cfdp_remotes")
        return CfdpRemotes(entities=tuple(entities), satellites=satellites)


class CfdpReception:
    """A :class:`~orbitloop.adapters.cfdp.values.Listener` that feeds the ground.

    CFDP authenticates nobody, so a source entity id is only a claim; the bundle names its satellite again, and must
    name the same one.

    Args:
        receiver: where bundles go.
        satellites: which satellite has which entity id.
        watch: told of bundles that came, and of files that were refused.
    """

    def __init__(self, receiver: Receiver, satellites: Mapping[EntityId, str], watch: Watch | None = None) -> None:
        self._receiver = receiver
        self._satellites = dict(satellites)
        self._watch = watch or NobodyWatches()
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
        except OrbitloopError as error:
            if (why := refusal_of(error)) is not None:
                self._watch.refused(why)
            _log.warning("cfdp_file_refused", extra={"transaction": str(file.key), "why": str(error)})
            raise
        self._watch.crossed(self._satellites[file.key.source], Way.IN, file.size)
        file.path.unlink(missing_ok=True)

    def sent(self, result: SendResult) -> None:
        """A file that the ground sent has ended."""
        _log.info("cfdp_file_sent", extra={"transaction": str(result.key), "outcome": str(result.outcome)})

    def failed(self, key: TransactionKey, reason: str) -> None:
        """A file never became whole, or was refused."""
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
