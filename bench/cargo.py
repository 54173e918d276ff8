"""What the benches send: samples of incompressible pixels, as many as are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from orbitloop.domain.digests import digest_of
from orbitloop.domain.samples import Sample
from orbitloop.ports.spool import Spool
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack

SAMPLE_BYTES = 100_000
"""About a tile of 320 by 320 pixels without loss."""


def samples_of(total: int, *, satellite: str, first: int = 0) -> Iterator[tuple[Sample, bytes]]:
    """Different samples whose pixels add up to at least ``total`` bytes, numbered from ``first`` on."""
    for number in range(first, first + -(-total // SAMPLE_BYTES)):
        yield a_sample(number, satellite=satellite, size=SAMPLE_BYTES)


def fill(spool: Spool, total: int, *, satellite: str, first: int = 0) -> int:
    """Let at least ``total`` bytes wait in ``spool``; returns how many samples those are."""
    return sum(spool.add(sample, pixels) for sample, pixels in samples_of(total, satellite=satellite, first=first))


def bundles_of(size: int, *, satellite: str) -> Iterator[tuple[str, bytes]]:
    """Bundles of about ``size`` bytes with their digests, without end."""
    many = max(1, size // SAMPLE_BYTES)
    for number in count(0, many):
        data = pack(
            satellite,
            LAUNCH,
            list(samples_of(many * SAMPLE_BYTES, satellite=satellite, first=number)),
        )
        yield digest_of(data), data
