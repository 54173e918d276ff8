"""One satellite, one link, one ground: live processes on real sockets and files, and what must hold in the end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from bench.chaos.clocks import steppable
from bench.chaos.worker import numbers, size_of
from bench.live import Running, Stage, TooLate, until

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_weights, write_model
from orbitloop.adapters.signatures import SigningKey
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.delta import Sparse, apply
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import OrbitloopError
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.builders import a_model
from orbitloop.testing.samples import a_sample
from orbitloop.wire.update import SIGNATURE, Sign, Step, Update, pack_update
from orbitloop_edge.adapters.slot_state import read_state
from orbitloop_edge.adapters.slots import Slots
from orbitloop_ground.adapters.authority import Authority
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.restorable import RestorableLedger

SATELLITE = "sat-1"
DISK = 96 * 2**20
"""Bytes of each side's disk, where it can be a small one."""
_PARAMETERS = 120_000
_ROOT = Path(__file__).parents[2].resolve()
"""Where the worker finds this package."""

CALM: tuple[str, ...] = ("--delay", "4ms")


@dataclass(slots=True, kw_only=True)
class Chain:
    """The models that may fly, oldest first, and the updates between them."""

    models: list[Weights] = field(default_factory=list)
    allowed: set[Digest] = field(default_factory=set)
    forged: set[Digest] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a world came to; every count is to be 0, but for the samples made and the updates flown."""

    made: int
    flown: int
    lost: int
    duplicated: int
    invented: int
    stuck: int
    wrong_models: int
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.lost or self.duplicated or self.invented or self.stuck or self.wrong_models)


class World:
    """Runs for as long as the ``with`` block lasts; everything it keeps is under ``folder``, which is replaced.

    Args:
        layer: convergence layer that the satellite uses.
        rate: samples made a second.
        small_disks: each side on a disk of :data:`DISK` bytes (tmpfs; needs root), so that it can be full.
    """

    def __init__(self, folder: Path, *, layer: str, rate: float, small_disks: bool) -> None:
        self.folder = folder = folder.resolve()
        self._forget()
        self.space = folder / "space"
        self.ground_folder = folder / "ground"
        self.journal = folder / "made.txt"
        self._layer = layer
        self._rate = rate
        self._small_disks = small_disks
        self.stepped = {"satellite": folder / "satellite.clock", "ground": folder / "ground.clock"}
        self.wrong_models: list[str] = []
        self.notes: list[str] = []
        self.chain = Chain()
        self._stack = contextlib.ExitStack()
        ports = free_ports(5)
        self.gateway, self.datagrams, self.admin, self.link_port, self.link_datagrams = ports

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()

    def _forget(self) -> None:
        for side in ("space", "ground"):
            while os.path.ismount(self.folder / side):
                subprocess.run(["umount", "-l", str(self.folder / side)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def _make(self) -> None:
        for side in (self.space, self.ground_folder):
            side.mkdir()
            if self._small_disks:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(side)], check=True)
                self._stack.callback(subprocess.run, ["umount", "-l", str(side)], check=False)
        keys = Authority(self.folder / "keys", WallClock())
        keys.equip_ground()
        self.satellite_keys = keys.equip(SATELLITE)
        self._signing = SigningKey(self.folder / "keys" / "ground" / "signing.key")
        self._install()
        self._configure()
        for clock in self.stepped.values():
            clock.write_text("0\n")
        self._stage = self._stack.enter_context(Stage(self.folder / "logs"))
        self.ground = self._stage.run(
            "ground",
            "orbitloop-ground",
            "serve",
            "--config",
            str(self.folder / "ground.toml"),
            env=steppable(self.stepped["ground"]),
        )
        self.link = self._stage.run("link", *self.link_command(CALM))
        self.satellite = self._stage.run(
            "satellite",
            "orbitloop-edge",
            "run",
            "--config",
            str(self.folder / "satellite.toml"),
            env=steppable(self.stepped["satellite"]) | {"PYTHONPATH": str(_ROOT)},
            announces=False,
        )

    def link_command(self, weather: tuple[str, ...]) -> tuple[str, ...]:
        """How the link is started, with the faults of ``weather``."""
        return (
            *("python", "-m", "orbitloop_mission.space_link", "--json", "--down", "20Mbit", "--up", "2Mbit"),
            *("--listen", f"127.0.0.1:{self.link_port}", "--ground", f"127.0.0.1:{self.gateway}"),
            *("--datagrams", str(self.link_datagrams), "--ground-datagrams", f"127.0.0.1:{self.datagrams}"),
            *weather,
        )

    def _install(self) -> None:
        rng = np.random.default_rng(0)
        first = {"backbone.weight": rng.standard_normal(_PARAMETERS).astype(np.float32)}
        model = a_model(first)
        write_model(self.folder / "model", model)
        slots = Slots(self.space / "slots")
        slots.install(model)
        self.chain.models.append(first)
        self.chain.allowed.add(weights_digest(first))

    def _configure(self) -> None:
        worker = [sys.executable, "-m", "bench.chaos.worker", "{config}", str(self.journal), str(self._rate)]
        (self.folder / "satellite.toml").write_text(
            f"""
satellite = "{SATELLITE}"
folder = "space"
keys = "keys/satellites/{SATELLITE}"
layer = "{self._layer}"

[stations.tongchuan]
gateway = "https://127.0.0.1:{self.link_port}"
datagrams = "127.0.0.1:{self.link_datagrams}"

[contacts]
interval_seconds = 0.5
poll_seconds = 0.5
patience_seconds = 5
fade_seconds = 5

[link]
downlink_bits_per_second = 20_000_000
uplink_bits_per_second = 2_000_000
update_budget_bytes = 3_000_000

[canary]
least = 0

[worker]
command = {json.dumps(worker)}
"""
        )
        (self.folder / "ground.toml").write_text(
            f"""
folder = "{self.ground_folder}"
keys = "{self.folder}/keys/ground"
port = {self.gateway}
datagram_port = {self.datagrams}
admin_port = {self.admin}
silence = 5
"""
        )

    def watch(self) -> None:
        """Note a model that flies and may not."""
        try:
            state = read_state(self.space / "slots")
            _, weights = read_weights(self.space / "slots" / state.active)
        except (OrbitloopError, OSError):
            return  # in the middle of a swap, or of a fault: looked at again
        if read_state(self.space / "slots") != state:
            return
        self.wrong_models += {state.flying, weights_digest(weights)} - self.chain.allowed

    def publish(self, *, good: bool, rng: np.random.Generator) -> None:
        """Offer an update on what flies; a bad one is forged, cut or makes another model than it says."""
        base = self.chain.models[-1]
        where = np.sort(rng.choice(_PARAMETERS, 40_000, replace=False)).astype(np.uint32)
        quanta = rng.integers(-9, 10, 40_000).astype(np.int8)
        change = Sparse(tensor="backbone.weight", exponent=-9, where=where, quanta=quanta)
        made = apply(base, (change,))
        result = weights_digest(made)
        sign: Sign = self._signing.sign
        kind = "good" if good else rng.choice(["forged", "another result"])
        if kind == "forged":
            sign = _forged
        if kind == "another result":
            result = digest_of(secrets.token_bytes(8))
        step = Step(changes=(change,), result=result)
        data = pack_update(Update(base=weights_digest(base), steps=(step,)), sign)
        digest = digest_of(data)
        path = self.folder / "updates" / hexadecimal(digest)
        path.parent.mkdir(exist_ok=True)
        write_durably(path, data)
        if good:
            self.chain.models.append(made)
            self.chain.allowed.add(result)
        else:
            self.chain.forged.add(digest)
        update = PublishedUpdate(
            satellite=SATELLITE,
            digest=digest,
            size=Bytes(len(data)),
            base=weights_digest(base),
            result=result,
            path=path,
        )
        with self.ledger() as ledger:
            ledger.publish_update(update)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[RestorableLedger]:
        """The ground's ledger, beside the gateway."""
        ledger = RestorableLedger(self.ground_folder / "ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()

    def status(self) -> dict[str, Any]:
        """What the Local Controller says."""
        try:
            return dict(json.loads((self.space / "status.json").read_bytes()))
        except (OSError, ValueError):
            return {}

    def settle(self, *, seconds: float) -> Verdict:
        """No more faults: let everything come down and fly, and judge."""
        self.journal.with_name(self.journal.name + ".stop").touch()
        for clock in self.stepped.values():
            clock.write_text("0\n")
        for running in (self.ground, self.link, self.satellite):
            if not running.alive():
                running.start()
        stuck = 0
        wanted = weights_digest(self.chain.models[-1])
        try:
            until(
                lambda: self._drained() and self._flies(wanted),
                seconds=seconds,
                what=f"{self.folder.name}: everything down and the last update flying",
                every=0.25,
            )
        except TooLate as late:
            stuck = 1
            self.notes.append(f"{late}; {json.dumps(self.status())}")
        self.watch()
        verdict = self._judged(stuck)
        if not verdict.clean:  # the disks go with the world: keep what they hold
            for side in (self.space, self.ground_folder):
                shutil.copytree(side, self.folder / f"kept-{side.name}", ignore=shutil.ignore_patterns("*.sock"))
        return verdict

    def _flies(self, wanted: Digest) -> bool:
        try:
            return read_state(self.space / "slots").flying == wanted
        except (OrbitloopError, OSError):
            return False

    def _drained(self) -> bool:
        said = self.status()
        return said.get("queued_samples") == 0 and said.get("reports_waiting") == 0

    def _judged(self, stuck: int) -> Verdict:
        made = numbers(self.journal)
        names = {a_sample(number, satellite=SATELLITE, size=size_of(number))[0].id: number for number in made}
        most = max(made, default=-1) + 1  # one more may have been durable before it was noted
        names_possible = names | {a_sample(most, satellite=SATELLITE, size=size_of(most))[0].id: most}
        with self.ledger() as ledger:
            received = ledger.waiting([SATELLITE])
            blobs = FolderBlobs(self.ground_folder / "blobs")
            for sample in received:
                blobs.get(sample.blob)  # raises for what is gone or damaged
        held = [sample.sample.id for sample in received]
        lost = sorted(names[name] for name in names.keys() - set(held))
        if lost:
            self.notes.append(f"lost: samples {lost[:20]}")
        return Verdict(
            made=len(made),
            flown=len(self.chain.models) - 1,
            lost=len(lost),
            duplicated=len(held) - len(set(held)),
            invented=len(set(held) - names_possible.keys()),
            stuck=stuck,
            wrong_models=len(self.wrong_models),
            notes=tuple(self.notes),
        )


def _forged(_: bytes) -> bytes:
    return secrets.token_bytes(SIGNATURE)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, neither TCP nor UDP."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                found.append(port)
        return found


def worker_pids(running: Running) -> list[int]:
    """The processes that a satellite's controller has started."""
    if running.process is None:
        return []
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    try:
        return [int(word) for word in children.read_text().split()]
    except OSError:
        return []


def kill_quietly(pid: int) -> None:
    """``kill -9``; it may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
