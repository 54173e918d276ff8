"""A worker that looks at nothing: hands over samples that are made up, and says yes to every update.

Usage: worker_of_a_harness.py FOLDER FIRST COUNT SIZE. The first number not yet acknowledged is kept in FOLDER/next.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.workers import WorkerStatus
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.messages import Offer, Telemetry, UpdateReport
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.neighbours import CONTROLLER_SOCKET, WORKER_SOCKET, RemoteIntake, worker_calls
from orbitloop_edge.adapters.rpc import Caller, CallServer


class AnyUpdate:
    """Flies whatever comes; refuses to while FOLDER/busy is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def status(self) -> WorkerStatus:
        flying = self._folder / "flying"
        return WorkerStatus(
            flying=Digest(flying.read_text()) if flying.exists() else digest_of(b"weights"),
            telemetry=Telemetry(
                satellite="sat-1", frames_captured=1, frames_processed=1, captured_bytes=Bytes(1), samples_spooled=1
            ),
        )

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        if (self._folder / "busy").exists():
            raise NotYet("busy; ask again")
        assert digest_of(path.read_bytes()) == offer.digest
        write_durably(self._folder / "flying", offer.result.encode())
        return UpdateReport(
            satellite="sat-1", update=offer.digest, outcome=Outcome.APPLIED, flying=offer.result, at=LAUNCH
        )

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        return None


def main(folder: Path, first: int, count: int, size: int) -> None:
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    done = folder / "next"
    intake = RemoteIntake(
        Caller(folder / CONTROLLER_SOCKET, "the controller", timedelta(seconds=20)), "sat-1", Patience()
    )
    with CallServer(folder / WORKER_SOCKET, worker_calls(AnyUpdate(folder))):
        number = int(done.read_text()) if done.exists() else first
        while number < first + count:
            intake.add(*a_sample(number, size=size))
            number += 1
            write_durably(done, str(number).encode())
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))
