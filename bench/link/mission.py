"""A ground, a satellite and their keys, ready to be started as live processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from bench.cargo import fill
from bench.live import Running, Stage

from orbitloop.adapters.plans import write_plan
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import BitsPerSecond, Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.builders import a_model
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_ground.adapters.authority import Authority
from orbitloop_ground.adapters.restorable import RestorableLedger
from orbitloop_ground.adapters.uploads import FolderUploads

SATELLITE = "sat-1"
STATION = "tongchuan"
DOWN, UP = BitsPerSecond(100_000_000), BitsPerSecond(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Where the satellite reaches a gateway: TCP and UDP addresses, ``host:port``."""

    gateway: str
    datagrams: str


class Mission:
    """Everything of one measurement under ``folder``, which is replaced.

    Args:
        address: what the gateway listens on.
        layer: convergence layer of the satellite.
        datagram: largest UDP payload, bytes.
        down: rate that the satellite is told of.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layer: str,
        address: str = "127.0.0.1",
        datagram: int = 980,
        down: BitsPerSecond = DOWN,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder.resolve()
        self.layer = layer
        self.address = address
        self._datagram = datagram
        self._down = down
        self.space, self.ground = self.folder / "space", self.folder / "ground"
        keys = Authority(self.folder / "keys", WallClock())
        self.ground_keys = keys.equip_ground([address])
        self.keys = keys.equip(SATELLITE)
        model = a_model({"w": np.zeros(8, np.float32)})
        self.flying = weights_digest(model.weights)
        Slots(self.space / "slots").install(model)
        self.plan = self.folder / "plan.csv"

    def windows(self, *lasting: float, after: float, gap: float = 0.0) -> tuple[ContactWindow, ...]:
        """A plan of passes of so many seconds, the first ``after`` seconds from now; written to :attr:`plan`."""
        found = []
        aos = datetime.now(UTC) + timedelta(seconds=after)
        for seconds in lasting:
            los = aos + timedelta(seconds=seconds)
            found.append(ContactWindow(aos=aos, los=los, station=STATION, peak=45.0))
            aos = los + timedelta(seconds=gap)
        write_plan(self.plan, found)
        return tuple(found)

    def load(self, total: int) -> int:
        """Let samples of ``total`` bytes wait on board; returns how many."""
        budget = Bytes(total * 2 + 2**20)
        with DiskSpool(self.space / "spool", SATELLITE, WallClock(), budget=budget) as spool:
            return fill(spool, total, satellite=SATELLITE)

    def offer(self, size: int) -> Digest:
        """Publish an artifact of ``size`` random bytes for what flies; it will be fetched, and refused."""
        data = np.random.default_rng(1).bytes(size)
        path = self.folder / "artifact"
        path.write_bytes(data)
        digest = digest_of(data)
        update = PublishedUpdate(
            satellite=SATELLITE,
            digest=digest,
            size=Bytes(size),
            base=self.flying,
            result=digest_of(b"another model"),
            path=path,
        )
        with self.ledger() as ledger:
            ledger.publish_update(update)
        return digest

    def serve(self, stage: Stage, *, namespace: str | None = None) -> Running:
        """Start the gateway."""
        config = self.folder / "ground.toml"
        config.write_text(
            f"""
folder = "{self.ground}"
keys = "{self.ground_keys}"
host = "{self.address}"
port = 0
datagram_port = 0
admin_port = 0
"""
        )
        return stage.run("ground", "orbitloop-ground", "serve", "--config", str(config), namespace=namespace)

    def fly(self, stage: Stage, call: Call, *, planned: bool, namespace: str | None = None) -> Running:
        """Start the Local Controller, without a worker."""
        config = self.folder / "satellite.toml"
        config.write_text(
            f"""
satellite = "{SATELLITE}"
folder = "{self.space}"
keys = "{self.keys}"
layer = "{self.layer}"
spool_budget_bytes = 8_000_000_000

[stations.{STATION}]
gateway = "https://{call.gateway}"
datagrams = "{call.datagrams}"

[contacts]
{f'plan = "{self.plan}"' if planned else "interval_seconds = 1"}
poll_seconds = 2
patience_seconds = 20

[link]
downlink_bits_per_second = {self._down}
datagram_bytes = {self._datagram}
uplink_bits_per_second = {UP}
update_budget_bytes = 40_000_000
reserve_percent = 1

[worker]
command = "none"
"""
        )
        command = ("orbitloop-edge", "run", "--config", str(config))
        return stage.run("satellite", *command, announces=False, namespace=namespace)

    @contextmanager
    def ledger(self) -> Iterator[RestorableLedger]:
        """The ground's ledger, beside the gateway."""
        self.ground.mkdir(exist_ok=True)
        ledger = RestorableLedger(self.ground / "ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()

    def acknowledged(self) -> int:
        """Bytes of bundles that the ground holds durably, whole or begun."""
        with self.ledger() as ledger:
            whole = sum(summary.bytes for summary in ledger.summaries() if summary.satellite == SATELLITE)
        uploads = FolderUploads(self.ground / "uploads", WallClock())
        begun = (
            uploads.find(SATELLITE, Digest(f"sha256:{path.stem}"))
            for path in (self.ground / "uploads" / SATELLITE).glob("*.part")
        )
        return whole + sum(upload.held.count for upload in begun if upload is not None)

    def fetched(self, artifact: Digest) -> int:
        """Bytes of an artifact that are on board."""
        return FolderInbox(self.space / "inbox").held(artifact).count

    def told(self, event: str) -> list[dict[str, Any]]:
        """What the Local Controller logged of one kind."""
        lines = (self.folder / "logs" / "satellite.log").read_text().splitlines()
        parsed = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in parsed if line.get("event") == event]
