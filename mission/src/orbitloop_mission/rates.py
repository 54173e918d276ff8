"""Rates as people write them on a command line."""

from __future__ import annotations

import re

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond

_FASTEST = 100e9
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kMG]?)bit(?:/s)?)?")
_FACTORS = {None: 1.0, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def read_rate(option: str, given: str) -> BitsPerSecond:
    """``100Mbit``, ``256kbit/s`` or ``9600`` as bits per second.

    Raises:
        BadInput: it is no rate of 1 bit/s to 100 Gbit/s; ``option`` is named.
    """
    match = _RATE.fullmatch(given)
    rate = 0.0 if match is None else float(match[1]) * _FACTORS[match[2]]
    if not 1 <= rate <= _FASTEST:
        raise BadInput(f"{option} {given!r} is no rate; give bits per second, as 100Mbit, 256kbit or 9600")
    return BitsPerSecond(round(rate))
