"""A full disk on board: said clearly, nothing half-written, and what fills it can still be sent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orbitloop.domain.errors import NoSpace
from orbitloop.domain.units import Bytes, Digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import Limits, unpack
from orbitloop_edge.adapters.sessions import FileSessions
from orbitloop_edge.adapters.spool import DiskSpool

CLOCK = VirtualClock(LAUNCH)
PLENTY = Bytes(2**24)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def opened(disk: Path) -> DiskSpool:
    limits = Limits(packed=Bytes(300_000))
    return DiskSpool(disk / "spool", "sat-1", CLOCK, budget=PLENTY, limits=limits, reserve=Bytes(600_000))


def filled(spool: DiskSpool, kept: set[Digest]) -> None:
    for number in range(1_000):
        sample, pixels = a_sample(number, size=50_000)
        spool.add(sample, pixels)
        kept.add(sample.id)


def test_a_full_disk_is_emptied_by_sending_and_loses_nothing(small_disk: Path) -> None:
    kept: set[Digest] = set()
    with opened(small_disk) as spool:
        with pytest.raises(NoSpace):
            filled(spool, kept)
        (small_disk / "others").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4_096))
    with opened(small_disk) as spool:  # and it starts again on the full disk
        assert spool.state().samples == len(kept) > 20
        sent: list[Digest] = []
        while (sealed := spool.seal(PLENTY)) is not None:
            sent += [sample.id for sample in unpack(sealed[1]).samples]
            spool.delivered(sealed[0])
        assert sorted(sent) == sorted(kept)
        assert spool.add(*a_sample(2_000, size=50_000))


def test_sessions_still_count_on_a_full_disk(small_disk: Path) -> None:
    sessions = FileSessions(small_disk / "sessions" / "last", CLOCK)
    first, _ = sessions.begin()
    with pytest.raises(OSError, match="No space"):
        (small_disk / "others").write_bytes(bytes(2**23))
    numbers = [sessions.begin()[0] for _ in range(3)]
    assert [first, *numbers] == [first, first + 1, first + 2, first + 3]
