"""Local Controller and inference worker as neighbours on board: each sees the other through a port.

controller.sock  the Local Controller answers ``add``: head ``entry`` (see :func:`orbitloop.wire.bundle.entry_of`),
                 body the encoded pixels; answers ``{"new": bool}`` once the sample is durable
worker.sock      the worker answers ``status`` and ``prove``: head ``path`` and ``offer``; answers ``status`` or
                 ``report``; and ``prove_beginning``, whose head says too how many bytes are ``here``, and whose
                 answer what ``flies`` now, or null
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.spool import Intake
from orbitloop.ports.workers import InferenceWorker, WorkerStatus
from orbitloop.wire.bundle import entry_of, sample_from
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.rpc import Answer, Caller, Head

CONTROLLER_SOCKET = "controller.sock"
WORKER_SOCKET = "worker.sock"

Said = TypeVar("Said", bound=BaseModel)


class RemoteIntake:
    """The spool, as the worker sees it.

    Args:
        caller: reaches the Local Controller.
        satellite: whose samples these are.
        patience: ends waits.
        attempts: how often it is asked before the frame is put off; a second apart.
    """

    def __init__(self, caller: Caller, satellite: str, patience: Patience, *, attempts: int = 20) -> None:
        self._caller = caller
        self._satellite = satellite
        self._patience = patience
        self._attempts = attempts

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Hand a sample over; returns once it is durable. Raises what the spool raises, or ``NotYet``."""
        head = {"entry": json.loads(entry_of(self._satellite, sample, pixels))}
        for _ in range(self._attempts - 1):
            try:
                return bool(self._caller.call("add", head, pixels)["new"])
            except NotYet as error:
                if type(error) is not NotYet or self._patience.wait(1.0):
                    raise
        return bool(self._caller.call("add", head, pixels)["new"])


def intake_calls(intake: Intake) -> Mapping[str, Answer]:
    """What the Local Controller answers."""

    def add(head: Head, body: bytes) -> Head:
        sample = sample_from(json.dumps(head.get("entry")).encode())
        return {"new": intake.add(sample, body)}

    return {"add": add}


class RemoteWorker:
    """The :class:`~orbitloop.ports.workers.InferenceWorker` behind its socket.

    Args:
        folder: the satellite's.
        patience: how long a proof may take.
    """

    def __init__(self, folder: Path, *, patience: timedelta = timedelta(minutes=10)) -> None:
        path = folder / WORKER_SOCKET
        self._status = Caller(path, "the inference worker", timedelta(seconds=10))
        self._prove = Caller(path, "the inference worker", patience)

    def close(self) -> None:
        """Hang up."""
        self._status.close()
        self._prove.close()

    def status(self) -> WorkerStatus:
        """What flies, and what was seen so far. Raises ``NotYet`` while it is not there."""
        return _read(self._status.call("status"), "status", WorkerStatus)

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove an update. Raises what the worker raises, or ``NotYet`` while it is not there."""
        head = {"path": str(path), "offer": offer.model_dump(mode="json")}
        return _read(self._prove.call("prove", head), "report", UpdateReport)

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Prove a beginning of an update. Raises what the worker raises, or ``NotYet`` while it is not there."""
        head = {"path": str(path), "offer": offer.model_dump(mode="json"), "here": here}
        flies = self._prove.call("prove_beginning", head).get("flies")
        return None if flies is None else Digest(str(flies))


def _read(answer: Head, name: str, kind: type[Said]) -> Said:
    try:
        return kind.model_validate(answer.get(name))
    except ValidationError as error:
        raise NotYet(f"the inference worker's {name} is unreadable ({first_complaint(error)}); update it") from error


def worker_calls(worker: InferenceWorker) -> Mapping[str, Answer]:
    """What the worker answers."""

    def status(_head: Head, _body: bytes) -> Head:
        return {"status": worker.status().model_dump(mode="json")}

    def prove(head: Head, _body: bytes) -> Head:
        return {"report": worker.prove(*_named(head)).model_dump(mode="json")}

    def prove_beginning(head: Head, _body: bytes) -> Head:
        here = head.get("here")
        if not isinstance(here, int):
            raise BadInput(f"prove_beginning: here is {here!r}; it is a number of bytes")
        return {"flies": worker.prove_beginning(*_named(head), Bytes(here))}

    return {"status": status, "prove": prove, "prove_beginning": prove_beginning}


def _named(head: Head) -> tuple[Path, Offer]:
    """The file and the offer that a call is about."""
    try:
        return Path(str(head.get("path"))), Offer.model_validate(head.get("offer"))
    except ValidationError as error:
        raise BadInput(f"{head.get('call')}: {first_complaint(error)}") from error
