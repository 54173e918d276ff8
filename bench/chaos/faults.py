"""What befalls a world, by name. Each fault draws what it needs from a seeded generator, and mends what it broke."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from bench.chaos.clocks import stepper
from bench.chaos.world import DISK, World, kill_quietly, worker_pids
from bench.live import Running

Fault = Callable[[World, np.random.Generator], None]

_MOST_UPDATES = 12
_CLOCK_STEPS = (0, 3_600, -3_600, 60, -60, 86_000)
"""Seconds."""


def _pause(rng: np.random.Generator, most: float = 0.4) -> None:
    time.sleep(rng.uniform(0, most))


def _restart(running: Running, rng: np.random.Generator) -> None:
    running.kill()
    _pause(rng)
    running.start()


def kill_controller(world: World, rng: np.random.Generator) -> None:
    """``kill -9`` of the Local Controller."""
    _restart(world.satellite, rng)


def kill_worker(world: World, rng: np.random.Generator) -> None:
    """``kill -9`` of the worker; the controller starts another."""
    for pid in worker_pids(world.satellite):
        kill_quietly(pid)
    _pause(rng)


def kill_ground(world: World, rng: np.random.Generator) -> None:
    """``kill -9`` of the gateway."""
    _restart(world.ground, rng)


def kill_link(world: World, rng: np.random.Generator) -> None:
    """``kill -9`` of the link."""
    _restart(world.link, rng)


def kill_everything(world: World, rng: np.random.Generator) -> None:
    """``kill -9`` of all three, in any order, started again in any order."""
    all_three = [world.satellite, world.ground, world.link]
    for which in rng.permutation(3):
        all_three[which].kill()
    for which in rng.permutation(3):
        all_three[which].start()


def lose_signal(world: World, rng: np.random.Generator) -> None:
    """The signal is lost, in the middle of whatever crosses, and is there again."""
    for _ in range(int(rng.integers(1, 4))):
        world.link.tell(signal.SIGUSR1)
        _pause(rng, 0.3)


def change_weather(world: World, rng: np.random.Generator) -> None:
    """The link starts again with loss, bursts, duplicates, reordering and flipped bits, or without."""
    weather = [
        ("--delay", "4ms"),
        ("--delay", "12ms", "--jitter", "20ms", "--duplication", "0.2"),
        ("--delay", "4ms", "--loss", "0.05", "--duplication", "0.05", "--jitter", "5ms"),
        ("--delay", "4ms", "--burst-loss", "0.01,0.2,0,0.9"),
        ("--delay", "4ms", "--corruption", "0.05", "--jitter", "2ms"),
    ][int(rng.integers(5))]
    world.link.command = [
        world.link.command[0],
        *world.link_command((*weather, "--seed", str(rng.integers(1_000))))[1:],
    ]
    _restart(world.link, rng)


def fill_satellite_disk(world: World, rng: np.random.Generator) -> None:
    """The satellite's disk is full for a while."""
    _fill(world.space, rng)


def fill_ground_disk(world: World, rng: np.random.Generator) -> None:
    """The ground's disk is full for a while."""
    _fill(world.ground_folder, rng)


def _fill(folder: Path, rng: np.random.Generator) -> None:
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:  # until there is no room
        for size in (2**20, 2**12):
            with contextlib.suppress(OSError):
                for _ in range(DISK // size):
                    file.write(bytes(size))
    time.sleep(rng.uniform(0.2, 1.0))
    filler.unlink(missing_ok=True)


def damage_upload(world: World, rng: np.random.Generator) -> None:
    """A byte of a bundle that is half on the ground flips."""
    _flip_in(world.ground_folder / "uploads", rng)


def damage_bundle(world: World, rng: np.random.Generator) -> None:
    """A byte of a bundle that is sealed on board flips."""
    _flip_in(world.space / "spool" / "bundles", rng)


def damage_fetched(world: World, rng: np.random.Generator) -> None:
    """A byte of an update that is half on board flips."""
    _flip_in(world.space / "inbox", rng)


def _flip_in(folder: Path, rng: np.random.Generator) -> None:
    with contextlib.suppress(OSError):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        if files:
            _flip(files[int(rng.integers(len(files)))], rng, 1)


def _flip(path: Path, rng: np.random.Generator, times: int) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for place in rng.integers(0, size, times):
            file.seek(int(place))
            byte = file.read(1)
            file.seek(int(place))
            file.write(bytes([byte[0] ^ 0xFF]))


def damage_spool(world: World, rng: np.random.Generator) -> None:
    """The spool's database is damaged while the satellite is down."""
    with _down(world.satellite):
        _damage(world.space / "spool" / "spool.db", rng)


def damage_ledger(world: World, rng: np.random.Generator) -> None:
    """The ledger's database is damaged while the ground is down."""
    with _down(world.ground):
        _damage(world.ground_folder / "ledger.db", rng)


@contextmanager
def _down(running: Running) -> Iterator[None]:
    running.kill()
    time.sleep(0.1)
    yield
    running.start()


def _damage(path: Path, rng: np.random.Generator) -> None:
    if not path.exists() or not path.stat().st_size:
        return
    for beside in ("-wal", "-shm"):
        if rng.random() < 0.5:
            path.with_name(path.name + beside).unlink(missing_ok=True)
    match rng.integers(4):
        case 0:
            _flip(path, rng, 200)
        case 1:
            os.truncate(path, path.stat().st_size // 2)
        case 2:
            path.write_bytes(b"no database")
        case _:
            path.unlink()


def step_satellite_clock(world: World, rng: np.random.Generator) -> None:
    """The clock on board jumps."""
    world.stepped["satellite"].write_text(f"{rng.choice(_CLOCK_STEPS)}\n")


def step_ground_clock(world: World, rng: np.random.Generator) -> None:
    """The ground's clock jumps."""
    world.stepped["ground"].write_text(f"{rng.choice(_CLOCK_STEPS)}\n")


def offer_update(world: World, rng: np.random.Generator) -> None:
    """Not a fault but what faults befall: an update to fetch and fly."""
    if len(world.chain.models) <= _MOST_UPDATES:
        world.publish(good=True, rng=rng)


def offer_bad_update(world: World, rng: np.random.Generator) -> None:
    """An update with a forged signature, or one that makes another model than it says."""
    world.publish(good=False, rng=rng)


def send_noise(world: World, rng: np.random.Generator) -> None:
    """Strangers: datagrams and connections of random bytes, at the link's end and at the ground's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for _ in range(100):
            for port in (world.datagrams, world.link_datagrams):
                with contextlib.suppress(OSError):
                    noise.sendto(rng.bytes(int(rng.integers(1, 1_400))), ("127.0.0.1", port))
    for port in (world.gateway, world.link_port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as stranger:
            stranger.sendall(rng.bytes(200))


FAULTS: dict[str, tuple[Fault, int]] = {
    "kill controller": (kill_controller, 4),
    "kill worker": (kill_worker, 3),
    "kill ground": (kill_ground, 3),
    "kill link": (kill_link, 2),
    "kill everything": (kill_everything, 1),
    "lose signal": (lose_signal, 6),
    "change weather": (change_weather, 4),
    "satellite's disk full": (fill_satellite_disk, 2),
    "ground's disk full": (fill_ground_disk, 2),
    "upload damaged": (damage_upload, 3),
    "bundle damaged": (damage_bundle, 3),
    "fetched update damaged": (damage_fetched, 3),
    "spool damaged": (damage_spool, 1),
    "ledger damaged": (damage_ledger, 1),
    "satellite's clock stepped": (step_satellite_clock, 2),
    "ground's clock stepped": (step_ground_clock, 2),
    "bad update offered": (offer_bad_update, 2),
    "noise": (send_noise, 2),
}
"""Every fault with its weight."""

_NEEDS_DISK = {"satellite's disk full", "ground's disk full"}
_NEEDS_CLOCK = {"satellite's clock stepped", "ground's clock stepped"}


def possible(*, small_disks: bool) -> tuple[dict[str, tuple[Fault, int]], dict[str, str]]:
    """The faults that can be had here, and why the others cannot."""
    missing = {} if small_disks else dict.fromkeys(_NEEDS_DISK, "a small disk (tmpfs) needs root")
    if stepper() is None:
        missing |= dict.fromkeys(_NEEDS_CLOCK, "there is no C compiler: apt-get install gcc libc6-dev")
    return {name: entry for name, entry in FAULTS.items() if name not in missing}, missing
