"""The satellite's worker in a world of faults: hands over numbered samples, and proves updates as the real one does.

    python -m bench.chaos.worker CONFIG JOURNAL RATE

Everything but the eyes is what flies: the calls to the Local Controller, model slots, signatures, deltas. The number
of each sample is written to JOURNAL once the controller has it durably; JOURNAL.stop ends the making of samples.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.signatures import VerifyingKey
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import NotYet
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.workers import WorkerStatus
from orbitloop.testing.samples import a_sample
from orbitloop.wire.messages import Offer, Telemetry, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.neighbours import CONTROLLER_SOCKET, WORKER_SOCKET, RemoteIntake, worker_calls
from orbitloop_edge.adapters.rpc import Caller, CallServer
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.satellite_file import read_satellite_file
from orbitloop_edge.usecases.prove import ProveUpdate

SIZES = (600, 30_000)
"""Bytes of a sample, between these."""


def size_of(number: int) -> int:
    """The bytes of a sample, by its number."""
    return SIZES[0] + number * 7_919 % (SIZES[1] - SIZES[0])


def numbers(journal: Path) -> list[int]:
    """The samples that the controller acknowledged; a last line that a kill cut short does not count."""
    if not journal.exists():
        return []
    lines = journal.read_text().split("\n")
    return [int(line) for line in lines[:-1]]


class _Blind:
    """A detector that sees nothing: what is tried here is how models get on board, not what they see."""

    def __init__(self, model: Model) -> None:
        self.version: Digest = weights_digest(model.weights)

    def detect(self, _: NDArray[np.uint8]) -> Detections:
        """Nothing."""
        return Detections.none()


class _NoTiles:
    def pixels(self, _: Digest) -> None:
        """No tile is kept."""


class _Worker:
    def __init__(self, config: Path, journal: Path) -> None:
        self.file = read_satellite_file(config)
        self.slots = Slots(self.file.folder / "slots")
        self._journal = journal
        self._prove = ProveUpdate(
            satellite=self.file.satellite,
            slots=self.slots,
            canaries=_NoTiles(),
            load=_Blind,
            swap=lambda _: None,
            verify=VerifyingKey((self.file.keys / "ground.pub").read_text().strip()).verify,
            clock=WallClock(),
            rule=self.file.canary_rule(),
        )

    def status(self) -> WorkerStatus:
        """What flies, and how many samples were made."""
        state = self.slots.state()
        made = len(numbers(self._journal))
        telemetry = Telemetry(
            satellite=self.file.satellite,
            frames_captured=made,
            frames_processed=made,
            captured_bytes=Bytes(made),
            samples_spooled=made,
        )
        return WorkerStatus(flying=state.flying, telemetry=telemetry, last=state.last)

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove an update and swap it in."""
        return self._prove(path, offer)

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Prove what a beginning of an update makes, and swap it in."""
        return self._prove.beginning(path, offer, here)


def main(config: Path, journal: Path, rate: float) -> None:
    """Work until standard input ends."""
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    worker = _Worker(config, journal)
    folder, satellite = worker.file.folder, worker.file.satellite
    caller = Caller(folder / CONTROLLER_SOCKET, "the Local Controller", timedelta(seconds=20))
    intake = RemoteIntake(caller, satellite, Patience())
    stop = journal.with_name(journal.name + ".stop")
    with CallServer(folder / WORKER_SOCKET, worker_calls(worker)):
        known = numbers(journal)
        number = known[-1] + 1 if known else 0
        while not stop.exists():
            try:
                intake.add(*a_sample(number, satellite=satellite, size=size_of(number)))
            except NotYet:  # a full disk, or no controller: the same sample again
                time.sleep(0.1)
                continue
            _note(journal, number)
            number += 1
            time.sleep(1 / rate)
        while True:
            time.sleep(1)


def _note(journal: Path, number: int) -> None:
    whole = journal.read_bytes().rpartition(b"\n") if journal.exists() else (b"", b"", b"")
    with journal.open("r+b" if journal.exists() else "w+b") as file:
        file.seek(len(whole[0]) + len(whole[1]))  # over what a kill cut short
        file.truncate()
        file.write(f"{number}\n".encode())
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
